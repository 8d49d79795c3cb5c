/* An exported directory in the place of one that an earlier export has written. Of rank 0; not collective.
 * Private to export. */
#ifndef OLICA_EXPORT_REPLACE_H
#define OLICA_EXPORT_REPLACE_H

#include "kind.h"

/* Checks that `path` is a directory that holds an export of this program and nothing else: only the files of
 * its OLICA_EXPORT_LIST. Else OLICA_ERR_CONFIG, which names what is there and the way out, beginning with
 * `where`. */
olica_status olica_export_replaceable(olica_env *env, const char *where, const char *path);

/* Gives the whole directory e->part the name e->path, which another export has, and removes that one. Both
 * are exchanged at once where the file system can; else the old one is PATH.replaced for a moment. Whenever
 * it is interrupted, a whole export is there, under PATH or PATH.replaced. A failure leaves the old one under
 * its name, and the new one in e->part. OLICA_ERR_IO. */
olica_status olica_export_replace(olica_export *e);

/* Ends what an export that was killed in between has left: gives PATH.replaced its name back if there is no
 * PATH, else removes it. OLICA_ERR_IO. */
olica_status olica_export_recover(olica_export *e);

#endif
