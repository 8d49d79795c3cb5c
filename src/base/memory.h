/* Counted memory: the program allocates all its own blocks here, so that their peak can be predicted, limited
 * and reported. Blocks are zeroed and aligned to 64 bytes. Large blocks that are freed may stay with the
 * process, for others of about their size, while it then holds no more than at its peak. Not collective. */
#ifndef OLICA_BASE_MEMORY_H
#define OLICA_BASE_MEMORY_H

#include <stddef.h>

#include "base/status.h"

struct olica_env;

/* Bytes of the header in front of a block (private to base). */
enum { OLICA_BLOCK_HEADER = 64 };

typedef struct olica_memory {
  size_t now, peak;           /* bytes */
  size_t limit;               /* bytes, 0: none */
  size_t kept_bytes;          /* of freed blocks that are kept for the next ones; now + kept_bytes <= peak */
  struct olica_block *blocks; /* all live blocks, for olica_memory_free_all */
  struct olica_block *kept;   /* freed blocks, the latest first */
} olica_memory;

/* Allocates `count` zeroed elements of `size` bytes. Returns NULL with OLICA_ERR_MEMORY set in env on
 * overflow, if the limit would be exceeded, or if memory is exhausted; `what` names the block in that
 * message. A count of 0 returns a valid pointer that must be freed. */
void *olica_memory_get(struct olica_env *env, const char *what, size_t count, size_t size);

/* Grows a table that is appended to until it can hold `wanted` elements: if its capacity *room is less,
 * allocates at least twice *room and copies the first `used` elements. `table` is the address of the table's
 * pointer (initially NULL). On failure the table is unchanged. */
olica_status olica_memory_grow(struct olica_env *env, const char *what, void *table, size_t *room,
                               size_t used, size_t wanted, size_t size);

/* OLICA_TRY(OLICA_GROW(env, x, room, used, wanted)): grows a typed table x of capacity `room`. */
#define OLICA_GROW(env, table, room, used, wanted)                                                           \
  olica_memory_grow((env), #table, &(table), &(room), (used), (wanted), sizeof *(table))

/* Counts `bytes` allocated elsewhere (this rank's share of node memory), within the limit; uncount subtracts
 * them again. OLICA_ERR_MEMORY as above. */
olica_status olica_memory_count(struct olica_env *env, const char *what, size_t bytes);
void olica_memory_uncount(struct olica_env *env, size_t bytes);

/* Frees a block; NULL is allowed. */
void olica_memory_free(struct olica_env *env, void *block);

/* Frees all blocks, for olica_env_destroy. */
void olica_memory_free_all(struct olica_env *env);

/* OLICA_TRY(OLICA_NEW(env, x, n)): allocates n zeroed elements of x's type. */
#define OLICA_NEW(env, pointer, count)                                                                       \
  (((pointer) = olica_memory_get((env), #pointer, (count), sizeof *(pointer))) ? OLICA_OK : OLICA_ERR_MEMORY)

/* Frees a block and sets its pointer to NULL. */
#define OLICA_FREE(env, pointer) (olica_memory_free((env), (pointer)), (pointer) = NULL)

/* Returns a counted copy of a C string; NULL as for olica_memory_get. */
char *olica_memory_string(struct olica_env *env, const char *text);

#endif
