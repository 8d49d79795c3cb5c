/* The frame of a restart file: its first block, which is written last, and the table of its sections. Called
 * on one rank; not collective. Private to store.
 *
 *     block 0      magic, sequence, offset of the table, checksums; zeros while the file is being written
 *     block 1 ...  the sections, each at the beginning of a block
 *     ...          the table, JSON
 */
#ifndef OLICA_STORE_RESTART_FILE_H
#define OLICA_STORE_RESTART_FILE_H

#include <stdint.h>

#include "base/env.h"

enum { OLICA_RESTART_BLOCK = 4096 };

/* Returns the bytes of the blocks of a section of so many bytes. */
int64_t olica_restart_file_aligned(int64_t bytes);

/* Reads the table as text, to be freed, its length, and the number by which files are ordered in time.
 * OLICA_ERR_INPUT: the file is incomplete or damaged. OLICA_ERR_CONFIG: another version of the program has
 * written it. Other errors are the system's, and do not mean that the file is bad. *text is NULL after all of
 * them. */
olica_status olica_restart_file_read(olica_env *env, const char *path, int64_t *sequence, char **text,
                                     int64_t *text_bytes);

/* Creates the file or opens an old one, marks it as incomplete, and reserves blocks for `bytes`. */
olica_status olica_restart_file_begin(olica_env *env, const char *path, int64_t bytes);

/* Writes the table, at `offset`, and the first block; called when the sections are on the disk.
 * OLICA_ERR_INTERNAL: the table is longer than read accepts. */
olica_status olica_restart_file_end(olica_env *env, const char *path, int64_t offset, int64_t sequence,
                                    const char *text);

#endif
