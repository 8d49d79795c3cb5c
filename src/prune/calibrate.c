#include "olica/prune/calibrate.h"

#include <math.h>
#include <string.h>

#include "olica/par/comm.h"

static olica_status allocate(olica_env *env, const olica_layer *pruned, olica_dropped *dropped) {
  size_t n = (size_t)dropped->count, d = (size_t)dropped->d;
  OLICA_TRY(OLICA_NEW(env, dropped->gate, n * d));
  OLICA_TRY(OLICA_NEW(env, dropped->up, n * d));
  OLICA_TRY(OLICA_NEW(env, dropped->down, d * n));
  if (pruned->linear[OLICA_GATE].bias) OLICA_TRY(OLICA_NEW(env, dropped->gate_bias, n));
  if (pruned->linear[OLICA_UP].bias) OLICA_TRY(OLICA_NEW(env, dropped->up_bias, n));
  return OLICA_OK;
}

/* Neuron `from` of the dense FFN becomes neuron `to` of the dropped ones. */
static void copy_neuron(const olica_layer *dense, int from, olica_dropped *dropped, int to) {
  const olica_linear *gate = &dense->linear[OLICA_GATE], *up = &dense->linear[OLICA_UP];
  const olica_linear *down = &dense->linear[OLICA_DOWN];
  size_t d = (size_t)dropped->d;
  memcpy(dropped->gate + to * d, gate->weight + from * d, d * sizeof(float));
  memcpy(dropped->up + to * d, up->weight + from * d, d * sizeof(float));
  if (dropped->gate_bias) dropped->gate_bias[to] = gate->bias[from];
  if (dropped->up_bias) dropped->up_bias[to] = up->bias[from];
  for (size_t row = 0; row < d; row++)
    dropped->down[row * dropped->count + to] = down->weight[row * down->in + from];
}

static olica_status pack_dropped(olica_dropped *dropped) {
  int n = dropped->count, d = dropped->d;
  olica_packed_weights gate = {.out = n, .in = d, .w = dropped->gate}, up = gate;
  up.w = dropped->up;
  if (n == 0) return OLICA_OK; /* nothing was cut */
  OLICA_TRY(olica_packed_create(dropped->kernel, gate, &dropped->packed_gate));
  OLICA_TRY(olica_packed_create(dropped->kernel, up, &dropped->packed_up));
  return olica_packed_create(dropped->kernel, (olica_packed_weights){.out = d, .in = n, .w = dropped->down},
                             &dropped->packed_down);
}

olica_status olica_dropped_create(olica_kernel *kernel, const olica_arch *arch, const olica_layer *dense,
                                  const olica_layer *pruned, olica_dropped **out) {
  olica_env *env = olica_kernel_env(kernel);
  olica_dropped *dropped;
  OLICA_TRY(OLICA_NEW(env, dropped, 1));
  dropped->kernel = kernel;
  dropped->count = arch->ffn - pruned->shape.ffn;
  dropped->d = arch->hidden;
  OLICA_TRY(allocate(env, pruned, dropped));
  for (int n = 0, kept = 0, to = 0; n < arch->ffn; n++) {
    if (kept < pruned->shape.ffn && pruned->ffn_kept[kept] == n)
      kept++;
    else
      copy_neuron(dense, n, dropped, to++);
  }
  *out = dropped;
  return pack_dropped(dropped);
}

void olica_dropped_destroy(olica_dropped *dropped) {
  if (!dropped) return;
  olica_env *env = olica_kernel_env(dropped->kernel);
  olica_packed_destroy(dropped->packed_gate);
  olica_packed_destroy(dropped->packed_up);
  olica_packed_destroy(dropped->packed_down);
  olica_memory_free(env, dropped->gate);
  olica_memory_free(env, dropped->up);
  olica_memory_free(env, dropped->down);
  olica_memory_free(env, dropped->gate_bias);
  olica_memory_free(env, dropped->up_bias);
  olica_memory_free(env, dropped);
}

size_t olica_dropped_bytes(olica_dtype precision, int count, int d) {
  return 3 * sizeof(float) * (size_t)count * (size_t)d + 2 * olica_packed_bytes(precision, count, d) +
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
  if (n == 0) { /* nothing was cut */
    memset(residual, 0, (size_t)tokens * d * sizeof *residual);
    return;
  }
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

/* Everything the members of the fit's group do; weighted [d x d], gram [d x d], basis [d x r], factor [r x
 * d]. */
static olica_status decompose(olica_fit *fit, int rank, olica_matrix *weighted, olica_matrix *gram,
                              olica_matrix *basis, olica_matrix *factor, double *values) {
  confidence(fit->correlation, fit->d);
  for (int j = 0; j < weighted->local_cols; j++)
    memcpy(weighted->a + (size_t)j * weighted->lld, fit->coef->a + (size_t)j * fit->coef->lld,
           (size_t)weighted->local_rows * sizeof(double));
  olica_matrix_scale_columns(weighted, fit->correlation);
  OLICA_TRY(olica_solver_gram(fit->solver, weighted, gram));
  OLICA_TRY(olica_solver_eigen(fit->solver, "linear calibration", gram, rank, values, basis));
  return olica_solver_multiply(fit->solver, 1, basis, fit->coef, factor);
}

olica_status olica_calibrate_branch(olica_fit *fit, int rank, float *branch_a, float *branch_b) {
  olica_context *context = fit->context;
  olica_matrix *weighted = NULL, *basis = NULL, *factor = NULL;
  int d = fit->d;
  double *values = NULL;
  olica_status status = olica_solver_matrix(fit->solver, d, d, &weighted);
  if (status == OLICA_OK) status = olica_solver_matrix(fit->solver, d, rank, &basis);
  if (status == OLICA_OK) status = olica_solver_matrix(fit->solver, rank, d, &factor);
  if (status == OLICA_OK) status = OLICA_NEW(context->env, values, (size_t)rank);
  OLICA_AGREE(context, status);
  /* The ridge has used up AᵀA: its matrix takes the new Gram. */
  if (olica_solver_member(fit->solver))
    status = decompose(fit, rank, weighted, fit->gram, basis, factor, values);
  OLICA_AGREE(context, status);
  OLICA_TRY(olica_matrix_replicate(basis, rank, branch_a));
  OLICA_TRY(olica_matrix_replicate(factor, d, branch_b));
  olica_matrix_destroy(weighted);
  olica_matrix_destroy(basis);
  olica_matrix_destroy(factor);
  olica_memory_free(context->env, values);
  return OLICA_OK;
}
