#include "model/weights.h"

#include <stdio.h>

#include "base/arena.h"
#include "model/tensors.h"
#include "par/shared.h"

olica_layer_shape olica_layer_shape_dense(const olica_arch *arch, int layer,
                                          const bool bias[OLICA_PROJECTIONS]) {
  const olica_arch_layer *of = &arch->layer[layer];
  olica_layer_shape shape = {.kv_heads = of->kv_heads,
                             .kv_before = of->kv_heads,
                             .group = of->heads / of->kv_heads,
                             .values = arch->head,
                             .ffn = of->ffn};
  for (int p = 0; p < OLICA_PROJECTIONS; p++) shape.bias[p] = bias[p];
  return shape;
}

int olica_layer_shape_heads(const olica_layer_shape *shape) {
  return shape->kv_heads * shape->group;
}

void olica_layer_shape_linear(const olica_arch *arch, const olica_layer_shape *shape,
                              olica_projection projection, int *out, int *in) {
  int heads = olica_layer_shape_heads(shape);
  const int outs[OLICA_PROJECTIONS] = {[OLICA_Q] = heads * arch->head,
                                       [OLICA_K] = shape->kv_heads * arch->head,
                                       [OLICA_V] = shape->kv_heads * shape->values,
                                       [OLICA_O] = arch->hidden,
                                       [OLICA_GATE] = olica_arch_has(arch, OLICA_GATE) ? shape->ffn : 0,
                                       [OLICA_UP] = shape->ffn,
                                       [OLICA_DOWN] = arch->hidden};
  *out = outs[projection];
  *in = projection == OLICA_O ? heads * shape->values : projection == OLICA_DOWN ? shape->ffn : arch->hidden;
}

/* Counts the stored numbers of a projection; OLICA_PROJECTIONS: of the layer. */
static int64_t count(const olica_arch *arch, const olica_layer_shape *shape, olica_projection projection) {
  int64_t numbers = 0;
  for (olica_tensor_id id = OLICA_TENSORS_MODEL; id < OLICA_TENSORS; id++) {
    const olica_tensor_row *row = olica_tensors_row(id);
    if (!row->is_list && (projection == OLICA_PROJECTIONS || row->projection == projection))
      numbers += olica_tensors_numbers(arch, shape, id);
  }
  return numbers;
}

int64_t olica_layer_shape_numbers(const olica_arch *arch, const olica_layer_shape *shape,
                                  olica_projection projection) {
  return count(arch, shape, projection);
}

int64_t olica_layer_shape_total(const olica_arch *arch, const olica_layer_shape *shape) {
  return count(arch, shape, OLICA_PROJECTIONS);
}

/* Counts the numbers of a tensor in a layer's block, which holds no lists of what is kept. */
static size_t in_block(const olica_arch *arch, const olica_layer_shape *shape, olica_tensor_id id) {
  return olica_tensors_row(id)->is_list ? 0 : (size_t)olica_tensors_numbers(arch, shape, id);
}

/* Counts all numbers of a layer once, and the attention's two products over half of the sequence on average.
 */
double olica_layer_shape_work(const olica_arch *arch, const olica_layer_shape *shape, double length) {
  return 2.0 * (double)olica_layer_shape_total(arch, shape) +
         2.0 * length * olica_layer_shape_heads(shape) * (arch->head + shape->values) / 2;
}

static size_t lay_out(const olica_arch *arch, olica_layer *layer, void *block) {
  olica_arena arena = {.block = block};
  for (olica_tensor_id id = OLICA_TENSORS_MODEL; id < OLICA_TENSORS; id++) {
    size_t numbers = in_block(arch, &layer->shape, id);
    if (numbers > 0) OLICA_TAKE(&arena, *olica_tensors_weights(layer, id), numbers);
  }
  return arena.used;
}

size_t olica_layer_bytes(const olica_arch *arch, const olica_layer_shape *shape) {
  return lay_out(arch, &(olica_layer){.shape = *shape}, NULL);
}

olica_layer olica_layer_outline(const olica_arch *arch, const olica_layer_shape *shape) {
  olica_layer layer = {.shape = *shape};
  for (olica_projection p = 0; p < OLICA_PROJECTIONS; p++) {
    olica_linear *linear = &layer.linear[p];
    olica_layer_shape_linear(arch, shape, p, &linear->out, &linear->in);
    linear->rank = shape->rank[p];
  }
  return layer;
}

olica_status olica_layer_create(olica_env *env, const olica_arch *arch, const olica_layer_shape *shape,
                                void *memory, olica_layer **out) {
  olica_layer *layer;
  OLICA_TRY(OLICA_NEW(env, layer, 1));
  *layer = olica_layer_outline(arch, shape);
  if (!memory) memory = layer->own = olica_memory_get(env, "layer", lay_out(arch, layer, NULL), 1);
  if (!memory) return env->error.code;
  lay_out(arch, layer, memory);
  *out = layer;
  return OLICA_OK;
}

void olica_layer_destroy(olica_env *env, olica_layer *layer) {
  if (!layer) return;
  olica_memory_free(env, layer->own);
  olica_memory_free(env, layer->heads_kept);
  olica_memory_free(env, layer->values_kept);
  olica_memory_free(env, layer->ffn_kept);
  olica_memory_free(env, layer);
}

static long count_zeros(const float *x, size_t n) {
  long zeros = 0;
  for (size_t i = 0; i < n; i++) zeros += x[i] == 0;
  return zeros;
}

olica_status olica_weights_round(olica_env *env, olica_dtype dtype, const char *name, float *x, size_t n) {
  if (!x || dtype == OLICA_FP32) return OLICA_OK;
  long zeros = count_zeros(x, n);
  size_t bad = olica_number_beyond(dtype, x, n);
  if (bad < n)
    return olica_error_set(
        env, OLICA_ERR_CONFIG,
        "[output] dtype = %s: %s has %g, expected at most %g, its largest: another dtype holds it",
        olica_number_name(dtype), name, (double)x[bad], olica_number_largest(dtype));
  olica_number_round(dtype, x, n);
  char text[OLICA_WARNING_TEXT];
  snprintf(text, sizeof text, "[output] dtype = %s: weights of %s are too small for it and have become 0",
           olica_number_name(dtype), name);
  olica_log_warn_times(env, count_zeros(x, n) - zeros, text);
  return OLICA_OK;
}

olica_status olica_layer_round(const olica_context *context, olica_layer *layer, const olica_arch *arch,
                               olica_dtype dtype) {
  olica_status status = OLICA_OK;
  if (dtype == OLICA_FP32) return OLICA_OK;
  olica_shared_fence(context);
  for (olica_tensor_id id = OLICA_TENSORS_MODEL; id < OLICA_TENSORS && status == OLICA_OK; id++) {
    const olica_tensor_row *row = olica_tensors_row(id);
    const char *name =
        row->projection < OLICA_PROJECTIONS ? olica_projection_name(row->projection) : row->leaf;
    olica_range own = olica_shared_part(context, (int64_t)in_block(arch, &layer->shape, id));
    if (own.count > 0)
      status = olica_weights_round(context->env, dtype, name, *olica_tensors_weights(layer, id) + own.first,
                                   (size_t)own.count);
  }
  olica_shared_fence(context);
  return status;
}
