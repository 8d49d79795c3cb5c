/* A catalog of tensors: which file holds the bytes of each, and where. Safetensors directories and our own
 * HDF5 checkpoints both become one, so that every rank reads byte ranges and nothing else. */
#ifndef OLICA_IO_CATALOG_H
#define OLICA_IO_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "olica/la/number.h"
#include "olica/par/context.h"

enum {
  OLICA_TENSOR_NAME = 192,
  OLICA_TENSOR_DIMS = 8, /* weights have one or two; what else a file holds must only be passed over */
  OLICA_CATALOG_PATH = 1024,
  OLICA_CATALOG_OPEN = 16,  /* files that are open at once, at most */
  OLICA_CATALOG_CHECK = 64, /* tensors that are checked at once, at most */
};

typedef struct olica_tensor {
  char name[OLICA_TENSOR_NAME];
  char stored[16];   /* the file's own name of the type, "BF16", "I64": what a message says it found */
  olica_dtype dtype; /* OLICA_DTYPES: a type that weights cannot have */
  int dims;
  int64_t shape[OLICA_TENSOR_DIMS];
  int64_t offset, bytes; /* in the file */
  int file;              /* index into files */
  bool has_crc;
  uint32_t crc; /* zlib's, over the bytes */
} olica_tensor;

/* What this rank has read of a tensor since it was checked last. */
typedef struct olica_tally {
  int64_t bytes;
  uint64_t
      crc; /* its pieces' checksums, each as if only zeros of no weight came behind: they add up by xor */
} olica_tally;

typedef struct olica_catalog {
  olica_context *context;
  int count, files;
  int room, file_room;              /* of the two tables below */
  olica_tensor *tensor;             /* [count], sorted by name */
  char (*path)[OLICA_CATALOG_PATH]; /* [files] */
  int *fd;                          /* [files], -1: not open */
  int open[OLICA_CATALOG_OPEN];     /* the files that are open, in a ring */
  int opened;                       /* so many have been opened in all */
  olica_tally *tally;               /* [count] */
} olica_catalog;

/* An empty catalog to be filled by rank 0 (add, add_file), then made everybody's by olica_catalog_share. */
olica_status olica_catalog_create(olica_context *context, olica_catalog **catalog);
void olica_catalog_destroy(olica_catalog *catalog); /* not collective; NULL allowed */
/* Both copy what they get; both are rank 0's work and not collective. */
olica_status olica_catalog_add_file(olica_catalog *catalog, const char *path, int *file);
olica_status olica_catalog_add(olica_catalog *catalog, const olica_tensor *tensor);

/* Rank 0's catalog, sorted, on every rank. Collective on the context; `status` is rank 0's result of filling
 * it (OLICA_OK elsewhere), which becomes everybody's. A tensor name that comes twice is an error. */
olica_status olica_catalog_share(olica_catalog *catalog, olica_status status);

/* The tensor of that name, or NULL. Not collective; the catalog has been shared. */
const olica_tensor *olica_catalog_find(const olica_catalog *catalog, const char *name);

/* The path of the file a tensor lies in, for messages: the catalog's. Not collective. */
const char *olica_catalog_file(const olica_catalog *catalog, const olica_tensor *tensor);

/* Reads `count` elements from element `first` on, raw as stored. Elements outside the tensor are the caller's
 * bug. A tensor that has a checksum and is read whole is checked at once: other bytes are OLICA_ERR_INPUT,
 * naming file, tensor, found and expected; pieces are noted for olica_catalog_check. Not collective. */
olica_status olica_catalog_read(olica_catalog *catalog, const olica_tensor *tensor, int64_t first,
                                int64_t count, void *raw);

/* Whether what all ranks together have read in pieces of these tensors (at most OLICA_CATALOG_CHECK), every
 * byte once since the last call, is what their checksums say; errors as above, the same on every rank. One of
 * which nothing or only a part was read in pieces, or that has no checksum, is not looked at. Collective;
 * every rank names the same tensors. */
olica_status olica_catalog_check(olica_catalog *catalog, const olica_tensor *const *tensor, int count);

/* Tells the system that this will be read soon: it can begin. What fails is told by the reading. Not
 * collective.
 */
void olica_catalog_expect(olica_catalog *catalog, const olica_tensor *tensor, int64_t first, int64_t count);

#endif
