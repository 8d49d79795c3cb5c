#include "olica/model/weights.h"

olica_layer_shape olica_layer_shape_dense(const olica_arch *arch, const bool bias[OLICA_PROJECTIONS]) {
  olica_layer_shape shape = {.values = arch->head, .ffn = arch->ffn};
  for (int p = 0; p < OLICA_PROJECTIONS; p++) shape.bias[p] = bias[p];
  return shape;
}

void olica_layer_shape_linear(const olica_arch *arch, const olica_layer_shape *shape,
                              olica_projection projection, int *out, int *in) {
  olica_arch_shape(arch, projection, out, in);
  if (projection == OLICA_V) *out = arch->kv_heads * shape->values;
  if (projection == OLICA_O) *in = arch->heads * shape->values;
  if (projection == OLICA_GATE || projection == OLICA_UP) *out = shape->ffn;
  if (projection == OLICA_DOWN) *in = shape->ffn;
}

int64_t olica_layer_shape_numbers(const olica_arch *arch, const olica_layer_shape *shape,
                                  olica_projection projection) {
  int out, in;
  olica_layer_shape_linear(arch, shape, projection, &out, &in);
  int64_t rank = shape->rank[projection];
  int64_t weight = rank ? rank * ((int64_t)out + in) : (int64_t)out * in;
  return weight + (shape->bias[projection] ? out : 0);
}

int64_t olica_layer_shape_total(const olica_arch *arch, const olica_layer_shape *shape) {
  int64_t total = 2 * (int64_t)arch->hidden * (1 + shape->branch);
  for (int p = 0; p < OLICA_PROJECTIONS; p++)
    total += olica_layer_shape_numbers(arch, shape, (olica_projection)p);
  return total;
}

static olica_status create_linear(olica_env *env, const olica_arch *arch, const olica_layer_shape *shape,
                                  olica_projection projection, olica_linear *linear) {
  linear->rank = shape->rank[projection];
  olica_layer_shape_linear(arch, shape, projection, &linear->out, &linear->in);
  size_t out = (size_t)linear->out, in = (size_t)linear->in, rank = (size_t)linear->rank;
  if (rank) {
    OLICA_TRY(OLICA_NEW(env, linear->b, out * rank));
    OLICA_TRY(OLICA_NEW(env, linear->a, rank * in));
  } else {
    OLICA_TRY(OLICA_NEW(env, linear->weight, out * in));
  }
  return shape->bias[projection] ? OLICA_NEW(env, linear->bias, out) : OLICA_OK;
}

olica_status olica_layer_create(olica_env *env, const olica_arch *arch, const olica_layer_shape *shape,
                                olica_layer **out) {
  olica_layer *layer;
  size_t d = (size_t)arch->hidden, r = (size_t)shape->branch;
  OLICA_TRY(OLICA_NEW(env, layer, 1));
  layer->shape = *shape;
  OLICA_TRY(OLICA_NEW(env, layer->input_norm, d));
  OLICA_TRY(OLICA_NEW(env, layer->ffn_norm, d));
  for (int p = 0; p < OLICA_PROJECTIONS; p++)
    OLICA_TRY(create_linear(env, arch, shape, (olica_projection)p, &layer->linear[p]));
  if (r) {
    OLICA_TRY(OLICA_NEW(env, layer->branch_a, d * r));
    OLICA_TRY(OLICA_NEW(env, layer->branch_b, r * d));
  }
  *out = layer;
  return OLICA_OK;
}

void olica_layer_destroy(olica_env *env, olica_layer *layer) {
  if (!layer) return;
  olica_memory_free(env, layer->input_norm);
  olica_memory_free(env, layer->ffn_norm);
  for (int p = 0; p < OLICA_PROJECTIONS; p++) {
    olica_memory_free(env, layer->linear[p].weight);
    olica_memory_free(env, layer->linear[p].b);
    olica_memory_free(env, layer->linear[p].a);
    olica_memory_free(env, layer->linear[p].bias);
  }
  olica_memory_free(env, layer->branch_a);
  olica_memory_free(env, layer->branch_b);
  olica_memory_free(env, layer->values_kept);
  olica_memory_free(env, layer->ffn_kept);
  olica_memory_free(env, layer);
}

olica_status olica_weights_round(olica_env *env, olica_dtype dtype, const char *name, float *x, size_t n) {
  if (!x) return OLICA_OK;
  olica_number_round(dtype, x, n);
  if (olica_number_nonfinite(x, n) == n) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_CONFIG,
                         "[output] dtype = %s: %s has numbers that only a wider type holds",
                         olica_number_name(dtype), name);
}

olica_status olica_layer_round(olica_env *env, olica_layer *layer, const olica_arch *arch,
                               olica_dtype dtype) {
  if (dtype == OLICA_FP32) return OLICA_OK;
  size_t d = (size_t)arch->hidden, r = (size_t)layer->shape.branch;
  OLICA_TRY(olica_weights_round(env, dtype, "input_layernorm", layer->input_norm, d));
  OLICA_TRY(olica_weights_round(env, dtype, "post_attention_layernorm", layer->ffn_norm, d));
  for (int p = 0; p < OLICA_PROJECTIONS; p++) {
    const olica_linear *linear = &layer->linear[p];
    const char *name = olica_projection_name((olica_projection)p);
    size_t out = (size_t)linear->out, in = (size_t)linear->in, rank = (size_t)linear->rank;
    OLICA_TRY(olica_weights_round(env, dtype, name, linear->weight, out * in));
    OLICA_TRY(olica_weights_round(env, dtype, name, linear->b, out * rank));
    OLICA_TRY(olica_weights_round(env, dtype, name, linear->a, rank * in));
    OLICA_TRY(olica_weights_round(env, dtype, name, linear->bias, out));
  }
  OLICA_TRY(olica_weights_round(env, dtype, "branch/a", layer->branch_a, d * r));
  return olica_weights_round(env, dtype, "branch/b", layer->branch_b, r * d);
}
