/* The places of items in files, and the writing of their bytes by all ranks. Private to export. */
#ifndef OLICA_EXPORT_WRITE_H
#define OLICA_EXPORT_WRITE_H

#include "kind.h"

/* Gives every item its file and offset, and makes the heads. A directory's files hold at most
 * e->options->shard bytes of tensors, or one larger tensor. Every rank, the same result; not collective. */
olica_status olica_export_place(olica_export *e);

/* Writes all files under the temporary name, which exists if it is a directory: rank 0 reserves their blocks
 * and writes the heads, every rank fills and writes its share of the rows, and syncs. Collective. */
olica_status olica_export_write(olica_export *e);

/* Returns the path of a file of the output under its temporary name, in `path` [OLICA_FILE_PATH]. Pure. */
const char *olica_export_file_path(const olica_export *e, const char *name, char *path);

#endif
