/* Room par, what needs no second rank: partitions, the memory of a node. */
#include "fixture.h"

#include <sys/stat.h>

#include "olica/par/node_memory.h"
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

/* A tree like /proc and /sys under `f->directory`. */
static void put_file(fixture *f, const char *name, const char *text) {
  char path[512];
  for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
    snprintf(path, sizeof path, "%s/%.*s", f->directory, (int)(slash - name), name);
    mkdir(path, 0700);
  }
  fixture_put(f, name, text, strlen(text));
}

static void memory_of_a_node_is_the_least_of_its_limits(void **state) {
  fixture *f = *state;
  const double k = 1024;
  assert_true(olica_node_memory(f->directory) == 0);
  put_file(f, "proc/meminfo", "MemTotal: 900 kB\nMemFree: 10 kB\nMemAvailable:   800 kB\n");
  assert_true(olica_node_memory(f->directory) == 800 * k);
  put_file(f, "proc/self/cgroup", "12:cpu:/x\n0::/job/step\n");
  put_file(f, "sys/fs/cgroup/job/step/memory.max", "max\n");
  assert_true(olica_node_memory(f->directory) == 800 * k);
  put_file(f, "sys/fs/cgroup/job/memory.max", "512000\n");
  put_file(f, "sys/fs/cgroup/job/memory.stat", "anon 12000\nfile 400000\n");
  assert_true(olica_node_memory(f->directory) == 500000);
  put_file(f, "proc/self/cgroup", "9:memory:/slurm/job_1\n");
  put_file(f, "sys/fs/cgroup/memory/slurm/job_1/memory.limit_in_bytes", "300000\n");
  put_file(f, "sys/fs/cgroup/memory/slurm/job_1/memory.stat", "cache 1\ntotal_rss 100000\n");
  assert_true(olica_node_memory(f->directory) == 200000);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(blocks_of_ten_over_four),
      cmocka_unit_test(every_item_is_owned_once),
      cmocka_unit_test(items_past_32_bits),
      FIXTURE_TEST(memory_of_a_node_is_the_least_of_its_limits),
  };
  MPI_Init(&argc, &argv);
  int failed = cmocka_run_group_tests_name("par", tests, NULL, NULL);
  MPI_Finalize();
  return failed;
}
