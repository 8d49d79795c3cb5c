#include "select.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "model/tensors.h"
#include "par/comm.h"
#include "par/shared.h"

typedef struct candidate {
  double importance;
  int32_t index;
} candidate;

static int compare(const void *left, const void *right) {
  const candidate *a = left, *b = right;
  if (a->importance != b->importance) return a->importance < b->importance ? -1 : 1;
  return a->index < b->index ? -1 : a->index > b->index;
}

/* Workspace of olica_select_kept. */
typedef struct sorting {
  int n;
  candidate *order; /* [n] */
  char *gone;       /* [n] */
} sorting;

static size_t lay_out(sorting *s, void *block) {
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, s->order, s->n);
  OLICA_TAKE(&arena, s->gone, s->n);
  return arena.used;
}

olica_status olica_select_kept(olica_env *env, const double *importance, int n, int skipped, int dropped,
                               int32_t *kept) {
  sorting s = {.n = n};
  void *block;
  OLICA_TRY(OLICA_LAY_OUT(env, "order of neurons", block, lay_out, &s));
  candidate *order = s.order;
  char *gone = s.gone;
  for (int i = 0; i < n; i++) order[i] = (candidate){importance[i], i};
  qsort(order, (size_t)n, sizeof *order, compare);
  for (int i = skipped; i < skipped + dropped; i++) gone[order[i].index] = 1;
  for (int i = 0, at = 0; i < n; i++)
    if (!gone[i]) kept[at++] = i;
  olica_memory_free(env, block);
  return OLICA_OK;
}

olica_status olica_select_curve(olica_env *env, const double *importance, int n, double *curve) {
  candidate *all;
  OLICA_TRY(OLICA_NEW(env, all, (size_t)n));
  for (int i = 0; i < n; i++) all[i] = (candidate){importance[i], i};
  qsort(all, (size_t)n, sizeof *all, compare);
  for (int i = 0; i < OLICA_CURVE; i++) curve[i] = all[olica_curve_place(i, n)].importance;
  olica_memory_free(env, all);
  return OLICA_OK;
}

olica_status olica_select_order(olica_env *env, const double *importance, int n, int skipped,
                                int32_t *order) {
  candidate *all;
  OLICA_TRY(OLICA_NEW(env, all, (size_t)n));
  for (int i = 0; i < n; i++) all[i] = (candidate){importance[i], i};
  qsort(all, (size_t)n, sizeof *all, compare);
  for (int i = 0; i < n; i++) order[i] = all[i < skipped ? i : n - 1 - (i - skipped)].index;
  olica_memory_free(env, all);
  return OLICA_OK;
}

/* Returns sqrt(sum_c (w[c]² energy[c])) of one row. */
static double weighted_norm(const float *w, const double *energy, int n) {
  double sum = 0.0;
#pragma omp simd reduction(+ : sum)
  for (int c = 0; c < n; c++) sum += (double)w[c] * w[c] * energy[c];
  return sqrt(sum);
}

/* square[c] = sum over rows of w[r, c]². */
static void column_squares(const float *w, int rows, int cols, double *square) {
  memset(square, 0, (size_t)cols * sizeof *square);
  olica_statistics_add_squares(square, w, rows, cols, cols);
}

olica_status olica_select_value_importance(olica_env *env, const olica_arch *arch, const olica_layer *dense,
                                           const olica_energies *energies, double *importance) {
  int h = arch->head, d = arch->hidden, width = arch->heads * h, g = arch->heads / arch->kv_heads;
  double *square;
  OLICA_TRY(OLICA_NEW(env, square, (size_t)width));
  column_squares(dense->linear[OLICA_O].weight, d, width, square);
  for (int n = 0; n < arch->kv_heads * h; n++)
    importance[n] = weighted_norm(dense->linear[OLICA_V].weight + (size_t)n * d, energies->attention, d);
  for (int c = 0; c < width; c++) {
    int group = c / h / g, neuron = c % h;
    importance[group * h + neuron] += sqrt(square[c] * energies->value[c]);
  }
  olica_memory_free(env, square);
  return OLICA_OK;
}

olica_status olica_select_neuron_importance(olica_env *env, const olica_arch *arch, const olica_layer *dense,
                                            const olica_energies *energies, double *importance) {
  int d = arch->hidden, f = arch->ffn;
  const float *gate = dense->linear[OLICA_GATE].weight, *up = dense->linear[OLICA_UP].weight;
  double *square;
  OLICA_TRY(OLICA_NEW(env, square, (size_t)f));
  column_squares(dense->linear[OLICA_DOWN].weight, d, f, square);
#pragma omp parallel for schedule(static)
  for (int n = 0; n < f; n++) {
    double gated = gate ? weighted_norm(gate + (size_t)n * d, energies->ffn, d) : 0;
    importance[n] =
        weighted_norm(up + (size_t)n * d, energies->ffn, d) + gated + sqrt(square[n] * energies->neuron[n]);
  }
  olica_memory_free(env, square);
  return OLICA_OK;
}

/* A tensor that the dense layer lacks (a bias that a method adds) is zero. */
static void copy_all(const float *from, float *to, size_t n) {
  if (to && from) memcpy(to, from, n * sizeof *to);
  if (to && !from) memset(to, 0, n * sizeof *to);
}

/* Returns the dense number of a head of the pruned layer; `heads` NULL: all are there. */
static int64_t head_of(const int32_t *heads, int64_t i) {
  return heads ? heads[i] : i;
}

/* Copies rows head·from_size + kept[..] of w [.. x cols], head after head, and their biases: those in `part`.
 */
static void copy_rows(const olica_linear *from, olica_linear *to, olica_range part, int from_size,
                      int to_size, const int32_t *heads, const int32_t *kept) {
  for (int64_t i = part.first; i < part.first + part.count; i++) {
    int64_t row = head_of(heads, i / to_size) * from_size + kept[i];
    memcpy(to->weight + i * to->in, from->weight + row * from->in, (size_t)to->in * sizeof(float));
    if (to->bias) to->bias[i] = from->bias[row];
  }
}

/* Copies columns of head j, kept[j / share ..] of each, j over the heads; `share` heads use one list, and
 * come from one of `heads`. Only the rows in `part`. */
static void copy_columns(const olica_linear *from, olica_linear *to, olica_range part, int count, int share,
                         int from_size, int to_size, const int32_t *heads, const int32_t *kept) {
#pragma omp parallel for schedule(static)
  for (int64_t row = part.first; row < part.first + part.count; row++) {
    const float *in = from->weight + row * from->in;
    float *out = to->weight + row * to->in;
    for (int j = 0; j < count; j++) {
      const float *head = in + (head_of(heads, j / share) * share + j % share) * from_size;
      for (int i = 0; i < to_size; i++) out[j * to_size + i] = head[kept[j / share * to_size + i]];
    }
  }
}

void olica_select_norms(const olica_arch *arch, const olica_layer *dense, olica_layer *pruned) {
  for (olica_tensor_id id = OLICA_TENSORS_MODEL; id < OLICA_TENSORS; id++) {
    const olica_tensor_row *row = olica_tensors_row(id);
    if (row->projection < OLICA_PROJECTIONS || row->is_list || row->extent[1] != OLICA_EXTENT_NONE) continue;
    copy_all(olica_tensors_data(dense, id), *olica_tensors_weights(pruned, id),
             (size_t)olica_tensors_numbers(arch, &pruned->shape, id));
  }
}

void olica_select_copy(const olica_context *context, const olica_arch *arch, const olica_layer *dense,
                       olica_layer *pruned) {
  const olica_linear *from = dense->linear;
  olica_linear *to = pruned->linear;
  int h = arch->head, n = pruned->shape.values, f = arch->ffn, kept_f = pruned->shape.ffn;
  const int32_t *heads = pruned->heads_kept;
  size_t d = (size_t)arch->hidden;
  olica_range values = olica_shared_part(context, to[OLICA_V].out),
              neurons = olica_shared_part(context, kept_f),
              outputs = olica_shared_part(context, arch->hidden);
  if (olica_shared_leads(context)) {
    olica_select_norms(arch, dense, pruned);
    copy_all(from[OLICA_O].bias, to[OLICA_O].bias, d);
    copy_all(from[OLICA_DOWN].bias, to[OLICA_DOWN].bias, d);
  }
  copy_rows(&from[OLICA_V], &to[OLICA_V], values, h, n, heads, pruned->values_kept);
  copy_columns(&from[OLICA_O], &to[OLICA_O], outputs, olica_layer_shape_heads(&pruned->shape),
               arch->heads / arch->kv_heads, h, n, heads, pruned->values_kept);
  if (olica_arch_has(arch, OLICA_GATE))
    copy_rows(&from[OLICA_GATE], &to[OLICA_GATE], neurons, f, kept_f, NULL, pruned->ffn_kept);
  copy_rows(&from[OLICA_UP], &to[OLICA_UP], neurons, f, kept_f, NULL, pruned->ffn_kept);
  copy_columns(&from[OLICA_DOWN], &to[OLICA_DOWN], outputs, 1, 1, f, kept_f, NULL, pruned->ffn_kept);
  olica_shared_fence(context);
}

/* Numbers of the three lists of a layer. */
typedef struct list_sizes {
  size_t heads, values, neurons; /* heads: 0 if all are there */
} list_sizes;

static list_sizes sizes_of(const olica_arch *arch, const olica_layer_shape *shape) {
  size_t heads = (size_t)shape->kv_heads;
  return (list_sizes){.heads = shape->kv_heads < arch->kv_heads ? heads : 0,
                      .values = heads * (size_t)shape->values,
                      .neurons = (size_t)shape->ffn};
}

olica_status olica_select_lists(olica_env *env, const olica_arch *arch, olica_layer *pruned) {
  const list_sizes size = sizes_of(arch, &pruned->shape);
  if (size.heads > 0) OLICA_TRY(OLICA_NEW(env, pruned->heads_kept, size.heads));
  OLICA_TRY(OLICA_NEW(env, pruned->values_kept, size.values));
  return OLICA_NEW(env, pruned->ffn_kept, size.neurons);
}

olica_hold olica_select_hold_lists(olica_ledger *ledger, const olica_arch *arch,
                                   const olica_layer_shape *shape) {
  const list_sizes size = sizes_of(arch, shape);
  return olica_ledger_hold(ledger, (size.heads + size.values + size.neurons) * sizeof(int32_t));
}

/* Returns the importances of the larger choice. */
static size_t importances(const olica_arch *arch) {
  int values = arch->kv_heads * arch->head;
  return (size_t)(values > arch->ffn ? values : arch->ffn);
}

/* Fills the lists, on rank 0. */
static olica_status choose(olica_env *env, const olica_arch *arch, const olica_layer *dense,
                           const olica_energies *energies, int skipped, olica_layer *pruned, double *curve) {
  int h = arch->head, n = pruned->shape.values;
  double *importance;
  OLICA_TRY(OLICA_NEW(env, importance, importances(arch)));
  OLICA_TRY(olica_select_value_importance(env, arch, dense, energies, importance));
  for (int j = 0; j < arch->kv_heads; j++)
    OLICA_TRY(olica_select_kept(env, importance + j * h, h, 0, h - n, pruned->values_kept + j * n));
  OLICA_TRY(olica_select_neuron_importance(env, arch, dense, energies, importance));
  if (curve) OLICA_TRY(olica_select_curve(env, importance, arch->ffn, curve));
  OLICA_TRY(olica_select_kept(env, importance, arch->ffn, skipped, arch->ffn - pruned->shape.ffn,
                              pruned->ffn_kept));
  olica_memory_free(env, importance);
  return OLICA_OK;
}

olica_status olica_select_neurons(olica_context *context, const olica_arch *arch, const olica_layer *dense,
                                  const olica_energies *energies, int skipped, olica_layer *pruned,
                                  double *curve) {
  size_t values = (size_t)arch->kv_heads * (size_t)pruned->shape.values, neurons = (size_t)pruned->shape.ffn;
  OLICA_AGREE(context, olica_select_lists(context->env, arch, pruned));
  OLICA_AGREE(context, context->rank == 0
                           ? choose(context->env, arch, dense, energies, skipped, pruned, curve)
                           : OLICA_OK);
  olica_comm_bcast(context, context->comm, pruned->values_kept, values * sizeof *pruned->values_kept, 0);
  olica_comm_bcast(context, context->comm, pruned->ffn_kept, neurons * sizeof *pruned->ffn_kept, 0);
  olica_select_copy(context, arch, dense, pruned);
  return OLICA_OK;
}

void olica_select_replay_order(olica_ledger *ledger, int n) {
  olica_ledger_touch(ledger, (size_t)n * sizeof(candidate));
}

void olica_select_replay_importance(olica_ledger *ledger, int columns) {
  olica_ledger_touch(ledger, (size_t)columns * sizeof(double));
}

void olica_select_replay_kept(olica_ledger *ledger, int n) {
  olica_ledger_touch(ledger, lay_out(&(sorting){.n = n}, NULL));
}

olica_hold olica_select_replay(olica_ledger *ledger, const olica_arch *arch, const olica_layer_shape *shape) {
  olica_hold lists = olica_select_hold_lists(ledger, arch, shape);
  olica_hold importance = olica_ledger_hold(ledger, importances(arch) * sizeof(double));
  olica_select_replay_importance(ledger, arch->heads * arch->head);
  olica_select_replay_kept(ledger, arch->head);
  olica_select_replay_importance(ledger, arch->ffn);
  olica_select_replay_kept(ledger, arch->ffn);
  olica_ledger_release(ledger, importance);
  return lists;
}
