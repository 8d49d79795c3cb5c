/* A model's tokenizer in use: texts to ids that the model has. Not collective: every rank has its own. */
#ifndef OLICA_TEXT_ENCODER_H
#define OLICA_TEXT_ENCODER_H

#include "olica/text/bundle.h"
#include "olica/text/tokenizer.h"

/* What is put around a text. */
typedef enum olica_special {
  OLICA_SPECIAL_AUTO, /* what the tokenizer itself adds by default: BOS for LLaMA, nothing for SmolLM2 */
  OLICA_SPECIAL_BOS,  /* one BOS in front and nothing else */
  OLICA_SPECIAL_NONE
} olica_special;

typedef struct olica_encoder {
  olica_env *env;
  char *name; /* the tokenizer's file, for messages; owned */
  olica_tokenizer *tokenizer;
  int32_t bos;        /* -1: none is known */
  int64_t vocabulary; /* of the model */
} olica_encoder;

/* Parses tokenizer.json, else tokenizer.model, and what surrounds it in the bundle's other files
 * (doc/tokenizers.md); what is not followed is told by warnings. `bos`: the model's own BOS, -1 if it has
 * none, for a tokenizer that names none. A bundle without a tokenizer, a file that is malformed, or a token
 * put around every text that the model does not have, is OLICA_ERR_INPUT. */
olica_status olica_encoder_open(olica_env *env, const olica_bundle *bundle, int64_t vocabulary, int32_t bos,
                                olica_encoder **encoder);
/* What the tokenizer does by default, for the log: "tokenizer.json: <s> (id 1) before a text, nothing behind
 * it, 3 added tokens". Pure. */
enum { OLICA_ENCODER_TEXT = 256 };
void olica_encoder_describe(const olica_encoder *encoder, char text[OLICA_ENCODER_TEXT]);
void olica_encoder_close(olica_encoder *encoder); /* NULL allowed */

/* Appends the ids of a text. An id that the model does not have, or a BOS that nobody knows, is
 * OLICA_ERR_INPUT. The message does not say which text: the caller puts that in front. */
olica_status olica_encoder_encode(olica_encoder *encoder, const char *text, size_t bytes,
                                  olica_special special, olica_tokens *tokens);

#endif
