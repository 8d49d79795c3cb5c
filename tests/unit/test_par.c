/* Room par, what needs no second rank: partitions, the memory of a node. */
#include "fixture.h"

#include <sys/stat.h>

#include "par/launch.h"
#include "par/node_memory.h"
#include "par/partition.h"

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

/* "NAME=VALUE ..." as the environment of a process that MPI has started alone: is it refused? */
static bool is_refused(fixture *f, const char *set) {
  static const char *const names[] = {"OMPI_COMM_WORLD_SIZE",
                                      "OMPI_COMM_WORLD_RANK",
                                      "PMIX_RANK",
                                      "PMIX_NAMESPACE",
                                      "PMI_SIZE",
                                      "PMI_RANK",
                                      "FLUX_JOB_SIZE",
                                      "SLURM_NTASKS",
                                      "SLURM_PROCID",
                                      "SLURM_STEP_NUM_TASKS",
                                      "PALS_RANKID",
                                      "OLICA_ALONE",
                                      "PBS_NP",
                                      "LSB_DJOB_NUMPROC"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
  char *words = olica_memory_string(f->env, set);
  for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
    char *equals = strchr(word, '=');
    *equals = '\0';
    setenv(word, equals + 1, 1);
  }
  const olica_launch launch = olica_launch_find();
  assert_int_equal(olica_launch_check(f->env, &launch, 2), OLICA_OK); /* wired: it counts the ranks itself */
  olica_status status = olica_launch_check(f->env, &launch, 1);
  assert_true(status == OLICA_OK || (status == OLICA_ERR_CONFIG && strstr(f->env->error.text, "mpirun")));
  return status != OLICA_OK;
}

static void several_that_are_alone_are_refused(void **state) {
  static const char *const refused[] = {
      "SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=0 SLURM_NTASKS=4",
      "SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=3 PMIX_RANK=3 PMIX_NAMESPACE=slurm.pmix.7.0",
      "PMI_SIZE=4 PMI_RANK=0",
      "OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_RANK=1",
      "FLUX_JOB_SIZE=2",
      "PALS_RANKID=1",
      "PMIX_RANK=2 PMIX_NAMESPACE=prterun-a-1@1",
  };
  static const char *const taken[] = {
      "",
      "SLURM_NTASKS=4 SLURM_PROCID=0",                        /* a batch script */
      "SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=0 SLURM_NTASKS=4", /* srun -n 1, an interactive step */
      "OMPI_COMM_WORLD_SIZE=1 SLURM_STEP_NUM_TASKS=2",        /* mpirun -n 1, whose daemons came by srun */
      "PMIX_RANK=0 PMIX_NAMESPACE=prterun-a-1@1 SLURM_STEP_NUM_TASKS=2",
      "PMI_SIZE=1 PMI_RANK=0 SLURM_STEP_NUM_TASKS=2",
      "PBS_NP=4 LSB_DJOB_NUMPROC=4",
      "SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=0 OLICA_ALONE=1",
      "PMI_SIZE=many",
      "SLURM_STEP_NUM_TASKS=",
  };
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
    if (!is_refused(*state, refused[i])) fail_msg("not refused: %s", refused[i]);
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
    if (is_refused(*state, taken[i])) fail_msg("refused: %s", taken[i]);
  is_refused(*state, "SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=3");
  assert_int_equal(olica_launch_find().rank, 3);
  is_refused(*state, "");
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(blocks_of_ten_over_four),
      cmocka_unit_test(every_item_is_owned_once),
      cmocka_unit_test(items_past_32_bits),
      FIXTURE_TEST(several_that_are_alone_are_refused),
      FIXTURE_TEST(memory_of_a_node_is_the_least_of_its_limits),
  };
  MPI_Init(&argc, &argv);
  int failed = cmocka_run_group_tests_name("par", tests, NULL, NULL);
  MPI_Finalize();
  return failed;
}
