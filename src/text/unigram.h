/* The unigram model: the row of pieces with the largest sum of scores, as SentencePiece computes it, or as
 * the tokenizers package does where `weight` is given. Private to text. */
#ifndef OLICA_TEXT_UNIGRAM_H
#define OLICA_TEXT_UNIGRAM_H

#include "added.h"

/* The best way to come to a place in the text. */
typedef struct olica_path {
  double score;
  int32_t id;    /* the piece that ends here */
  int32_t bytes; /* of it; 0: nothing ends here yet */
} olica_path;

typedef struct olica_unigram {
  olica_env *env;
  olica_trie trie;       /* pieces that may be used; tokens are ids */
  const float *score;    /* [ids] */
  const bool *user;      /* [ids] user-defined: always taken */
  float lowest, highest; /* of the normal pieces */
  const double *weight;  /* [ids] of a tokenizer.json, in place of score and user; sums are of doubles then */
  double least;          /* of these */
  int32_t unk;           /* -1: an unknown character is an error */
  const char *name;      /* the file, for that one */
  const int32_t *byte;   /* [256] the pieces of bytes, -1: none; NULL: an unknown character is one <unk> */

  olica_path *path; /* of the stretch under way */
  size_t room;
  olica_tokens reversed; /* pairs of id and bytes */
} olica_unigram;

/* Appends the ids of a well-formed text. O(n) in its bytes, times the longest piece. */
olica_status olica_unigram_encode(olica_unigram *unigram, olica_span text, olica_tokens *tokens);
void olica_unigram_free(olica_unigram *unigram);

#endif
