/* Files as bytes: exact reads, whole small files, and making a finished file appear under its name. Not
 * collective; failures name the file. */
#ifndef OLICA_IO_FILE_H
#define OLICA_IO_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "olica/base/env.h"

/* Opens a regular file for reading and tells its size; the caller closes `fd`. Missing, or no regular file (a
 * directory, a pipe, a device: none of them is waited for): OLICA_ERR_INPUT; not readable: OLICA_ERR_IO. */
olica_status olica_file_open(olica_env *env, const char *path, int *fd, int64_t *bytes);

/* Reads exactly `bytes` bytes at `offset` of an open file (pread, whatever its short reads and EINTR).
 * `path` is for the message; an early end is OLICA_ERR_INPUT, the system's refusal OLICA_ERR_IO. */
olica_status olica_file_read(olica_env *env, int fd, const char *path, int64_t offset, void *data,
                             size_t bytes);

/* Reads a whole file of at most `limit` bytes into counted memory, NUL-terminated past its end. */
olica_status olica_file_load(olica_env *env, const char *path, size_t limit, char **data, size_t *bytes);

/* Opens a regular file for writing at any place, as it is, made if there is none; a link is not followed.
 * What the system refuses is OLICA_ERR_IO, as for the two below. The caller closes `fd`. */
olica_status olica_file_edit(olica_env *env, const char *path, int *fd);

/* Writes `bytes` bytes at `offset` (pwrite, whatever its short writes and EINTR). */
olica_status olica_file_write(olica_env *env, int fd, const char *path, int64_t offset, const void *data,
                              size_t bytes);

/* Makes the file `bytes` long and takes the disk's blocks for all of it, so that a full disk shows here. */
olica_status olica_file_reserve(olica_env *env, int fd, const char *path, int64_t bytes);

/* What was written to an open file, and that there is a file of that name, survives the machine. */
olica_status olica_file_sync(olica_env *env, int fd, const char *path);
olica_status olica_file_sync_name(olica_env *env, const char *path);

/* Writes a small file whole: beside it as NAME.part, then published. Nothing is left behind on failure. */
olica_status olica_file_save(olica_env *env, const char *path, const void *data, size_t bytes);

/* Where a file of that name is: `path` itself, or what it leads to if it is a symbolic link, hop by hop,
 * whether there is a file at the end or not. In counted memory, the caller's. Links in a circle:
 * OLICA_ERR_IO. Links of directories are the system's. */
olica_status olica_file_follow(olica_env *env, const char *path, char **target);

/* Can a directory of that name, which is not there, be made? What stands against it is OLICA_ERR_IO. Writes
 * nothing. */
olica_status olica_file_probe_directory(olica_env *env, const char *directory);

/* Before a long run: can `path` be written as NAME.part and put in place? Asks for its directory, for what
 * lies under both names, and for the permission; `touch` makes the file for a moment, to be sure, else
 * nothing is written. What stands against it is OLICA_ERR_IO. */
olica_status olica_file_probe(olica_env *env, const char *path, bool touch);

/* fsync of `from`, rename to `to`, fsync of the directory: the file is there whole or not at all. What exists
 * as `to` and is no regular file is left alone; without `replace` whatever exists. On failure `from` stays,
 * its owner decides about it. */
olica_status olica_file_publish(olica_env *env, const char *from, const char *to, bool replace);

/* `name` as seen from the directory that holds `base` (absolute names stay). Counted string. */
olica_status olica_file_resolve(olica_env *env, const char *base, const char *name, char **path);

#endif
