/* The KL divergence of rows of logits: what the plain formula gives, however they come in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "calib/divergence.h"

enum { COUNT = 1000 };

static double uniform(uint64_t *state) { /* in (-1, 1), a linear congruential generator */
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (double)(int64_t)*state * 0x1p-63;
}

/* Logits of one model and of another that differs by about `difference`. */
static void fill(float *z, float *y, double scale, double difference) {
  uint64_t state = 7;
  for (int i = 0; i < COUNT; i++) {
    z[i] = (float)(scale * uniform(&state));
    y[i] = (float)(z[i] + difference * uniform(&state));
  }
}

/* log p of every token, in long double. */
static long double log_sum(const float *x) {
  long double top = x[0], sum = 0;
  for (int i = 1; i < COUNT; i++) top = fmaxl(top, x[i]);
  for (int i = 0; i < COUNT; i++) sum += expl(x[i] - top);
  return top + logl(sum);
}

static double plain(const float *z, const float *y) {
  long double lp = log_sum(z), lq = log_sum(y), sum = 0;
  for (int i = 0; i < COUNT; i++) sum += expl(z[i] - lp) * ((z[i] - lp) - (y[i] - lq));
  return (double)sum;
}

static double in_pieces(const float *z, const float *y, int64_t piece) {
  olica_divergence d;
  olica_divergence_begin(1, &d);
  for (int64_t at = 0; at < COUNT; at += piece)
    olica_divergence_join(z + at, y + at, COUNT - at < piece ? COUNT - at : piece, &d);
  return olica_divergence_value(&d);
}

static void is_the_plain_formula_in_any_pieces(void **state) {
  static const int64_t pieces[] = {1, 3, 64, 999, COUNT};
  static const double scales[] = {0, 1, 30, 300}, differences[] = {1e-3, 0.1, 5};
  float z[COUNT], y[COUNT];
  (void)state;
  for (int s = 0; s < 4; s++)
    for (int d = 0; d < 3; d++) {
      fill(z, y, scales[s], differences[d]);
      double expected = plain(z, y);
      assert_true(expected > 0);
      for (int p = 0; p < 5; p++)
        assert_true(fabs(in_pieces(z, y, pieces[p]) - expected) <= 1e-9 * expected + 1e-13 * (1 + scales[s]));
    }
}

static void of_equal_models_is_nothing(void **state) {
  float z[COUNT], y[COUNT];
  (void)state;
  fill(z, y, 20, 0);
  assert_true(in_pieces(z, y, 7) == 0);
  for (int i = 0; i < COUNT; i++) y[i] = z[i] + 8; /* softmax does not see it */
  assert_true(fabs(in_pieces(z, y, 7)) < 1e-5);    /* z + 8 was rounded */
}

static void overflow_shows(void **state) {
  float z[COUNT], y[COUNT];
  (void)state;
  fill(z, y, 20, 1);
  y[3] = INFINITY;
  assert_false(isfinite(in_pieces(z, y, 7)));
  y[3] = NAN;
  assert_false(isfinite(in_pieces(z, y, 7)));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(is_the_plain_formula_in_any_pieces),
                                     cmocka_unit_test(of_equal_models_is_nothing),
                                     cmocka_unit_test(overflow_shows)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
