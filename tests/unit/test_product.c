/* Products of the kernel in use: right, and the same bytes on any number of threads. test_kernels.py runs it
 * with every kernel that the processor can run. */
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
      cmocka_unit_test(exponentials_are_to_two_ulp),
  };
  print_message("%s%s\n", olica_blas_kernel_name(), olica_blas_kernel_steady() ? ", steady" : "");
  return cmocka_run_group_tests(tests, NULL, NULL);
}
