/* Added tokens: texts that are matched before the model, and their treatment of adjacent spaces. Private to
 * text. */
#ifndef OLICA_TEXT_ADDED_H
#define OLICA_TEXT_ADDED_H

#include "bytes.h"

/* Longest text of an added token; the cost of matching is proportional to it. */
enum { OLICA_ADDED_BYTES = 1024 };

typedef struct olica_added_token {
  olica_span text; /* as in the file */
  char *shown;     /* its normalized form, shown in decoded text; NULL: same as `text` */
  size_t shown_bytes;
  int32_t id;
  bool special, single_word, left, right, normalized; /* left, right: absorbs the spaces on that side */
} olica_added_token;

/* Finds the longest stored text at a position. Initialize with {0}. */
typedef struct olica_trie {
  olica_map child; /* node, byte -> node */
  int32_t *token;  /* [count] token of the text that ends at the node; -1: none */
  size_t count, room;
  bool begins[256]; /* first bytes of the texts */
} olica_trie;

enum { OLICA_TRIE_ROOT = 0 };

/* Adds a text. A duplicate keeps its first token; an empty text is ignored. */
olica_status olica_trie_add(olica_env *env, olica_trie *trie, olica_span text, int32_t token);
void olica_trie_free(olica_env *env, olica_trie *trie);

/* Returns the child of a node for a byte, -1: none. Not for a trie of count 0. */
static inline int32_t olica_trie_step(const olica_trie *trie, int32_t node, unsigned char byte) {
  const uint64_t *child = olica_map_get(&trie->child, (uint64_t)node << 8 | byte);
  return child ? (int32_t)*child : -1;
}

/* Returns the token of the longest text that begins at `at`, -1: none; sets *end after it. */
int32_t olica_trie_find(const olica_trie *trie, olica_span text, size_t at, size_t *end);

/* Finds the next token of the trie in a text at or after *at. [*at, *begin) is the text before the token; *at
 * moves after it. The search resumes at `from`, initially zero. Returns false if there is no further
 * token. */
typedef struct olica_added_match {
  size_t at, from;   /* begin of the remaining text; where the search resumes */
  size_t begin, end; /* the token with the spaces it absorbs */
  int32_t token;
} olica_added_match;
bool olica_added_next(const olica_trie *trie, const olica_added_token *tokens, olica_span text,
                      olica_added_match *match);

#endif
