/* Room model, the forward pass: a model whose layers differ in heads, width, window and RoPE. Every layer of
 * it gives the bytes that it gives in a model of layers like it; in fp32, and in bf16 where the processor has
 * it. */
#include <math.h>

#include "fixture.h"
#include "model/forward.h"

enum { LAYERS = 4, HIDDEN = 32, HEAD = 16, TOKENS = 150, ROWS = 2 * TOKENS };

/* The first is the largest in everything; the others are smaller in one thing each. */
static const olica_arch_layer layers_of_test[LAYERS] = {
    {.heads = 4, .kv_heads = 2, .ffn = 96, .window = 0, .rope = 0},
    {.heads = 3, .kv_heads = 1, .ffn = 40, .window = 7, .rope = 1},
    {.heads = 2, .kv_heads = 2, .ffn = 96, .window = 140, .rope = OLICA_ROPE_NONE},
    {.heads = 4, .kv_heads = 2, .ffn = 64, .window = 7, .rope = 0}};

static const olica_arch mixed = {
    .layers = LAYERS,
    .hidden = HIDDEN,
    .heads = 4,
    .kv_heads = 2,
    .group = 3,
    .head = HEAD,
    .ffn = 96,
    .eps = 1e-6,
    .rope = {{.kind = OLICA_ROPE_PLAIN, .theta = 10000}, {.kind = OLICA_ROPE_PLAIN, .theta = 100}},
    .ropes = 2};

static void fill(float *x, size_t n, uint32_t state) {
  for (size_t i = 0; i < n; i++) {
    state = state * 1664525u + 1013904223u;
    x[i] = (float)(state >> 8) / (float)(1 << 23) - 1.0f;
  }
}

/* The layer of that number with weights of its own. */
static olica_layer *make_layer(fixture *f, const olica_arch *arch, int index, uint32_t seed) {
  static const bool no_bias[OLICA_PROJECTIONS];
  const olica_layer_shape shape = olica_layer_shape_dense(arch, index, no_bias);
  olica_layer *layer;
  assert_int_equal(olica_layer_create(f->env, arch, &shape, NULL, &layer), OLICA_OK);
  fill(layer->own, olica_layer_bytes(arch, &shape) / sizeof(float), seed);
  return layer;
}

/* x [ROWS x HIDDEN] := two sequences, passed through layer `index` of `arch` by that forward. */
static void pass(fixture *f, olica_kernel *kernel, olica_forward *forward, const olica_arch *arch, int index,
                 uint32_t seed, float *x) {
  const olica_segment segments[] = {{.first = 0, .count = TOKENS}, {.first = TOKENS, .count = TOKENS}};
  const olica_pack pack = {.rows = ROWS, .segments = 2, .segment = segments};
  olica_layer *layer = make_layer(f, arch, index, seed);
  olica_maps *maps;
  fill(x, (size_t)ROWS * HIDDEN, 5);
  assert_int_equal(olica_maps_create(f->context, kernel, arch, layer, index, &maps), OLICA_OK);
  assert_int_equal(olica_forward_pass(forward, maps, &pack, x, NULL), OLICA_OK);
  olica_maps_destroy(maps);
  olica_layer_destroy(f->env, layer);
}

/* The same layer in a model of this layer alone. */
static void pass_alone(fixture *f, olica_kernel *kernel, int index, float *x) {
  olica_arch_layer layer = layers_of_test[index];
  olica_arch alone = mixed;
  olica_forward *forward;
  if (layer.rope == 1) alone.rope[0] = mixed.rope[1], layer.rope = 0;
  alone.layers = alone.ropes = 1;
  alone.layer = &layer;
  alone.heads = layer.heads;
  alone.kv_heads = layer.kv_heads;
  alone.group = layer.heads / layer.kv_heads;
  alone.ffn = layer.ffn;
  assert_int_equal(olica_forward_create(kernel, &alone, ROWS, TOKENS, &forward), OLICA_OK);
  pass(f, kernel, forward, &alone, 0, 100 + (uint32_t)index, x);
  olica_forward_destroy(forward);
}

static double distance(const float *x, const float *y, int rows) {
  double most = 0;
  for (int i = 0; i < rows * HIDDEN; i++) most = fmax(most, fabs((double)x[i] - y[i]));
  return most;
}

/* Creates a kernel; NULL: the processor has no bf16. */
static olica_kernel *make_kernel(fixture *f, olica_dtype precision) {
  olica_kernel *kernel;
  if (olica_kernel_create(f->env, precision, 1, &kernel) == OLICA_OK) return kernel;
  assert_int_equal(precision, OLICA_BF16);
  olica_error_clear(f->env);
  return NULL;
}

static void check_mixed(fixture *f, olica_dtype precision) {
  static float x[ROWS * HIDDEN], y[ROWS * HIDDEN];
  olica_arch_layer layers[LAYERS];
  olica_arch arch = mixed;
  olica_forward *forward;
  olica_kernel *kernel = make_kernel(f, precision);
  if (!kernel) return;
  memcpy(layers, layers_of_test, sizeof layers);
  arch.layer = layers;
  assert_int_equal(olica_forward_create(kernel, &arch, ROWS, TOKENS, &forward), OLICA_OK);
  for (int sweep = 0; sweep < 2; sweep++)
    for (int l = 0; l < LAYERS; l++) {
      pass(f, kernel, forward, &arch, l, 100 + (uint32_t)l, x);
      pass_alone(f, kernel, l, y);
      assert_memory_equal(x, y, sizeof x);
    }
  olica_forward_destroy(forward);
  olica_kernel_destroy(kernel);
}

static void mixed_in_fp32(void **state) {
  check_mixed(*state, OLICA_FP32);
}

static void mixed_in_bf16(void **state) {
  check_mixed(*state, OLICA_BF16);
}

/* Of a layer with `from` in place of its own window and RoPE. */
static void pass_as(fixture *f, olica_kernel *kernel, olica_arch arch, olica_arch_layer layer, float *x) {
  olica_forward *forward;
  arch.layers = 1;
  arch.layer = &layer;
  assert_int_equal(olica_forward_create(kernel, &arch, ROWS, TOKENS, &forward), OLICA_OK);
  pass(f, kernel, forward, &arch, 0, 9, x);
  olica_forward_destroy(forward);
}

/* Without RoPE a layer gives what it gives when all angles are next to nothing, and what it gives with RoPE
 * is far from that. */
static void check_no_rope(fixture *f, olica_dtype precision, double near, double far) {
  static float none[ROWS * HIDDEN], still[ROWS * HIDDEN], turned[ROWS * HIDDEN];
  olica_arch_layer layer = layers_of_test[0];
  olica_arch arch = mixed;
  olica_kernel *kernel = make_kernel(f, precision);
  if (!kernel) return;
  pass_as(f, kernel, arch, layer, turned);
  layer.rope = OLICA_ROPE_NONE;
  pass_as(f, kernel, arch, layer, none);
  layer.rope = 0;
  arch.rope[0] = (olica_rope){.kind = OLICA_ROPE_LINEAR, .theta = 10000, .factor = 1e9};
  pass_as(f, kernel, arch, layer, still);
  assert_true(distance(none, still, ROWS) < near);
  assert_true(distance(none, turned, ROWS) > far);
  olica_kernel_destroy(kernel);
}

static void no_rope_is_no_rotation(void **state) {
  check_no_rope(*state, OLICA_FP32, 1e-4, 1);
  check_no_rope(*state, OLICA_BF16, 1e-2, 1);
}

/* A window that holds the whole sequence is none; a shorter one changes only rows that it cuts off. */
static void windows(void **state) {
  fixture *f = *state;
  static float all[ROWS * HIDDEN], wide[ROWS * HIDDEN], narrow[ROWS * HIDDEN];
  enum { WINDOW = 20 };
  for (olica_dtype precision = OLICA_FP32; precision < OLICA_DTYPES; precision++) {
    olica_arch_layer layer = layers_of_test[0];
    if (precision == OLICA_FP16) continue;
    olica_kernel *kernel = make_kernel(f, precision);
    if (!kernel) continue;
    pass_as(f, kernel, mixed, layer, all);
    layer.window = TOKENS;
    pass_as(f, kernel, mixed, layer, wide);
    layer.window = WINDOW;
    pass_as(f, kernel, mixed, layer, narrow);
    assert_memory_equal(all, wide, sizeof all);
    assert_true(distance(all, narrow, WINDOW) < 1e-2);
    assert_true(distance(all + WINDOW * HIDDEN, narrow + WINDOW * HIDDEN, 1) > 1e-2);
    olica_kernel_destroy(kernel);
  }
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(mixed_in_fp32),
      FIXTURE_TEST(mixed_in_bf16),
      FIXTURE_TEST(no_rope_is_no_rotation),
      FIXTURE_TEST(windows),
  };
  MPI_Init(&argc, &argv);
  int failed = cmocka_run_group_tests_name("layers", tests, NULL, NULL);
  MPI_Finalize();
  return failed;
}
