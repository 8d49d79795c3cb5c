/* What stands around a tokenizer's own file: tokenizer_config.json, special_tokens_map.json,
 * added_tokens.json and generation_config.json, read as transformers 4.46 reads them, made into one
 * description (surroundings.c) and put onto a tokenizer (surround.c). doc/tokenizers.md has the table of
 * keys, and says where transformers 5 does otherwise. Private to text. */
#ifndef OLICA_TEXT_SURROUNDINGS_H
#define OLICA_TEXT_SURROUNDINGS_H

#include "olica/text/bundle.h"

#include "node.h"
#include "tokenizer_parts.h"

/* A switch of a file that may be silent. */
typedef enum olica_said { OLICA_SAID_NOTHING, OLICA_SAID_NO, OLICA_SAID_YES } olica_said;

/* Who honours add_prefix_space, and how. */
typedef enum olica_prefix_kind {
  OLICA_PREFIX_NONE,     /* nobody: the tokenizer's own file decides */
  OLICA_PREFIX_SENTENCE, /* as Llama: U+2581 in front of a text */
  OLICA_PREFIX_BYTES     /* as GPT-2: the space of a ByteLevel pre-tokenizer that stands alone */
} olica_prefix_kind;

/* A class of transformers: what its constructor does when the files are silent. */
typedef struct olica_tokenizer_class {
  const char *name;              /* without "Fast"; "": none is named */
  bool surrounds;                /* what add_bos_token and add_eos_token say replaces the post-processor */
  bool adds_bos;                 /* unless add_bos_token says otherwise */
  bool modern;                   /* `legacy` is false unless said */
  olica_prefix_kind prefix;      /* add_prefix_space */
  const char *role[OLICA_ROLES]; /* tokens where the files name none; NULL: none */
} olica_tokenizer_class;

/* bos_token and so on. */
typedef struct olica_role_name {
  bool said;       /* some file has the key */
  olica_span text; /* data NULL: it has none (null) */
} olica_role_name;

typedef struct olica_surroundings {
  olica_env *env;
  json_t *root[OLICA_BUNDLE_PARTS]; /* NULL: no such file; every text here lies in them */
  char *name[OLICA_BUNDLE_PARTS];   /* for messages; owned, as the roots */
  const char *class_name;           /* as the file has it, "" */
  const olica_tokenizer_class *kind;
  bool known; /* the class is one of the table */
  olica_said add_bos, add_eos, prefix_space, legacy;
  bool splits_special; /* special tokens in a text are text */
  bool has_decoder;    /* tokenizer_config.json has added_tokens_decoder: no other file's tokens count */
  olica_role_name role[OLICA_ROLES];
  olica_added_token *token; /* [count], a text may come twice: those with ids of the files first, ascending;
                             * then those that have a role (id -1: the vocabulary's, else the next one) */
  size_t count, room;
} olica_surroundings;

/* Reads the files of a bundle that are there. What is no JSON or of a wrong type is OLICA_ERR_INPUT naming
 * the file and the key. What is known not to be followed is told by a warning. `is_model`: the tokenizer is a
 * tokenizer.model. Free with olica_surroundings_free, after a failure too. */
olica_status olica_surroundings_read(olica_env *env, const olica_bundle *bundle, bool is_model,
                                     olica_surroundings *surroundings);
void olica_surroundings_free(olica_surroundings *surroundings);

/* A warning, from the rank that speaks alone: every rank reads the same files. */
void olica_surroundings_warn(olica_env *env, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts them onto a tokenizer that was parsed: added tokens, what goes before and after a text, the space in
 * front of it. What is taken against the tokenizer's own file, and what is not followed, is told. */
olica_status olica_surround(olica_tokenizer *tokenizer, const olica_surroundings *surroundings);

/* How a tokenizer.model differs from a tokenizer.json, or why it cannot be read: the rest of a sentence in
 * `why`
 * (""; they agree on every piece and on a probe text). */
enum { OLICA_TOKENIZER_WHY = 160 };
olica_status olica_tokenizer_compare(olica_tokenizer *json, const char *name, const char *bytes, size_t count,
                                     char why[OLICA_TOKENIZER_WHY]);

#endif
