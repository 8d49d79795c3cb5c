/* SentencePiece's table of replacements: a double-array trie (in the format of darts-clone) and the
 * replacement texts. Every step is bounds-checked. Private to text. */
#ifndef OLICA_TEXT_CHARSMAP_H
#define OLICA_TEXT_CHARSMAP_H

#include "bytes.h"

typedef struct olica_charsmap {
  uint32_t *unit; /* [units]; 0 units: no replacements */
  size_t units;
  char *text; /* [bytes] NUL-terminated texts, the last one too */
  size_t bytes;
} olica_charsmap;

/* Parses a table; `where` (file and key) is for messages. No bytes give an empty table. */
olica_status olica_charsmap_parse(olica_env *env, const char *where, olica_span blob, olica_charsmap *map);
olica_status olica_charsmap_decode(olica_env *env, const char *where, olica_span base64, olica_charsmap *map);
void olica_charsmap_free(olica_env *env, olica_charsmap *map);

/* Finds the longest (shortest) prefix of `text` that is replaced: returns its length, 0 if none, and the
 * replacement. */
size_t olica_charsmap_find(const olica_charsmap *map, olica_span text, bool longest, olica_span *by);

/* Appends the text with replacements as in the tokenizers package: whole graphemes of up to 5 bytes,
 * otherwise character by character. */
olica_status olica_charsmap_graphemes(olica_env *env, const olica_charsmap *map, olica_span text,
                                      olica_bytes *out);

#endif
