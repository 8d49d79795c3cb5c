#include "calibrate.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "par/comm.h"

static size_t weight_bytes(int count, int d) {
  const size_t alignment = 64; /* alignment of each matrix in the block */
  size_t bytes = 3 * sizeof(float) * (size_t)count * (size_t)d;
  return (bytes + alignment - 1) / alignment * alignment;
}

/* Allocates the node's shared part and this rank's private part. Collective. */
static olica_status allocate(const olica_layer *pruned, olica_dropped *dropped) {
  olica_env *env = dropped->context->env;
  size_t n = (size_t)dropped->count, d = (size_t)dropped->d;
  size_t bytes = olica_dropped_bytes(olica_kernel_precision(dropped->kernel), dropped->count, dropped->d);
  olica_status status = OLICA_OK;
  if (pruned->linear[OLICA_GATE].bias) status = OLICA_NEW(env, dropped->gate_bias, n);
  if (status == OLICA_OK && pruned->linear[OLICA_UP].bias) status = OLICA_NEW(env, dropped->up_bias, n);
  OLICA_AGREE(dropped->context, status);
  OLICA_TRY(olica_shared_create(dropped->context, "dropped neurons", bytes, &dropped->shared));
  dropped->gate = dropped->shared->data;
  dropped->up = dropped->gate + n * d;
  dropped->down = dropped->up + n * d;
  return OLICA_OK;
}

/* Copies neuron `from` of the dense FFN to neuron `to` of the dropped ones; its weights only if they are in
 * this rank's share. */
static void copy_neuron(const olica_layer *dense, int from, olica_dropped *dropped, int to, bool mine) {
  const olica_linear *gate = &dense->linear[OLICA_GATE], *up = &dense->linear[OLICA_UP];
  const olica_linear *down = &dense->linear[OLICA_DOWN];
  size_t d = (size_t)dropped->d;
  if (dropped->gate_bias) dropped->gate_bias[to] = gate->bias[from];
  if (dropped->up_bias) dropped->up_bias[to] = up->bias[from];
  if (!mine) return;
  memcpy(dropped->gate + to * d, gate->weight + from * d, d * sizeof(float));
  memcpy(dropped->up + to * d, up->weight + from * d, d * sizeof(float));
  for (size_t row = 0; row < d; row++)
    dropped->down[row * dropped->count + to] = down->weight[row * down->in + from];
}

static void copy_neurons(const olica_layer *dense, const olica_layer *pruned, olica_dropped *dropped) {
  olica_range own = olica_shared_part(dropped->context, dropped->count);
  for (int n = 0, kept = 0, to = 0; n < dense->shape.ffn; n++) {
    if (kept < pruned->shape.ffn && pruned->ffn_kept[kept] == n) {
      kept++;
    } else {
      copy_neuron(dense, n, dropped, to, to >= own.first && to < own.first + own.count);
      to++;
    }
  }
  olica_shared_fence(dropped->context);
}

static olica_status pack_dropped(olica_dropped *dropped) {
  int n = dropped->count, d = dropped->d;
  char *room = (char *)dropped->shared->data + weight_bytes(n, d);
  olica_packed_weights gate = {.out = n, .in = d, .w = dropped->gate, .room = room, .node = dropped->context};
  olica_packed_weights up = gate, down = gate;
  size_t bytes = olica_packed_bytes(olica_kernel_precision(dropped->kernel), n, d);
  up.w = dropped->up;
  up.room = room + bytes;
  down.w = dropped->down;
  down.room = room + 2 * bytes;
  down.out = d;
  down.in = n;
  OLICA_TRY(olica_packed_create(dropped->kernel, gate, &dropped->packed_gate));
  OLICA_TRY(olica_packed_create(dropped->kernel, up, &dropped->packed_up));
  return olica_packed_create(dropped->kernel, down, &dropped->packed_down);
}

olica_status olica_dropped_create(olica_context *context, olica_kernel *kernel, const olica_layer *dense,
                                  const olica_layer *pruned, int d, olica_dropped **out) {
  olica_dropped *dropped = NULL;
  OLICA_AGREE(context, OLICA_NEW(context->env, dropped, 1));
  *dropped = (olica_dropped){
      .context = context, .kernel = kernel, .count = dense->shape.ffn - pruned->shape.ffn, .d = d};
  *out = dropped;
  assert(dropped->count > 0); /* otherwise the budget has no branch */
  OLICA_TRY(allocate(pruned, dropped));
  copy_neurons(dense, pruned, dropped);
  OLICA_AGREE(context, pack_dropped(dropped));
  olica_shared_fence(context);
  return OLICA_OK;
}

void olica_dropped_destroy(olica_dropped *dropped) {
  if (!dropped) return;
  olica_env *env = dropped->context->env;
  olica_packed_destroy(dropped->packed_gate);
  olica_packed_destroy(dropped->packed_up);
  olica_packed_destroy(dropped->packed_down);
  olica_shared_destroy(dropped->shared);
  olica_memory_free(env, dropped->gate_bias);
  olica_memory_free(env, dropped->up_bias);
  olica_memory_free(env, dropped);
}

size_t olica_dropped_bytes(olica_dtype precision, int count, int d) {
  return weight_bytes(count, d) + 2 * olica_packed_bytes(precision, count, d) +
         olica_packed_bytes(precision, d, count);
}

static void add_bias(float *rows, const float *bias, int tokens, int width) {
  if (!bias) return;
  for (int t = 0; t < tokens; t++)
    for (int i = 0; i < width; i++) rows[(size_t)t * width + i] += bias[i];
}

void olica_dropped_apply(const olica_dropped *dropped, int tokens, const float *a, float *gate, float *up,
                         float *residual) {
  int n = dropped->count, d = dropped->d;
  olica_packed_multiply(dropped->packed_gate, tokens, a, d, gate);
  olica_packed_multiply(dropped->packed_up, tokens, a, d, up);
  add_bias(gate, dropped->gate_bias, tokens, n);
  add_bias(up, dropped->up_bias, tokens, n);
  olica_forward_neurons(tokens, n, gate, up);
  olica_packed_multiply(dropped->packed_down, tokens, gate, n, residual);
}

/* w_j = sigmoid((r_j - mean r) / 0.05), in place. */
static void confidence(double *r, int d) {
  double mean = 0.0;
  for (int j = 0; j < d; j++) mean += r[j] / d;
  for (int j = 0; j < d; j++) r[j] = 1.0 / (1.0 + exp(-(r[j] - mean) / 0.05));
}

olica_problem olica_branch_problem(int d, int rank) {
  return (olica_problem){.order = d, .inner = d, .wanted = rank, .columns = d};
}

/* After the fit is solved: C diag(w) for the Gram, then the workspace of the eigensolver. */
olica_problem_bytes olica_branch_bytes(const olica_site *at, int d, int rank) {
  olica_problem_bytes fit = olica_fit_bytes(at, d);
  double factors = olica_solver_matrix_bytes(at, d, rank) + olica_solver_matrix_bytes(at, rank, d);
  double work = fmax(olica_solver_matrix_bytes(at, d, d), olica_solver_eigen_bytes(at, d, rank));
  double solved = fit.left + work + (double)sizeof(double) * rank;
  return (olica_problem_bytes){
      .kept = fit.kept + factors, .solved = fmax(fit.solved, solved), .left = fit.left};
}

double olica_branch_end_bytes(const olica_site *at, int d, int rank) {
  return fmax(olica_solver_replicate_bytes(at, d, rank), olica_solver_replicate_bytes(at, rank, d));
}

olica_status olica_branch_begin(olica_fit *fit, int rank, olica_branch *branch) {
  *branch = (olica_branch){.fit = fit};
  OLICA_TRY(olica_solver_matrix(fit->solver, fit->d, rank, &branch->basis));
  return olica_solver_matrix(fit->solver, rank, fit->d, &branch->factor);
}

/* C diag(w). */
static void weigh(const olica_fit *fit, olica_matrix *weighted) {
  for (int j = 0; j < weighted->local_cols; j++)
    memcpy(weighted->a + (size_t)j * weighted->lld, fit->coef->a + (size_t)j * fit->coef->lld,
           (size_t)weighted->local_rows * sizeof(double));
  olica_matrix_scale_columns(weighted, fit->correlation);
}

olica_status olica_branch_solve(olica_branch *branch, double damping) {
  olica_fit *fit = branch->fit;
  olica_context *context = fit->context;
  olica_matrix *weighted = NULL;
  double *values = NULL;
  int rank = branch->basis->cols;
  OLICA_TRY(olica_fit_solve(fit, damping));
  olica_status status = olica_solver_matrix(fit->solver, fit->d, fit->d, &weighted);
  if (status == OLICA_OK) status = OLICA_NEW(context->env, values, (size_t)rank);
  OLICA_TRY(olica_comm_agree(context, fit->gram->grid->comm, status));
  confidence(fit->correlation, fit->d);
  weigh(fit, weighted);
  /* The ridge has destroyed AᵀA; its matrix stores the new Gram. */
  OLICA_TRY(olica_solver_gram(fit->solver, weighted, fit->gram));
  olica_matrix_destroy(weighted);
  OLICA_TRY(olica_solver_eigen(fit->solver, "linear calibration", fit->gram, rank, values, branch->basis));
  olica_memory_free(context->env, values);
  return olica_solver_multiply(fit->solver, 1, branch->basis, fit->coef, branch->factor);
}

olica_status olica_branch_end(olica_branch *branch, float *branch_a, float *branch_b) {
  OLICA_TRY(olica_matrix_replicate(branch->basis, branch->basis->cols, branch_a));
  OLICA_TRY(olica_matrix_replicate(branch->factor, branch->factor->cols, branch_b));
  olica_matrix_destroy(branch->basis);
  olica_matrix_destroy(branch->factor);
  olica_fit_destroy(branch->fit);
  return OLICA_OK;
}
