/* Parallel HDF5: writes one file collectively from all ranks, with contiguous datasets in one pass, and
 * indexes such a file as a catalog for reading. It knows nothing of models. After a failed collective write
 * the file is abandoned; HDF5 never closes it on some ranks alone. Safeguards: no aggregators and no data
 * sieving in MPI-IO unless the user asks for them; the file's blocks are reserved before the first write;
 * collective writes of at most 16 MiB (or 128 KiB a rank), without type conversion. */
#ifndef OLICA_IO_HDF5_H
#define OLICA_IO_HDF5_H

#include "io/catalog.h"

typedef struct olica_hdf5 olica_hdf5;

/* Prepares MPI and HDF5; main (or a test) calls it before MPI_Init. Sets OMPI_MCA_fcoll=individual,
 * OMPI_MCA_fbtl_posix_write_datasieving=0 and OMPI_MCA_sharedfp=^lockedfile (^lockedfile,sm if /dev/shm is
 * not writable) unless the user has set them. Starts HDF5 without its error printing, and so that it ignores
 * abandoned files when MPI ends. */
void olica_hdf5_start(void);

/* Checks that MPI-IO accepts a file name. ROMIO takes the part before a colon for a type of file system, and
 * opens another file: OLICA_ERR_CONFIG naming `setting`, the colon, and the ways out. Writes nothing; called
 * on one rank, after MPI_Init. */
olica_status olica_hdf5_check_name(olica_env *env, const char *setting, const char *path);

/* Creates (truncates) the file for collective writing; `hints` go to MPI-IO (MPI_INFO_NULL: none). Collective
 * on the context, as are all functions on the handle unless stated otherwise. A system error is OLICA_ERR_IO
 * on every rank, naming file, dataset and cause; the handle may then only be abandoned. */
olica_status olica_hdf5_create(olica_context *context, const char *path, MPI_Info hints, olica_hdf5 **file);

/* Declares a dataset [shape], in the same order on every rank, together with its groups, before the first
 * write. Its number, 0, 1, ..., is its handle for writing. `name` is a path without leading slash. */
olica_status olica_hdf5_dataset(olica_hdf5 *file, const char *name, olica_element type, int dims,
                                const int64_t *shape, int *dataset);

/* Opens a file made by olica_hdf5_create, whose writing was interrupted after olica_hdf5_reserve, to resume
 * it. Declare the same datasets in the same order (a first dimension of 0: as it is in the file), then set
 * the progress of each with olica_hdf5_resume. A missing dataset, or one of another type or shape, is
 * OLICA_ERR_IO. */
olica_status olica_hdf5_reopen(olica_context *context, const char *path, MPI_Info hints, olica_hdf5 **file);

/* The rows of a dataset written so far, and their checksum. */
typedef struct olica_hdf5_progress {
  int64_t rows, crc;
} olica_hdf5_progress;

/* Fill the progress of each declared dataset; set it in a reopened file. Not collective. */
void olica_hdf5_measure(const olica_hdf5 *file, olica_hdf5_progress *progress);
void olica_hdf5_resume(olica_hdf5 *file, const olica_hdf5_progress *progress);

/* Checks that the first `rows` rows of a dataset match its checksum. Rank 0 reads; for small datasets
 * only. */
olica_status olica_hdf5_check(const olica_hdf5 *file, int dataset);

/* Makes the data written so far survive the end of this process and a crash of the machine. */
olica_status olica_hdf5_flush(olica_hdf5 *file);

/* Ends the declarations: reserves the disk's blocks (so that a full disk fails here and not in a collective
 * write), then writes the declarations. The first write does it if it was not called. */
olica_status olica_hdf5_reserve(olica_hdf5 *file);

/* Writes rows [first, first + count) of a dataset. Every rank holds all of them at `rows` (fp32 for the float
 * types, converted here; int32 or bytes as they are). Each rank writes its own block of them; of a small
 * transfer (under 64 KiB) the rank that has written least so far writes all. Each row is written once, in
 * ascending order, since the checksum is updated with each write. The file's contents do not depend on the
 * number of ranks. */
olica_status olica_hdf5_write(olica_hdf5 *file, int dataset, int64_t first, int64_t count, const void *rows);

/* Write root attributes: a string (once), or an integer (may be overwritten). */
olica_status olica_hdf5_attribute_text(olica_hdf5 *file, const char *name, const char *text);
olica_status olica_hdf5_attribute_integer(olica_hdf5 *file, const char *name, int64_t value);

/* Writes the attribute `crc32` of each dataset (`dtype` was written at its declaration) and flushes to disk.
 * OLICA_ERR_INTERNAL if a dataset is incomplete. */
olica_status olica_hdf5_seal(olica_hdf5 *file);

/* close flushes, closes and syncs after success. abandon is for use after a failure, also of close: it frees
 * our memory and leaves HDF5's handles open until the process ends. */
olica_status olica_hdf5_close(olica_hdf5 *file);
void olica_hdf5_abandon(olica_hdf5 *file); /* NULL allowed; not collective */

/* Returns an upper bound of a rank's counted bytes from the reservation to the end: the buffer of a write,
 * for rows of at most `row_bytes` bytes, and the list of the datasets. Pure. */
int64_t olica_hdf5_writer_bytes(int ranks, int64_t row_bytes, int64_t datasets);

/* Returns the bytes of datasets that this rank has written. Not collective. */
double olica_hdf5_bytes_written(const olica_hdf5 *file);

/* Returns the number of collective writes requested, and how many of them HDF5 did collectively. Not
 * collective. */
void olica_hdf5_collective(const olica_hdf5 *file, long *asked, long *made);

/* Reads the index of one of our files into the catalog; called by rank 0, like olica_safetensors_open. Tensor
 * names are the HDF5 paths without leading slash. Everything is validated against the file's size: contiguous
 * layout, known types, shapes. Refused are links other than hard ones, filters, external storage, overlapping
 * datasets, and files in the format before HDF5 1.8, which has no checksums. Root attributes: `format` must
 * be `format`, `schema` must be `schema`, `complete` must be 1. Not collective. */
olica_status olica_hdf5_index(olica_catalog *catalog, const char *path, const char *format, int64_t schema);

/* Returns true if a file, perhaps truncated or damaged and so refused by olica_hdf5_index, begins like our
 * files of that format. Not collective; never fails. */
bool olica_hdf5_begins_as(const char *path, const char *format);

#endif
