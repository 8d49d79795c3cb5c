/* Added tokens: texts that are found before the model sees anything, and what they do to the spaces around
 * them. Private to text. */
#ifndef OLICA_TEXT_ADDED_H
#define OLICA_TEXT_ADDED_H

#include "bytes.h"

/* The longest text of an added token: looking for tokens is as slow as this is long. */
enum { OLICA_ADDED_BYTES = 1024 };

typedef struct olica_added_token {
  olica_span text; /* as the file has it */
  char *shown;     /* its normalized form, which stands for it in decoded text; NULL: as `text` */
  size_t shown_bytes;
  int32_t id;
  bool special, single_word, left, right, normalized; /* left, right: takes the spaces on that side */
} olica_added_token;

/* Finds the longest of its texts that begins at a place. Begin with {0}. */
typedef struct olica_trie {
  olica_map child; /* node, byte -> node */
  int32_t *token;  /* [count] of the text that ends at the node, -1: none does */
  size_t count, room;
  bool begins[256]; /* bytes that a text begins with */
} olica_trie;

enum { OLICA_TRIE_ROOT = 0 };

/* A text that is there already stays with its first token; an empty one is not put in. */
olica_status olica_trie_add(olica_env *env, olica_trie *trie, olica_span text, int32_t token);
void olica_trie_free(olica_env *env, olica_trie *trie);

/* The node behind a byte, -1: none. Not for a trie of count 0. */
static inline int32_t olica_trie_step(const olica_trie *trie, int32_t node, unsigned char byte) {
  const uint64_t *child = olica_map_get(&trie->child, (uint64_t)node << 8 | byte);
  return child ? (int32_t)*child : -1;
}

/* The token of the longest text that begins at `at`, -1: none; *end is behind it. */
int32_t olica_trie_find(const olica_trie *trie, olica_span text, size_t at, size_t *end);

/* The next token of the trie in a text at or behind *at. Between them lies what is left of the text:
 * [*at, *begin) comes before the token, and *at moves on. `from` is where the search goes on, zero at
 * first. False: no further one. */
typedef struct olica_added_match {
  size_t at, from;   /* where the rest of the text begins; where the search goes on */
  size_t begin, end; /* the token with the spaces it takes */
  int32_t token;
} olica_added_match;
bool olica_added_next(const olica_trie *trie, const olica_added_token *tokens, olica_span text,
                      olica_added_match *match);

#endif
