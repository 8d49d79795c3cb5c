/* An arena: one block that is handed out in aligned pieces, the arrays of an object. Without a block it only
 * measures, so that the code that lays out an object is also the code that estimates its memory:
 *
 *     static size_t lay_out(thing *t, void *block) {
 *       olica_arena arena = {.block = block};
 *       OLICA_TAKE(&arena, t->rows, n);
 *       OLICA_TAKE(&arena, t->sum, d);
 *       return arena.used;
 *     }
 *
 *     lay_out(&t, NULL)                                       the bytes, for an estimate: pointers are NULL
 *     OLICA_LAY_OUT(env, "a thing", t.block, lay_out, &t)     allocates the block, zeroed, and lays out in it
 *     olica_memory_free(env, t.block)                         frees all pieces
 *
 * Not collective. */
#ifndef OLICA_BASE_ARENA_H
#define OLICA_BASE_ARENA_H

#include "base/memory.h"

typedef struct olica_arena {
  void *block; /* aligned to 64 bytes; NULL: only measures */
  size_t used; /* bytes handed out, a multiple of 64 */
} olica_arena;

/* Returns the next piece, `count` elements of `size` bytes, aligned to 64 bytes; NULL if the arena only
 * measures. */
void *olica_arena_take(olica_arena *arena, size_t count, size_t size);

/* Sets a pointer to a piece of `count` elements of its type. */
#define OLICA_TAKE(arena, pointer, count)                                                                    \
  ((pointer) = olica_arena_take((arena), (size_t)(count), sizeof *(pointer)))

/* OLICA_TRY(OLICA_LAY_OUT(env, what, block, lay_out, object)): allocates `block` for the object, and lays it
 * out there. OLICA_ERR_MEMORY; `what` names the block in that message. */
#define OLICA_LAY_OUT(env, what, block, lay_out, object)                                                     \
  (((block) = olica_memory_get((env), (what), lay_out((object), NULL), 1))                                   \
       ? (lay_out((object), (block)), OLICA_OK)                                                              \
       : OLICA_ERR_MEMORY)

#endif
