/* Packed products against fp64: shapes that do not fit the kernel's blocks, strides, transposed weights,
 * adding, weights without full rank; that a row's result depends on nothing but the row; memory; refusal. In
 * fp32, and in bf16 where the processor has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "la/packed.h"

/* One product; `rank` > 0: of the weights. */
typedef struct shape {
  int rows, out, in, x_gap, rank;
  bool transposed, adds;
} shape;

typedef struct operands {
  float *x, *w, *y;
  double *expected, *scale; /* [rows x out]; scale: Σ |x| |w|, what errors are relative to */
} operands;

static double uniform(uint64_t *state) { /* in (-1, 1), a linear congruential generator */
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (double)(int64_t)*state * 0x1p-63;
}

static void fill(float *x, size_t n, uint64_t *state) {
  for (size_t i = 0; i < n; i++) x[i] = (float)uniform(state);
}

/* W := a product of two factors, in place. */
static void cut_rank(const shape *s, float *w, uint64_t *state) {
  float *a = malloc(sizeof *a * (size_t)(s->out * s->rank)),
        *b = malloc(sizeof *b * (size_t)(s->rank * s->in));
  fill(a, (size_t)(s->out * s->rank), state);
  fill(b, (size_t)(s->rank * s->in), state);
  for (int i = 0; i < s->out; i++)
    for (int j = 0; j < s->in; j++) {
      double sum = 0;
      for (int k = 0; k < s->rank; k++) sum += (double)a[i * s->rank + k] * b[k * s->in + j];
      w[s->transposed ? j * s->out + i : i * s->in + j] = (float)sum;
    }
  free(a);
  free(b);
}

/* What the kernel sees of x and W, multiplied in fp64. */
static void expect(const shape *s, olica_dtype precision, operands *o) {
  size_t stride = (size_t)(s->in + s->x_gap), many = (size_t)s->rows * stride, all = (size_t)s->out * s->in;
  float *x = memcpy(malloc(many * sizeof *x), o->x, many * sizeof *x),
        *w = memcpy(malloc(all * sizeof *w), o->w, all * sizeof *w);
  olica_number_round(precision, x, many);
  olica_number_round(precision, w, all);
  for (int t = 0; t < s->rows; t++)
    for (int i = 0; i < s->out; i++) {
      size_t at = (size_t)t * s->out + i;
      double sum = s->adds ? o->y[at] : 0, scale = fabs(sum);
      for (int j = 0; j < s->in; j++) {
        double p = (double)x[t * stride + j] * w[s->transposed ? j * s->out + i : i * s->in + j];
        sum += p;
        scale += fabs(p);
      }
      o->expected[at] = sum;
      o->scale[at] = scale;
    }
  free(x);
  free(w);
}

static operands make(const shape *s, olica_dtype precision) {
  size_t many = (size_t)s->rows * (size_t)(s->in + s->x_gap), results = (size_t)s->rows * s->out;
  uint64_t state = 12345;
  operands o = {.x = malloc(many * sizeof(float)),
                .w = malloc(sizeof(float) * (size_t)s->out * s->in),
                .y = malloc(results * sizeof(float)),
                .expected = malloc(results * sizeof(double)),
                .scale = malloc(results * sizeof(double))};
  fill(o.x, many, &state);
  fill(o.w, (size_t)s->out * s->in, &state);
  fill(o.y, results, &state);
  if (s->rank) cut_rank(s, o.w, &state);
  expect(s, precision, &o);
  return o;
}

static void discard(operands *o) {
  free(o->x);
  free(o->w);
  free(o->y);
  free(o->expected);
  free(o->scale);
}

static olica_packed *pack(olica_env *env, olica_kernel *kernel, const shape *s, const float *w) {
  olica_packed *packed = NULL;
  olica_packed_weights weights = {
      .out = s->out, .in = s->in, .w = w, .transposed = s->transposed, .adds = s->adds};
  if (olica_packed_create(kernel, weights, &packed) != OLICA_OK)
    fail_msg("%d x %d: %s", s->out, s->in, env->error.text);
  return packed;
}

static void one_product(olica_env *env, olica_kernel *kernel, const shape *s) {
  operands o = make(s, olica_kernel_precision(kernel));
  olica_packed *packed = pack(env, kernel, s, o.w);
  assert_true(env->memory.now > 0);
  olica_packed_multiply(packed, s->rows, o.x, s->in + s->x_gap, o.y);
  olica_packed_destroy(packed);
  double bound = 2e-7 * (8 + sqrt(s->in)); /* of fp32 sums */
  for (size_t i = 0; i < (size_t)s->rows * s->out; i++)
    if (!(fabs(o.y[i] - o.expected[i]) <= bound * o.scale[i]))
      fail_msg("%s, %d x %d x %d: row %zu, column %zu: %g, expected %g", olica_kernel_name(kernel), s->rows,
               s->out, s->in, i / s->out, i % s->out, o.y[i], o.expected[i]);
  discard(&o);
}

static const shape shapes[] = {{1, 1, 1, 0, 0, false, false},       {1, 576, 576, 0, 0, false, false},
                               {127, 91, 33, 0, 0, false, false},   {64, 256, 64, 0, 0, false, false},
                               {65, 257, 65, 0, 0, true, false},    {128, 15, 1000, 0, 0, false, true},
                               {513, 70, 31, 0, 0, false, false},   {1100, 3, 7, 2, 0, true, true},
                               {255, 512, 129, 5, 0, false, false}, {128, 576, 1536, 0, 0, false, false},
                               {70, 1537, 48, 0, 0, true, true},    {100, 300, 200, 0, 1, false, false},
                               {100, 200, 300, 3, 17, true, true},  {63, 64, 2, 0, 0, false, true}};

static void all_shapes(olica_dtype precision, int threads) {
  olica_env *env = olica_env_create();
  olica_kernel *kernel;
  omp_set_num_threads(threads);
  assert_int_equal(olica_kernel_create(env, precision, threads, &kernel), OLICA_OK);
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) one_product(env, kernel, &shapes[i]);
  for (size_t i = sizeof shapes / sizeof *shapes; i-- > 0;) one_product(env, kernel, &shapes[i]);
  assert_int_equal(omp_get_max_threads(), threads); /* it is not the kernel's to change */
  olica_kernel_destroy(kernel);
  assert_int_equal(env->memory.now, 0);
  olica_env_destroy(env);
}

static void fp32_is_right(void **state) {
  (void)state;
  all_shapes(OLICA_FP32, 1);
  all_shapes(OLICA_FP32, 2);
}

/* Without bf16 the kernel says so, and leaves nothing behind. */
static bool lacks_bf16(void) {
  if (olica_kernel_has_bf16()) return false;
  olica_env *env = olica_env_create();
  olica_kernel *kernel;
  assert_int_equal(olica_kernel_create(env, OLICA_BF16, 1, &kernel), OLICA_ERR_CONFIG);
  assert_non_null(strstr(env->error.text, "this processor has none, expected AVX512_BF16 or AMX"));
  assert_int_equal(env->memory.now, 0);
  olica_env_destroy(env);
  return true;
}

static void bf16_is_right(void **state) {
  (void)state;
  if (lacks_bf16()) return;
  for (int threads = 1; threads <= 3; threads++) all_shapes(OLICA_BF16, threads);
}

/* All rows at once, on so many threads. */
static void multiply(olica_dtype precision, const shape *s, int threads, const operands *o, float *y) {
  olica_env *env = olica_env_create();
  olica_kernel *kernel;
  assert_int_equal(olica_kernel_create(env, precision, threads, &kernel), OLICA_OK);
  olica_packed *packed = pack(env, kernel, s, o->w);
  olica_packed_multiply(packed, s->rows, o->x, s->in, y);
  olica_packed_destroy(packed);
  olica_kernel_destroy(kernel);
  olica_env_destroy(env);
}

/* The bytes of a row are the same on any number of threads, and in any company. */
static void rows_alone(olica_dtype precision) {
  static const shape s = {.rows = 600, .out = 577, .in = 1531};
  operands o = make(&s, precision);
  size_t row = (size_t)s.out * sizeof(float);
  float *y = malloc(row * (size_t)s.rows), *one = malloc(row * (size_t)s.rows);
  multiply(precision, &s, 1, &o, y);
  for (int threads = 2; threads <= 5; threads++) {
    multiply(precision, &s, threads, &o, one);
    assert_memory_equal(one, y, row * (size_t)s.rows);
  }
  for (int first = 0; first < s.rows; first += 37) {
    shape part = s;
    operands from = o;
    part.rows = first % 3 ? 1 : s.rows - first;
    from.x = o.x + (size_t)first * (size_t)s.in;
    multiply(precision, &part, 2, &from, one);
    assert_memory_equal(one, y + (size_t)first * (size_t)s.out, row * (size_t)part.rows);
  }
  free(y);
  free(one);
  discard(&o);
}

static void rows_stand_alone(void **state) {
  (void)state;
  rows_alone(OLICA_FP32);
  if (!lacks_bf16()) rows_alone(OLICA_BF16);
}

/* What is counted does not pass what was announced. */
static void announced(olica_dtype precision) {
  enum { THREADS = 2, SMALL = 1 << 16 };
  olica_env *env = olica_env_create();
  olica_kernel *kernel;
  assert_int_equal(olica_kernel_create(env, precision, THREADS, &kernel), OLICA_OK);
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    const shape *s = &shapes[i];
    size_t before = env->memory.now;
    float *w = calloc((size_t)s->out * s->in, sizeof *w);
    olica_packed_destroy(pack(env, kernel, s, w)); /* scratch and primitives stay */
    before = env->memory.now;
    olica_packed *packed = pack(env, kernel, s, w);
    size_t taken = env->memory.now - before;
    assert_in_range(taken, (size_t)s->out * s->in * olica_number_size(precision),
                    olica_packed_measure(precision, s->out, s->in) + 4096);
    olica_packed_destroy(packed);
    assert_int_equal(env->memory.now, before);
    free(w);
  }
  olica_ledger ledger = {0};
  size_t least = olica_kernel_hold(&ledger, THREADS).rank;
  olica_packed_reserve(&ledger, precision, 1536);
  assert_in_range(env->memory.now, least, olica_kernel_hold(&ledger, THREADS).rank + SMALL);
  env->memory.limit = env->memory.now + 5000;
  float *w = calloc(100 * 100, sizeof *w);
  olica_packed *packed;
  assert_int_equal(
      olica_packed_create(kernel, (olica_packed_weights){.out = 100, .in = 100, .w = w}, &packed),
      OLICA_ERR_MEMORY);
  free(w);
  olica_kernel_destroy(kernel);
  assert_int_equal(env->memory.now, 0);
  olica_env_destroy(env);
}

static void memory_is_announced(void **state) {
  (void)state;
  announced(OLICA_FP32);
  if (!lacks_bf16()) announced(OLICA_BF16);
}

static void names(void **state) {
  olica_env *env = olica_env_create();
  olica_kernel *kernel;
  char version[OLICA_KERNEL_TEXT];
  (void)state;
  assert_int_equal(olica_kernel_create(env, OLICA_FP32, 1, &kernel), OLICA_OK);
  assert_memory_equal(olica_kernel_name(kernel), "oneDNN ", 7);
  assert_non_null(strstr(olica_kernel_name(kernel), olica_kernel_version(version)));
  assert_null(strstr(olica_kernel_name(kernel), "bf16"));
  olica_kernel_destroy(kernel);
  if (!lacks_bf16()) {
    assert_int_equal(olica_kernel_create(env, OLICA_BF16, 1, &kernel), OLICA_OK);
    assert_non_null(strstr(olica_kernel_name(kernel), olica_kernel_version(version)));
    assert_non_null(strstr(olica_kernel_name(kernel), "_bf16"));
    olica_kernel_destroy(kernel);
  }
  olica_env_destroy(env);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fp32_is_right),    cmocka_unit_test(bf16_is_right),       cmocka_unit_test(names),
      cmocka_unit_test(rows_stand_alone), cmocka_unit_test(memory_is_announced),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
