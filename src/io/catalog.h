/* A catalog of tensors: the file, position and type of each tensor's bytes. Both safetensors directories and
 * our own HDF5 checkpoints are indexed into one, so that ranks only ever read byte ranges. */
#ifndef OLICA_IO_CATALOG_H
#define OLICA_IO_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "io/file.h"
#include "la/number.h"
#include "par/context.h"

enum {
  OLICA_TENSOR_NAME = 192,
  OLICA_TENSOR_DIMS = 8, /* weights have one or two dimensions; other tensors of a file are only skipped */
  OLICA_CATALOG_PATH = OLICA_FILE_PATH,
  OLICA_CATALOG_OPEN = 16,  /* most files open at the same time */
  OLICA_CATALOG_CHECK = 64, /* most tensors checked at the same time */
};

/* The type of a number in a file that we write: a dtype, int32, a byte, or fp64. */
typedef enum olica_element {
  OLICA_ELEMENT_FP32 = OLICA_FP32,
  OLICA_ELEMENT_FP16 = OLICA_FP16,
  OLICA_ELEMENT_BF16 = OLICA_BF16,
  OLICA_ELEMENT_INT32,
  OLICA_ELEMENT_BYTES,
  OLICA_ELEMENT_FP64,
  OLICA_ELEMENTS
} olica_element;

/* Return its name, "fp32", "fp16", "bf16", "int32", "uint8", "fp64", and its bytes. Pure. */
const char *olica_element_name(olica_element element);
size_t olica_element_size(olica_element element);

typedef struct olica_tensor {
  char name[OLICA_TENSOR_NAME];
  char stored[16];   /* the type's name in the file, "BF16", "I64": for messages */
  olica_dtype dtype; /* OLICA_DTYPES: a type that is not allowed for weights */
  int dims;
  int64_t shape[OLICA_TENSOR_DIMS];
  int64_t offset, bytes; /* position and length in the file */
  int file;              /* index into files */
  bool has_crc;
  uint32_t crc; /* zlib's crc32 of the bytes */
} olica_tensor;

/* Pieces of a tensor that this rank has read since the last check. */
typedef struct olica_tally {
  int64_t bytes;
  uint64_t crc; /* xor of the checksums of the pieces, each shifted to its place in the tensor */
} olica_tally;

typedef struct olica_catalog {
  olica_context *context;
  int count, files;
  size_t room, file_room;           /* rank 0's capacities of the two tables below, while it fills them */
  olica_tensor *tensor;             /* [count], sorted by name */
  char (*path)[OLICA_CATALOG_PATH]; /* [files] */
  int *fd;                          /* [files], -1: not open */
  int open[OLICA_CATALOG_OPEN];     /* ring of the open files */
  int opened;                       /* total number of files opened */
  olica_tally *tally;               /* [count] */
} olica_catalog;

/* Creates an empty catalog. Rank 0 fills it (add, add_file), then olica_catalog_share copies it to all
 * ranks. */
olica_status olica_catalog_create(olica_context *context, olica_catalog **catalog);
void olica_catalog_destroy(olica_catalog *catalog); /* not collective; NULL allowed */
/* Add a file and a tensor; both copy their arguments. Called by rank 0 alone; not collective. */
olica_status olica_catalog_add_file(olica_catalog *catalog, const char *path, int *file);
olica_status olica_catalog_add(olica_catalog *catalog, const olica_tensor *tensor);

/* Sorts rank 0's catalog and copies it to every rank. `status` is the result of filling it on rank 0
 * (OLICA_OK elsewhere); all ranks return it. A duplicate tensor name is an error. Collective on the
 * context. */
olica_status olica_catalog_share(olica_catalog *catalog, olica_status status);

/* Returns the tensor of that name, or NULL. Call it after olica_catalog_share. Not collective. */
const olica_tensor *olica_catalog_find(const olica_catalog *catalog, const char *name);

/* Replaces a tensor without a checksum by tensors of its rows, one behind the other: `parts` of them, with
 * those names and numbers of rows, which sum up to its rows. Pointers into the catalog become invalid. Not
 * collective, but every rank does the same. OLICA_ERR_MEMORY. */
olica_status olica_catalog_divide(olica_catalog *catalog, const char *name, int parts,
                                  char (*names)[OLICA_TENSOR_NAME], const int64_t *rows);

/* Returns the path of a tensor's file, for messages; owned by the catalog. Not collective. */
const char *olica_catalog_file(const olica_catalog *catalog, const olica_tensor *tensor);

/* Reads `count` elements from element `first` on, as stored. The range must lie within the tensor. If the
 * whole tensor is read and has a checksum, it is checked at once: a mismatch is OLICA_ERR_INPUT, naming file,
 * tensor, found and expected checksum. Pieces are recorded for olica_catalog_check. Not collective. */
olica_status olica_catalog_read(olica_catalog *catalog, const olica_tensor *tensor, int64_t first,
                                int64_t count, void *raw);

/* Checks the checksums of tensors (at most OLICA_CATALOG_CHECK) that all ranks together have read in pieces,
 * each byte once since the last call; errors as above, the same on every rank. Skips a tensor that was read
 * only in part, or has no checksum. Collective; every rank passes the same tensors. */
olica_status olica_catalog_check(olica_catalog *catalog, const olica_tensor *const *tensor, int count);

/* Announces to the system that a range will be read soon, so that it can read ahead. Errors are ignored: the
 * later read reports them. Not collective. */
void olica_catalog_expect(olica_catalog *catalog, const olica_tensor *tensor, int64_t first, int64_t count);

#endif
