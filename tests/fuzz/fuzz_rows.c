/* Any bytes as a text of every kind. The first byte chooses kind and length; the rest is the file. What is
 * taken for a row must lie in the file, in order, and have a text. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "olica/text/rows.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static olica_context *context; /* MPI's alone: every input has an environment of its own */
static int file;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  olica_env *env = olica_env_create();
  MPI_Init(argc, argv);
  file = memfd_create("rows", 0);
  return !env || file < 0 || olica_context_create(env, MPI_COMM_WORLD, 1, &context) != OLICA_OK;
}

static void look_at(const olica_rows *rows, int64_t size) {
  int64_t end = 0;
  for (int64_t row = 0; row < rows->count; row++) {
    char *text;
    size_t bytes;
    assert(rows->index.begin[row] >= end && rows->index.bytes[row] > 0);
    end = rows->index.begin[row] + rows->index.bytes[row];
    assert(end <= size);
    if (olica_rows_text(rows, row, &text, &bytes) != OLICA_OK || text[bytes]) abort();
    olica_memory_free(context->env, text);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0 || ftruncate(file, 0) != 0) return 0;
  if (pwrite(file, data + 1, size - 1, 0) != (ssize_t)size - 1) abort();
  char path[64], field[] = "text";
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  const olica_text_source source = {(olica_text_kind)(data[0] % 4), path, field, 1};
  olica_env *env = context->env, *own = olica_env_create();
  olica_rows *rows;
  context->env = own;
  if (olica_rows_open(context, &source, 1 + data[0] / 4, &rows) == OLICA_OK) {
    if (source.kind != OLICA_TEXT_NPY) look_at(rows, (int64_t)size - 1);
    olica_rows_close(rows);
    assert(own->memory.now == 0);
  }
  context->env = env;
  olica_env_destroy(own);
  return 0;
}
