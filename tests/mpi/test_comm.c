/* What ranks do together: agreement on errors, collectives in chunks, the catalog and token files that rank 0
 * reads for all. Runs at any number of ranks; the last line says how many checks passed. */
#include <mpi.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/catalog.h"
#include "io/file.h"
#include "io/npy.h"
#include "par/comm.h"
#include "par/partition.h"

enum { CHUNK_BYTES = 16 << 20 }; /* as in comm.c: the sizes below lie around it */

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

/* ---- context ---- */

static void test_context(test *t) {
  const olica_context *c = t->context;
  int lead = c->node_index, ranks = c->node_rank == 0 ? c->node_size : 0, all;
  MPI_Bcast(&lead, 1, MPI_INT, 0, c->node);
  MPI_Allreduce(&ranks, &all, 1, MPI_INT, MPI_SUM, c->comm);
  check(t, lead == c->node_index && c->node_index < c->nodes, "a node's ranks agree on its number", lead);
  check(t, all == c->size, "the nodes' ranks add up", all);
  check(t, c->threads >= 1, "there is a thread", c->threads);
  check(t, t->env->log.speaks == (c->rank == 0), "rank 0 speaks", c->rank);
}

/* ---- agreement ---- */

static olica_status code_of(int rank) {
  const olica_status codes[] = {OLICA_ERR_INPUT, OLICA_ERR_IO, OLICA_ERR_MEMORY};
  return codes[rank % 3];
}

/* Ranks from `first` on with that step fail; the lowest of them is heard by all. */
static void check_agreement(test *t, int first, int step) {
  olica_context *c = t->context;
  olica_status mine = OLICA_OK;
  char expected[64];
  olica_error_clear(t->env);
  if (c->rank >= first && (c->rank - first) % step == 0)
    mine = olica_error_set(t->env, code_of(c->rank), "rank %d: no tensor", c->rank);
  olica_status agreed = olica_comm_agree(c, c->comm, mine);
  snprintf(expected, sizeof expected, "rank %d: no tensor", first);
  check(t, agreed == code_of(first) && t->env->error.code == agreed, "all agree on the lowest rank's code",
        first);
  check(t, strcmp(t->env->error.text, expected) == 0, "its message arrives on all", first);
}

static olica_status fail_on(olica_context *context, int rank) {
  OLICA_AGREE(context,
              context->rank == rank ? olica_error_set(context->env, OLICA_ERR_IO, "disk full") : OLICA_OK);
  return OLICA_OK;
}

static void test_agreement(test *t) {
  olica_context *c = t->context;
  check(t, olica_comm_agree(c, c->comm, OLICA_OK) == OLICA_OK && t->env->error.code == OLICA_OK,
        "all are well", 0);
  for (int rank = 0; rank < c->size; rank++) {
    check_agreement(t, rank, c->size); /* alone */
    check_agreement(t, rank, 1);       /* and all above */
    check_agreement(t, rank, 2);
  }
  check(t, fail_on(c, c->size - 1) == OLICA_ERR_IO, "the last rank's failure is handed up on all", 0);
  check(t, fail_on(c, -1) == OLICA_OK, "nobody fails", 0);

  MPI_Comm half; /* the odd ranks fail among themselves */
  MPI_Comm_split(c->comm, c->rank % 2, c->rank, &half);
  olica_error_clear(t->env);
  olica_status mine = c->rank % 2 ? olica_error_set(t->env, OLICA_ERR_NUMERIC, "odd") : OLICA_OK;
  check(t, olica_comm_agree(c, half, mine) == mine && t->env->error.code == mine, "a communicator of its own",
        0);
  MPI_Comm_free(&half);
}

/* ---- collectives in chunks ---- */

static void check_bcast(test *t, size_t bytes, int root) {
  unsigned char *data = calloc(bytes + 1, 1);
  size_t wrong = 0;
  for (size_t i = 0; t->context->rank == root && i < bytes; i++) data[i] = (unsigned char)(i * 31 + i / 255);
  olica_comm_bcast(t->context, t->context->comm, data, bytes, root);
  for (size_t i = 0; i < bytes; i++) wrong += data[i] != (unsigned char)(i * 31 + i / 255);
  check(t, wrong == 0 && data[bytes] == 0, "broadcast of so many bytes", (long)bytes);
  free(data);
}

/* Items of 3 bytes, every rank's block filled by its owner. */
static void check_gather(test *t, int64_t items) {
  olica_context *c = t->context;
  olica_range own = olica_partition_block(items, c->size, c->rank);
  unsigned char *data = calloc((size_t)(3 * items + 1), 1);
  size_t wrong = 0;
  for (int64_t i = 3 * own.first; i < 3 * (own.first + own.count); i++) data[i] = (unsigned char)(i * 31 + 1);
  olica_comm_gather(c, c->comm, data, 3, items);
  for (int64_t i = 0; i < 3 * items; i++) wrong += data[i] != (unsigned char)(i * 31 + 1);
  check(t, wrong == 0 && data[3 * items] == 0, "blocks of so many items come together", (long)items);
  free(data);
}

static double value(size_t i, int rank) {
  return (double)(i % 1000) + rank;
}

/* Sums of small integers are exact in any order. */
static void check_reductions(test *t, size_t count) {
  olica_context *c = t->context;
  const double ranks = c->size, sum_of_ranks = ranks * (ranks - 1) / 2;
  const int root = c->size - 1;
  double *data = malloc((count + 1) * sizeof *data), *sum = malloc((count + 1) * sizeof *sum);
  size_t wrong_sum = 0, wrong_max = 0, wrong_root = 0;
  for (size_t i = 0; i <= count; i++) data[i] = value(i, c->rank), sum[i] = -1;
  olica_comm_sum_to(c, c->comm, data, c->rank == root ? sum : NULL, count, root);
  for (size_t i = 0; i < count && c->rank == root; i++)
    wrong_root += sum[i] != ranks * value(i, 0) + sum_of_ranks;
  memcpy(sum, data, (count + 1) * sizeof *sum);
  olica_comm_sum(c, c->comm, sum, count);
  for (size_t i = 0; i < count; i++) wrong_sum += sum[i] != ranks * value(i, 0) + sum_of_ranks;
  bool bounded = sum[count] == value(count, c->rank);
  olica_comm_max(c, c->comm, data, count);
  for (size_t i = 0; i < count; i++) wrong_max += data[i] != value(i, c->size - 1);
  check(t, wrong_root == 0, "sum of so many on the last rank", (long)count);
  check(t, wrong_sum == 0 && bounded, "sum of so many on all", (long)count);
  check(t, wrong_max == 0, "maximum of so many", (long)count);
  free(data);
  free(sum);
}

static void test_chunks(test *t) {
  const int64_t items[] = {0, 1, 2, 3, 7, 1000, CHUNK_BYTES / 3 + 5};
  for (size_t i = 0; i < sizeof items / sizeof *items; i++) check_gather(t, items[i]);
  const size_t edge[] = {0, 1, 1000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 5};
  for (size_t i = 0; i < sizeof edge / sizeof *edge; i++) check_bcast(t, edge[i], (int)i % t->context->size);
  const size_t doubles = CHUNK_BYTES / sizeof(double),
               count[] = {0, 1, doubles - 1, doubles, doubles + 1, 2 * doubles + 3};
  for (size_t i = 0; i < sizeof count / sizeof *count; i++) check_reductions(t, count[i]);
}

/* Three calls of one collective each and one in two chunks, booked unless a rank is alone. */
static void test_booking(test *t) {
  olica_context *c = t->context;
  double numbers[2] = {1, 2};
  const size_t bytes = CHUNK_BYTES + 1;
  char *data = calloc(bytes, 1);
  olica_timer_start(&t->env->timers, "booked");
  const olica_timer *timer = &t->env->timers.timer[t->env->timers.count - 1];
  olica_comm_sum(c, c->comm, numbers, 2);
  olica_comm_max(c, c->comm, numbers, 2);
  olica_comm_agree(c, c->comm, OLICA_OK);
  olica_comm_bcast(c, c->comm, data, bytes, 0);
  olica_comm_bcast(c, c->comm, data, 0, 0); /* nothing to send: no call */
  olica_comm_sum(c, MPI_COMM_SELF, numbers, 2);
  olica_timer_stop(&t->env->timers);
  free(data);
  double sent = c->size > 1 ? 2. * sizeof numbers + sizeof(int) + (double)bytes : 0;
  check(t, timer->comm.calls == (c->size > 1 ? 5 : 0), "collectives are counted", timer->comm.calls);
  check(t, timer->comm.bytes == sent && timer->bytes == sent, "their bytes are counted",
        (long)timer->comm.bytes);
  check(t,
        c->size > 1 ? timer->comm.seconds > 0 && timer->comm.seconds < timer->seconds
                    : timer->comm.seconds == 0,
        "their time is a part of the phase's", 0);
}

/* ---- what rank 0 reads for all ---- */

enum { TENSORS = 40, ELEMENTS = 100 };

/* A file with tensors t0, t1, ... back to back, all their numbers counted through. */
static olica_status fill(olica_catalog *catalog, const char *path) {
  olica_env *env = catalog->context->env;
  int file;
  float *numbers;
  OLICA_TRY(OLICA_NEW(env, numbers, TENSORS * ELEMENTS));
  for (int i = 0; i < TENSORS * ELEMENTS; i++) numbers[i] = (float)i;
  OLICA_TRY(olica_file_save(env, path, numbers, TENSORS * ELEMENTS * sizeof *numbers));
  OLICA_FREE(env, numbers);
  OLICA_TRY(olica_catalog_add_file(catalog, path, &file));
  for (int i = 0; i < TENSORS; i++) {
    olica_tensor tensor = {.dtype = OLICA_FP32, .dims = 2, .shape = {4, ELEMENTS / 4}, .file = file};
    snprintf(tensor.name, sizeof tensor.name, "t%d", i);
    tensor.bytes = ELEMENTS * (int64_t)sizeof(float);
    tensor.offset = i * tensor.bytes;
    OLICA_TRY(olica_catalog_add(catalog, &tensor));
  }
  return OLICA_OK;
}

static bool reads_right(olica_catalog *catalog, int number) {
  char name[16];
  float row[ELEMENTS / 4];
  snprintf(name, sizeof name, "t%d", number);
  const olica_tensor *tensor = olica_catalog_find(catalog, name);
  if (!tensor || olica_catalog_read(catalog, tensor, ELEMENTS / 4, ELEMENTS / 4, row) != OLICA_OK)
    return false;
  for (int i = 0; i < ELEMENTS / 4; i++)
    if (row[i] != (float)(number * ELEMENTS + ELEMENTS / 4 + i)) return false;
  return true;
}

static void test_catalog(test *t, const char *directory) {
  olica_context *c = t->context;
  char path[300];
  snprintf(path, sizeof path, "%s/tensors", directory);
  olica_catalog *catalog;
  olica_catalog_create(c, &catalog);
  olica_status status = olica_catalog_share(catalog, c->rank == 0 ? fill(catalog, path) : OLICA_OK);
  check(t, status == OLICA_OK && catalog->count == TENSORS && catalog->files == 1,
        "the catalog is everybody's", status);
  olica_range mine = olica_partition_block(TENSORS, c->size, c->rank);
  bool right = true;
  double before = t->env->bytes_read;
  for (int64_t i = mine.first; i < mine.first + mine.count; i++)
    right = right && reads_right(catalog, (int)i);
  check(t, right, "every rank reads its tensors", (long)mine.count);
  check(t, t->env->bytes_read == before + (double)mine.count * ELEMENTS, "a quarter of each is counted",
        (long)mine.count);
  check(t, !olica_catalog_find(catalog, "t") && !olica_catalog_find(catalog, "t99"), "others are not found",
        0);
  MPI_Barrier(c->comm);
  if (c->rank == 0) unlink(path);
  olica_catalog_destroy(catalog);
}

static void test_catalog_failures(test *t) {
  olica_context *c = t->context;
  olica_catalog *catalog;
  olica_catalog_create(c, &catalog);
  olica_status status = c->rank == 0 ? olica_error_set(t->env, OLICA_ERR_INPUT, "no model here") : OLICA_OK;
  status = olica_catalog_share(catalog, status);
  check(t, status == OLICA_ERR_INPUT && strstr(t->env->error.text, "no model"),
        "rank 0's failure is everybody's", status);
  olica_catalog_destroy(catalog);

  olica_catalog_create(c, &catalog);
  check(t, olica_catalog_share(catalog, OLICA_OK) == OLICA_OK && catalog->count == 0, "an empty catalog", 0);
  check(t, !olica_catalog_find(catalog, "t"), "holds nothing", 0);
  olica_catalog_destroy(catalog);

  olica_catalog_create(c, &catalog);
  for (int i = 0; i < 3 && c->rank == 0; i++) {
    int file;
    olica_catalog_add_file(catalog, i ? "second" : "first", &file);
    olica_catalog_add(catalog, &(olica_tensor){.name = "twice", .file = file});
  }
  status = olica_catalog_share(catalog, OLICA_OK);
  check(t, status == OLICA_ERR_INPUT && strstr(t->env->error.text, "tensor twice"), "a name that comes twice",
        status);
  olica_catalog_destroy(catalog);
}

static void test_npy(test *t, const char *directory) {
  olica_context *c = t->context;
  enum { ROWS = 7, COLS = 11 };
  char path[300];
  int32_t ids[ROWS * COLS], back[COLS];
  olica_npy *npy;
  bool right = true;
  snprintf(path, sizeof path, "%s/ids.npy", directory);
  for (int i = 0; i < ROWS * COLS; i++) ids[i] = i;
  olica_status status = c->rank == 0 ? olica_npy_write(t->env, path, ROWS, COLS, ids) : OLICA_OK;
  status = olica_comm_agree(c, c->comm, status);
  if (status == OLICA_OK) status = olica_npy_open(c, path, &npy);
  check(t, status == OLICA_OK, "token file is written and opened", status);
  if (status != OLICA_OK) return;
  check(t, npy->rows == ROWS && npy->cols == COLS && strcmp(npy->path, path) == 0, "all know its shape", 0);
  olica_range mine = olica_partition_block(ROWS, c->size, c->rank);
  for (int64_t row = mine.first; row < mine.first + mine.count; row++) {
    right = right && olica_npy_read(c, npy, row, 0, COLS, ROWS * COLS, back) == OLICA_OK;
    right = right && memcmp(back, ids + row * COLS, sizeof back) == 0;
  }
  check(t, right, "every rank reads its rows", (long)mine.count);
  olica_npy_close(c, npy);
  if (c->rank == 0) unlink(path);
  status = olica_npy_open(c, path, &npy);
  check(t, status == OLICA_ERR_INPUT && strstr(t->env->error.text, path), "a missing one fails on all",
        status);
}

static void test_files(test *t) {
  char directory[256];
  const char *temporary = getenv("TMPDIR");
  snprintf(directory, sizeof directory, "%s/olica.XXXXXX", temporary ? temporary : "/tmp");
  bool made = t->context->rank != 0 || mkdtemp(directory);
  olica_comm_bcast(t->context, t->context->comm, directory, sizeof directory, 0);
  check(t, made, "there is room for files", 0);
  test_catalog(t, directory);
  test_catalog_failures(t);
  test_npy(t, directory);
  if (t->context->rank == 0) rmdir(directory);
}

int main(int argc, char **argv) {
  test t = {.env = olica_env_create()};
  MPI_Init(&argc, &argv);
  if (!t.env || olica_context_create(t.env, MPI_COMM_WORLD, 1, &t.context) != OLICA_OK)
    MPI_Abort(MPI_COMM_WORLD, 1);
  test_context(&t);
  test_agreement(&t);
  test_chunks(&t);
  test_booking(&t);
  test_files(&t);
  if (t.context->rank == 0) printf("%d passed, %d failed\n", t.passed, t.failed);
  int failed = t.failed > 0;
  olica_context_destroy(t.context);
  olica_env_destroy(t.env);
  MPI_Finalize();
  return failed;
}
