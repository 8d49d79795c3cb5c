/* Declarations shared by the files of the hdf5 module. Private to io. */
#ifndef OLICA_IO_HDF5_PRIVATE_H
#define OLICA_IO_HDF5_PRIVATE_H

#include <hdf5.h>

#include "io/hdf5.h"

enum { OLICA_HDF5_REASON = 320 };

/* A dataset of the file being written. */
typedef struct olica_hdf5_set {
  char name[OLICA_TENSOR_NAME];
  olica_element type;
  hid_t id;
  int dims;
  int64_t shape[OLICA_TENSOR_DIMS];
  int64_t row, row_bytes; /* elements and bytes of a row */
  int64_t next;           /* rows written so far */
  uint32_t crc;           /* checksum of these rows */
} olica_hdf5_set;

struct olica_hdf5 {
  olica_context *context;
  char *path;
  hid_t id;
  int count;
  size_t room;         /* capacity of the table */
  olica_hdf5_set *set; /* [count] */
  bool reopened;       /* the datasets exist: a declaration opens one */
  bool reserved;       /* the declarations have ended */
  bool has_blocks;     /* on rank 0: all disk blocks are reserved */
  void *scratch;       /* this rank's part of a transfer, in the file's type */
  int64_t *share;      /* [ranks] bytes that each rank has written */
  int64_t (*part)[2];  /* [ranks] checksum and bytes of each rank's part of a transfer */
  long asked, made;    /* number of collective writes requested, and done */
};

/* Returns a new HDF5 datatype, of the file and of memory alike; negative on failure. */
hid_t olica_hdf5_datatype(olica_element type);

/* Returns the innermost error messages of the HDF5 call that has just failed, in `text`
 * [OLICA_HDF5_REASON]. */
void olica_hdf5_reason(char *text);

/* Records the failure of the last HDF5 call on this rank: "cannot `verb` `what`". */
olica_status olica_hdf5_failed(const olica_hdf5 *file, const char *verb, const char *what);

/* Agrees on the result of an HDF5 call. Collective. */
olica_status olica_hdf5_agree(const olica_hdf5 *file, bool good, const char *verb, const char *what);

/* Allocates a handle and its tables of size ranks; makes the property list for opening a file, negative on
 * failure. */
olica_status olica_hdf5_allocate(olica_context *context, const char *path, olica_hdf5 **file);
hid_t olica_hdf5_access(const olica_context *context, MPI_Info hints);

/* Opens and closes the file for reading and writing, with additional flags of open(). If that fails on one
 * rank only (its node does not have the file system, say), Open MPI's own open would block the others. Not
 * collective. */
olica_status olica_hdf5_try_file(const olica_hdf5 *file, int flags);

/* Opens the dataset that `set` describes, with its attributes, in a reopened file; if rows is 0, sets it from
 * the file. */
bool olica_hdf5_open_dataset(const olica_hdf5 *file, olica_hdf5_set *set);

/* Returns the most bytes of a collective write, over all ranks (plus a row of each rank). */
int64_t olica_hdf5_round_bytes(int ranks);

#endif
