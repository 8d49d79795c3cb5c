/* One process at a time: a lock on a file beside an output, so that two jobs that were started with the same
 * config do not write over each other. Not collective. */
#ifndef OLICA_IO_LOCK_H
#define OLICA_IO_LOCK_H

#include "olica/base/env.h"

/* Makes `path`.lock and locks it; the kernel lets go when the process ends, however it ends. OLICA_ERR_IO
 * where another process holds it. *fd is for the release; -1 where the file system knows no locks: then there
 * is none. */
olica_status olica_lock_take(olica_env *env, const char *path, int *fd);

/* Lets go, and removes the file. fd -1: nothing. */
void olica_lock_release(olica_env *env, const char *path, int fd);

#endif
