/* A model's tokenizer in use: encodes texts to ids within the model's vocabulary. Not collective: every rank
 * has its own. */
#ifndef OLICA_TEXT_ENCODER_H
#define OLICA_TEXT_ENCODER_H

#include "text/bundle.h"
#include "text/tokenizer.h"

/* Special tokens added around a text. */
typedef enum olica_special {
  OLICA_SPECIAL_AUTO, /* those that the tokenizer adds by default: BOS for LLaMA, none for SmolLM2 */
  OLICA_SPECIAL_BOS,  /* one BOS before the text and nothing else */
  OLICA_SPECIAL_NONE
} olica_special;

typedef struct olica_encoder {
  olica_env *env;
  char *name; /* the tokenizer's file, for messages; owned */
  olica_tokenizer *tokenizer;
  int32_t bos;        /* -1: unknown */
  int64_t vocabulary; /* vocabulary size of the model */
} olica_encoder;

/* Parses tokenizer.json, or else tokenizer.model, and the related settings in the bundle's other files
 * (doc/tokenizers.md); warns of settings that are not followed. `bos`: the BOS of the model's config, -1 if
 * none, for a tokenizer that names none. OLICA_ERR_INPUT for a bundle without a tokenizer, a malformed file,
 * or a default special token outside the model's vocabulary. */
olica_status olica_encoder_open(olica_env *env, const olica_bundle *bundle, int64_t vocabulary, int32_t bos,
                                olica_encoder **encoder);
/* Describes the tokenizer's defaults for the log: "tokenizer.json: <s> (id 1) before a text, nothing behind
 * it, 3 added tokens". Pure. */
enum { OLICA_ENCODER_TEXT = 256 };
void olica_encoder_describe(const olica_encoder *encoder, char text[OLICA_ENCODER_TEXT]);
void olica_encoder_close(olica_encoder *encoder); /* NULL allowed */

/* Appends the ids of a text. OLICA_ERR_INPUT for an id outside the model's vocabulary, or if BOS is requested
 * and unknown. The message does not name the text: the caller prepends that. */
olica_status olica_encoder_encode(olica_encoder *encoder, const char *text, size_t bytes,
                                  olica_special special, olica_tokens *tokens);

#endif
