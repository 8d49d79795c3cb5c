/* Tokenizers: convert text to ids and back, exactly as the model's own files define. Reads tokenizer.json of
 * the BPE kind and SentencePiece's tokenizer.model (BPE and unigram) as data; nothing depends on a particular
 * model. Not collective; the bytes come from a file or from one of our checkpoints. */
#ifndef OLICA_TEXT_TOKENIZER_H
#define OLICA_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/env.h"
#include "text/tokens.h"

typedef struct olica_tokenizer olica_tokenizer;

typedef enum olica_tokenizer_format {
  OLICA_TOKENIZER_JSON, /* Hugging Face's tokenizer.json */
  OLICA_TOKENIZER_MODEL /* SentencePiece's tokenizer.model */
} olica_tokenizer_format;

/* Reads a tokenizer from the bytes of its file; `name` (the file) is for messages. OLICA_ERR_INPUT, naming
 * the file, the key, found and expected, for malformed data or an unknown kind. The bytes may be freed
 * afterwards. */
olica_status olica_tokenizer_parse(olica_env *env, const char *name, olica_tokenizer_format format,
                                   const char *bytes, size_t count, olica_tokenizer **tokenizer);
void olica_tokenizer_close(olica_tokenizer *tokenizer); /* NULL allowed */

/* Returns the number of ids, vocabulary and added tokens: the largest id plus one. Pure. */
int64_t olica_tokenizer_size(const olica_tokenizer *tokenizer);

/* Returns the id added before every text by default (BOS), or else the one that the files name as BOS; -1:
 * none. Pure. */
int32_t olica_tokenizer_bos(const olica_tokenizer *tokenizer);

/* Appends the ids of a text. Any bytes are allowed: ill-formed UTF-8 is read as U+FFFD; NUL is a character.
 * `special`: adds the special tokens of the file's post-processor (BOS for Llama). Takes O(n log n). */
olica_status olica_tokenizer_encode(olica_tokenizer *tokenizer, const char *text, size_t bytes, bool special,
                                    olica_tokens *tokens);

/* Returns the text of ids, followed by a NUL byte, in counted memory owned by the caller. OLICA_ERR_INPUT for
 * an id out of range. `special`: writes special tokens out; otherwise omits them. */
olica_status olica_tokenizer_decode(olica_tokenizer *tokenizer, const int32_t *id, size_t count, bool special,
                                    char **text, size_t *bytes);

#endif
