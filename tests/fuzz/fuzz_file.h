/* Helpers of targets that read files: a context of this process alone, and a file outside all directories. */
#ifndef OLICA_TESTS_FUZZ_FILE_H
#define OLICA_TESTS_FUZZ_FILE_H

#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "io/hdf5.h"

typedef struct fuzz_box {
  olica_context *context;
  olica_env *idle; /* the context's own environment, used between inputs */
  int file;
  char path[64]; /* of the file */
} fuzz_box;

/* MPI and HDF5 keep memory until the process ends, which the leak check would report; fuzz_close checks our
 * own memory instead. The address sanitizer calls this function by name. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
  return "detect_leaks=0";
}

static inline void fuzz_finish(void) {
  MPI_Finalize();
}

static inline void fuzz_start(fuzz_box *box) {
  olica_hdf5_start();
  MPI_Init(NULL, NULL);
  atexit(fuzz_finish);
  box->idle = fuzz_env();
  box->file = memfd_create("fuzz", 0);
  FUZZ_EXPECT(box->file >= 0);
  FUZZ_EXPECT(olica_context_create(box->idle, MPI_COMM_WORLD, 1, &box->context) == OLICA_OK);
  snprintf(box->path, sizeof box->path, "/proc/self/fd/%d", box->file);
}

/* Writes the input to the file, and makes a fresh environment. */
static inline fuzz_box *fuzz_open(const uint8_t *data, size_t size) {
  static fuzz_box box;
  if (!box.context) fuzz_start(&box);
  FUZZ_EXPECT(ftruncate(box.file, 0) == 0);
  FUZZ_EXPECT(pwrite(box.file, data, size, 0) == (ssize_t)size);
  box.context->env = fuzz_env();
  return &box;
}

/* Checks the result of an input. After a success all counted memory must be freed. */
static inline void fuzz_close(fuzz_box *box, olica_status status) {
  olica_env *env = box->context->env;
  if (status != OLICA_OK) fuzz_expect_message(env, status);
  FUZZ_EXPECT(status != OLICA_OK || env->memory.now == 0);
  olica_env_destroy(env);
  box->context->env = box->idle;
}

/* Checks that every tensor of a shared catalog lies in the file and can be read. */
static inline void fuzz_tensors(olica_catalog *catalog, size_t size) {
  for (int i = 0; i < catalog->count; i++) {
    const olica_tensor *tensor = &catalog->tensor[i];
    uint8_t first[64];
    int64_t elements = 1;
    for (int k = 0; k < tensor->dims; k++) elements *= tensor->shape[k];
    FUZZ_EXPECT(tensor->offset >= 0 && tensor->bytes >= 0 && (size_t)tensor->offset <= size);
    FUZZ_EXPECT((size_t)tensor->bytes <= size - (size_t)tensor->offset);
    if (tensor->dtype == OLICA_DTYPES || elements == 0) continue;
    FUZZ_EXPECT(tensor->bytes == elements * (int64_t)olica_number_size(tensor->dtype));
    FUZZ_EXPECT(olica_catalog_read(catalog, tensor, elements - 1, 1, first) == OLICA_OK);
  }
}

#endif
