#include "calibrate.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "par/comm.h"

/* Lays out the node's part: the weights, and the packed form of each. */
static size_t lay_out(olica_dropped *dropped, olica_dtype precision, void *block) {
  olica_arena arena = {.block = block};
  int n = dropped->count, d = dropped->d;
  size_t numbers = (size_t)n * (size_t)d;
  if (dropped->gated) OLICA_TAKE(&arena, dropped->gate, numbers);
  OLICA_TAKE(&arena, dropped->up, numbers);
  OLICA_TAKE(&arena, dropped->down, numbers);
  if (dropped->gated) OLICA_TAKE(&arena, dropped->room[0], olica_packed_measure(precision, n, d));
  OLICA_TAKE(&arena, dropped->room[1], olica_packed_measure(precision, n, d));
  OLICA_TAKE(&arena, dropped->room[2], olica_packed_measure(precision, d, n));
  return arena.used;
}

/* The neurons that a cut drops, without their weights. */
static olica_dropped outline(const olica_arch *arch, int count) {
  return (olica_dropped){
      .arch = arch, .count = count, .d = arch->hidden, .gated = olica_arch_has(arch, OLICA_GATE)};
}

olica_hold olica_dropped_hold(olica_ledger *ledger, const olica_arch *arch, olica_dtype precision,
                              int count) {
  olica_dropped dropped = outline(arch, count);
  olica_hold before = olica_ledger_mark(ledger);
  olica_ledger_hold(ledger, 2 * (size_t)count * sizeof *dropped.gate_bias);
  olica_ledger_hold_node(ledger, lay_out(&dropped, precision, NULL));
  return olica_ledger_since(ledger, before);
}

/* Allocates the node's shared part and this rank's private part. Collective. */
static olica_status allocate(const olica_layer *pruned, olica_dropped *dropped) {
  olica_env *env = dropped->context->env;
  size_t n = (size_t)dropped->count;
  olica_dtype precision = olica_kernel_precision(dropped->kernel);
  olica_status status = OLICA_OK;
  if (pruned->linear[OLICA_GATE].bias) status = OLICA_NEW(env, dropped->gate_bias, n);
  if (status == OLICA_OK && pruned->linear[OLICA_UP].bias) status = OLICA_NEW(env, dropped->up_bias, n);
  OLICA_AGREE(dropped->context, status);
  OLICA_TRY(olica_shared_create(dropped->context, "dropped neurons", lay_out(dropped, precision, NULL),
                                &dropped->shared));
  lay_out(dropped, precision, dropped->shared->data);
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
  if (dropped->gated) memcpy(dropped->gate + to * d, gate->weight + from * d, d * sizeof(float));
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

static olica_status pack_dropped(const olica_dropped *dropped, int i, olica_packed_weights weights,
                                 olica_packed **packed) {
  weights.room = dropped->room[i];
  weights.node = dropped->context;
  return olica_packed_create(dropped->kernel, weights, packed);
}

static olica_status pack_all(olica_dropped *dropped) {
  int n = dropped->count, d = dropped->d;
  const olica_packed_weights gate = {.out = n, .in = d, .w = dropped->gate},
                             up = {.out = n, .in = d, .w = dropped->up},
                             down = {.out = d, .in = n, .w = dropped->down};
  if (dropped->gated) OLICA_TRY(pack_dropped(dropped, 0, gate, &dropped->packed_gate));
  OLICA_TRY(pack_dropped(dropped, 1, up, &dropped->packed_up));
  return pack_dropped(dropped, 2, down, &dropped->packed_down);
}

olica_status olica_dropped_create(olica_context *context, olica_kernel *kernel, const olica_arch *arch,
                                  const olica_layer *dense, const olica_layer *pruned, olica_dropped **out) {
  olica_dropped *dropped = NULL;
  OLICA_AGREE(context, OLICA_NEW(context->env, dropped, 1));
  *dropped = outline(arch, dense->shape.ffn - pruned->shape.ffn);
  dropped->context = context;
  dropped->kernel = kernel;
  *out = dropped;
  assert(dropped->count > 0); /* otherwise the budget has no branch */
  OLICA_TRY(allocate(pruned, dropped));
  copy_neurons(dense, pruned, dropped);
  OLICA_AGREE(context, pack_all(dropped));
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

static void add_bias(float *rows, const float *bias, int tokens, int width) {
  if (!bias) return;
  for (int t = 0; t < tokens; t++)
    for (int i = 0; i < width; i++) rows[(size_t)t * width + i] += bias[i];
}

void olica_dropped_apply(const olica_dropped *dropped, int tokens, const float *a, float *gate, float *up,
                         float *residual) {
  int n = dropped->count, d = dropped->d;
  float *neurons = dropped->gated ? gate : up;
  if (dropped->gated) olica_packed_multiply(dropped->packed_gate, tokens, a, d, gate);
  olica_packed_multiply(dropped->packed_up, tokens, a, d, up);
  add_bias(gate, dropped->gate_bias, tokens, n);
  add_bias(up, dropped->up_bias, tokens, n);
  olica_forward_neurons(dropped->arch, tokens, n, neurons, dropped->gated ? up : NULL);
  olica_packed_multiply(dropped->packed_down, tokens, neurons, n, residual);
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

olica_status olica_branch_begin(olica_fit *fit, int rank, olica_branch *branch) {
  *branch = (olica_branch){.fit = fit};
  OLICA_TRY(olica_solver_matrix(fit->solver, fit->d, rank, &branch->basis));
  return olica_solver_matrix(fit->solver, rank, fit->d, &branch->factor);
}

void olica_branch_replay_begin(olica_ledger *ledger, const olica_site *at, int d, int rank) {
  olica_solver_hold_matrix(ledger, at, d, rank);
  olica_solver_hold_matrix(ledger, at, rank, d);
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
  int rank = branch->basis->cols;
  OLICA_TRY(olica_fit_solve(fit, damping));
  olica_status status = olica_solver_matrix(fit->solver, fit->d, fit->d, &weighted);
  OLICA_TRY(olica_comm_agree(context, fit->gram->grid->comm, status));
  confidence(fit->correlation, fit->d);
  weigh(fit, weighted);
  /* The ridge has destroyed AᵀA; its matrix stores the new Gram. */
  OLICA_TRY(olica_solver_gram(fit->solver, weighted, fit->gram));
  olica_matrix_destroy(weighted);
  OLICA_TRY(olica_solver_subspace(fit->solver, "linear calibration", fit->gram, rank, branch->basis));
  return olica_solver_multiply(fit->solver, 1, branch->basis, fit->coef, branch->factor);
}

void olica_branch_replay_solve(olica_ledger *ledger, const olica_site *at, int d, int rank) {
  olica_fit_replay_solve(ledger, at, d);
  olica_hold weighted = olica_solver_hold_matrix(ledger, at, d, d);
  olica_ledger_release(ledger, weighted);
  olica_solver_replay_subspace(ledger, at, d, rank);
}

olica_status olica_branch_end(olica_branch *branch, float *branch_a, float *branch_b) {
  OLICA_TRY(olica_matrix_replicate(branch->basis, branch->basis->cols, branch_a));
  OLICA_TRY(olica_matrix_replicate(branch->factor, branch->factor->cols, branch_b));
  olica_matrix_destroy(branch->basis);
  olica_matrix_destroy(branch->factor);
  olica_fit_destroy(branch->fit);
  return OLICA_OK;
}

void olica_branch_replay_end(olica_ledger *ledger, const olica_site *at, int d, int rank) {
  olica_solver_replay_replicate(ledger, at, d, rank);
  olica_solver_replay_replicate(ledger, at, rank, d);
}
