/* The pure functions of la: number formats, grid shapes, placement of problems. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "la/number.h"
#include "la/solver.h"

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
    assert_int_equal(olica_number_size(dtype), dtype == OLICA_FP32 ? 4 : 2);
  }
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
    assert_true(strlen(olica_backend_about((olica_backend)i)) > 0);
    for (int j = 0; j < i; j++)
      assert_string_not_equal(olica_backend_name((olica_backend)i), olica_backend_name((olica_backend)j));
  }
}

/* ---- placement ---- */

enum { MANY = 80, RANKS = 130 };

static olica_problem eigen(int order, int wanted) {
  return (olica_problem){.order = order, .inner = order, .wanted = wanted};
}

static void place(olica_backend asked, int ranks, int problems, const olica_problem *problem,
                  olica_placement *out) {
  olica_env *env = olica_env_create();
  assert_non_null(env);
  assert_int_equal(olica_solver_place(env, asked, ranks, problems, problem, out), OLICA_OK);
  assert_int_equal(env->memory.now, 0);
  olica_env_destroy(env);
}

/* When all is done, each rank taking its problems by ascending index, a group beginning together. */
static double makespan(int ranks, int problems, const olica_problem *problem, const olica_placement *at) {
  double busy[RANKS] = {0}, last = 0;
  for (int i = 0; i < problems; i++) {
    double start = 0, seconds = olica_solver_seconds(&problem[i], at[i].count);
    for (int r = at[i].first; r < at[i].first + at[i].count; r++) start = fmax(start, busy[r]);
    for (int r = at[i].first; r < at[i].first + at[i].count; r++) busy[r] = start + seconds;
  }
  for (int r = 0; r < ranks; r++) last = fmax(last, busy[r]);
  return last;
}

/* Every problem is placed, on ranks that are there; small ones on one. */
static void valid(int ranks, int problems, const olica_problem *problem, const olica_placement *at) {
  for (int i = 0; i < problems; i++) {
    assert_true(at[i].first >= 0 && at[i].count >= 1 && at[i].first + at[i].count <= ranks);
    assert_int_equal(at[i].backend, at[i].count > 1 ? OLICA_BACKEND_SCALAPACK : OLICA_BACKEND_LAPACK);
    if (problem[i].order <= OLICA_SOLVER_WHOLE) assert_int_equal(at[i].count, 1);
  }
}

/* By the model `auto` ends no later than every problem on one rank, all on all ranks in turn, or the longest
 * first on single ranks. */
static void check_auto(int ranks, int problems, const olica_problem *problem) {
  olica_placement at[MANY], other[MANY];
  place(OLICA_BACKEND_AUTO, ranks, problems, problem, at);
  valid(ranks, problems, problem, at);
  double seconds = makespan(ranks, problems, problem, at);
  place(OLICA_BACKEND_LAPACK, ranks, problems, problem, other);
  valid(ranks, problems, problem, other);
  assert_true(seconds <= makespan(ranks, problems, problem, other));
  for (int i = 0; i < problems; i++) other[i] = (olica_placement){OLICA_BACKEND_LAPACK, 0, 1};
  assert_true(seconds <= makespan(ranks, problems, problem, other));
  int rows, cols;
  olica_grid_shape(ranks, &rows, &cols);
  if (ranks == 1 || rows * cols < ranks || cols > rows + 1) return; /* some would be left over */
  for (int i = 0; i < problems; i++) {
    if (problem[i].order <= OLICA_SOLVER_WHOLE) return; /* may not be shared */
    other[i] = (olica_placement){OLICA_BACKEND_SCALAPACK, 0, ranks};
  }
  assert_true(seconds <= makespan(ranks, problems, problem, other));
}

static void auto_is_never_worse(void **state) {
  (void)state;
  static const int orders[] = {1, 64, 576, 1024, 1025, 2048, 4096, 8192};
  static const int ranks[] = {1, 2, 3, 4, 6, 7, 12, 16, 64, RANKS};
  uint32_t random = 1;
  for (int r = 0; r < 10; r++)
    for (int trial = 0; trial < 40; trial++) {
      olica_problem problem[MANY];
      int problems = trial < 8 ? 1 : trial < 20 ? 3 : trial < 38 ? trial : MANY;
      for (int i = 0; i < problems; i++) {
        random = random * 1664525u + 1013904223u;
        int order = orders[trial < 8 ? trial : (int)(random >> 24) % 8];
        problem[i] =
            (olica_problem){order, order * (int)(random >> 22 & 1),
                            (order + 1) / (1 + (int)(random >> 20 & 3)), random >> 19 & 1 ? order : 0};
      }
      check_auto(ranks[r], problems, problem);
    }
}

static void named_backends_take_all(void **state) {
  (void)state;
  const olica_problem problem[] = {eigen(64, 64), eigen(4096, 100), eigen(100, 3)};
  olica_placement at[3];
  for (int b = OLICA_BACKEND_SCALAPACK; b <= OLICA_BACKEND_SLEPC; b++) {
    place((olica_backend)b, 6, 3, problem, at);
    for (int i = 0; i < 3; i++) {
      assert_int_equal(at[i].backend, b);
      assert_int_equal(at[i].first, 0);
      assert_int_equal(at[i].count, 6);
    }
  }
}

static void lapack_balances(void **state) {
  (void)state;
  const olica_problem problem[] = {eigen(100, 100), eigen(400, 400), eigen(300, 300), eigen(310, 310),
                                   eigen(4000, 9)};
  olica_placement at[5];
  place(OLICA_BACKEND_LAPACK, 3, 5, problem, at);
  valid(3, 5, problem, at);
  assert_int_equal(at[4].first, 0); /* longest first, to the least busy */
  assert_int_equal(at[1].first, 1);
  assert_int_equal(at[3].first, 2);
  assert_int_equal(at[2].first, 2);
}

static void equal_heads(void **state) {
  (void)state;
  olica_problem problem[MANY];
  olica_placement at[MANY];
  int load[8] = {0};
  for (int i = 0; i < MANY; i++) problem[i] = eigen(64, 64);
  place(OLICA_BACKEND_AUTO, 8, MANY, problem, at);
  for (int i = 0; i < MANY; i++) load[at[i].first] += at[i].count;
  for (int r = 0; r < 8; r++) assert_int_equal(load[r], MANY / 8);
}

/* Two large equal problems on many ranks: side by side, on disjoint groups. */
static void auto_shares_ranks(void **state) {
  (void)state;
  const olica_problem problem[] = {eigen(8192, 4096), eigen(8192, 4096)};
  olica_placement at[2];
  place(OLICA_BACKEND_AUTO, 64, 2, problem, at);
  valid(64, 2, problem, at);
  assert_true(at[0].count > 1 && at[0].count == at[1].count && at[1].first >= at[0].first + at[0].count);
}

static void nothing_to_place(void **state) {
  (void)state;
  place(OLICA_BACKEND_AUTO, 4, 0, NULL, NULL);
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
      cmocka_unit_test(auto_is_never_worse),
      cmocka_unit_test(nothing_to_place),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
