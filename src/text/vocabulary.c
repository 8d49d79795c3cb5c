#include "vocabulary.h"

#include <assert.h>

olica_status olica_vocabulary_begin(olica_env *env, olica_vocabulary *vocabulary, size_t count, size_t bytes,
                                    int32_t size) {
  assert(size >= 0 && size <= OLICA_IDS_MAX);
  *vocabulary = (olica_vocabulary){.size = size, .slots = 64, .seed = olica_hash_seed()};
  while (vocabulary->slots < 2 * count) vocabulary->slots *= 2;
  OLICA_TRY(OLICA_NEW(env, vocabulary->text, (size_t)size));
  OLICA_TRY(OLICA_NEW(env, vocabulary->slot, vocabulary->slots));
  return OLICA_NEW(env, vocabulary->pool, bytes + 1);
}

void olica_vocabulary_free(olica_env *env, olica_vocabulary *vocabulary) {
  OLICA_FREE(env, vocabulary->text);
  OLICA_FREE(env, vocabulary->slot);
  OLICA_FREE(env, vocabulary->pool);
}

/* Returns the slot of a text, or the one where it would be inserted. */
static size_t place(const olica_vocabulary *vocabulary, olica_span text) {
  size_t i = olica_span_hash(vocabulary->seed, text.data, text.bytes);
  for (;; i++) {
    const olica_entry *entry = &vocabulary->slot[i &= vocabulary->slots - 1];
    if (!entry->text.data || olica_span_is(entry->text, text.data, text.bytes)) return i;
  }
}

bool olica_vocabulary_add(olica_vocabulary *vocabulary, olica_span text, int32_t id) {
  assert(id >= 0 && id < vocabulary->size);
  olica_entry *entry = &vocabulary->slot[place(vocabulary, text)];
  if (entry->text.data) return false;
  char *copy = vocabulary->pool + vocabulary->used;
  if (text.bytes) memcpy(copy, text.data, text.bytes);
  vocabulary->used += text.bytes;
  *entry = (olica_entry){{copy, text.bytes}, id};
  vocabulary->text[id] = entry->text;
  vocabulary->count++;
  return true;
}

int32_t olica_vocabulary_find(const olica_vocabulary *vocabulary, olica_span text) {
  if (vocabulary->slots == 0) return -1;
  const olica_entry *entry = &vocabulary->slot[place(vocabulary, text)];
  return entry->text.data ? entry->id : -1;
}
