/* The pure functions of la: number formats, grid shapes, placement of problems. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "olica/la/number.h"
#include "olica/la/solver.h"

/* ---- number formats ---- */

/* What the bits of a 16-bit float mean, worked out from the definition. */
static double meaning(olica_dtype dtype, unsigned bits) {
  int fraction_bits = dtype == OLICA_BF16 ? 7 : 10, bias = dtype == OLICA_BF16 ? 127 : 15;
  int exponent = (int)((bits & 0x7fff) >> fraction_bits),
      fraction = (int)(bits & ((1u << fraction_bits) - 1));
  double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == 2 * bias + 1) return fraction ? NAN : sign * HUGE_VAL;
  if (exponent == 0) return sign * ldexp(fraction, 1 - bias - fraction_bits);
  return sign * ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
}

static float decoded(olica_dtype dtype, unsigned bits) {
  uint16_t stored = (uint16_t)bits;
  float x;
  olica_number_decode(dtype, &stored, &x, 1);
  return x;
}

static unsigned encoded(olica_dtype dtype, float x) {
  uint16_t stored;
  olica_number_encode(dtype, &x, &stored, 1);
  return stored;
}

static void round_trip(olica_dtype dtype) {
  for (unsigned bits = 0; bits < 65536; bits++) {
    float x = decoded(dtype, bits);
    double expected = meaning(dtype, bits);
    if (isnan(expected)) {
      assert_true(isnan(x));
      assert_true(isnan(meaning(dtype, encoded(dtype, x))));
      continue;
    }
    assert_true((double)x == expected && !signbit(x) == !(bits & 0x8000));
    assert_int_equal(encoded(dtype, x), bits);
    float rounded = x;
    olica_number_round(dtype, &rounded, 1);
    assert_true(rounded == x);
  }
}

static void all_fp16(void **state) {
  (void)state;
  round_trip(OLICA_FP16);
}

static void all_bf16(void **state) {
  (void)state;
  round_trip(OLICA_BF16);
}

/* Between any two neighbours: the middle goes to the even one, anything off it to the nearer one. */
static void ties_to_even(olica_dtype dtype, unsigned last) {
  for (unsigned bits = 0; bits < last; bits++) {
    float low = decoded(dtype, bits), high = decoded(dtype, bits + 1);
    float middle = (float)(0.5 * ((double)low + (double)high));
    unsigned even = bits & 1 ? bits + 1 : bits;
    assert_int_equal(encoded(dtype, middle), even);
    assert_int_equal(encoded(dtype, nextafterf(middle, low)), bits);
    assert_int_equal(encoded(dtype, nextafterf(middle, high)), bits + 1);
    assert_int_equal(encoded(dtype, -middle), even | 0x8000);
  }
}

static void ties(void **state) {
  (void)state;
  ties_to_even(OLICA_FP16, 0x7bff); /* the last is the largest finite number */
  ties_to_even(OLICA_BF16, 0x7f7f);
}

static void overflow(void **state) {
  (void)state;
  assert_int_equal(encoded(OLICA_FP16, 65519.996f), 0x7bff);
  assert_int_equal(encoded(OLICA_FP16, 65520), 0x7c00);
  assert_int_equal(encoded(OLICA_FP16, -1e30f), 0xfc00);
  assert_int_equal(encoded(OLICA_BF16, 3.4028235e38f), 0x7f80);
  assert_int_equal(encoded(OLICA_BF16, -HUGE_VALF), 0xff80);
  assert_int_equal(encoded(OLICA_FP16, 1e-30f), 0);
  assert_int_equal(encoded(OLICA_FP16, -1e-30f), 0x8000);
}

static void arrays(void **state) {
  (void)state;
  unsigned char odd[1 + 3 * 4];
  const float x[3] = {1.5f, -0.25f, 1e-3f};
  for (int i = 0; i < OLICA_DTYPES; i++) {
    olica_dtype dtype = (olica_dtype)i;
    float back[3], rounded[3];
    olica_number_encode(dtype, x, odd + 1, 3); /* any alignment */
    olica_number_decode(dtype, odd + 1, back, 3);
    memcpy(rounded, x, sizeof x);
    olica_number_round(dtype, rounded, 3);
    assert_memory_equal(back, rounded, sizeof back);
    assert_true(back[0] == x[0] && back[1] == x[1] && fabsf(back[2] - x[2]) < 1e-5f);
    assert_int_equal(olica_number_parse(olica_number_name(dtype)), dtype);
    assert_int_equal(olica_number_size(dtype), dtype == OLICA_FP32 ? 4 : 2);
  }
  assert_int_equal(olica_number_parse("fp8"), OLICA_DTYPES);
}

static void nonfinite(void **state) {
  (void)state;
  enum { N = 10000 };
  static const size_t places[] = {0, 1, 4095, 4096, 8191, 9999};
  float *x = calloc(N, sizeof *x);
  assert_non_null(x);
  x[7] = 3.4028235e38f;
  x[8] = -1e-45f;
  assert_int_equal(olica_number_nonfinite(x, N), N);
  assert_int_equal(olica_number_nonfinite(x, 0), 0);
  for (size_t i = sizeof places / sizeof *places; i-- > 0;) { /* from the back: the first one counts */
    x[places[i]] = i % 2 ? -HUGE_VALF : NAN;
    assert_int_equal(olica_number_nonfinite(x, N), places[i]);
  }
  free(x);
}

/* ---- grids and placement ---- */

static void grid_shapes(void **state) {
  (void)state;
  static const int expected[][3] = {{1, 1, 1}, {2, 1, 2}, {3, 1, 3},  {4, 2, 2},  {5, 2, 2},  {6, 2, 3},
                                    {7, 2, 3}, {8, 2, 4}, {12, 3, 4}, {15, 3, 5}, {64, 8, 8}, {1000, 31, 32}};
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
    int rows, cols;
    olica_grid_shape(expected[i][0], &rows, &cols);
    assert_int_equal(rows, expected[i][1]);
    assert_int_equal(cols, expected[i][2]);
  }
}

static void backends(void **state) {
  (void)state;
  for (int i = 0; i < OLICA_BACKENDS; i++) {
    assert_int_equal(olica_backend_parse(olica_backend_name((olica_backend)i)), i);
    assert_true(strlen(olica_backend_about((olica_backend)i)) > 0);
  }
  assert_int_equal(olica_backend_parse("elpa"), OLICA_BACKENDS);
}

enum { MANY = 40 };

static void valid(int ranks, int problems, const olica_placement *place) {
  for (int i = 0; i < problems; i++) {
    assert_true(place[i].backend > OLICA_BACKEND_AUTO && place[i].backend < OLICA_BACKENDS);
    assert_true(place[i].first >= 0 && place[i].count >= 1 && place[i].first + place[i].count <= ranks);
  }
}

static void named_backends_take_all(void **state) {
  (void)state;
  const int order[] = {64, 4096, 100};
  olica_placement place[3];
  for (int b = OLICA_BACKEND_SCALAPACK; b <= OLICA_BACKEND_SLEPC; b++) {
    olica_solver_place((olica_backend)b, 6, 3, order, place);
    for (int i = 0; i < 3; i++) {
      assert_int_equal(place[i].backend, b);
      assert_int_equal(place[i].first, 0);
      assert_int_equal(place[i].count, 6);
    }
  }
}

static void lapack_balances(void **state) {
  (void)state;
  const int order[] = {10, 40, 30, 31, 4000};
  olica_placement place[5];
  olica_solver_place(OLICA_BACKEND_LAPACK, 3, 5, order, place);
  valid(3, 5, place);
  assert_int_equal(place[4].first, 0); /* largest first */
  assert_int_equal(place[1].first, 1);
  assert_int_equal(place[3].first, 2);
  assert_int_equal(place[2].first, 2); /* 31^3 < 40^3 */
  assert_int_equal(place[0].first, 2 - 1 + (40 * 40 * 40 > 31 * 31 * 31 + 30 * 30 * 30));
  for (int i = 0; i < 5; i++) assert_int_equal(place[i].backend, OLICA_BACKEND_LAPACK);
}

static void equal_heads(void **state) {
  (void)state;
  int order[MANY], load[8] = {0};
  olica_placement place[MANY];
  for (int i = 0; i < MANY; i++) order[i] = 64;
  olica_solver_place(OLICA_BACKEND_AUTO, 8, MANY, order, place);
  valid(8, MANY, place);
  for (int i = 0; i < MANY; i++) {
    assert_int_equal(place[i].backend, OLICA_BACKEND_LAPACK);
    load[place[i].first]++;
  }
  for (int r = 0; r < 8; r++) assert_int_equal(load[r], MANY / 8);
}

static void auto_shares_ranks(void **state) {
  (void)state;
  const int one[] = {4096}, two[] = {4096, 4096}, uneven[] = {2048, 4096}, more[] = {4096, 4096, 4096};
  olica_placement place[3];
  olica_solver_place(OLICA_BACKEND_AUTO, 7, 1, one, place);
  assert_int_equal(place[0].backend, OLICA_BACKEND_SCALAPACK);
  assert_int_equal(place[0].count, 7);
  olica_solver_place(OLICA_BACKEND_AUTO, 8, 2, two, place);
  assert_int_equal(place[0].count, 4);
  assert_int_equal(place[1].first, 4);
  assert_int_equal(place[1].count, 4);
  olica_solver_place(OLICA_BACKEND_AUTO, 9, 2, uneven, place);
  assert_int_equal(place[0].count, 1); /* an eighth of the other's cost */
  assert_int_equal(place[0].backend, OLICA_BACKEND_LAPACK);
  assert_int_equal(place[1].first, 1);
  assert_int_equal(place[1].count, 8);
  olica_solver_place(OLICA_BACKEND_AUTO, 2, 3, more, place); /* more large ones than ranks */
  valid(2, 3, place);
  for (int i = 0; i < 3; i++) assert_int_equal(place[i].count, 1);
  olica_solver_place(OLICA_BACKEND_AUTO, 1, 1, one, place);
  assert_int_equal(place[0].backend, OLICA_BACKEND_LAPACK);
}

/* Small problems fill up the ranks that the large ones leave least busy. */
static void auto_mixes(void **state) {
  (void)state;
  int order[MANY];
  olica_placement place[MANY];
  for (int i = 0; i < MANY; i++) order[i] = i == 3 ? 1600 : i == 9 ? 4000 : 64;
  olica_solver_place(OLICA_BACKEND_AUTO, 4, MANY, order, place);
  valid(4, MANY, place);
  assert_int_equal(place[3].first, 0);
  assert_int_equal(place[3].count, 1);
  assert_int_equal(place[9].first, 1);
  assert_int_equal(place[9].count, 3);
  for (int i = 0; i < MANY; i++)
    if (order[i] == 64) assert_true(place[i].first == 0 && place[i].count == 1);
}

static void threshold(void **state) {
  (void)state;
  olica_placement place[1];
  olica_solver_place(OLICA_BACKEND_AUTO, 4, 1, (const int[]){OLICA_SOLVER_GRID_N - 1}, place);
  assert_int_equal(place[0].count, 1);
  olica_solver_place(OLICA_BACKEND_AUTO, 4, 1, (const int[]){OLICA_SOLVER_GRID_N}, place);
  assert_int_equal(place[0].count, 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(all_fp16),
      cmocka_unit_test(all_bf16),
      cmocka_unit_test(ties),
      cmocka_unit_test(overflow),
      cmocka_unit_test(arrays),
      cmocka_unit_test(nonfinite),
      cmocka_unit_test(grid_shapes),
      cmocka_unit_test(backends),
      cmocka_unit_test(named_backends_take_all),
      cmocka_unit_test(lapack_balances),
      cmocka_unit_test(equal_heads),
      cmocka_unit_test(auto_shares_ranks),
      cmocka_unit_test(auto_mixes),
      cmocka_unit_test(threshold),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
