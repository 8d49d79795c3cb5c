/* Products of the kernel in use: right, and the same bytes on any number of threads; of whole products and of
 * a piece outside of our threads. test_kernels.py runs it with every kernel that the processor can run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "la/blas_kernel.h"
#include "la/product.h"

enum { THREADS = 5 };

static double uniform(uint64_t *state) { /* in (-1, 1), a linear congruential generator */
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (double)(int64_t)*state * 0x1p-63;
}

static float *random_floats(size_t n, uint64_t *state) {
  float *x = malloc(n * sizeof *x);
  for (size_t i = 0; i < n; i++) x[i] = (float)uniform(state);
  return x;
}

static void set_threads(int threads) {
  openblas_set_num_threads(threads);
  omp_set_num_threads(threads);
}

/* alpha 0.5, beta 1, and strides that are wider than the rows. */
typedef struct shape {
  int m, n, k, a_transposed, b_transposed;
} shape;

static const shape shapes[] = {{1, 1, 1, 0, 0},       {1, 300, 200, 0, 1},   {300, 1, 128, 1, 0},
                               {130, 200, 192, 0, 1}, {128, 192, 512, 0, 1}, {97, 101, 300, 0, 0},
                               {192, 333, 128, 1, 0}, {129, 77, 33, 1, 1},   {500, 770, 96, 0, 1},
                               {384, 2800, 40, 0, 1}, {48, 192, 48, 1, 0},   {95, 97, 257, 1, 1}};

enum { GAP = 3 };

static void check_value(const shape *s, const float *a, const float *b, double before, double found, int i,
                        int j) {
  int as = (s->a_transposed ? s->m : s->k) + GAP, bs = (s->b_transposed ? s->k : s->n) + GAP;
  double sum = 0, scale = fabs(before);
  for (int l = 0; l < s->k; l++) {
    double p = 0.5 * (double)a[s->a_transposed ? l * as + i : i * as + l] *
               b[s->b_transposed ? j * bs + l : l * bs + j];
    sum += p;
    scale += fabs(p);
  }
  if (!(fabs(found - before - sum) <= 2e-7 * (8 + sqrt(s->k)) * scale))
    fail_msg("%d x %d x %d: (%d, %d) is %g, expected %g", s->m, s->n, s->k, i, j, found, before + sum);
}

static void general_is_right_on_any_threads(void **state) {
  uint64_t seed = 1;
  (void)state;
  olica_env *env = olica_env_create();
  for (size_t at = 0; at < sizeof shapes / sizeof *shapes; at++) {
    const shape *s = &shapes[at];
    int as = (s->a_transposed ? s->m : s->k) + GAP, bs = (s->b_transposed ? s->k : s->n) + GAP;
    int cs = s->n + GAP;
    size_t results = (size_t)s->m * (size_t)cs;
    float *a = random_floats((size_t)(s->a_transposed ? s->k : s->m) * (size_t)as, &seed);
    float *b = random_floats((size_t)(s->b_transposed ? s->n : s->k) * (size_t)bs, &seed);
    float *before = random_floats(results, &seed), *first = malloc(results * sizeof *first),
          *c = malloc(results * sizeof *c);
    for (int threads = 1; threads <= THREADS; threads++) {
      memcpy(c, before, results * sizeof *c);
      set_threads(threads);
      olica_product_general(env, s->a_transposed, s->b_transposed, s->m, s->n, s->k, 0.5f, a, as, b, bs, 1.0f,
                            c, cs);
      assert_int_equal(openblas_get_num_threads(), threads);
      if (threads == 1) memcpy(first, c, results * sizeof *c);
      assert_memory_equal(c, first, results * sizeof *c);
    }
    for (int i = 0; i < s->m; i += 1 + s->m / 7)
      for (int j = 0; j < s->n; j++) check_value(s, a, b, before[i * cs + j], c[i * cs + j], i, j);
    for (int i = 0; i < s->m; i++) /* what lies between the rows stays */
      assert_memory_equal(c + i * cs + s->n, before + i * cs + s->n, GAP * sizeof *c);
    free(a);
    free(b);
    free(before);
    free(first);
    free(c);
  }
  olica_env_destroy(env);
}

static void gram_is_right_on_any_threads(void **state) {
  static const struct {
    int rows, n;
  } grams[] = {{1, 1}, {128, 192}, {2048, 192}, {300, 97}, {77, 288}, {1000, 5}};
  uint64_t seed = 2;
  (void)state;
  olica_env *env = olica_env_create();
  for (size_t at = 0; at < sizeof grams / sizeof *grams; at++) {
    int rows = grams[at].rows, n = grams[at].n, stride = n + GAP;
    size_t numbers = (size_t)n * (size_t)stride;
    float *x = random_floats((size_t)rows * (size_t)stride, &seed), *first = malloc(numbers * sizeof *first),
          *gram = malloc(numbers * sizeof *gram);
    for (int threads = 1; threads <= THREADS; threads++) {
      for (size_t i = 0; i < numbers; i++) gram[i] = 7;
      set_threads(threads);
      olica_product_gram(env, rows, n, x, stride, gram, stride);
      if (threads == 1) memcpy(first, gram, numbers * sizeof *gram);
      assert_memory_equal(gram, first, numbers * sizeof *gram);
    }
    for (int i = 0; i < n; i++)
      for (int j = 0; j < n; j += 1 + n / 9) {
        double sum = 0;
        for (int t = 0; t < rows; t++) sum += (double)x[t * stride + i] * x[t * stride + j];
        if (j >= i) assert_true(fabs(gram[i * stride + j] - sum) <= 2e-7 * (8 + sqrt(rows)) * rows);
        if (j < i) assert_true(gram[i * stride + j] == 7);
      }
    free(x);
    free(first);
    free(gram);
  }
  olica_env_destroy(env);
}

/* A piece is its caller's own: BLAS must not share it out where the caller is alone. */
static void a_piece_is_one_threads(void **state) {
  enum { M = 90, N = 97, K = 64 };
  uint64_t seed = 3;
  (void)state;
  float *a = random_floats(M * K, &seed), *b = random_floats(N * K, &seed), *first = calloc(M * N, sizeof *a),
        *c = calloc(M * N, sizeof *a);
  for (int threads = 1; threads <= THREADS; threads++) {
    set_threads(threads);
    olica_product_piece(1, M, N, K, 1.0f, a, K, b, K, 0.0f, c, N);
    assert_int_equal(openblas_get_num_threads(), threads);
    if (threads == 1) memcpy(first, c, sizeof(float[M * N]));
    assert_memory_equal(c, first, sizeof(float[M * N]));
#pragma omp parallel
    {
      float *own = calloc(M * N, sizeof *own);
      olica_product_piece(1, M, N, K, 1.0f, a, K, b, K, 0.0f, own, N);
#pragma omp critical
      assert_memory_equal(own, first, sizeof(float[M * N]));
      free(own);
    }
  }
  free(a);
  free(b);
  free(first);
  free(c);
}

static void exponentials_are_to_two_ulp(void **state) {
  (void)state;
  for (double x = -707.9; x < 709; x += 0.00137) {
    long double right = expl(x);
    assert_true(fabsl(olica_product_exp_double(x) - right) <= 2 * 0x1p-52L * right);
  }
  for (float x = -87.3f; x < 88; x += 0.0173f)
    assert_true(fabs(olica_product_exp(x) - exp(x)) <= 4 * 0x1p-23 * exp(x));
  assert_true(olica_product_exp_double(0) == 1 && olica_product_exp_double(-INFINITY) == 0);
  assert_true(isnan(olica_product_exp_double(NAN)));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(general_is_right_on_any_threads),
      cmocka_unit_test(gram_is_right_on_any_threads),
      cmocka_unit_test(a_piece_is_one_threads),
      cmocka_unit_test(exponentials_are_to_two_ulp),
  };
  print_message("%s%s\n", olica_blas_kernel_name(), olica_blas_kernel_steady() ? ", steady" : "");
  return cmocka_run_group_tests(tests, NULL, NULL);
}
