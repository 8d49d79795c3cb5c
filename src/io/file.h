/* Files as bytes: exact reads, whole small files, and atomic publication of a finished file under its name.
 * Not collective; failures name the file. */
#ifndef OLICA_IO_FILE_H
#define OLICA_IO_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"

enum { OLICA_FILE_PATH = 1024 }; /* longest path of a file that is read and written, its NUL included */

/* Opens a regular file for reading and returns its size; the caller closes `fd`. OLICA_ERR_INPUT if it is
 * missing or not a regular file (a directory, a pipe, a device; none of them blocks); OLICA_ERR_IO if it is
 * not readable. */
olica_status olica_file_open(olica_env *env, const char *path, int *fd, int64_t *bytes);

/* Reads exactly `bytes` bytes at `offset` of an open file, by pread, handling short reads and EINTR. `path`
 * is for messages. OLICA_ERR_INPUT if the file ends early; OLICA_ERR_IO on a system error. */
olica_status olica_file_read(olica_env *env, int fd, const char *path, int64_t offset, void *data,
                             size_t bytes);

/* Reads a whole file of at most `limit` bytes into counted memory, followed by a NUL byte. */
olica_status olica_file_load(olica_env *env, const char *path, size_t limit, char **data, size_t *bytes);

/* Opens a regular file for writing at any position, creating it if missing and keeping its contents; does not
 * follow a link. OLICA_ERR_IO on a system error, as for the two below. The caller closes `fd`. */
olica_status olica_file_edit(olica_env *env, const char *path, int *fd);

/* Writes `bytes` bytes at `offset`, by pwrite, handling short writes and EINTR. */
olica_status olica_file_write(olica_env *env, int fd, const char *path, int64_t offset, const void *data,
                              size_t bytes);

/* Extends the file to `bytes` and allocates its disk blocks, so that a full disk fails here. */
olica_status olica_file_reserve(olica_env *env, int fd, const char *path, int64_t bytes);

/* Makes the data of an open file, and its directory entry, survive a crash of the machine. */
olica_status olica_file_sync(olica_env *env, int fd, const char *path);
olica_status olica_file_sync_name(olica_env *env, const char *path);

/* Writes a small file atomically: as NAME.part, then published. Leaves nothing behind on failure. */
olica_status olica_file_save(olica_env *env, const char *path, const void *data, size_t bytes);

/* Resolves a symbolic link: returns `path` itself, or the final target, whether that exists or not. Counted
 * memory, owned by the caller. OLICA_ERR_IO for a cycle of links. Links among the directories are left to the
 * system. */
olica_status olica_file_follow(olica_env *env, const char *path, char **target);

/* Checks that a missing directory can be created; OLICA_ERR_IO if not. Writes nothing. */
olica_status olica_file_probe_directory(olica_env *env, const char *directory);

/* Checks before a long run that `path` can be written as NAME.part and renamed: its directory, whatever
 * exists under both names, and the permissions. With `touch` creates the file for a moment to be sure;
 * otherwise writes nothing. OLICA_ERR_IO if not. */
olica_status olica_file_probe(olica_env *env, const char *path, bool touch);

/* Publishes a file: fsync of `from`, rename to `to`, fsync of the directory; afterwards `to` is complete or
 * absent. Refuses to replace anything but a regular file, and without `replace` anything at all: *taken tells
 * that this was the reason. On failure `from` stays, and the caller decides about it. */
olica_status olica_file_publish(olica_env *env, const char *from, const char *to, bool replace, bool *taken);

/* Returns NAME.part, under which an output is written: a counted string of the caller's; NULL: no memory. */
char *olica_file_part(olica_env *env, const char *path);

/* Resolves `name` against the directory of `base` (absolute names stay). Counted string. */
olica_status olica_file_resolve(olica_env *env, const char *base, const char *name, char **path);

#endif
