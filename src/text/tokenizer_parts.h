/* A tokenizer in memory: the parts of the pipeline, made from tokenizer.json (read_json.c) or tokenizer.model
 * (read_model.c). Private to text. */
#ifndef OLICA_TEXT_TOKENIZER_PARTS_H
#define OLICA_TEXT_TOKENIZER_PARTS_H

#include "added.h"
#include "bpe.h"
#include "decode.h"
#include "normalize.h"
#include "pretokenize.h"
#include "unigram.h"

/* Tokens that files name by what they are for. */
enum { OLICA_ROLE_BOS, OLICA_ROLE_EOS, OLICA_ROLE_UNK, OLICA_ROLES };

struct olica_tokenizer {
  olica_env *env;
  char *name;    /* the file */
  bool is_model; /* a tokenizer.model */
  olica_vocabulary vocabulary;

  olica_added_token *added; /* [added_count] */
  size_t added_count;
  olica_vocabulary added_texts; /* their texts, to their places in `added` */
  olica_trie plain, normalized; /* those found in the text as it is, and in the normalized one */

  olica_normalizers normalizers;
  olica_pretokenizers pretokenizers;
  olica_bpe bpe;
  olica_unigram unigram; /* in place of bpe where its env is set */
  float *score;          /* [ids] of a tokenizer.model's pieces, in counted memory as `user` */
  double *weight;        /* [ids] of a tokenizer.json's unigram pieces */
  bool *user;            /* [ids] pieces that the user has defined */
  bool dummy_prefix, squeeze, escape, suffix; /* SentencePiece's normalizer */
  bool modern;       /* as LlamaTokenizer with legacy = false: the dummy prefix is the whole text's, not every
                        part's */
  bool at_start;     /* the part under way begins the text */
  char *unk_surface; /* of a tokenizer.model */
  bool reads_bytes;  /* the normalizer sees to what is ill-formed */
  olica_decoders decoders;
  olica_tokens before, after; /* what is put around a text's ids */
  int32_t role[OLICA_ROLES];  /* ids, -1: none is known */

  int32_t size;     /* largest id + 1 */
  olica_span *text; /* [size] of every id, data NULL: it has none */
  bool *special;    /* [size] left out of decoded text */

  olica_tokens *tokens; /* where ids go while a text is encoded */
  olica_bytes repaired, mapped;
};

/* Fills a tokenizer that has its env and name. What has been made so far is freed by olica_tokenizer_close.
 */
olica_status olica_tokenizer_read_json(olica_tokenizer *tokenizer, const char *bytes, size_t count);

/* Member "model" of a tokenizer.json, of type Unigram (read_unigram.c). */
olica_status olica_tokenizer_read_unigram(olica_tokenizer *tokenizer, const olica_node *model);

olica_status olica_tokenizer_read_model(olica_tokenizer *tokenizer, const char *bytes, size_t count);

/* SentencePiece's own normalizer and decoder (sentencepiece.c), put at the end of the tokenizer's. */
olica_status olica_sentencepiece_add(olica_tokenizer *tokenizer, olica_normalizer **normalizer);

/* Puts added tokens of a tokenizer.json into the tries, the special ones first; where `splits_special` those
 * are left out. Once, or after the tries were freed. */
olica_status olica_tokenizer_index_added(olica_tokenizer *tokenizer, bool splits_special);

/* The tables over all ids, from vocabulary and added tokens. */
olica_status olica_tokenizer_index(olica_tokenizer *tokenizer);

#endif
