/* Room par, what needs no second rank: partitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "olica/par/partition.h"

static void blocks_of_ten_over_four(void **state) {
  (void)state;
  const int64_t first[] = {0, 3, 6, 8}, count[] = {3, 3, 2, 2};
  for (int part = 0; part < 4; part++) {
    olica_range range = olica_partition_block(10, 4, part);
    assert_int_equal(range.first, first[part]);
    assert_int_equal(range.count, count[part]);
  }
}

/* The blocks follow on each other, larger ones first, and the owner of every item is the part that has it. */
static void check_partition(int64_t items, int parts) {
  int64_t next = 0, last = INT64_MAX;
  for (int part = 0; part < parts; part++) {
    olica_range range = olica_partition_block(items, parts, part);
    assert_int_equal(range.first, next);
    assert_true(range.count == items / parts || range.count == items / parts + 1);
    assert_true(range.count <= last);
    for (int64_t i = 0; i < range.count; i++)
      assert_int_equal(olica_partition_owner(items, parts, next + i), part);
    next += range.count;
    last = range.count;
  }
  assert_int_equal(next, items);
}

static void every_item_is_owned_once(void **state) {
  (void)state;
  for (int64_t items = 0; items <= 70; items++)
    for (int parts = 1; parts <= 17; parts++) check_partition(items, parts);
}

static void items_past_32_bits(void **state) {
  (void)state;
  const int64_t items = (INT64_C(1) << 40) + 7;
  const int parts = 1000;
  for (int part = 0; part < parts; part++) {
    olica_range range = olica_partition_block(items, parts, part);
    assert_int_equal(olica_partition_owner(items, parts, range.first), part);
    assert_int_equal(olica_partition_owner(items, parts, range.first + range.count - 1), part);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(blocks_of_ten_over_four),
      cmocka_unit_test(every_item_is_owned_once),
      cmocka_unit_test(items_past_32_bits),
  };
  return cmocka_run_group_tests_name("par", tests, NULL, NULL);
}
