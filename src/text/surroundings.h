/* The settings beside a tokenizer's own file: tokenizer_config.json, special_tokens_map.json,
 * added_tokens.json and generation_config.json, read as transformers 4.46 reads them, merged into one
 * description (surroundings.c) and applied to a tokenizer (surround.c). doc/tokenizers.md has the table of
 * keys, and says where transformers 5 differs. Private to text. */
#ifndef OLICA_TEXT_SURROUNDINGS_H
#define OLICA_TEXT_SURROUNDINGS_H

#include "text/bundle.h"

#include "node.h"
#include "tokenizer_parts.h"

/* A switch that a file may set, or not mention. */
typedef enum olica_said { OLICA_SAID_NOTHING, OLICA_SAID_NO, OLICA_SAID_YES } olica_said;

/* The treatment of add_prefix_space. */
typedef enum olica_prefix_kind {
  OLICA_PREFIX_NONE,     /* ignored: the tokenizer's own file decides */
  OLICA_PREFIX_SENTENCE, /* as Llama: U+2581 before a text */
  OLICA_PREFIX_LONE,     /* as GPT-2: the space of a ByteLevel pre-tokenizer that stands alone */
  OLICA_PREFIX_EVERY     /* as Cohere: true adds the space of every ByteLevel; false changes nothing */
} olica_prefix_kind;

/* A tokenizer class of transformers: its constructor's defaults, for keys that the files do not set. */
typedef struct olica_tokenizer_class {
  const char *name;         /* without "Fast"; "": the file names none */
  bool surrounds;           /* add_bos_token and add_eos_token replace the post-processor */
  bool surrounds_in_5;      /* transformers 5 replaces it too, by the defaults alone */
  bool adds_bos;            /* unless add_bos_token is set */
  bool modern;              /* `legacy` is false by default */
  bool splits;              /* special tokens inside a text are plain text, unless a key says otherwise */
  olica_prefix_kind prefix; /* treatment of add_prefix_space */
  const char *role[OLICA_ROLES]; /* default tokens; NULL: none */
  const char *pad;               /* likewise */
} olica_tokenizer_class;

/* bos_token and so on. */
typedef struct olica_role_name {
  bool said;       /* a file has the key */
  olica_span text; /* data NULL: none (null) */
} olica_role_name;

typedef struct olica_surroundings {
  olica_env *env;
  json_t *root[OLICA_BUNDLE_PARTS]; /* NULL: no such file; all texts here are borrowed from them */
  char *name[OLICA_BUNDLE_PARTS];   /* for messages; owned, as the roots */
  const char *class_name;           /* as in the file, or "" */
  const olica_tokenizer_class *kind;
  bool known; /* the class is in the table */
  bool five;  /* transformers 5 has written the files: read as it reads them */
  olica_said add_bos, add_eos, prefix_space, legacy;
  bool splits_special; /* special tokens inside a text are plain text */
  bool has_decoder;    /* tokenizer_config.json has added_tokens_decoder: other files' tokens are ignored */
  olica_role_name role[OLICA_ROLES];
  olica_added_token *token; /* [count], texts may repeat: first those with ids in the files, ascending; then
                               those with a role (id -1: the vocabulary's, or else the next one) */
  size_t count, room;
} olica_surroundings;

/* Reads those files of a bundle that exist. OLICA_ERR_INPUT, naming the file and the key, for invalid JSON or
 * a wrong type. Warns of settings that are known but not followed. `is_model`: the tokenizer is a
 * tokenizer.model. Free with olica_surroundings_free, also after a failure. */
olica_status olica_surroundings_read(olica_env *env, const olica_bundle *bundle, bool is_model,
                                     olica_surroundings *surroundings);
void olica_surroundings_free(olica_surroundings *surroundings);

/* Warns on rank 0 alone: every rank reads the same files. */
void olica_surroundings_warn(olica_env *env, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Applies the settings to a parsed tokenizer: added tokens, special tokens before and after a text, the space
 * before it. Warns of settings that override the tokenizer's own file, and of those not followed. */
olica_status olica_surround(olica_tokenizer *tokenizer, const olica_surroundings *surroundings);

/* Warns if transformers 5 gives other ids for a text because the class builds a pipeline of its own in place
 * of tokenizer.json's (rebuilt.c). `model_type`: config.json's, which may choose another class; NULL: none.
 */
olica_status olica_tell_rebuilt(olica_tokenizer *tokenizer, const olica_surroundings *surroundings,
                                const char *model_type);

/* Compares a tokenizer.model with a tokenizer.json; returns in `why` the rest of a sentence, how it differs
 * or why it cannot be read ("": they agree on every piece and on a probe text). */
enum { OLICA_TOKENIZER_WHY = 160 };
olica_status olica_tokenizer_compare(olica_tokenizer *json, const char *name, const char *bytes, size_t count,
                                     char why[OLICA_TOKENIZER_WHY]);

#endif
