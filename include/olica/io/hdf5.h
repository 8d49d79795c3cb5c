/* Parallel HDF5: one file written collectively by all ranks, contiguous datasets made in one pass, and its
 * index as a catalog for reading. No model knowledge. After a failed collective write the file is abandoned,
 * never closed by HDF5 on some ranks alone. Guards: no aggregators and no data sieving in MPI-IO unless the
 * user asks for them, the file's blocks reserved before the first write, collective writes of at most 16 MiB
 * (or 128 KiB a rank), no type conversion in them. */
#ifndef OLICA_IO_HDF5_H
#define OLICA_IO_HDF5_H

#include "olica/io/catalog.h"

typedef struct olica_hdf5 olica_hdf5;

/* What a dataset holds: numbers of a dtype (bf16 as little-endian uint16), int32, or bytes. */
typedef enum olica_hdf5_type {
  OLICA_HDF5_FP32 = OLICA_FP32,
  OLICA_HDF5_FP16 = OLICA_FP16,
  OLICA_HDF5_BF16 = OLICA_BF16,
  OLICA_HDF5_INT32,
  OLICA_HDF5_BYTES,
  OLICA_HDF5_FP64
} olica_hdf5_type;

/* "fp32", "fp16", "bf16", "int32", "uint8", "fp64": the attribute `dtype`; bytes of one. */
const char *olica_hdf5_type_name(olica_hdf5_type type);
size_t olica_hdf5_type_size(olica_hdf5_type type);

/* To be called by main (and a test) before MPI_Init: sets OMPI_MCA_fcoll=individual,
 * OMPI_MCA_fbtl_posix_write_datasieving=0 and OMPI_MCA_sharedfp=^lockedfile (^lockedfile,sm where /dev/shm
 * cannot be written to) unless the user has set them, and starts HDF5, silent and so that it leaves abandoned
 * files alone when MPI ends. */
void olica_hdf5_start(void);

/* Will MPI-IO take this name? ROMIO reads what stands before a colon as a kind of file system, and opens
 * another file: OLICA_ERR_CONFIG naming `setting`, the colon, and the ways out. Writes nothing; one rank
 * asks, after MPI_Init. */
olica_status olica_hdf5_check_name(olica_env *env, const char *setting, const char *path);

/* Creates (truncates) the file for collective writing; `hints` go to MPI-IO (MPI_INFO_NULL: none). Collective
 * on the context, as are all functions on the handle but those that say otherwise. What the system refuses is
 * OLICA_ERR_IO on every rank, naming file, dataset and cause; the handle is then good for abandon only. */
olica_status olica_hdf5_create(olica_context *context, const char *path, MPI_Info hints, olica_hdf5 **file);

/* Declares a dataset [shape], in the same order on every rank, with its groups, before the first write. Its
 * number, 0, 1, ..., is its handle for writing. `name` is a path without leading slash. */
olica_status olica_hdf5_dataset(olica_hdf5 *file, const char *name, olica_hdf5_type type, int dims,
                                const int64_t *shape, int *dataset);

/* Opens a file that olica_hdf5_create has made, whose writing ended after olica_hdf5_reserve, to go on with
 * it. The same datasets are declared in the same order (a first dimension of 0: as it is), then
 * olica_hdf5_resume says how far each has come. What is not there, or of another type or shape, is
 * OLICA_ERR_IO. */
olica_status olica_hdf5_reopen(olica_context *context, const char *path, MPI_Info hints, olica_hdf5 **file);

/* How far a dataset has been written, and the checksum of that. */
typedef struct olica_hdf5_progress {
  int64_t rows, crc;
} olica_hdf5_progress;

/* Number of datasets declared; how far each of them is [count]; takes that up in a reopened file. Not
 * collective. */
int olica_hdf5_datasets(const olica_hdf5 *file);
void olica_hdf5_measure(const olica_hdf5 *file, olica_hdf5_progress *progress);
void olica_hdf5_resume(olica_hdf5 *file, const olica_hdf5_progress *progress);

/* Is a dataset's beginning, its first `rows` rows, what its checksum says? Rank 0 reads; small datasets
 * only. */
olica_status olica_hdf5_check(const olica_hdf5 *file, int dataset);

/* What was written so far survives the end of this process, and of the machine. */
olica_status olica_hdf5_flush(olica_hdf5 *file);

/* Ends the declarations: the disk's blocks are taken now (a full disk shows here, not in the middle of a
 * collective write), then what was declared is written. The first write does it if nobody has. */
olica_status olica_hdf5_reserve(olica_hdf5 *file);

/* Writes rows [first, first + count) of a dataset. Every rank holds all of them at `rows` (fp32 for the float
 * types: converted here; int32 or bytes as they are); each rank writes its own block of them, or the rank
 * that has written least so far all of a small transfer (under 64 KiB). Rows are written in ascending order,
 * each once: the checksum runs along. What is in the file does not depend on the number of ranks. */
olica_status olica_hdf5_write(olica_hdf5 *file, int dataset, int64_t first, int64_t count, const void *rows);

/* Root attributes: a string (once), or an integer (again and again: the last one stays). */
olica_status olica_hdf5_attribute_text(olica_hdf5 *file, const char *name, const char *text);
olica_status olica_hdf5_attribute_integer(olica_hdf5 *file, const char *name, int64_t value);

/* Writes each dataset's attribute `crc32` (`dtype` is there since its declaration), flushes to disk. Every
 * dataset must have been written whole (else OLICA_ERR_INTERNAL). */
olica_status olica_hdf5_seal(olica_hdf5 *file);

/* Flushes, closes and syncs after success; abandon after a failure, also of close (releases our memory,
 * leaves HDF5's handles to the end of the process). */
olica_status olica_hdf5_close(olica_hdf5 *file);
void olica_hdf5_abandon(olica_hdf5 *file); /* NULL allowed; not collective */

/* Counted bytes of one of so many ranks from the reservation to the end, at most: the buffer of a write, for
 * rows of at most so many bytes, and the list of the datasets. Pure. */
int64_t olica_hdf5_writer_bytes(int ranks, int64_t row_bytes, int64_t datasets);

/* Bytes of datasets this rank has written. Not collective. */
double olica_hdf5_bytes_written(const olica_hdf5 *file);

/* How many collective writes there were, and how many of them HDF5 did not make independent. Not collective.
 */
void olica_hdf5_collective(const olica_hdf5 *file, long *asked, long *made);

/* Reads the index of a file of ours into the catalog: rank 0's work, as olica_safetensors_open. Names are the
 * HDF5 paths without leading slash. Everything is checked against the file's size before it is believed:
 * contiguous layout, known types, shapes; links other than hard ones, filters and external storage are
 * refused, datasets that overlap, and files in the format before HDF5 1.8, which has no checksums. Root
 * attributes: `format` must be `format`, `schema` must be `schema`, `complete` must be 1. Not collective. */
olica_status olica_hdf5_index(olica_catalog *catalog, const char *path, const char *format, int64_t schema);

/* Whether a file that olica_hdf5_index may have refused, since it is cut off or damaged, begins as ours of
 * that format do. Not collective, never fails. */
bool olica_hdf5_begins_as(const char *path, const char *format);

#endif
