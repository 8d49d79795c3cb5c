#include "gguf_head.h"

#include <stdio.h>
#include <string.h>

enum { VERSION = 3 };

/* Types of values. */
enum { TYPE_UINT32 = 4, TYPE_INT32 = 5, TYPE_FLOAT32 = 6, TYPE_BOOL = 7, TYPE_STRING = 8, TYPE_ARRAY = 9 };

/* ggml's types of tensors, by olica_export_type. */
static const uint32_t tensor_types[OLICA_EXPORT_TYPES] = {
    [OLICA_EXPORT_FP32] = 0, [OLICA_EXPORT_FP16] = 1, [OLICA_EXPORT_BF16] = 30, [OLICA_EXPORT_Q8_0] = 8};

static void put(olica_gguf *g, const void *data, size_t bytes) {
  if (g->status == OLICA_OK) g->status = OLICA_GROW(g->env, g->data, g->room, g->count, g->count + bytes);
  if (g->status != OLICA_OK || bytes == 0) return;
  memcpy(g->data + g->count, data, bytes);
  g->count += bytes;
}

static void put_u32(olica_gguf *g, uint32_t value) {
  put(g, &value, sizeof value);
}

static void put_u64(olica_gguf *g, uint64_t value) {
  put(g, &value, sizeof value);
}

void olica_gguf_put_string(olica_gguf *g, const char *text, size_t bytes) {
  put_u64(g, bytes);
  put(g, text, bytes);
}

void olica_gguf_put_pair(olica_gguf *g, const char *a, const char *b) {
  put_u64(g, strlen(a) + 1 + strlen(b));
  put(g, a, strlen(a));
  put(g, " ", 1);
  put(g, b, strlen(b));
}

static void put_key(olica_gguf *g, const char *key, uint32_t type) {
  char name[OLICA_GGUF_KEY];
  int bytes = *key == '%' ? snprintf(name, sizeof name, "%s%s", g->arch, key + 1)
                          : snprintf(name, sizeof name, "%s", key);
  olica_gguf_put_string(g, name, (size_t)bytes);
  put_u32(g, type);
  g->keys++;
}

static void put_array(olica_gguf *g, const char *key, uint32_t type, size_t count) {
  put_key(g, key, TYPE_ARRAY);
  put_u32(g, type);
  put_u64(g, count);
}

void olica_gguf_u32(olica_gguf *g, const char *key, uint32_t value) {
  put_key(g, key, TYPE_UINT32);
  put_u32(g, value);
}

void olica_gguf_f32(olica_gguf *g, const char *key, double value) {
  float single = (float)value;
  put_key(g, key, TYPE_FLOAT32);
  put(g, &single, sizeof single);
}

void olica_gguf_bool(olica_gguf *g, const char *key, bool value) {
  unsigned char byte = value;
  put_key(g, key, TYPE_BOOL);
  put(g, &byte, 1);
}

void olica_gguf_string(olica_gguf *g, const char *key, const char *text, size_t bytes) {
  put_key(g, key, TYPE_STRING);
  olica_gguf_put_string(g, text, bytes);
}

void olica_gguf_text(olica_gguf *g, const char *key, const char *text) {
  olica_gguf_string(g, key, text, strlen(text));
}

void olica_gguf_i32s(olica_gguf *g, const char *key, const int32_t *values, size_t count) {
  put_array(g, key, TYPE_INT32, count);
  put(g, values, count * sizeof *values);
}

void olica_gguf_bools(olica_gguf *g, const char *key, const bool *values, size_t count) {
  put_array(g, key, TYPE_BOOL, count);
  for (size_t i = 0; i < count; i++) put(g, &(unsigned char){values[i]}, 1);
}

void olica_gguf_f32s(olica_gguf *g, const char *key, const float *values, size_t count) {
  put_array(g, key, TYPE_FLOAT32, count);
  put(g, values, count * sizeof *values);
}

void olica_gguf_strings(olica_gguf *g, const char *key, size_t count) {
  put_array(g, key, TYPE_STRING, count);
}

/* A tensor's dimensions are written from the last: ggml counts them from the one whose numbers adjoin. */
static void put_tensor(olica_gguf *g, const olica_export_item *item) {
  olica_gguf_put_string(g, item->name, strlen(item->name));
  put_u32(g, (uint32_t)item->dims);
  for (int i = item->dims - 1; i >= 0; i--) put_u64(g, (uint64_t)item->shape[i]);
  put_u32(g, tensor_types[item->type]);
  put_u64(g, (uint64_t)item->offset);
}

olica_status olica_gguf_end(olica_gguf *g, const olica_export *e, char **head, size_t *bytes) {
  olica_gguf whole = {.env = g->env, .status = g->status};
  put(&whole, "GGUF", 4);
  put_u32(&whole, VERSION);
  put_u64(&whole, (uint64_t)e->count);
  put_u64(&whole, g->keys);
  put(&whole, g->data, g->count);
  for (int i = 0; i < e->count; i++) put_tensor(&whole, &e->item[i]);
  OLICA_FREE(g->env, g->data);
  *head = whole.data;
  *bytes = whole.count;
  return whole.status;
}
