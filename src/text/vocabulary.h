/* The tokens of a model: maps ids to texts and texts to ids. Private to text. */
#ifndef OLICA_TEXT_VOCABULARY_H
#define OLICA_TEXT_VOCABULARY_H

#include "bytes.h"

/* Upper bound of ids: a table over all ids fits in memory for any file. */
enum { OLICA_IDS_MAX = 1 << 22 };

typedef struct olica_entry {
  olica_span text;
  int32_t id;
} olica_entry;

typedef struct olica_vocabulary {
  int32_t size;      /* largest id + 1 */
  size_t count;      /* number of texts */
  olica_span *text;  /* [size] by id, in `pool`; data NULL: no such id */
  size_t slots;      /* a power of two */
  olica_entry *slot; /* [slots] by hash; data NULL: empty */
  uint64_t seed;
  char *pool;
  size_t used; /* bytes used of the pool */
} olica_vocabulary;

/* Creates an empty vocabulary for `count` texts of a given total length, with ids below `size`. */
olica_status olica_vocabulary_begin(olica_env *env, olica_vocabulary *vocabulary, size_t count, size_t bytes,
                                    int32_t size);
void olica_vocabulary_free(olica_env *env, olica_vocabulary *vocabulary);

/* Adds a copy of a text. Returns false for a duplicate, which keeps its first id. */
bool olica_vocabulary_add(olica_vocabulary *vocabulary, olica_span text, int32_t id);

/* Returns the id of a text, -1 if none. */
int32_t olica_vocabulary_find(const olica_vocabulary *vocabulary, olica_span text);

#endif
