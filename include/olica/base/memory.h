/* Counted memory: every block the program allocates for itself goes through here, so that the high-water mark
 * can be predicted, limited and reported. Blocks are zeroed and aligned to 64 bytes. Not collective. */
#ifndef OLICA_BASE_MEMORY_H
#define OLICA_BASE_MEMORY_H

#include <stddef.h>

#include "olica/base/status.h"

struct olica_env;

/* Bytes in front of a block (private to base). */
enum { OLICA_BLOCK_HEADER = 64 };

typedef struct olica_memory {
  size_t now, peak;           /* bytes */
  size_t limit;               /* bytes, 0: none */
  struct olica_block *blocks; /* all live blocks, for olica_env_destroy */
} olica_memory;

/* Returns `count` zeroed elements of `size` bytes, or NULL with OLICA_ERR_MEMORY set in env (overflow, limit,
 * no memory); `what` names the block in that message. A count of 0 gives a valid pointer to free. */
void *olica_memory_get(struct olica_env *env, const char *what, size_t count, size_t size);

/* Makes room for `wanted` elements in a table that is appended to: where its *room is less, it becomes twice
 * as large at least, and its first `used` elements move. `table` is the address of the pointer to it (to NULL
 * at first). After a failure the table is as it was. */
olica_status olica_memory_grow(struct olica_env *env, const char *what, void *table, size_t *room,
                               size_t used, size_t wanted, size_t size);

/* OLICA_TRY(OLICA_GROW(env, x, room, used, wanted)): for a table x of its own type. */
#define OLICA_GROW(env, table, room, used, wanted)                                                           \
  olica_memory_grow((env), #table, &(table), &(room), (used), (wanted), sizeof *(table))

/* Counts `bytes` that lie elsewhere (this rank's share of what a node has once), within the limit, and counts
 * them off again. OLICA_ERR_MEMORY as above. */
olica_status olica_memory_count(struct olica_env *env, const char *what, size_t bytes);
void olica_memory_uncount(struct olica_env *env, size_t bytes);

/* Gives a block back; NULL is allowed. */
void olica_memory_free(struct olica_env *env, void *block);

/* OLICA_TRY(OLICA_NEW(env, x, n)): x becomes n zeroed elements of its own type. */
#define OLICA_NEW(env, pointer, count)                                                                       \
  (((pointer) = olica_memory_get((env), #pointer, (count), sizeof *(pointer))) ? OLICA_OK : OLICA_ERR_MEMORY)

/* Frees and forgets. */
#define OLICA_FREE(env, pointer) (olica_memory_free((env), (pointer)), (pointer) = NULL)

/* A counted copy of a C string, NULL as above. */
char *olica_memory_string(struct olica_env *env, const char *text);

#endif
