/* One process at a time: a lock on a file beside an output, so that two jobs that were started with the same
 * config do not write over each other. Not collective. */
#ifndef OLICA_IO_LOCK_H
#define OLICA_IO_LOCK_H

#include <stdbool.h>

#include "olica/base/env.h"

/* Makes `path`.lock and locks it; the kernel lets go when the process ends, however it ends. An empty file
 * that a killed process has left is taken over; anything else under that name is OLICA_ERR_CONFIG.
 * OLICA_ERR_IO where another process holds it. *fd is for the release; -1 where the file system knows no
 * locks: then there is none. */
olica_status olica_lock_take(olica_env *env, const char *path, int *fd);

/* The same for a caller that can do without: *held, and no failure, where another process holds it. */
olica_status olica_lock_try(olica_env *env, const char *path, int *fd, bool *held);

/* Does another process hold it? Makes nothing, and takes it at most for a moment. False also where that
 * cannot be told. */
bool olica_lock_held(olica_env *env, const char *path);

/* Lets go, and removes the file if it is still the one that was locked. fd -1: nothing. */
void olica_lock_release(olica_env *env, const char *path, int fd);

#endif
