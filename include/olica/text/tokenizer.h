/* Tokenizers: text to ids and back, exactly as the model's own files say. tokenizer.json of the BPE kind and
 * SentencePiece's tokenizer.model (BPE and unigram) are read as data; nothing is known of any one model. Not
 * collective; the bytes come from a file or from a checkpoint of ours. */
#ifndef OLICA_TEXT_TOKENIZER_H
#define OLICA_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "olica/base/env.h"

typedef struct olica_tokenizer olica_tokenizer;

typedef enum olica_tokenizer_format {
  OLICA_TOKENIZER_JSON, /* Hugging Face's tokenizer.json */
  OLICA_TOKENIZER_MODEL /* SentencePiece's tokenizer.model */
} olica_tokenizer_format;

/* Ids that grow: counted memory, owned by whoever made it. Begin with {0}, free `id` with OLICA_FREE. */
typedef struct olica_tokens {
  int32_t *id;        /* [count] */
  size_t count, room; /* room: ids that fit before it grows */
} olica_tokens;

/* Reads a tokenizer from its file's bytes; `name` (the file) is for messages. What is malformed, or of a kind
 * that is not known, is OLICA_ERR_INPUT naming the file, the key, found and expected. The bytes may go
 * afterwards. */
olica_status olica_tokenizer_parse(olica_env *env, const char *name, olica_tokenizer_format format,
                                   const char *bytes, size_t count, olica_tokenizer **tokenizer);
void olica_tokenizer_close(olica_tokenizer *tokenizer); /* NULL allowed */

/* Ids there are: the vocabulary and the added tokens, the largest id plus one. Pure. */
int64_t olica_tokenizer_size(const olica_tokenizer *tokenizer);

/* The id put in front of every text by default (BOS), else the one that the files call so; -1: none. Pure. */
int32_t olica_tokenizer_bos(const olica_tokenizer *tokenizer);

/* Appends the ids of a text (any bytes: what is not UTF-8 is read as U+FFFD; NULs are characters). `special`:
 * with what the file's post-processor adds (BOS for Llama). Takes O(n log n). */
olica_status olica_tokenizer_encode(olica_tokenizer *tokenizer, const char *text, size_t bytes, bool special,
                                    olica_tokens *tokens);

/* The text of ids, NUL-terminated past its `bytes`, in counted memory that is the caller's. An id out of
 * range is OLICA_ERR_INPUT. `special`: special tokens are written out, else left out. */
olica_status olica_tokenizer_decode(olica_tokenizer *tokenizer, const int32_t *id, size_t count, bool special,
                                    char **text, size_t *bytes);

#endif
