/* The tokens of a model: ids to texts and texts to ids. Private to text. */
#ifndef OLICA_TEXT_VOCABULARY_H
#define OLICA_TEXT_VOCABULARY_H

#include "bytes.h"

/* Ids lie below this: a table over all ids fits into memory whatever a file says. */
enum { OLICA_IDS_MAX = 1 << 22 };

typedef struct olica_entry {
  olica_span text;
  int32_t id;
} olica_entry;

typedef struct olica_vocabulary {
  int32_t size;      /* largest id + 1 */
  size_t count;      /* texts */
  olica_span *text;  /* [size] by id, in `pool`; data NULL where there is none */
  size_t slots;      /* a power of two */
  olica_entry *slot; /* [slots] by hash; data NULL: empty */
  uint64_t seed;
  char *pool;
  size_t used; /* of the pool */
} olica_vocabulary;

/* Makes an empty one for so many texts, of so many bytes in all, with ids below `size`. */
olica_status olica_vocabulary_begin(olica_env *env, olica_vocabulary *vocabulary, size_t count, size_t bytes,
                                    int32_t size);
void olica_vocabulary_free(olica_env *env, olica_vocabulary *vocabulary);

/* Copies a text in. False if it is there already; the first one stays. */
bool olica_vocabulary_add(olica_vocabulary *vocabulary, olica_span text, int32_t id);

/* The id of a text, -1 if there is none. */
int32_t olica_vocabulary_find(const olica_vocabulary *vocabulary, olica_span text);

#endif
