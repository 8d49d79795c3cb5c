/* The head of a GGUF file (version 3, little endian) in the making: its keys with their values, then the
 * tensors' names, shapes, types and places. Private to export. */
#ifndef OLICA_EXPORT_GGUF_HEAD_H
#define OLICA_EXPORT_GGUF_HEAD_H

#include "kind.h"

enum { OLICA_GGUF_ALIGN = 32, OLICA_GGUF_KEY = 96 };

/* Initialize with {.env = ...}; after the first failure all calls do nothing, and olica_gguf_end returns it.
 */
typedef struct olica_gguf {
  olica_env *env;
  const char *arch; /* stands for a leading "%" of a key: "%.block_count" */
  olica_status status;
  char *data; /* counted memory: the keys so far */
  size_t count, room;
  uint64_t keys;
} olica_gguf;

void olica_gguf_u32(olica_gguf *g, const char *key, uint32_t value);
void olica_gguf_f32(olica_gguf *g, const char *key, double value);
void olica_gguf_bool(olica_gguf *g, const char *key, bool value);
void olica_gguf_string(olica_gguf *g, const char *key, const char *text, size_t bytes);
void olica_gguf_text(olica_gguf *g, const char *key, const char *text); /* ends with a NUL */

/* Arrays of `count` values. Strings follow one by one: olica_gguf_put_string. */
void olica_gguf_i32s(olica_gguf *g, const char *key, const int32_t *values, size_t count);
void olica_gguf_bools(olica_gguf *g, const char *key, const bool *values, size_t count);
void olica_gguf_f32s(olica_gguf *g, const char *key, const float *values, size_t count);
void olica_gguf_strings(olica_gguf *g, const char *key, size_t count);
void olica_gguf_put_string(olica_gguf *g, const char *text, size_t bytes);
void olica_gguf_put_pair(olica_gguf *g, const char *a, const char *b); /* "a b" */

/* Makes the head of all keys and of the export's items, in counted memory of the caller's, and frees what the
 * keys hold. */
olica_status olica_gguf_end(olica_gguf *g, const olica_export *e, char **head, size_t *bytes);

#endif
