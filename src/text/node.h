/* A value of tokenizer.json and where it stands, for messages. Private to text. */
#ifndef OLICA_TEXT_NODE_H
#define OLICA_TEXT_NODE_H

#include "olica/io/json.h"

#include "bytes.h"

enum { OLICA_NODE_WHERE = 320, OLICA_NODE_DEPTH = 16 };

typedef struct olica_node {
  olica_env *env;
  json_t *value;
  int depth;
  char where[OLICA_NODE_WHERE]; /* "tokenizer.json: pre_tokenizer: pretokenizers[1]" */
} olica_node;

/* Member `key` (its value NULL if there is none), element i. Parts inside parts are limited in depth. */
olica_status olica_node_member(const olica_node *node, const char *key, olica_node *member);
olica_status olica_node_element(const olica_node *node, const char *key, size_t i, olica_node *element);

/* A list member, which must be there; its length. */
olica_status olica_node_list(const olica_node *node, const char *key, size_t *count);

olica_status olica_node_refuse(const olica_node *node, const char *key, const char *expected);
bool olica_node_is_null(const olica_node *node);

/* As olica_json_..., where a default is given the member may be missing or null. */
olica_status olica_node_string(const olica_node *node, const char *key, bool required, olica_span *string);
olica_status olica_node_boolean(const olica_node *node, const char *key, bool required, bool *value);
olica_status olica_node_integer(const olica_node *node, const char *key, bool required, int64_t low,
                                int64_t high, int64_t *value);
/* A string of one character. */
olica_status olica_node_character(const olica_node *node, const char *key, uint32_t *code);

/* A string as its place in `words` [count]. */
olica_status olica_node_word(const olica_node *node, const char *key, bool required, const char *const *words,
                             int count, int *word);

/* What parts of the pipeline are made by: their type's name, and the reader of their members. */
typedef olica_status olica_node_reader(const olica_node *node, void *pipeline);
typedef struct olica_node_kind {
  const char *type;
  olica_node_reader *read;
} olica_node_kind;

/* Reads a part by its type; null and a missing one are none. A "Sequence" is its list `parts`, in order. */
olica_status olica_node_parts(const olica_node *node, const char *parts, const olica_node_kind *kinds,
                              int count, void *pipeline);

#endif
