/* The contract of the writer (store/writer.h), for every format of its table: the same bytes from one rank
 * and from all, and from a writing that was interrupted after a flush and resumed; what is refused, what is
 * left of an output that failed, what a taken name does. Knows no format: outputs are compared as files or
 * trees of files. Runs at any number of ranks; the last line says how many checks passed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/hdf5.h"
#include "par/comm.h"
#include "store/writer.h"

typedef struct test {
  olica_env *env;
  olica_context *context;
  olica_format format;
  char directory[64];
  int passed, failed;
} test;

/* A check holds when it holds on every rank. Collective. */
static void check(test *t, bool holds, const char *what) {
  int mine = holds, all;
  MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_LAND, t->context->comm);
  *(all ? &t->passed : &t->failed) += 1;
  if (!holds)
    fprintf(stderr, "FAILED on rank %d: %s (%s): %s\n", t->context->rank, what, olica_format_name(t->format),
            t->env->error.text);
}

/* ---- an output ---- */

/* Texts first, one of them the mark; tensors with few and with many bytes, with fewer rows than ranks, and
 * with rows that no number of ranks divides. */
enum { TEXT, MARK, TEXTS, PIECES = 3 };
static const olica_writer_item items[] = {
    {"meta/text", OLICA_ITEM_TEXT, OLICA_ELEMENT_BYTES, 1, {100}},
    {"meta/mark", OLICA_ITEM_MARK, OLICA_ELEMENT_BYTES, 1, {41}},
    {"model/table", OLICA_ITEM_TENSOR, OLICA_ELEMENT_BF16, 2, {1001, 331}},
    {"model/norm", OLICA_ITEM_TENSOR, OLICA_ELEMENT_FP32, 1, {331}},
    {"model/layers/000/q/weight", OLICA_ITEM_TENSOR, OLICA_ELEMENT_FP16, 2, {3, 40000}},
    {"model/layers/000/kept", OLICA_ITEM_TENSOR, OLICA_ELEMENT_INT32, 2, {7, 5}},
    {"model/layers/001/q/weight", OLICA_ITEM_TENSOR, OLICA_ELEMENT_FP32, 2, {500, 401}},
    {"model/sums", OLICA_ITEM_TENSOR, OLICA_ELEMENT_FP64, 1, {90001}},
};
enum { ITEMS = sizeof items / sizeof *items, STEPS = (ITEMS - TEXTS) * PIECES };

static int64_t columns_of(const olica_writer_item *item) {
  return item->dims > 1 ? item->shape[1] : 1;
}

/* Fills rows with numbers that every type holds and that differ from item to item. */
static void *make_rows(int i, int64_t first, int64_t count) {
  const olica_writer_item *item = &items[i];
  int64_t columns = columns_of(item), start = first * columns;
  void *rows = malloc((size_t)(count * columns + 1) * sizeof(double));
  if (!rows) abort();
  for (int64_t k = 0; k < count * columns; k++) {
    int value = (int)(((start + k) * 7919 + 13 * i) % 127);
    if (item->type == OLICA_ELEMENT_BYTES)
      ((char *)rows)[k] = (char)value;
    else if (item->type == OLICA_ELEMENT_INT32)
      ((int32_t *)rows)[k] = value;
    else if (item->type == OLICA_ELEMENT_FP64)
      ((double *)rows)[k] = value / 3.0;
    else
      ((float *)rows)[k] = (float)value;
  }
  return rows;
}

static olica_status write_rows(olica_writer *writer, int i, int number, int64_t first, int64_t count) {
  void *rows = make_rows(i, first, count);
  olica_status status = olica_writer_write(writer, number, first, count, rows);
  free(rows);
  return status;
}

static olica_writer_options options_of(const test *t, const char *path) {
  return (olica_writer_options){
      .format = t->format, .path = path, .contents = "test", .schema = 3, .hints = MPI_INFO_NULL};
}

/* Declares the items, with so many more bytes in the text, and columns in the last but one. */
static olica_status declare(olica_writer *writer, int64_t bytes, int64_t columns) {
  for (int i = 0; i < ITEMS; i++) {
    olica_writer_item item = items[i];
    int number;
    if (i == TEXT) item.shape[0] += bytes;
    if (i == ITEMS - 2) item.shape[1] += columns;
    OLICA_TRY(olica_writer_declare(writer, &item, &number));
    if (number != i) return OLICA_ERR_INTERNAL;
  }
  return olica_writer_begin(writer);
}

static olica_status create(test *t, olica_context *context, const char *path, olica_writer **writer) {
  const olica_writer_options options = options_of(t, path);
  OLICA_TRY(olica_writer_open(context, &options, NULL, 0, writer));
  OLICA_TRY(declare(*writer, 0, 0));
  for (int i = 0; i < TEXTS; i++) OLICA_TRY(write_rows(*writer, i, i, 0, items[i].shape[0]));
  return OLICA_OK;
}

/* A step is a third of the rows of a tensor: the items come one after the other. */
static olica_status write_steps(olica_writer *writer, int from, int to) {
  for (int step = from; step < to; step++) {
    int i = TEXTS + step / PIECES, piece = step % PIECES;
    int64_t rows = items[i].shape[0], first = rows * piece / PIECES;
    OLICA_TRY(write_rows(writer, i, i, first, rows * (piece + 1) / PIECES - first));
  }
  return OLICA_OK;
}

static olica_status publish(olica_writer *writer, bool replace, bool *taken) {
  OLICA_TRY(olica_writer_seal(writer));
  return olica_writer_publish(writer, replace, taken);
}

static olica_status write_whole(test *t, olica_context *context, const char *path) {
  olica_writer *writer = NULL;
  bool taken;
  olica_status status = create(t, context, path, &writer);
  if (status == OLICA_OK) status = write_steps(writer, 0, STEPS);
  if (status == OLICA_OK) status = publish(writer, true, &taken);
  olica_writer_leave(writer);
  return status;
}

/* ---- files or trees of files: rank 0 ---- */

static bool runs(const test *t, const char *format, const char *one, const char *other) {
  char command[512];
  bool good = true;
  MPI_Barrier(t->context->comm);
  snprintf(command, sizeof command, format, one, other);
  if (t->context->rank == 0) good = system(command) == 0;
  MPI_Barrier(t->context->comm);
  return good;
}

static bool same(const test *t, const char *one, const char *other) {
  return runs(t, "diff -r -q %s %s >&2", one, other);
}

static bool copied(const test *t, const char *from, const char *to) {
  return runs(t, "cp -r %s %s", from, to);
}

static void removed(const test *t, const char *one) {
  runs(t, "rm -rf %s %s", one, "");
}

typedef struct names {
  char whole[96], path[96], part[96], other[96], other_part[96], image[96];
} names;

static names names_of(const test *t) {
  names n;
  const char *d = t->directory;
  snprintf(n.whole, sizeof n.whole, "%s/whole", d);
  snprintf(n.path, sizeof n.path, "%s/output", d);
  snprintf(n.part, sizeof n.part, "%s/output.part", d);
  snprintf(n.other, sizeof n.other, "%s/other", d);
  snprintf(n.other_part, sizeof n.other_part, "%s/other.part", d);
  snprintf(n.image, sizeof n.image, "%s/image", d);
  return n;
}

static bool exists(const char *path) {
  struct stat info;
  return lstat(path, &info) == 0;
}

static bool is_link(const char *path) {
  struct stat info;
  return lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
}

static bool says(const test *t, olica_status status, olica_status code, const char *word) {
  return status == code && strstr(t->env->error.text, word);
}

/* ---- checks ---- */

/* One rank alone writes the output that all others have to equal. */
static void write_alone(test *t, const names *n) {
  olica_context *single;
  bool good = true;
  if (t->context->rank == 0) {
    good = olica_context_create(t->env, MPI_COMM_SELF, 1, &single) == OLICA_OK &&
           write_whole(t, single, n->whole) == OLICA_OK;
    olica_context_destroy(single);
  }
  check(t, good, "one rank writes");
  check(t, exists(n->whole), "its output has its name");
}

static void test_whole(test *t, const names *n) {
  olica_writer *writer = NULL;
  bool taken = true;
  double all = 0, expected = 0;
  size_t before = t->env->memory.now;
  t->env->memory.peak = before;
  check(t, create(t, t->context, n->path, &writer) == OLICA_OK, "an output is begun");
  check(t, strcmp(olica_writer_part(writer), n->part) == 0 && exists(n->part) && !exists(n->path),
        "under its temporary name");
  check(t, write_steps(writer, 0, STEPS) == OLICA_OK, "and written");
  check(t, publish(writer, false, &taken) == OLICA_OK && !taken, "and gets its name");
  check(t, exists(n->path) && !exists(n->part), "the other one goes");
  all = olica_writer_written(writer);
  olica_comm_sum(t->context, t->context->comm, &all, 1);
  for (int i = 0; i < ITEMS; i++)
    expected +=
        (double)(items[i].shape[0] * columns_of(&items[i])) * (double)olica_element_size(items[i].type);
  check(t, all == expected, "the ranks' bytes are those of the items");
  olica_writer_leave(writer);
  enum { ROW = 40000 * sizeof(float), SMALL = 64 << 10 };
  int64_t bound = olica_format_memory(t->format, t->context->size, ROW, ITEMS);
  check(t, (int64_t)(t->env->memory.peak - before) <= bound + SMALL, "memory stays below its bound");
  check(t, t->env->memory.now == before, "and is freed");
  check(t, same(t, n->path, n->whole), "all ranks write what one writes");
  removed(t, n->path);
}

/* Interrupts the writing after a flush, with more rows written behind it, as a killed job would: a copy of
 * the files is resumed, since this process still has them open. */
static void test_resume_at(test *t, const names *n, int flushed, int killed) {
  olica_writer *writer = NULL;
  bool taken;
  check(t, create(t, t->context, n->path, &writer) == OLICA_OK, "an output is begun");
  check(t, write_steps(writer, 0, flushed) == OLICA_OK, "in part");
  int64_t bytes = olica_writer_progress_bytes(writer);
  check(t, bytes == olica_format_progress_bytes(t->format, ITEMS), "progress has the size that was told");
  char *progress = olica_memory_get(t->env, "progress", (size_t)bytes, 1);
  check(t, progress && olica_writer_flush(writer, progress) == OLICA_OK, "and flushed");
  check(t, write_steps(writer, flushed, killed) == OLICA_OK, "and more");
  check(t, copied(t, n->part, n->other_part), "an image of it");
  olica_writer_abandon(writer);
  writer = NULL;
  MPI_Barrier(t->context->comm);
  check(t, !exists(n->part), "abandoned, nothing is left");
  const olica_writer_options options = options_of(t, n->other);
  olica_status status = olica_writer_open(t->context, &options, progress, bytes, &writer);
  if (status == OLICA_OK) status = declare(writer, 7, 0); /* the texts in it stay */
  if (bytes == 0) {
    check(t, says(t, status, OLICA_ERR_IO, "cannot be resumed"), "a format without progress");
  } else {
    if (status == OLICA_OK) status = write_steps(writer, flushed, STEPS);
    if (status == OLICA_OK) status = publish(writer, false, &taken);
    check(t, status == OLICA_OK, "reopened, it is written to its end");
    check(t, same(t, n->other, n->whole), "resumed, it has the bytes of an uninterrupted one");
  }
  olica_writer_leave(writer);
  olica_memory_free(t->env, progress);
  removed(t, n->other), removed(t, n->other_part);
}

/* Refused: another mark, another shape, another progress, a missing output. Each leaves the output alone. */
static void test_reopen_refused(test *t, const names *n) {
  olica_writer *writer = NULL;
  check(t, create(t, t->context, n->path, &writer) == OLICA_OK, "an output is begun");
  int64_t bytes = olica_writer_progress_bytes(writer);
  char *progress = olica_memory_get(t->env, "progress", (size_t)bytes, 1);
  check(t, progress && olica_writer_flush(writer, progress) == OLICA_OK, "and flushed");
  check(t, copied(t, n->part, n->other_part) && copied(t, n->part, n->image), "an image of it");
  olica_writer_abandon(writer);
  static const char *const what[] = {"another shape", "another progress", "another mark", "nothing there"};
  for (int i = 0; i < 4; i++) {
    const olica_writer_options options = options_of(t, n->other);
    writer = NULL;
    if (i == 2) { /* the mark of another run has other bytes */
      olica_writer *its = NULL;
      removed(t, n->other_part);
      olica_status made = olica_writer_open(t->context, &options, NULL, 0, &its);
      if (made == OLICA_OK) made = declare(its, 0, 0);
      if (made == OLICA_OK) made = write_rows(its, TEXT, TEXT, 0, items[TEXT].shape[0]);
      if (made == OLICA_OK) made = write_rows(its, TEXT, MARK, 0, items[MARK].shape[0]);
      char *its_progress = olica_memory_get(t->env, "progress", (size_t)bytes, 1);
      if (made == OLICA_OK) made = olica_writer_flush(its, its_progress);
      check(t, made == OLICA_OK && copied(t, n->other_part, n->path), "an output of another run");
      olica_writer_abandon(its);
      olica_memory_free(t->env, its_progress);
      MPI_Barrier(t->context->comm);
      check(t, runs(t, "mv %s %s", n->path, n->other_part), "takes its place");
    }
    if (i == 3) removed(t, n->other_part);
    olica_status status = olica_writer_open(t->context, &options, progress, bytes - (i == 1), &writer);
    if (status == OLICA_OK) status = declare(writer, 0, i == 0);
    check(t, says(t, status, OLICA_ERR_IO, n->other_part), what[i]);
    olica_writer_leave(writer);
    if (i < 2) check(t, same(t, n->other_part, n->image), "it stays as it was");
  }
  olica_memory_free(t->env, progress);
  removed(t, n->image);
}

static void test_taken(test *t, const names *n) {
  olica_writer *writer = NULL;
  bool taken = false;
  check(t, create(t, t->context, n->path, &writer) == OLICA_OK, "an output is begun");
  check(t, write_steps(writer, 0, STEPS) == OLICA_OK && olica_writer_seal(writer) == OLICA_OK, "and sealed");
  check(t, runs(t, "ln -s %s %s", "nowhere", n->path), "its name is taken, by a link to nothing");
  olica_status status = olica_writer_publish(writer, false, &taken);
  check(t, says(t, status, OLICA_ERR_IO, n->path) && taken, "all ranks know that it is taken");
  check(t, same(t, n->part, n->whole), "the output stays under its temporary name");
  removed(t, n->path);
  check(t, runs(t, "echo old >%s %s", n->path, ""), "by a file");
  status = olica_writer_publish(writer, false, &taken);
  check(t, says(t, status, OLICA_ERR_IO, n->path) && taken, "again");
  check(t, olica_writer_publish(writer, true, &taken) == OLICA_OK && !taken, "unless it may be replaced");
  check(t, same(t, n->path, n->whole) && !exists(n->part), "then it is");
  olica_writer_leave(writer);
  removed(t, n->path);
}

static void test_failures(test *t, const names *n) {
  olica_writer *writer = NULL;
  check(t, runs(t, "ln -s %s %s", "nowhere", n->part), "a link lies under the temporary name");
  check(t, create(t, t->context, n->path, &writer) == OLICA_OK && !is_link(n->part), "it is not followed");
  check(t, write_steps(writer, 0, STEPS - 1) == OLICA_OK, "not all is written");
  check(t, says(t, olica_writer_seal(writer), OLICA_ERR_INTERNAL, n->part), "then it is not sealed");
  olica_writer_leave(writer);
  MPI_Barrier(t->context->comm);
  check(t, exists(n->part) && !exists(n->path), "left, it stays under its temporary name");
  MPI_Barrier(t->context->comm);
  if (t->context->rank == 0) olica_writer_discard(t->env, t->format, n->path);
  MPI_Barrier(t->context->comm);
  check(t, !exists(n->part), "discarded, it goes");
  const olica_writer_options nowhere = options_of(t, "/nowhere/at/all");
  writer = NULL;
  olica_status status = olica_writer_open(t->context, &nowhere, NULL, 0, &writer);
  check(t, says(t, status, OLICA_ERR_IO, "/nowhere/at/all.part") && !writer, "no directory");
  olica_writer_leave(writer), olica_writer_abandon(writer);
  check(t, write_whole(t, t->context, n->path) == OLICA_OK && same(t, n->path, n->whole),
        "after all that it is written");
  removed(t, n->path);
}

static void test_format(test *t) {
  names n = names_of(t);
  write_alone(t, &n);
  test_whole(t, &n);
  for (int flushed = 0; flushed < STEPS; flushed += 4) test_resume_at(t, &n, flushed, flushed + 2);
  test_resume_at(t, &n, STEPS, STEPS);
  if (olica_format_progress_bytes(t->format, 1) > 0) test_reopen_refused(t, &n);
  test_taken(t, &n);
  test_failures(t, &n);
  removed(t, n.whole);
}

int main(int argc, char **argv) {
  olica_hdf5_start();
  MPI_Init(&argc, &argv);
  test t = {.env = olica_env_create(), .directory = "/tmp/olica-writer-XXXXXX"};
  if (!t.env || olica_context_create(t.env, MPI_COMM_WORLD, 1, &t.context) != OLICA_OK) return 1;
  if (t.context->rank == 0 && !mkdtemp(t.directory)) return 1;
  MPI_Bcast(t.directory, sizeof t.directory, MPI_CHAR, 0, t.context->comm);
  for (t.format = 0; t.format < OLICA_FORMATS; t.format++) test_format(&t);
  MPI_Barrier(t.context->comm);
  if (t.context->rank == 0 && rmdir(t.directory) != 0) perror(t.directory), t.failed++;
  if (t.context->rank == 0) printf("%d passed, %d failed\n", t.passed, t.failed);
  int failed = t.failed;
  olica_context_destroy(t.context);
  olica_env_destroy(t.env);
  MPI_Finalize();
  return failed > 0;
}
