/* A tokenizer in memory: the parts of the pipeline, built from tokenizer.json (read_json.c) or
 * tokenizer.model (read_model.c). Private to text. */
#ifndef OLICA_TEXT_TOKENIZER_PARTS_H
#define OLICA_TEXT_TOKENIZER_PARTS_H

#include "added.h"
#include "bpe.h"
#include "decode.h"
#include "normalize.h"
#include "pretokenize.h"
#include "text/tokenizer.h"
#include "unigram.h"

/* Tokens that files name by their role. */
enum { OLICA_ROLE_BOS, OLICA_ROLE_EOS, OLICA_ROLE_UNK, OLICA_ROLES };

struct olica_tokenizer {
  olica_env *env;
  char *name;    /* the file */
  bool is_model; /* a tokenizer.model */
  olica_vocabulary vocabulary;

  olica_added_token *added; /* [added_count] */
  size_t added_count;
  olica_vocabulary added_texts; /* map from their texts to their indices in `added` */
  olica_trie plain, normalized; /* those matched in the original text, and in the normalized text */

  olica_normalizers normalizers;
  olica_pretokenizers pretokenizers;
  olica_bpe bpe;
  olica_unigram unigram; /* used in place of bpe if its env is set */
  float *score;          /* [ids] of a tokenizer.model's pieces, in counted memory like `user` */
  double *weight;        /* [ids] of a tokenizer.json's unigram pieces */
  bool *user;            /* [ids] true for user-defined pieces */
  uint8_t *type;         /* [ids] SentencePiece's types of a tokenizer.model's pieces (text/listing.h) */
  bool dummy_prefix, squeeze, escape, suffix; /* SentencePiece's normalizer */
  bool modern; /* as LlamaTokenizer with legacy = false: only the whole text gets the dummy prefix, not every
                  part */
  bool at_start;     /* the current part begins the text */
  char *unk_surface; /* of a tokenizer.model */
  bool reads_bytes;  /* the normalizer handles ill-formed bytes */
  olica_decoders decoders;
  olica_tokens before, after; /* ids added around a text */
  int32_t role[OLICA_ROLES];  /* ids, -1: unknown */

  int32_t size;     /* largest id + 1 */
  olica_span *text; /* [size] of every id, data NULL: none */
  bool *special;    /* [size] omitted from decoded text */

  olica_tokens *tokens; /* output ids during encoding */
  olica_bytes repaired, mapped;
};

/* Fills a tokenizer whose env and name are set. After a failure olica_tokenizer_close frees the parts made so
 * far. */
olica_status olica_tokenizer_read_json(olica_tokenizer *tokenizer, const char *bytes, size_t count);

/* Reads member "model" of a tokenizer.json, of type Unigram (read_unigram.c). */
olica_status olica_tokenizer_read_unigram(olica_tokenizer *tokenizer, const olica_node *model);

olica_status olica_tokenizer_read_model(olica_tokenizer *tokenizer, const char *bytes, size_t count);

/* Appends SentencePiece's own normalizer and decoder (sentencepiece.c) to the tokenizer's. */
olica_status olica_sentencepiece_add(olica_tokenizer *tokenizer, olica_normalizer **normalizer);

/* Adds the added tokens of a tokenizer.json to the tries, special ones first; with `splits_special` omits the
 * special ones. Call it once, or after freeing the tries. */
olica_status olica_tokenizer_index_added(olica_tokenizer *tokenizer, bool splits_special);

/* Builds the tables over all ids, from vocabulary and added tokens. */
olica_status olica_tokenizer_index(olica_tokenizer *tokenizer);

#endif
