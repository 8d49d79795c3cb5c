/* The report over several ranks: timers that some ranks lack, memory, warnings, the parts of the ranks. Runs
 * at any number of ranks; the last line says how many checks passed. */
#include <math.h>
#include <mpi.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/report.h"

typedef struct test {
  olica_env *env;
  olica_context *context;
  int passed, failed; /* on rank 0 */
} test;

static void check(test *t, bool holds, const char *what) {
  *(holds ? &t->passed : &t->failed) += 1;
  if (!holds) fprintf(stderr, "FAILED on rank %d of %d: %s\n", t->context->rank, t->context->size, what);
}

static void book(olica_env *env, const char *name, double seconds, double flops) {
  olica_timer_start(&env->timers, name);
  olica_timer_work(&env->timers, flops, 10);
  olica_timer_comm(&env->timers, olica_timer_now(), 6);
  olica_timer_stop(&env->timers);
  olica_timer *timer = &env->timers.timer[env->timers.count - 1];
  timer->seconds = seconds; /* so that we know what must come out */
  timer->comm.seconds = seconds / 2;
}

/* Rank r spends 1 + r seconds in solve; only odd ranks write, only the last one raises a warning of its own.
 */
static void act(test *t) {
  int rank = t->context->rank;
  book(t->env, "solve", 1 + rank, 2e9);
  if (rank % 2) book(t->env, "write", 3, 0);
  if (rank % 2) book(t->env, "solve.odd", 0.5, 0);
  olica_log_warn(t->env, "everybody's warning");
  if (rank == t->context->size - 1) olica_log_warn(t->env, "the last rank's warning");
}

static const olica_report_phase *phase(const olica_report *report, const char *name) {
  for (int i = 0; i < report->phases_count; i++)
    if (strcmp(report->phases[i].name, name) == 0) return &report->phases[i];
  return NULL;
}

static void check_phases(test *t, const olica_report *report) {
  int size = t->context->size, writers = size / 2;
  const olica_report_phase *solve = phase(report, "solve"), *write = phase(report, "write");
  check(t, solve && solve->seconds.min == 1 && solve->seconds.max == size, "solve: least and most");
  check(t, fabs(solve->seconds.mean - (1 + size) / 2.) < 1e-12, "solve: mean");
  check(t, solve->slowest == size - 1 && solve->calls == 1, "solve: slowest rank");
  char host[32];
  snprintf(host, sizeof host, "node%d", size - 1);
  check(t, strcmp(olica_report_host(report, solve->slowest), host) == 0, "solve: its host");
  check(t, *olica_report_host(report, size) == '\0' && *olica_report_host(report, -1) == '\0',
        "no such rank");
  check(t, fabs(solve->gflops - 2) < 1e-9 && solve->bytes == 16. * size,
        "solve: work of all over the slowest's time");
  check(t, solve->comm.calls == 1 && solve->comm.bytes == 6. * size, "solve: collectives of all");
  check(t, solve->comm.max == size / 2. && fabs(solve->comm.mean - (1 + size) / 4.) < 1e-12,
        "solve: seconds in collectives");
  check(t, (write != NULL) == (writers > 0), "write: only where someone wrote");
  if (!write) return;
  check(t, write->seconds.min == 0 && write->seconds.max == 3, "write: rank 0 was not in it");
  check(t, fabs(write->seconds.mean - 3. * writers / size) < 1e-12 && write->slowest == 1,
        "write: mean over all");
  check(t, strcmp(report->phases[1].name, "solve.odd") == 0, "a finer timer follows its phase");
}

static void check_ranks(test *t, const olica_report *report) {
  int size = t->context->size;
  check(t, report->ranks_count == size && report->job_ranks == size, "all ranks are there");
  for (int r = 0; r < report->ranks_count; r++)
    check(t, report->ranks[r].sequences == 100 + r && *report->ranks[r].host, "a rank's own numbers");
  check(t, report->counted.min <= report->counted.mean && report->counted.mean <= report->counted.max,
        "memory: order");
  check(t, report->counted.max - report->counted.min >= 1000. * (size - 1), "memory: what ranks took more");
}

static void check_warnings(test *t, const olica_report *report) {
  check(t, report->warnings_count == 2, "each text once");
  check(t, report->warnings[0].count == t->context->size && report->warnings[1].count == 1, "counts add up");
}

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  test t = {.env = olica_env_create()};
  olica_report *all, *alone;
  void *more;
  if (olica_context_create(t.env, MPI_COMM_WORLD, 1, &t.context) != OLICA_OK) MPI_Abort(MPI_COMM_WORLD, 1);
  t.env->log.speaks = false; /* the warnings are the test's */
  more = olica_memory_get(t.env, "more on higher ranks", 1000, (size_t)t.context->rank + 1);
  snprintf(t.context->host, sizeof t.context->host, "node%d", t.context->rank);
  act(&t);
  if (!more || olica_report_create(t.env, &all) || olica_report_create(t.env, &alone))
    MPI_Abort(MPI_COMM_WORLD, 1);
  all->mine.sequences = 100 + t.context->rank;
  olica_report_end(t.env, all, OLICA_OK);
  check(&t, olica_report_gather(t.context, t.context->comm, all) == OLICA_OK, "gather");
  if (t.context->rank == 0) {
    check_phases(&t, all);
    check_ranks(&t, all);
    check_warnings(&t, all);
    olica_report_end(t.env, alone, OLICA_ERR_IO);
    check(&t, olica_report_gather(t.context, MPI_COMM_SELF, alone) == OLICA_OK, "gather alone");
    check(&t, alone->ranks_count == 1 && alone->job_ranks == t.context->size, "one rank of the job's");
    printf("%d passed, %d failed\n", t.passed, t.failed);
  }
  int failed = t.failed;
  MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_SUM, t.context->comm);
  olica_report_destroy(t.env, all);
  olica_report_destroy(t.env, alone);
  olica_context_destroy(t.context);
  olica_env_destroy(t.env);
  MPI_Finalize();
  return failed != 0;
}
