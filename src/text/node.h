/* A value of tokenizer.json and its path, for messages. Private to text. */
#ifndef OLICA_TEXT_NODE_H
#define OLICA_TEXT_NODE_H

#include "io/json.h"

#include "bytes.h"

enum { OLICA_NODE_WHERE = 320, OLICA_NODE_DEPTH = 16 };

typedef struct olica_node {
  olica_env *env;
  json_t *value;
  int depth;
  char where[OLICA_NODE_WHERE]; /* "tokenizer.json: pre_tokenizer: pretokenizers[1]" */
} olica_node;

/* Gets member `key` (its value is NULL if missing), or element i. The nesting of parts is limited. */
olica_status olica_node_member(const olica_node *node, const char *key, olica_node *member);
olica_status olica_node_element(const olica_node *node, const char *key, size_t i, olica_node *element);

/* Checks a required list member and returns its length. */
olica_status olica_node_list(const olica_node *node, const char *key, size_t *count);

olica_status olica_node_refuse(const olica_node *node, const char *key, const char *expected);
bool olica_node_is_null(const olica_node *node);

/* Like olica_json_...; with a default the member may be missing or null. */
olica_status olica_node_string(const olica_node *node, const char *key, bool required, olica_span *string);
olica_status olica_node_boolean(const olica_node *node, const char *key, bool required, bool *value);
olica_status olica_node_integer(const olica_node *node, const char *key, bool required, int64_t low,
                                int64_t high, int64_t *value);
/* Gets a string of one character. */
olica_status olica_node_character(const olica_node *node, const char *key, uint32_t *code);

/* Gets a string as its index in `words` [count]. */
olica_status olica_node_word(const olica_node *node, const char *key, bool required, const char *const *words,
                             int count, int *word);

/* Constructors of the pipeline's parts: the name of a type, and the reader of its members. */
typedef olica_status olica_node_reader(const olica_node *node, void *pipeline);
typedef struct olica_node_kind {
  const char *type;
  olica_node_reader *read;
} olica_node_kind;

/* Reads a part by its type; null or missing means none. A "Sequence" is its list `parts`, in order. */
olica_status olica_node_parts(const olica_node *node, const char *parts, const olica_node_kind *kinds,
                              int count, void *pipeline);

#endif
