#include "bytes.h"

#include <sys/random.h>
#include <time.h>

enum { LEAST = 64 };

olica_status olica_bytes_reserve(olica_env *env, olica_bytes *bytes, size_t more) {
  if (bytes->most && more > bytes->most - bytes->count) {
    bytes->full = true;
    return olica_error_set(env, OLICA_ERR_INPUT, "more than %zu bytes", bytes->most);
  }
  return OLICA_GROW(env, bytes->data, bytes->room, bytes->count, bytes->count + more);
}

olica_status olica_bytes_append(olica_env *env, olica_bytes *bytes, const char *data, size_t count) {
  OLICA_TRY(olica_bytes_reserve(env, bytes, count));
  if (count) memcpy(bytes->data + bytes->count, data, count);
  bytes->count += count;
  return OLICA_OK;
}

olica_status olica_tokens_reserve(olica_env *env, olica_tokens *tokens, size_t more) {
  return OLICA_GROW(env, tokens->id, tokens->room, tokens->count, tokens->count + more);
}

olica_status olica_tokens_append(olica_env *env, olica_tokens *tokens, const int32_t *id, size_t count) {
  OLICA_TRY(olica_tokens_reserve(env, tokens, count));
  if (count) memcpy(tokens->id + tokens->count, id, count * sizeof *id);
  tokens->count += count;
  return OLICA_OK;
}

uint64_t olica_hash_seed(void) {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    seed = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u ^ (uint64_t)now.tv_sec;
  }
  return seed | 1;
}

uint64_t olica_span_hash(uint64_t seed, const char *data, size_t bytes) {
  uint64_t hash = seed ^ bytes;
  for (; bytes >= 8; data += 8, bytes -= 8) {
    uint64_t word;
    memcpy(&word, data, 8);
    hash = olica_map_mix(seed, hash ^ word);
  }
  uint64_t rest = 0;
  for (size_t i = 0; i < bytes; i++) rest = rest << 8 | (unsigned char)data[i];
  return olica_map_mix(seed, hash ^ rest);
}

static void insert(olica_map *map, uint64_t key, uint64_t value) {
  size_t i = olica_map_mix(map->seed, key) & (map->room - 1);
  while (map->slot[i].key && map->slot[i].key != key + 1) i = (i + 1) & (map->room - 1);
  if (!map->slot[i].key) map->count++;
  map->slot[i].key = key + 1;
  map->slot[i].value = value;
}

olica_status olica_map_put(olica_env *env, olica_map *map, uint64_t key, uint64_t value) {
  if (map->seed == 0) map->seed = olica_hash_seed();
  if (2 * (map->count + 1) > map->room) {
    olica_map old = *map;
    map->room = old.room ? 2 * old.room : LEAST;
    map->count = 0;
    map->slot = olica_memory_get(env, "map", map->room, sizeof *map->slot);
    if (!map->slot) {
      *map = old;
      return env->error.code;
    }
    for (size_t i = 0; i < old.room; i++)
      if (old.slot[i].key) insert(map, old.slot[i].key - 1, old.slot[i].value);
    olica_memory_free(env, old.slot);
  }
  insert(map, key, value);
  return OLICA_OK;
}
