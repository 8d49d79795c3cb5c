/* The writer: one output of named tensors, made by all ranks together under a temporary name, and put under
 * its own name when it is whole. The form of the output is a row of the table in src/store/writer.c; callers
 * name it once and are otherwise the same for all.
 *
 *     open -> declare ... -> begin -> write ... -> seal -> publish -> leave
 *                                       flush, then at any time: leave
 *     open with progress -> declare ... (the same items) -> begin -> write ...
 *
 * Collective on the context, in the same order with the same arguments on all ranks, unless stated otherwise.
 * After a failure the writer may only be left or abandoned. */
#ifndef OLICA_STORE_WRITER_H
#define OLICA_STORE_WRITER_H

#include "io/catalog.h"

typedef enum olica_format { OLICA_FORMAT_HDF5, OLICA_FORMATS } olica_format;

typedef enum olica_item_kind {
  OLICA_ITEM_TENSOR,
  OLICA_ITEM_TEXT, /* bytes about the model: in a reopened output they stay, of any length */
  OLICA_ITEM_MARK  /* a text that no other run writes alike: a reopened output is known by it */
} olica_item_kind;

typedef struct olica_writer_item {
  char name[OLICA_TENSOR_NAME]; /* path without leading slash */
  olica_item_kind kind;
  olica_element type;
  int dims;
  int64_t shape[2]; /* [dims] rows, columns */
} olica_writer_item;

typedef struct olica_writer_options {
  olica_format format;
  const char *path;     /* the final name; written as path.part */
  const char *contents; /* what the output says that it holds, */
  int64_t schema;       /* and in which version */
  MPI_Info hints;       /* for MPI-IO; MPI_INFO_NULL: none */
} olica_writer_options;

typedef struct olica_writer olica_writer;

/* Creates an output (progress NULL): removes what another run has left under the temporary name; nothing is
 * left after a failure. With the bytes of progress of a flush, borrowed until begin, reopens that output to
 * resume it: one that is missing, or of a format that cannot be resumed, is OLICA_ERR_IO; it stays as it is
 * after a failure. */
olica_status olica_writer_open(olica_context *context, const olica_writer_options *options,
                               const void *progress, int64_t progress_bytes, olica_writer **writer);

/* Announces an item, all of them before begin. *number, 0, 1, ..., is its handle. A reopened output wants
 * those that it was created with, in the same order; another name, type or shape is OLICA_ERR_IO. */
olica_status olica_writer_declare(olica_writer *writer, const olica_writer_item *item, int *number);

/* Ends the declarations: every item has its place, and the disk has space for all. In a reopened output the
 * mark is compared with the progress (OLICA_ERR_IO), and what was written after the flush is written again.
 */
olica_status olica_writer_begin(olica_writer *writer);

/* Writes rows [first, first + count) of an item. Every rank holds all of them at `rows` (fp32 for float
 * types, converted here; others as they are) and writes its part. Each row is written once, in ascending
 * order. The bytes of the output do not depend on the number of ranks. */
olica_status olica_writer_write(olica_writer *writer, int number, int64_t first, int64_t count,
                                const void *rows);

/* Makes the data written so far survive the end of this process and a crash of the machine, and fills
 * `progress` [olica_writer_progress_bytes, counted memory or aligned like it], the same on every rank: only
 * the format knows what it means. */
olica_status olica_writer_flush(olica_writer *writer, void *progress);

/* Bytes of progress after begin; of an output with so many items. 0: the format cannot be resumed. Not
 * collective, pure. */
int64_t olica_writer_progress_bytes(const olica_writer *writer);
int64_t olica_format_progress_bytes(olica_format format, int64_t items);

/* Completes the output under its temporary name: it can be read. OLICA_ERR_INTERNAL if rows are missing. */
olica_status olica_writer_seal(olica_writer *writer);

/* Renames a sealed output to its final name; an existing one is replaced only with `replace`. *taken, the
 * same on every rank: refused because something has the name. After a failure the temporary name stays. */
olica_status olica_writer_publish(olica_writer *writer, bool replace, bool *taken);

/* End this process's part and free the writer: leave keeps the output under the name that it has; abandon
 * also removes the temporary name. Not collective; NULL allowed. */
void olica_writer_leave(olica_writer *writer);
void olica_writer_abandon(olica_writer *writer);

/* Checks before a long run that the format's library accepts a file name; OLICA_ERR_CONFIG naming `setting`
 * and the ways out. Not collective: one rank, after MPI_Init. */
olica_status olica_writer_check_name(olica_env *env, olica_format format, const char *setting,
                                     const char *path);

/* Removes what lies under the temporary name of `path`, which nobody has open. Not collective: one rank. */
void olica_writer_discard(olica_env *env, olica_format format, const char *path);

/* Return the temporary name, borrowed, and the bytes of items that this rank has written. Not collective. */
const char *olica_writer_part(const olica_writer *writer);
double olica_writer_written(const olica_writer *writer);

/* Bounds the counted bytes of one of so many ranks while it writes items with rows of at most `row_bytes`
 * bytes. Pure. */
int64_t olica_format_memory(olica_format format, int ranks, int64_t row_bytes, int64_t items);

/* Returns the name of a format, "hdf5". Pure. */
const char *olica_format_name(olica_format format);

/* Looks an item up in the catalog of a finished output. One that is missing, or has another type or shape, is
 * OLICA_ERR_INPUT naming file, item, what was found and what was expected. Not collective. */
olica_status olica_writer_find(const olica_catalog *catalog, const olica_writer_item *item,
                               const olica_tensor **tensor);

#endif
