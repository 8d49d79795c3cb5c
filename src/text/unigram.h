/* The unigram model: finds the sequence of pieces with the largest sum of scores, computed like
 * SentencePiece, or like the tokenizers package if `weight` is given. Private to text. */
#ifndef OLICA_TEXT_UNIGRAM_H
#define OLICA_TEXT_UNIGRAM_H

#include "added.h"

/* The best path to a position in the text. */
typedef struct olica_path {
  double score;
  int32_t id;    /* the piece that ends here */
  int32_t bytes; /* its length; 0: no path ends here yet */
} olica_path;

typedef struct olica_unigram {
  olica_env *env;
  olica_trie trie;       /* usable pieces; tokens are ids */
  const float *score;    /* [ids] */
  const bool *user;      /* [ids] true for user-defined pieces, which always win */
  float lowest, highest; /* of the normal pieces */
  const double *weight;  /* [ids] of a tokenizer.json, in place of score and user; sums are then of doubles */
  double least;          /* least of these */
  int32_t unk;           /* -1: an unknown character is an error */
  const char *name;      /* the file, for that error */
  const int32_t *byte;   /* [256] pieces of bytes, -1: none; NULL: an unknown character becomes one <unk> */

  olica_path *path; /* of the current stretch */
  size_t room;
  olica_tokens reversed; /* pairs of id and length */
} olica_unigram;

/* Appends the ids of a well-formed text. O(n) in its bytes, times the longest piece. */
olica_status olica_unigram_encode(olica_unigram *unigram, olica_span text, olica_tokens *tokens);
void olica_unigram_free(olica_unigram *unigram);

#endif
