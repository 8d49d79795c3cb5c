/* A text model nested in a multimodal one: config.json has a model_type of src/model/nested.c's table and the
 * text model's config as its text_config. The text model is read as if it stood alone; the other tensors are
 * left out. Not collective. */
#ifndef OLICA_MODEL_NESTED_H
#define OLICA_MODEL_NESTED_H

#include <stdbool.h>
#include <stddef.h>

#include "io/catalog.h"
#include "model/arch.h"

/* The key of the text model's config that keeps the model_type of the multimodal model. */
#define OLICA_NESTED_KEY "olica_text_of"

/* Where the text model's tensors lie in the files, for messages. */
typedef struct olica_nested {
  bool is;                        /* false: the model is no nested one */
  char prefix[OLICA_TENSOR_NAME]; /* in place of the family's prefix */
  char head[OLICA_TENSOR_NAME];   /* in place of the family's output matrix */
  int read, ignored;              /* tensors of the text model, and others */
} olica_nested;

/* Returns the table's copy of a multimodal model_type; NULL: it is not read. Pure. */
const char *olica_nested_find(const char *type);

/* Number i of the table, or NULL past its end. Pure. */
const char *olica_nested_at(int i);

/* Takes the text model out of a multimodal one, on rank 0, before the catalog is shared: replaces *config
 * (counted memory) by the text model's config, renames its tensors in the catalog as its family names them,
 * takes the others out of it, and warns of them. *nested says where they lay. A config that is none of a
 * multimodal model stays. A text_config that is missing or of an unknown family is OLICA_ERR_INPUT. */
olica_status olica_nested_take(olica_catalog *catalog, const char *name, char **config, size_t *bytes,
                               olica_nested *nested);

/* Refuses a nested text model (OLICA_ERR_INPUT) whose logits have a factor or a cap: the multimodal classes
 * of transformers 5 leave them out, those of 4 do not. */
olica_status olica_nested_check(olica_env *env, const char *name, const olica_arch *arch);

/* Writes a published name as the files have it. Pure. */
void olica_nested_name(const olica_nested *nested, const olica_family *family, char name[OLICA_TENSOR_NAME]);

/* Tells whether olica_nested_take makes `config` of the text of a config.json. A failure counts as no, and
 * leaves no message. */
bool olica_nested_gives(olica_env *env, const char *name, const char *text, size_t bytes, const char *config,
                        size_t config_bytes);

#endif
