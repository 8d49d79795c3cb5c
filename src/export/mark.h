/* The mark OLICA_EXPORT_MARK in a directory: we may remove it under a temporary name. Of rank 0; not
 * collective. Private to export. */
#ifndef OLICA_EXPORT_MARK_H
#define OLICA_EXPORT_MARK_H

#include "kind.h"

/* Put the mark into a directory (OLICA_ERR_IO), take it away, and tell whether it is there. */
olica_status olica_export_mark_put(olica_env *env, const char *directory);
void olica_export_mark_remove(const char *directory);
bool olica_export_mark_there(const char *directory);

/* Unlinks the regular files of a marked directory, the mark last, and removes it. Tells whether it is gone.
 */
bool olica_export_mark_clear(const char *directory);

/* Makes the entries of a directory survive a crash of the machine. OLICA_ERR_IO. */
olica_status olica_export_mark_sync(olica_env *env, const char *directory);

#endif
