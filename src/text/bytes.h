/* What the room is made of: stretches of bytes, buffers and lists that grow, a map of integers. Private to
 * text. */
#ifndef OLICA_TEXT_BYTES_H
#define OLICA_TEXT_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "olica/text/tokenizer.h"

/* Bytes that belong to someone else; not NUL-terminated. Where there are none `data` is no NULL either. */
typedef struct olica_span {
  const char *data;
  size_t bytes;
} olica_span;

/* Bytes that grow; begin with {0}, free `data` with OLICA_FREE. */
typedef struct olica_bytes {
  char *data;
  size_t count, room;
  size_t most; /* to grow past it is OLICA_ERR_INPUT and sets `full`; 0: any number */
  bool full;
} olica_bytes;

/* What a file's steps may make of so many bytes. Unicode's own forms make up to 11 times as many of a text,
 * byte-level letters twice as many of that; a file whose steps feed each other would grow it without end. */
enum { OLICA_GROWTH = 64, OLICA_GROWTH_LEAST = 4096 };

static inline size_t olica_bytes_bound(size_t bytes) {
  return OLICA_GROWTH * bytes + OLICA_GROWTH_LEAST;
}

/* Room for `more` bytes (ids) past those there are. */
olica_status olica_bytes_reserve(olica_env *env, olica_bytes *bytes, size_t more);
olica_status olica_bytes_append(olica_env *env, olica_bytes *bytes, const char *data, size_t count);
olica_status olica_tokens_reserve(olica_env *env, olica_tokens *tokens, size_t more);
olica_status olica_tokens_append(olica_env *env, olica_tokens *tokens, const int32_t *id, size_t count);

static inline olica_span olica_bytes_span(const olica_bytes *bytes) {
  return (olica_span){bytes->data ? bytes->data : "", bytes->count};
}

static inline bool olica_span_is(olica_span span, const char *data, size_t bytes) {
  return span.bytes == bytes && (bytes == 0 || memcmp(span.data, data, bytes) == 0);
}

/* Hash of bytes; `seed` is the process's secret, so that no file can aim at collisions. */
uint64_t olica_span_hash(uint64_t seed, const char *data, size_t bytes);
uint64_t olica_hash_seed(void);

/* From integers to integers, none of them removed again; begin with {0}. Keys are below 2^64 - 1. */
typedef struct olica_map {
  uint64_t seed;
  size_t count, room; /* room: a power of two, or 0 */
  struct {
    uint64_t key, value;
  } * slot; /* [room]; key + 1, so that zero is an empty slot */
} olica_map;

/* Sets or replaces. */
olica_status olica_map_put(olica_env *env, olica_map *map, uint64_t key, uint64_t value);

static inline uint64_t olica_map_mix(uint64_t seed, uint64_t key) {
  uint64_t x = (key ^ seed) * 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 32)) * (seed | 1);
  return x ^ (x >> 29);
}

/* The value of a key, or NULL. */
static inline const uint64_t *olica_map_get(const olica_map *map, uint64_t key) {
  if (map->room == 0) return NULL;
  for (size_t i = olica_map_mix(map->seed, key);; i++) {
    i &= map->room - 1;
    if (map->slot[i].key == key + 1) return &map->slot[i].value;
    if (map->slot[i].key == 0) return NULL;
  }
}

#endif
