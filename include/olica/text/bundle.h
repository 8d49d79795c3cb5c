/* The files that make a model's tokenizer, as bytes on every rank: from a directory or from a checkpoint of
 * ours, to be parsed (text/encoder.h) and to be carried along in the next checkpoint. */
#ifndef OLICA_TEXT_BUNDLE_H
#define OLICA_TEXT_BUNDLE_H

#include "olica/io/catalog.h"

enum { OLICA_BUNDLE_BYTES = 256 << 20 }; /* a larger file is refused */

typedef enum olica_bundle_part {
  OLICA_BUNDLE_JSON,       /* tokenizer.json */
  OLICA_BUNDLE_MODEL,      /* tokenizer.model */
  OLICA_BUNDLE_CONFIG,     /* tokenizer_config.json, and what stands around the tokenizer in other files: */
  OLICA_BUNDLE_MAP,        /* special_tokens_map.json */
  OLICA_BUNDLE_ADDED,      /* added_tokens.json */
  OLICA_BUNDLE_GENERATION, /* generation_config.json: changes no id, is not carried into a checkpoint */
  OLICA_BUNDLE_PARTS
} olica_bundle_part;

typedef struct olica_bundle {
  char *place; /* the directory or the checkpoint; owned */
  bool is_checkpoint;
  char *other; /* tokenizers' files of kinds that are not read, "vocab.json, merges.txt"; NULL: none; owned */
  struct {
    char *data; /* NUL-terminated past its bytes; NULL: there is no such file */
    size_t bytes;
  } part[OLICA_BUNDLE_PARTS];
} olica_bundle;

/* Takes what there is of these files in a directory. What is there and cannot be read, is no regular file
 * or empty, or too large, is an error (an empty generation_config.json counts as none). Where there is no
 * tokenizer, `other` says what there is. Rank 0 reads. Collective on the context. */
olica_status olica_bundle_load(olica_context *context, const char *directory, olica_bundle **bundle);

/* The same from a checkpoint's index: the datasets meta/tokenizer_json, tokenizer_model,
 * tokenizer_config_json, special_tokens_map_json, added_tokens_json. Collective on the context. */
olica_status olica_bundle_extract(olica_context *context, olica_catalog *catalog, olica_bundle **bundle);
void olica_bundle_free(olica_env *env, olica_bundle *bundle); /* NULL allowed */

/* Is there a tokenizer in it? Pure. */
bool olica_bundle_holds(const olica_bundle *bundle);

/* "tokenizer.json": a part's file, as a directory has it. Pure. */
const char *olica_bundle_file(olica_bundle_part part);

/* "DIRECTORY/tokenizer.json", "FILE.h5: meta/tokenizer_json": a part's name for messages; counted, the
 * caller's. Not collective. */
olica_status olica_bundle_name(olica_env *env, const olica_bundle *bundle, olica_bundle_part part,
                               char **name);

#endif
