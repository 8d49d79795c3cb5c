/* Room base: the counter-based generator against its authors' known answers, and draws without bias. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"

/* philox4x32-10 in the file of known answers that comes with Random123. */
static void blocks_are_the_published_ones(void **state) {
  (void)state;
  static const struct {
    uint32_t counter[4], key[2], block[4];
  } known[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    uint32_t block[4];
    olica_random_block(known[i].counter, known[i].key, block);
    assert_memory_equal(block, known[i].block, sizeof block);
  }
}

/* The high half of (word 1, word 0) · bound, for the counter of zeros. */
static void draws_are_scaled_words(void **state) {
  (void)state;
  const olica_random zero = {0, 0};
  assert_int_equal(olica_random_below(zero, 0, UINT64_C(1) << 63), 0xe169c58d6627e8d5u >> 1);
  assert_int_equal(olica_random_below(zero, 0, 1), 0);
  assert_int_equal(olica_random_below(zero, 0, 256), 0xe1);
}

/* chi² of 64 boxes: its 99.99 % quantile with 63 degrees of freedom is 113. A bound just above 2^63 would
 * show the bias of a modulus: half of the numbers twice as often. */
static void draws_are_uniform(void **state) {
  (void)state;
  enum { BOXES = 64, DRAWS = 64000 };
  const uint64_t bounds[] = {BOXES, 1000003 * UINT64_C(64), (UINT64_C(1) << 63) + (UINT64_C(1) << 62)};
  for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++) {
    double count[BOXES] = {0}, chi = 0;
    for (uint64_t i = 0; i < DRAWS; i++) {
      uint64_t x = olica_random_below((olica_random){7, (uint32_t)b}, i, bounds[b]);
      assert_true(x < bounds[b]);
      count[x / (bounds[b] / BOXES)]++;
    }
    for (int i = 0; i < BOXES; i++)
      chi += (count[i] - DRAWS / BOXES) * (count[i] - DRAWS / BOXES) / (DRAWS / BOXES);
    assert_true(chi < 113);
  }
}

/* Seed, stream and index each make another draw, all their bits. */
static void places_differ(void **state) {
  (void)state;
  const uint64_t all = UINT64_MAX, base = olica_random_below((olica_random){1, 1}, 1, all);
  assert_int_equal(base, olica_random_below((olica_random){1, 1}, 1, all));
  for (int bit = 0; bit < 64; bit++) {
    assert_int_not_equal(base, olica_random_below((olica_random){1 ^ UINT64_C(1) << bit, 1}, 1, all));
    assert_int_not_equal(base, olica_random_below((olica_random){1, 1}, 1 ^ UINT64_C(1) << bit, all));
    if (bit < 32)
      assert_int_not_equal(base, olica_random_below((olica_random){1, 1 ^ UINT32_C(1) << bit}, 1, all));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(blocks_are_the_published_ones),
      cmocka_unit_test(draws_are_scaled_words),
      cmocka_unit_test(draws_are_uniform),
      cmocka_unit_test(places_differ),
  };
  return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
