/* What the writer and the index of the hdf5 module share. */
#ifndef OLICA_IO_HDF5_PRIVATE_H
#define OLICA_IO_HDF5_PRIVATE_H

#include <hdf5.h>

#include "olica/io/hdf5.h"

enum { OLICA_HDF5_TYPES = OLICA_HDF5_FP64 + 1, OLICA_HDF5_REASON = 320 };

/* A dataset of the file being written. */
typedef struct olica_hdf5_set {
  char name[OLICA_TENSOR_NAME];
  olica_hdf5_type type;
  hid_t id;
  int dims;
  int64_t shape[OLICA_TENSOR_DIMS];
  int64_t row, row_bytes; /* elements and bytes of a row */
  int64_t next;           /* rows written so far */
  uint32_t crc;           /* of these */
} olica_hdf5_set;

struct olica_hdf5 {
  olica_context *context;
  char *path;
  hid_t id;
  int count, room;
  olica_hdf5_set *set; /* [count] */
  bool reopened;       /* datasets are there already: a declaration opens one */
  bool reserved;       /* no more declarations */
  bool has_blocks;     /* on rank 0: the disk has given them all */
  void *scratch;       /* this rank's part of a round, as in the file */
  int64_t *share;      /* [ranks] bytes that each rank has written */
  int64_t (*part)[2];  /* [ranks] checksum and bytes of each rank's part of a round */
  long asked, made;    /* collective writes */
};

/* A new HDF5 datatype of what is in the file, which is also what is in memory; negative on failure. */
hid_t olica_hdf5_datatype(olica_hdf5_type type);

/* Why the HDF5 call that has just failed did: its innermost complaints. `text` [OLICA_HDF5_REASON]. */
void olica_hdf5_reason(char *text);

/* The message of the HDF5 call that has just failed on this rank: it cannot `verb` `what`. */
olica_status olica_hdf5_failed(const olica_hdf5 *file, const char *verb, const char *what);

/* Everybody's result of an HDF5 call. Collective. */
olica_status olica_hdf5_agree(const olica_hdf5 *file, bool good, const char *verb, const char *what);

/* A new handle with room for what the ranks share; the property list to open a file with, negative on
 * failure.
 */
olica_status olica_hdf5_allocate(olica_context *context, const char *path, olica_hdf5 **file);
hid_t olica_hdf5_access(const olica_context *context, MPI_Info hints);

/* Opens and closes the file for reading and writing, with more flags of open(): where a rank alone cannot
 * (its node lacks the file system, say), Open MPI would keep the others waiting. Not collective. */
olica_status olica_hdf5_try_file(const olica_hdf5 *file, int flags);

/* Opens the dataset that `set` describes, in a reopened file; rows [0]: what is there. Its attributes are
 * there too. */
bool olica_hdf5_open_dataset(const olica_hdf5 *file, olica_hdf5_set *set);

/* Bytes that a collective write moves at most, on all ranks together (and a row of each rank more). */
int64_t olica_hdf5_round_bytes(int ranks);

#endif
