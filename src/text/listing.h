/* The tokens of a tokenizer one by one, for formats of other programs that carry a vocabulary instead of the
 * model's own files. Not collective. */
#ifndef OLICA_TEXT_LISTING_H
#define OLICA_TEXT_LISTING_H

#include "text/encoder.h"

/* What a token is; the numbers are those of SentencePiece and of GGUF. */
typedef enum olica_token_kind {
  OLICA_TOKEN_NONE, /* no token has this id */
  OLICA_TOKEN_NORMAL,
  OLICA_TOKEN_UNKNOWN,
  OLICA_TOKEN_CONTROL, /* special */
  OLICA_TOKEN_USER,    /* added, or the user's piece: matched in a text before the model */
  OLICA_TOKEN_UNUSED,
  OLICA_TOKEN_BYTE
} olica_token_kind;

typedef struct olica_token {
  const char *text; /* as in the vocabulary (byte-level: in GPT-2's letters); an added token's own text */
  size_t bytes;
  olica_token_kind kind;
  float score; /* of SentencePiece; of a tokenizer.json with bytes as fallback: see `ordered` */
} olica_token;

typedef enum olica_listing_kind {
  OLICA_LISTING_BYTES,    /* BPE over bytes in GPT-2's letters */
  OLICA_LISTING_SENTENCE, /* BPE over characters, U+2581 for a space, bytes as fallback: SentencePiece's */
  OLICA_LISTING_UNIGRAM,
  OLICA_LISTING_OTHER /* BPE of another form */
} olica_listing_kind;

typedef struct olica_listing {
  olica_env *env;
  olica_listing_kind kind;
  int32_t count;      /* largest id + 1 */
  olica_token *token; /* [count]; texts are borrowed from the encoder */
  bool is_model;      /* of a tokenizer.model */
  bool space;         /* a space goes in front of a text */
  bool normalizes;    /* texts are changed otherwise before they are divided */
  bool divides;       /* and are divided, otherwise than at spaces that no token spans */
  bool byte_fallback, ignore_merges;
  /* A tokenizer.json has merges of pairs, no scores. The scores given are minus the place of a token among
   * all that merges make. `ordered`: merging whatever pair makes the token of the best score gives the same
   * ids; else it may give other ones. */
  bool ordered;
  olica_tokens before, after; /* ids around a text; borrowed */
  int32_t bos, eos, unk;      /* as the tokenizer's files name them; -1: none */
} olica_listing;

/* Lists the tokens of an encoder, which stays open as long as the listing. Free with olica_listing_free. */
olica_status olica_listing_make(const olica_encoder *encoder, olica_listing *listing);
void olica_listing_free(olica_listing *listing);

/* Returns the id of a text, added tokens first; -1: none. */
int32_t olica_listing_find(const olica_listing *listing, const char *text, size_t bytes);

#endif
