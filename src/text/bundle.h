/* The files of a model's tokenizer, as bytes on every rank, from a directory or from one of our checkpoints.
 * They are parsed (text/encoder.h), and copied into the next checkpoint. */
#ifndef OLICA_TEXT_BUNDLE_H
#define OLICA_TEXT_BUNDLE_H

#include "io/catalog.h"

enum { OLICA_BUNDLE_BYTES = 256 << 20 }; /* larger files are refused */

typedef enum olica_bundle_part {
  OLICA_BUNDLE_JSON,       /* tokenizer.json */
  OLICA_BUNDLE_MODEL,      /* tokenizer.model */
  OLICA_BUNDLE_CONFIG,     /* tokenizer_config.json; and further settings of the tokenizer in other files: */
  OLICA_BUNDLE_MAP,        /* special_tokens_map.json */
  OLICA_BUNDLE_ADDED,      /* added_tokens.json */
  OLICA_BUNDLE_GENERATION, /* generation_config.json: changes no id, is not copied into a checkpoint */
  OLICA_BUNDLE_PARTS
} olica_bundle_part;

typedef struct olica_bundle {
  char *place; /* the directory or the checkpoint; owned */
  bool is_checkpoint;
  char *other; /* tokenizer files of formats that are not read, "vocab.json, merges.txt"; NULL: none; owned */
  char *model_type; /* of the config.json beside them; NULL: none; owned */
  struct {
    char *data; /* followed by a NUL byte; NULL: no such file */
    size_t bytes;
  } part[OLICA_BUNDLE_PARTS];
} olica_bundle;

/* Loads those of the files that exist in a directory. A file that is unreadable, not regular, empty or too
 * large is an error (an empty generation_config.json counts as missing). If there is no tokenizer, `other`
 * lists other formats found. Rank 0 reads and broadcasts. Collective on the context. */
olica_status olica_bundle_load(olica_context *context, const char *directory, olica_bundle **bundle);

/* Loads the files from a checkpoint's index: the datasets meta/tokenizer_json, tokenizer_model,
 * tokenizer_config_json, special_tokens_map_json, added_tokens_json. Collective on the context. */
olica_status olica_bundle_extract(olica_context *context, olica_catalog *catalog, olica_bundle **bundle);
void olica_bundle_free(olica_env *env, olica_bundle *bundle); /* NULL allowed */

/* Returns true if the bundle has a tokenizer. Pure. */
bool olica_bundle_holds(const olica_bundle *bundle);

/* Returns the file name of a part in a directory: "tokenizer.json". Pure. */
const char *olica_bundle_file(olica_bundle_part part);

/* Returns a part's name for messages: "DIRECTORY/tokenizer.json", "FILE.h5: meta/tokenizer_json"; counted,
 * owned by the caller. Not collective. */
olica_status olica_bundle_name(olica_env *env, const olica_bundle *bundle, olica_bundle_part part,
                               char **name);

#endif
