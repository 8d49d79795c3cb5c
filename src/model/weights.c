#include "olica/model/weights.h"

#include <stdio.h>

#include "olica/par/shared.h"

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

/* A layer's tensors, in the order in which they lie in its block. */
enum { TENSORS = 4 + 4 * OLICA_PROJECTIONS, ALIGNMENT = 64 / sizeof(float) };

typedef struct slot {
  float **at;
  const char *name;
  size_t count; /* 0: there is no such tensor */
} slot;

static int list(const olica_arch *arch, const olica_layer_shape *shape, olica_layer *layer,
                slot slots[TENSORS]) {
  size_t d = (size_t)arch->hidden, r = (size_t)shape->branch;
  int n = 0;
  slots[n++] = (slot){&layer->input_norm, "input_layernorm", d};
  slots[n++] = (slot){&layer->ffn_norm, "post_attention_layernorm", d};
  for (int p = 0; p < OLICA_PROJECTIONS; p++) {
    olica_linear *linear = &layer->linear[p];
    const char *name = olica_projection_name((olica_projection)p);
    size_t rank = (size_t)shape->rank[p];
    olica_layer_shape_linear(arch, shape, (olica_projection)p, &linear->out, &linear->in);
    linear->rank = shape->rank[p];
    size_t out = (size_t)linear->out, in = (size_t)linear->in;
    slots[n++] = (slot){&linear->weight, name, rank ? 0 : out * in};
    slots[n++] = (slot){&linear->b, name, out * rank};
    slots[n++] = (slot){&linear->a, name, rank * in};
    slots[n++] = (slot){&linear->bias, name, shape->bias[p] ? out : 0};
  }
  slots[n++] = (slot){&layer->branch_a, "branch/a", d * r};
  slots[n++] = (slot){&layer->branch_b, "branch/b", r * d};
  return n;
}

static size_t aligned(size_t count) {
  return (count + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* All numbers of a layer once, and the attention's two products over half of the sequence on average. */
double olica_layer_shape_work(const olica_arch *arch, const olica_layer_shape *shape, double length) {
  return 2.0 * (double)olica_layer_shape_total(arch, shape) +
         2.0 * length * arch->heads * (arch->head + shape->values) / 2;
}

size_t olica_layer_bytes(const olica_arch *arch, const olica_layer_shape *shape) {
  olica_layer layer;
  slot slots[TENSORS];
  size_t numbers = 0;
  for (int i = 0, n = list(arch, shape, &layer, slots); i < n; i++) numbers += aligned(slots[i].count);
  return numbers * sizeof(float);
}

olica_status olica_layer_create(olica_env *env, const olica_arch *arch, const olica_layer_shape *shape,
                                void *memory, olica_layer **out) {
  olica_layer *layer;
  slot slots[TENSORS];
  OLICA_TRY(OLICA_NEW(env, layer, 1));
  layer->shape = *shape;
  if (!memory) memory = layer->own = olica_memory_get(env, "layer", olica_layer_bytes(arch, shape), 1);
  if (!memory) return env->error.code;
  float *next = memory;
  for (int i = 0, n = list(arch, shape, layer, slots); i < n; i++) {
    if (slots[i].count > 0) *slots[i].at = next;
    next += aligned(slots[i].count);
  }
  *out = layer;
  return OLICA_OK;
}

void olica_layer_destroy(olica_env *env, olica_layer *layer) {
  if (!layer) return;
  olica_memory_free(env, layer->own);
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
  slot slots[TENSORS];
  olica_status status = OLICA_OK;
  if (dtype == OLICA_FP32) return OLICA_OK;
  olica_shared_fence(context);
  for (int i = 0, n = list(arch, &layer->shape, layer, slots); i < n && status == OLICA_OK; i++) {
    olica_range own = olica_shared_part(context, (int64_t)slots[i].count);
    if (own.count > 0)
      status = olica_weights_round(context->env, dtype, slots[i].name, *slots[i].at + own.first,
                                   (size_t)own.count);
  }
  olica_shared_fence(context);
  return status;
}
