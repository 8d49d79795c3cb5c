#include "charsmap.h"

#include <utf8proc.h>

#include "unicode.h"

enum { GRAPHEME = 6 };

static uint32_t read_word(const char *p) {
  const unsigned char *u = (const unsigned char *)p;
  return u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

olica_status olica_charsmap_parse(olica_env *env, const char *where, olica_span blob, olica_charsmap *map) {
  *map = (olica_charsmap){0};
  if (blob.bytes == 0) return OLICA_OK;
  size_t trie = blob.bytes < 4 ? 0 : read_word(blob.data);
  if (blob.bytes < 4 || trie > blob.bytes - 4 || trie % 4 != 0 || trie == 0)
    return olica_error_set(
        env, OLICA_ERR_INPUT,
        "%s: precompiled_charsmap: %zu bytes, of them %zu of its trie, expected a multiple "
        "of 4 that fits in",
        where, blob.bytes, trie);
  map->units = trie / 4;
  map->bytes = blob.bytes - 4 - trie;
  OLICA_TRY(OLICA_NEW(env, map->unit, map->units));
  OLICA_TRY(OLICA_NEW(env, map->text, map->bytes + 1));
  for (size_t i = 0; i < map->units; i++) map->unit[i] = read_word(blob.data + 4 + 4 * i);
  if (map->bytes) memcpy(map->text, blob.data + 4 + trie, map->bytes);
  return OLICA_OK;
}

static int digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

olica_status olica_charsmap_decode(olica_env *env, const char *where, olica_span base64,
                                   olica_charsmap *map) {
  olica_bytes blob = {0};
  uint32_t bits = 0;
  int held = 0;
  while (base64.bytes && base64.data[base64.bytes - 1] == '=') base64.bytes--;
  olica_status status = olica_bytes_reserve(env, &blob, base64.bytes);
  for (size_t i = 0; i < base64.bytes && status == OLICA_OK; i++) {
    int value = digit(base64.data[i]);
    if (value < 0)
      status =
          olica_error_set(env, OLICA_ERR_INPUT, "%s: precompiled_charsmap: byte %zu is no base64", where, i);
    bits = bits << 6 | ((uint32_t)value & 63);
    held += 6;
    if (held >= 8) blob.data[blob.count++] = (char)(bits >> (held -= 8));
  }
  if (status == OLICA_OK) status = olica_charsmap_parse(env, where, olica_bytes_span(&blob), map);
  olica_memory_free(env, blob.data);
  return status;
}

void olica_charsmap_free(olica_env *env, olica_charsmap *map) {
  OLICA_FREE(env, map->unit);
  OLICA_FREE(env, map->text);
}

/* Returns the offset of a unit's children. */
static size_t offset(uint32_t unit) {
  return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
}

size_t olica_charsmap_find(const olica_charsmap *map, olica_span text, bool longest, olica_span *by) {
  size_t found = 0;
  if (map->units == 0) return 0;
  size_t node = offset(map->unit[0]);
  for (size_t i = 0; i < text.bytes; i++) {
    uint32_t label = (unsigned char)text.data[i];
    node ^= label;
    if (node >= map->units || (map->unit[node] & 0x800000ffu) != label) break;
    bool leaf = map->unit[node] >> 8 & 1;
    node ^= offset(map->unit[node]);
    if (node >= map->units) break;
    size_t value = map->unit[node] & 0x7fffffffu;
    if (!leaf || value > map->bytes) continue;
    *by = (olica_span){map->text + value, strlen(map->text + value)};
    found = i + 1;
    if (!longest) break;
  }
  return found;
}

/* Appends the replacement of a part, if it has one. */
static olica_status replace_part(olica_env *env, const olica_charsmap *map, olica_span part, olica_bytes *out,
                                 bool *done) {
  olica_span by;
  *done = olica_charsmap_find(map, part, false, &by) > 0;
  return *done ? olica_bytes_append(env, out, by.data, by.bytes) : OLICA_OK;
}

static olica_status replace_grapheme(olica_env *env, const olica_charsmap *map, olica_span grapheme,
                                     olica_bytes *out) {
  bool done = false;
  if (grapheme.bytes < GRAPHEME) OLICA_TRY(replace_part(env, map, grapheme, out, &done));
  for (size_t at = 0; at < grapheme.bytes && !done;) {
    size_t begin = at;
    bool replaced;
    olica_unicode_next(grapheme, &at);
    olica_span part = {grapheme.data + begin, at - begin};
    OLICA_TRY(replace_part(env, map, part, out, &replaced));
    if (!replaced) OLICA_TRY(olica_bytes_append(env, out, part.data, part.bytes));
  }
  return OLICA_OK;
}

olica_status olica_charsmap_graphemes(olica_env *env, const olica_charsmap *map, olica_span text,
                                      olica_bytes *out) {
  size_t begin = 0, at = 0;
  utf8proc_int32_t last = 0, state = 0;
  while (at < text.bytes) {
    size_t here = at;
    utf8proc_int32_t code = (utf8proc_int32_t)olica_unicode_next(text, &at);
    if (here > begin && utf8proc_grapheme_break_stateful(last, code, &state)) {
      OLICA_TRY(replace_grapheme(env, map, (olica_span){text.data + begin, here - begin}, out));
      begin = here;
    }
    last = code;
  }
  return replace_grapheme(env, map, (olica_span){text.data + begin, text.bytes - begin}, out);
}
