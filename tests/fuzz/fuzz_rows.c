/* Any bytes as a text of every kind: the first byte chooses kind and length, the rest is the file. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "olica/text/rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Also in a release build. */
static void expect(int good) {
  if (!good) abort();
}

static void finish(void) {
  MPI_Finalize();
}

/* A context over this process alone, and a file that is in no directory; once. */
static olica_context *start(int *file) {
  olica_context *context;
  olica_env *env = olica_env_create();
  MPI_Init(NULL, NULL);
  atexit(finish);
  *file = memfd_create("rows", 0);
  if (!env || *file < 0 || olica_context_create(env, MPI_COMM_WORLD, 1, &context) != OLICA_OK) abort();
  return context;
}

/* Every row lies in the file, behind the one before, and has a text. */
static void look_at(const olica_rows *rows, int64_t size) {
  int64_t end = 0;
  for (int64_t row = 0; row < rows->count; row++) {
    char *text;
    size_t bytes;
    expect(rows->index.begin[row] >= end && rows->index.bytes[row] > 0);
    end = rows->index.begin[row] + rows->index.bytes[row];
    expect(end <= size);
    expect(olica_rows_text(rows, row, &text, &bytes) == OLICA_OK && !text[bytes]);
    olica_memory_free(rows->context->env, text);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static olica_context *context; /* its environment is another for every input */
  static int file;
  if (!context) context = start(&file);
  if (size == 0 || ftruncate(file, 0) != 0) return 0;
  expect(pwrite(file, data + 1, size - 1, 0) == (ssize_t)size - 1);
  char path[64], field[] = "text";
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  const olica_text_source source = {(olica_text_kind)(data[0] % 4), path, field, 1};
  olica_env *env = context->env, *own = olica_env_create();
  olica_rows *rows;
  context->env = own;
  if (olica_rows_open(context, &source, 1 + data[0] / 4, &rows) == OLICA_OK) {
    if (source.kind != OLICA_TEXT_NPY) look_at(rows, (int64_t)size - 1);
    olica_rows_close(rows);
    expect(own->memory.now == 0);
  }
  context->env = env;
  olica_env_destroy(own);
  return 0;
}
