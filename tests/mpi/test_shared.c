/* Memory that the ranks of a node share: one copy, everyone's share counted, a refusal that all ranks hear,
 * and machines split into nodes. Runs at any number of ranks; the last line says how many checks passed. */
#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ledger.h"
#include "par/comm.h"
#include "par/shared.h"

typedef struct test {
  olica_env *env;
  olica_context *context;
  int passed, failed;
} test;

/* A check holds when it holds on every rank. Collective. */
static void check(test *t, bool holds, const char *what, long number) {
  int mine = holds, all;
  MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_LAND, t->context->comm);
  *(all ? &t->passed : &t->failed) += 1;
  if (!holds) fprintf(stderr, "FAILED on rank %d: %s (%ld)\n", t->context->rank, what, number);
}

static int32_t value(const olica_context *c, int64_t i) {
  return (int32_t)(1000003 * c->node_index + i);
}

/* Every rank writes its part, then all are read, twice over: a fence on either side. */
static void check_sharing(test *t, int64_t items) {
  olica_context *c = t->context;
  size_t before = t->env->memory.now, bytes = (size_t)items * sizeof(int32_t);
  olica_shared *shared;
  check(t, olica_shared_create(c, "numbers", bytes, &shared) == OLICA_OK, "made", items);
  int32_t *x = shared->data;
  size_t counted = t->env->memory.now - before, most = olica_ledger_share(bytes, c->node_size);
  check(t, counted >= most && counted <= most + 512, "counted by shares", (long)counted);
  check(t, (uintptr_t)x % 64 == 0, "aligned", (long)((uintptr_t)x % 64));
  int64_t wrong = 0;
  for (int64_t i = 0; i < items; i++) wrong += x[i] != 0;
  for (int round = 1; round <= 2; round++) {
    olica_shared_fence(c);
    olica_range own = olica_shared_part(c, items);
    for (int64_t i = own.first; i < own.first + own.count; i++) x[i] = round * value(c, i);
    olica_shared_fence(c);
    for (int64_t i = 0; i < items; i++) wrong += x[i] != round * value(c, i);
  }
  check(t, wrong == 0, "zero at first, then what all have written", (long)wrong);
  olica_shared_destroy(shared);
  check(t, t->env->memory.now == before, "counted off again", (long)t->env->memory.now);
}

/* More than /dev/shm (or the address space) has. */
static void check_refusal(test *t) {
  olica_context *c = t->context;
  olica_shared *shared;
  olica_error_clear(t->env);
  check(t, olica_shared_create(c, "too much", (size_t)1 << 60, &shared) == OLICA_ERR_MEMORY, "refused", 0);
  check(t, strstr(t->env->error.text, "too much") != NULL, t->env->error.text, 0);
  olica_error_clear(t->env);
}

static void check_limit(test *t) {
  olica_context *c = t->context;
  olica_shared *shared;
  size_t bytes = 1 << 20;
  t->env->memory.limit = t->env->memory.now + bytes / (size_t)c->node_size / 2;
  check(t, olica_shared_create(c, "above the limit", bytes, &shared) == OLICA_ERR_MEMORY, "limited", 0);
  check(t, strstr(t->env->error.text, "[compute] memory") != NULL, t->env->error.text, 0);
  t->env->memory.limit = 0;
  olica_error_clear(t->env);
}

/* Nodes of at most so many ranks; peers stand in the same place. */
static void check_nodes(test *t, const olica_context *c, int most) {
  int size = c->size, nodes = (size + most - 1) / most, last = size - (nodes - 1) * most;
  check(t, c->nodes == nodes && c->node_index == c->rank / most, "nodes in order", c->node_index);
  check(t, c->node_rank == c->rank % most, "place on the node", c->node_rank);
  check(t, c->peer_groups == last, "as many groups of peers as every node has ranks", c->peer_groups);
  check(t, (c->peers == MPI_COMM_NULL) == (c->node_rank >= last), "a group for those", c->node_rank);
  int rank = c->node_index;
  if (c->peers != MPI_COMM_NULL) MPI_Comm_rank(c->peers, &rank);
  check(t, rank == c->node_index, "peers in the nodes' order", rank);
}

static void test_split(test *t, int most) {
  char text[16];
  olica_context *whole = t->context;
  snprintf(text, sizeof text, "%d", most);
  setenv(OLICA_RANKS_PER_NODE, text, 1);
  check(t, olica_context_create(t->env, MPI_COMM_WORLD, 1, &t->context) == OLICA_OK, "split", most);
  check_nodes(t, t->context, most);
  check_sharing(t, 1000);
  check_refusal(t);
  olica_shared *left;
  check(t, olica_shared_create(t->context, "left behind", 4096, &left) == OLICA_OK, "goes with the context",
        0);
  olica_context_destroy(t->context);
  t->context = whole;
  unsetenv(OLICA_RANKS_PER_NODE);
}

int main(int argc, char **argv) {
  test t = {.env = olica_env_create()};
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &(int){0});
  if (!t.env || olica_context_create(t.env, MPI_COMM_WORLD, 1, &t.context) != OLICA_OK) return 1;
  const int64_t sizes[] = {0, 1, 5, 4097, 3 << 20};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) check_sharing(&t, sizes[i]);
  check_refusal(&t);
  check_limit(&t);
  for (int most = 1; most <= 3 && most <= t.context->size; most++) test_split(&t, most);
  if (t.context->rank == 0) printf("%d passed, %d failed\n", t.passed, t.failed);
  int failed = t.failed;
  olica_context_destroy(t.context);
  olica_env_destroy(t.env);
  MPI_Finalize();
  return failed > 0;
}
