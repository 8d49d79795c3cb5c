#include "base/arena.h"

void *olica_arena_take(olica_arena *arena, size_t count, size_t size) {
  const size_t unit = OLICA_BLOCK_HEADER; /* the alignment of blocks */
  void *piece = arena->block ? (char *)arena->block + arena->used : NULL;
  arena->used += (count * size + unit - 1) / unit * unit;
  return piece;
}
