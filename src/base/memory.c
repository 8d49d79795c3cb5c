#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/env.h"

/* The header in front of every block, one alignment unit long. */
struct olica_block {
  struct olica_block *previous, *next;
  size_t bytes;
  size_t room; /* bytes allocated behind the header: more where a larger block was used again */
};

/* Large blocks that were freed are kept for the next ones of about their size: fresh pages cost a fault and
 * are cleared by the system first. All kept and all live blocks together stay below the peak of the live
 * ones. Blocks of address sanitizer's builds are never kept: it has to see what is used after its end. */
#ifdef __SANITIZE_ADDRESS__
enum { KEPT_FROM = INT32_MAX };
#else
enum { KEPT_FROM = 4 << 20 };
#endif

_Static_assert(sizeof(struct olica_block) <= OLICA_BLOCK_HEADER, "the header fits in front of a block");

static olica_status add(olica_env *env, const char *what, size_t bytes) {
  olica_memory *memory = &env->memory;
  if (memory->limit && bytes > memory->limit - (memory->now < memory->limit ? memory->now : memory->limit))
    return olica_error_set(env, OLICA_ERR_MEMORY,
                           "memory: %s needs %zu bytes; %zu are in use and [compute] memory allows %zu", what,
                           bytes, memory->now, memory->limit);
  memory->now += bytes;
  if (memory->now > memory->peak) memory->peak = memory->now;
  return OLICA_OK;
}

void olica_memory_uncount(olica_env *env, size_t bytes) {
  env->memory.now -= bytes;
}

/* Asks for large pages for large blocks: products read more memory than the TLB covers with small pages. */
static void ask_for_huge_pages(void *block, size_t bytes) {
  const size_t huge = 2 << 20;
  size_t before = (huge - (uintptr_t)block % huge) % huge;
  size_t whole = bytes > before ? (bytes - before) / huge * huge : 0;
  if (whole > 0) madvise((char *)block + before, whole, MADV_HUGEPAGE);
}

/* Returns a kept block for `bytes`, at most an eighth of them larger; NULL: there is none. */
static struct olica_block *take_kept(olica_memory *memory, size_t bytes) {
  enum { WASTE = 8 };
  for (struct olica_block **link = &memory->kept; *link; link = &(*link)->next) {
    struct olica_block *block = *link;
    if (block->room < bytes || block->room - bytes > bytes / WASTE) continue;
    *link = block->next;
    memory->kept_bytes -= block->room;
    return block;
  }
  return NULL;
}

/* Frees the blocks that were kept longest, until at most `most` bytes are kept. */
static void drop_kept(olica_memory *memory, size_t most) {
  while (memory->kept_bytes > most) {
    struct olica_block **link = &memory->kept;
    while ((*link)->next) link = &(*link)->next;
    memory->kept_bytes -= (*link)->room;
    free(*link);
    *link = NULL;
  }
}

/* Returns a block for `bytes`, which are counted already; NULL if memory is exhausted. */
static struct olica_block *allocate(olica_memory *memory, size_t bytes) {
  struct olica_block *block = take_kept(memory, bytes);
  drop_kept(memory, memory->peak - memory->now);
  if (block) return block;
  void *raw = NULL;
  while (posix_memalign(&raw, OLICA_BLOCK_HEADER, OLICA_BLOCK_HEADER + bytes) != 0) {
    if (memory->kept_bytes == 0) return NULL;
    drop_kept(memory, 0);
  }
  ask_for_huge_pages(raw, OLICA_BLOCK_HEADER + bytes);
  block = raw;
  block->room = bytes;
  return block;
}

olica_status olica_memory_count(olica_env *env, const char *what, size_t bytes) {
  OLICA_TRY(add(env, what, bytes));
  drop_kept(&env->memory, env->memory.peak - env->memory.now);
  return OLICA_OK;
}

void *olica_memory_get(olica_env *env, const char *what, size_t count, size_t size) {
  olica_memory *memory = &env->memory;
  if (count > 0 && size > (SIZE_MAX / 2 - OLICA_BLOCK_HEADER) / count) {
    olica_error_set(env, OLICA_ERR_MEMORY, "memory: %s: %zu elements of %zu bytes overflow", what, count,
                    size);
    return NULL;
  }
  size_t bytes = count * size;
  if (add(env, what, bytes) != OLICA_OK) return NULL;
  struct olica_block *block = allocate(memory, bytes);
  if (!block) {
    olica_memory_uncount(env, bytes);
    olica_error_set(env, OLICA_ERR_MEMORY, "memory: no %zu bytes for %s (%zu are in use)", bytes, what,
                    memory->now);
    return NULL;
  }
  *block = (struct olica_block){.next = memory->blocks, .bytes = bytes, .room = block->room};
  if (memory->blocks) memory->blocks->previous = block;
  memory->blocks = block;
  return memset((char *)block + OLICA_BLOCK_HEADER, 0, bytes);
}

olica_status olica_memory_grow(olica_env *env, const char *what, void *table, size_t *room, size_t used,
                               size_t wanted, size_t size) {
  enum { LEAST = 16 };
  if (wanted <= *room) return OLICA_OK;
  size_t larger = wanted > 2 * *room ? wanted : 2 * *room;
  if (larger < LEAST) larger = LEAST;
  void *old, *grown = olica_memory_get(env, what, larger, size);
  if (!grown) return env->error.code;
  memcpy(&old, table, sizeof old); /* for a pointer of any type */
  if (used > 0) memcpy(grown, old, used * size);
  memcpy(table, &grown, sizeof grown);
  olica_memory_free(env, old);
  *room = larger;
  return OLICA_OK;
}

void olica_memory_free(olica_env *env, void *pointer) {
  if (!pointer) return;
  struct olica_block *block = (struct olica_block *)(void *)((char *)pointer - OLICA_BLOCK_HEADER);
  if (block->previous)
    block->previous->next = block->next;
  else
    env->memory.blocks = block->next;
  if (block->next) block->next->previous = block->previous;
  olica_memory_uncount(env, block->bytes);
  olica_memory *memory = &env->memory;
  if (block->room < KEPT_FROM || memory->now + memory->kept_bytes + block->room > memory->peak) {
    free(block);
    return;
  }
  block->next = memory->kept;
  memory->kept = block;
  memory->kept_bytes += block->room;
}

void olica_memory_free_all(olica_env *env) {
  while (env->memory.blocks) olica_memory_free(env, (char *)env->memory.blocks + OLICA_BLOCK_HEADER);
  drop_kept(&env->memory, 0);
}

char *olica_memory_string(olica_env *env, const char *text) {
  size_t bytes = strlen(text) + 1;
  char *copy = olica_memory_get(env, "string", bytes, 1);
  return copy ? memcpy(copy, text, bytes) : NULL;
}
