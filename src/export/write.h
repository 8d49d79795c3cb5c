/* The places of items in files, and the writing of their bytes by all ranks. Private to export. */
#ifndef OLICA_EXPORT_WRITE_H
#define OLICA_EXPORT_WRITE_H

#include "kind.h"

/* Gives every item its file and offset, and makes the heads. A directory's files hold at most
 * e->options->shard bytes of tensors, or one larger tensor. Every rank, the same result; not collective. */
olica_status olica_export_place(olica_export *e);

/* Writes all files under the temporary name, which exists if it is a directory: rank 0 reserves their blocks
 * and writes the heads (not that of a single file), every rank fills and writes its share of the rows, and
 * syncs. Collective. */
olica_status olica_export_write(olica_export *e);

/* Writes the head of a file under the temporary name: of a single file when all else is synced, so that one
 * which was interrupted begins with zeros. Rank 0; not collective. */
olica_status olica_export_write_head(olica_export *e, const olica_export_file *file);

/* Return the bytes of an item's row, and how many rows are made together: the cuts depend on the shape alone.
 * Pure. */
int64_t olica_export_row_bytes(const olica_export_item *item);
int64_t olica_export_block_rows(const olica_export_item *item);

/* Turns n numbers, whole rows from `first` on, into the item's type; counts those that become 0. One that the
 * type cannot hold is OLICA_ERR_CONFIG. Not collective. */
olica_status olica_export_encode(olica_export *e, const olica_export_item *item, int64_t first,
                                 const float *rows, size_t n, void *to);

/* Returns the path of a file of the output under its temporary name, in `path` [OLICA_FILE_PATH]. Pure. */
const char *olica_export_file_path(const olica_export *e, const char *name, char *path);

#endif
