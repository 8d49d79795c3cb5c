/* What makes a restart file whole: its first block, which is written last, and the table of its sections.
 * The work of one rank. Private to store.
 *
 *     block 0      magic, sequence, place of the table, checksums; zeros while the file is being written
 *     block 1 ...  the sections, each from the beginning of a block
 *     ...          the table, JSON
 */
#ifndef OLICA_STORE_RESTART_FILE_H
#define OLICA_STORE_RESTART_FILE_H

#include <stdint.h>

#include "base/env.h"

enum { OLICA_RESTART_BLOCK = 4096 };

/* Bytes that a section of so many takes. */
int64_t olica_restart_file_aligned(int64_t bytes);

/* The table as text, to be freed, and its length; which of several files is the newest. OLICA_ERR_INPUT: the
 * file is not whole, and does not count; what else fails is the system's refusal, and says nothing about the
 * file. *text is NULL after both. */
olica_status olica_restart_file_read(olica_env *env, const char *path, int64_t *sequence, char **text,
                                     int64_t *text_bytes);

/* The file is there, says that it is not whole, and has the blocks of `bytes`. */
olica_status olica_restart_file_begin(olica_env *env, const char *path, int64_t bytes);

/* Once the sections are safe: the table, at `offset`, and the first block. OLICA_ERR_INTERNAL: the table is
 * longer than one that would be read. */
olica_status olica_restart_file_end(olica_env *env, const char *path, int64_t offset, int64_t sequence,
                                    const char *text);

#endif
