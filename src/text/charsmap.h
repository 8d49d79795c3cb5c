/* SentencePiece's table of replacements: a double-array trie (as darts-clone stores it) and the texts it
 * leads to. Every step is checked against the table's end. Private to text. */
#ifndef OLICA_TEXT_CHARSMAP_H
#define OLICA_TEXT_CHARSMAP_H

#include "bytes.h"

typedef struct olica_charsmap {
  uint32_t *unit; /* [units]; 0 units: nothing is replaced */
  size_t units;
  char *text; /* [bytes], each text ends with NUL, and so do all */
  size_t bytes;
} olica_charsmap;

/* From its bytes; `where` (file and key) is for messages. No bytes at all make an empty one. */
olica_status olica_charsmap_parse(olica_env *env, const char *where, olica_span blob, olica_charsmap *map);
olica_status olica_charsmap_decode(olica_env *env, const char *where, olica_span base64, olica_charsmap *map);
void olica_charsmap_free(olica_env *env, olica_charsmap *map);

/* The longest (shortest) beginning of `text` that is replaced: how many bytes, 0 if none, and by what. */
size_t olica_charsmap_find(const olica_charsmap *map, olica_span text, bool longest, olica_span *by);

/* Appends the text, replaced as the tokenizers package does it: whole graphemes of up to 5 bytes, else
 * character by character. */
olica_status olica_charsmap_graphemes(olica_env *env, const olica_charsmap *map, olica_span text,
                                      olica_bytes *out);

#endif
