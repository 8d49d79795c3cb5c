/* The temporary name of an output, and its final one. Of rank 0; not collective. Private to export. */
#ifndef OLICA_EXPORT_PART_H
#define OLICA_EXPORT_PART_H

#include "kind.h"

/* Checks the names and makes the directory of e->part, with a mark in it (mark.h) that it is ours; what an
 * export that was killed has left there is removed. A directory without that mark is OLICA_ERR_IO, and stays.
 */
olica_status olica_export_part_begin(olica_export *e);

/* Syncs, gives the output its final name, and takes the mark away. With [output] overwrite a file, or a
 * directory that an export has written (replace.h), is replaced. */
olica_status olica_export_part_publish(olica_export *e);

/* Removes what was written, after a failure. */
void olica_export_part_remove(olica_export *e);

#endif
