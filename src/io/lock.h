/* Mutual exclusion of processes: a lock on a file beside an output, so that two jobs started with the same
 * config do not overwrite each other's output. Not collective. */
#ifndef OLICA_IO_LOCK_H
#define OLICA_IO_LOCK_H

#include <stdbool.h>

#include "base/env.h"

/* Creates `path`.lock and locks it; the kernel releases the lock when the process ends, however it ends.
 * Reuses an empty file left by a killed process; any other file of that name is OLICA_ERR_CONFIG.
 * OLICA_ERR_IO if another process holds the lock. *fd is for the release; -1 if the file system does not
 * support locks: then there is no lock. */
olica_status olica_lock_take(olica_env *env, const char *path, int *fd);

/* Does the same, but if another process holds the lock, returns OLICA_OK and sets *held. */
olica_status olica_lock_try(olica_env *env, const char *path, int *fd, bool *held);

/* Returns true if another process holds the lock; false also if that is unknown. Creates no file, and takes
 * the lock at most for a moment. */
bool olica_lock_held(olica_env *env, const char *path);

/* Releases the lock, and removes the file if it is still the locked one. Does nothing if fd is -1. */
void olica_lock_release(olica_env *env, const char *path, int fd);

#endif
