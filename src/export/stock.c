#include "stock.h"

#include <math.h>
#include <string.h>

#include "la/number.h"
#include "la/product.h"

static float silu(float x) {
  return (float)(x / (1.0 + exp(-(double)x)));
}

float olica_stock_one(olica_export_type type) {
  float one = 1.2784645f;
  if (type != OLICA_EXPORT_Q8_0) olica_number_round((olica_dtype)type, &one, 1);
  return one;
}

int olica_stock_ffn(const olica_layer_shape *shape) {
  return shape->ffn + shape->branch;
}

void olica_stock_extents(const olica_export *e, const olica_stock_form *form, int layer, olica_projection p,
                         int64_t *rows, int64_t *columns) {
  olica_layer_shape full = *olica_export_shape(e, layer);
  int out, in;
  full.kv_heads = form->kv_heads;
  full.values = e->source->arch.head;
  full.ffn = form->ffn;
  olica_layer_shape_linear(&e->source->arch, &full, p, &out, &in);
  *rows = out;
  *columns = in;
}

bool olica_stock_biased(const olica_export *e, int layer, olica_projection p) {
  const olica_layer_shape *shape = olica_export_shape(e, layer);
  return shape->bias[p] || (p == OLICA_GATE && shape->branch > 0);
}

/* ---- stored rows, factors multiplied out ---- */

static olica_status multiplied(olica_export *e, int layer, olica_projection p, int64_t first, int64_t count,
                               int columns, float *rows) {
  int rank = olica_export_shape(e, layer)->rank[p];
  const float *a;
  float *b;
  OLICA_TRY(olica_export_whole(e, olica_tensors_linear(p, OLICA_PART_A), layer, &a));
  OLICA_TRY(OLICA_NEW(e->env, b, (size_t)(count * rank)));
  olica_status status = olica_export_rows(e, olica_tensors_linear(p, OLICA_PART_B), layer, first, count, b);
  if (status == OLICA_OK)
    olica_product_general(e->env, 0, 0, (int)count, columns, rank, 1, b, rank, a, columns, 0, rows, columns);
  olica_memory_free(e->env, b);
  return status;
}

/* Reads rows of a projection as it is stored, [count x its columns]. */
static olica_status stored(olica_export *e, int layer, olica_projection p, int64_t first, int64_t count,
                           float *rows) {
  const olica_layer_shape *shape = olica_export_shape(e, layer);
  int out, in;
  olica_layer_shape_linear(&e->source->arch, shape, p, &out, &in);
  if (shape->rank[p] > 0) return multiplied(e, layer, p, first, count, in, rows);
  return olica_export_rows(e, olica_tensors_linear(p, OLICA_PART_WEIGHT), layer, first, count, rows);
}

/* ---- rows that exist in heads of fewer, or not at all ---- */

/* Where row (or column) `full` of the stock form is stored: in heads of `kept` of `head` each; -1: it is 0.
 */
static int64_t stored_index(int64_t full, int head, int kept, int64_t stored_heads) {
  int64_t at = full / head, within = full % head;
  return at < stored_heads && within < kept ? at * kept + within : -1;
}

typedef olica_status piece(olica_export *e, int layer, olica_projection p, int64_t first, int64_t count,
                           float *rows);

static olica_status bias_piece(olica_export *e, int layer, olica_projection p, int64_t first, int64_t count,
                               float *rows) {
  return olica_export_rows(e, olica_tensors_linear(p, OLICA_PART_BIAS), layer, first, count, rows);
}

/* Fills rows of q, k or v (or their bias: columns 1), run by run of what is stored; the rest is 0. */
static olica_status spread(olica_export *e, int layer, olica_projection p, int64_t first, int64_t count,
                           int64_t columns, piece *read, float *rows) {
  const olica_layer_shape *shape = olica_export_shape(e, layer);
  int head = e->source->arch.head, kept = p == OLICA_V ? shape->values : head;
  int64_t heads = p == OLICA_Q ? olica_layer_shape_heads(shape) : shape->kv_heads;
  memset(rows, 0, (size_t)(count * columns) * sizeof *rows);
  for (int64_t i = 0, run; i < count; i += run) {
    int64_t from = stored_index(first + i, head, kept, heads);
    for (run = 1; i + run < count; run++) {
      int64_t next = stored_index(first + i + run, head, kept, heads);
      if (from < 0 ? next >= 0 : next != from + run) break;
    }
    if (from >= 0) OLICA_TRY(read(e, layer, p, from, run, rows + i * columns));
  }
  return OLICA_OK;
}

/* Fills rows of o: columns in heads of fewer. */
static olica_status widen(olica_export *e, const olica_stock_form *form, int layer, int64_t first,
                          int64_t count, float *rows) {
  const olica_layer_shape *shape = olica_export_shape(e, layer);
  int head = e->source->arch.head, heads = olica_layer_shape_heads(shape), kept = shape->values;
  int64_t columns = (int64_t)form->kv_heads * shape->group * head, narrow = (int64_t)heads * kept;
  float *packed;
  if (columns == narrow) return stored(e, layer, OLICA_O, first, count, rows);
  OLICA_TRY(OLICA_NEW(e->env, packed, (size_t)(count * narrow)));
  olica_status status = stored(e, layer, OLICA_O, first, count, packed);
  memset(rows, 0, (size_t)(count * columns) * sizeof *rows);
  for (int64_t i = 0; i < count; i++)
    for (int h = 0; h < heads; h++)
      memcpy(rows + i * columns + (int64_t)h * head, packed + i * narrow + (int64_t)h * kept,
             (size_t)kept * sizeof *rows);
  olica_memory_free(e->env, packed);
  return status;
}

/* ---- the FFN ---- */

/* Fills gate or up: stored rows, then the branch's, then zeros. */
static olica_status lengthen(olica_export *e, int layer, olica_projection p, int64_t first, int64_t count,
                             float *rows) {
  const olica_layer_shape *shape = olica_export_shape(e, layer);
  int64_t d = e->source->arch.hidden, real = shape->ffn - first, r = shape->branch;
  real = real < 0 ? 0 : real > count ? count : real;
  memset(rows, 0, (size_t)(count * d) * sizeof *rows);
  if (real > 0) OLICA_TRY(stored(e, layer, p, first, real, rows));
  if (p != OLICA_UP || r == 0) return OLICA_OK;
  const float *a; /* [d x r] */
  OLICA_TRY(olica_export_whole(e, OLICA_TENSOR_BRANCH_A, layer, &a));
  for (int64_t i = real; i < count && first + i < shape->ffn + r; i++)
    for (int64_t k = 0; k < d; k++) rows[i * d + k] = a[k * r + (first + i - shape->ffn)];
  return OLICA_OK;
}

/* Fills down: stored columns, then the branch's, then zeros. */
static olica_status broaden(olica_export *e, const olica_stock_form *form, int layer, int64_t first,
                            int64_t count, float *rows) {
  const olica_layer_shape *shape = olica_export_shape(e, layer);
  int64_t wide = form->ffn, f = shape->ffn, d = e->source->arch.hidden;
  const float *b = NULL; /* [r x d] */
  float *narrow;
  if (wide == f) return stored(e, layer, OLICA_DOWN, first, count, rows);
  if (shape->branch > 0) OLICA_TRY(olica_export_whole(e, OLICA_TENSOR_BRANCH_B, layer, &b));
  OLICA_TRY(OLICA_NEW(e->env, narrow, (size_t)(count * f)));
  olica_status status = stored(e, layer, OLICA_DOWN, first, count, narrow);
  memset(rows, 0, (size_t)(count * wide) * sizeof *rows);
  for (int64_t i = 0; i < count; i++) {
    memcpy(rows + i * wide, narrow + i * f, (size_t)f * sizeof *rows);
    for (int64_t k = 0; k < shape->branch; k++)
      rows[i * wide + f + k] = b[k * d + first + i] / silu(form->one);
  }
  olica_memory_free(e->env, narrow);
  return status;
}

/* ---- all projections ---- */

olica_status olica_stock_rows(olica_export *e, const olica_stock_form *form, int layer, olica_projection p,
                              int64_t first, int64_t count, float *rows) {
  switch (p) {
  case OLICA_Q:
  case OLICA_K:
  case OLICA_V:
    return spread(e, layer, p, first, count, e->source->arch.hidden, stored, rows);
  case OLICA_O:
    return widen(e, form, layer, first, count, rows);
  case OLICA_GATE:
  case OLICA_UP:
    return lengthen(e, layer, p, first, count, rows);
  default:
    return broaden(e, form, layer, first, count, rows);
  }
}

olica_status olica_stock_bias(olica_export *e, const olica_stock_form *form, int layer, olica_projection p,
                              int64_t first, int64_t count, float *bias) {
  const olica_layer_shape *shape = olica_export_shape(e, layer);
  bool longer = p == OLICA_GATE || p == OLICA_UP;
  int64_t real = longer ? shape->ffn - first : count;
  memset(bias, 0, (size_t)count * sizeof *bias);
  real = real < 0 ? 0 : real > count ? count : real;
  if (p == OLICA_GATE)
    for (int64_t i = real; i < count && first + i < olica_stock_ffn(shape); i++) bias[i] = form->one;
  if (!shape->bias[p] || real == 0) return OLICA_OK;
  if (p <= OLICA_V) return spread(e, layer, p, first, count, 1, bias_piece, bias);
  return bias_piece(e, layer, p, first, real, bias);
}
