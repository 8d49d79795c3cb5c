/* Containers for text: byte spans, growing buffers and lists, a map of integers. Private to text. */
#ifndef OLICA_TEXT_BYTES_H
#define OLICA_TEXT_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/env.h"
#include "text/tokens.h"

/* Borrowed bytes, not NUL-terminated. `data` is not NULL even if the span is empty. */
typedef struct olica_span {
  const char *data;
  size_t bytes;
} olica_span;

/* A growing buffer; initialize with {0}, free `data` with OLICA_FREE. */
typedef struct olica_bytes {
  char *data;
  size_t count, room;
  size_t most; /* growing past it is OLICA_ERR_INPUT and sets `full`; 0: no limit */
  bool full;
} olica_bytes;

/* Limit of the output of a tokenizer file's steps for an input of this many bytes. Unicode's own
 * normalization forms grow a text up to 11 times, and byte-level letters double that; a hostile file could
 * chain steps that grow it without end. */
enum { OLICA_GROWTH = 64, OLICA_GROWTH_LEAST = 4096 };

static inline size_t olica_bytes_bound(size_t bytes) {
  return OLICA_GROWTH * bytes + OLICA_GROWTH_LEAST;
}

/* Reserves capacity for `more` bytes (ids) beside the present ones. */
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

/* Hashes bytes; `seed` is secret to the process, so that no file can provoke collisions. */
uint64_t olica_span_hash(uint64_t seed, const char *data, size_t bytes);
uint64_t olica_hash_seed(void);

/* A map from integers to integers without removal; initialize with {0}. Keys are below 2^64 - 1. */
typedef struct olica_map {
  uint64_t seed;
  size_t count, room; /* room: capacity, a power of two, or 0 */
  struct {
    uint64_t key, value;
  } * slot; /* [room]; key + 1: zero marks an empty slot */
} olica_map;

/* Sets or replaces a value. */
olica_status olica_map_put(olica_env *env, olica_map *map, uint64_t key, uint64_t value);

static inline uint64_t olica_map_mix(uint64_t seed, uint64_t key) {
  uint64_t x = (key ^ seed) * 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 32)) * (seed | 1);
  return x ^ (x >> 29);
}

/* Returns the address of a key's value, or NULL. */
static inline const uint64_t *olica_map_get(const olica_map *map, uint64_t key) {
  if (map->room == 0) return NULL;
  for (size_t i = olica_map_mix(map->seed, key);; i++) {
    i &= map->room - 1;
    if (map->slot[i].key == key + 1) return &map->slot[i].value;
    if (map->slot[i].key == 0) return NULL;
  }
}

#endif
