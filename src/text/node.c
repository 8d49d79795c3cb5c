#include "node.h"

#include <stdio.h>

#include "unicode.h"

enum { EXPECTED = 512 };

static olica_status enter(const olica_node *node, olica_node *inner) {
  inner->env = node->env;
  inner->depth = node->depth + 1;
  if (inner->depth > OLICA_NODE_DEPTH)
    return olica_error_set(node->env, OLICA_ERR_INPUT,
                           "%s: parts are nested too deeply, expected at most %d levels", node->where,
                           OLICA_NODE_DEPTH);
  return OLICA_OK;
}

olica_status olica_node_member(const olica_node *node, const char *key, olica_node *member) {
  OLICA_TRY(enter(node, member));
  member->value = json_object_get(node->value, key);
  snprintf(member->where, sizeof member->where, "%.200s: %.80s", node->where, key);
  return OLICA_OK;
}

olica_status olica_node_element(const olica_node *node, const char *key, size_t i, olica_node *element) {
  OLICA_TRY(enter(node, element));
  element->value = json_array_get(json_object_get(node->value, key), i);
  snprintf(element->where, sizeof element->where, "%.200s: %.60s[%zu]", node->where, key, i);
  return OLICA_OK;
}

olica_status olica_node_refuse(const olica_node *node, const char *key, const char *expected) {
  char found[OLICA_JSON_TEXT];
  olica_json_describe(key ? json_object_get(node->value, key) : node->value, found);
  return olica_error_set(node->env, OLICA_ERR_INPUT, "%s%s%s is %s, expected %s", node->where,
                         key ? ": " : "", key ? key : "", found, expected);
}

olica_status olica_node_list(const olica_node *node, const char *key, size_t *count) {
  const json_t *list = json_object_get(node->value, key);
  *count = 0;
  if (!json_is_array(list)) return olica_node_refuse(node, key, "an array");
  *count = json_array_size(list);
  return OLICA_OK;
}

bool olica_node_is_null(const olica_node *node) {
  return !node->value || json_is_null(node->value);
}

olica_status olica_node_string(const olica_node *node, const char *key, bool required, olica_span *string) {
  const json_t *found = json_object_get(node->value, key);
  if (!required && (!found || json_is_null(found))) return OLICA_OK;
  if (!json_is_string(found)) return olica_node_refuse(node, key, "a string");
  *string = (olica_span){json_string_value(found), json_string_length(found)};
  return OLICA_OK;
}

olica_status olica_node_boolean(const olica_node *node, const char *key, bool required, bool *value) {
  return olica_json_boolean(node->env, node->where, node->value, key, required, value);
}

olica_status olica_node_integer(const olica_node *node, const char *key, bool required, int64_t low,
                                int64_t high, int64_t *value) {
  return olica_json_integer(node->env, node->where, node->value, key, required, low, high, value);
}

olica_status olica_node_character(const olica_node *node, const char *key, uint32_t *code) {
  olica_span string = {0};
  OLICA_TRY(olica_node_string(node, key, true, &string));
  size_t at = 0;
  if (string.bytes) *code = olica_unicode_next(string, &at);
  return at && at == string.bytes ? OLICA_OK : olica_node_refuse(node, key, "one character");
}

/* Formats "one of A, B, C". */
static void list_words(const char *(*word)(const void *, int), const void *words, int count, char *text) {
  size_t n = (size_t)snprintf(text, EXPECTED, "one of");
  for (int i = 0; i < count && n < EXPECTED - 1; i++)
    n += (size_t)snprintf(text + n, EXPECTED - n, "%s %s", i ? "," : "", word(words, i));
}

static const char *plain_word(const void *words, int i) {
  return ((const char *const *)words)[i];
}

static const char *kind_word(const void *kinds, int i) {
  return ((const olica_node_kind *)kinds)[i].type;
}

olica_status olica_node_word(const olica_node *node, const char *key, bool required, const char *const *words,
                             int count, int *word) {
  olica_span string = {0};
  OLICA_TRY(olica_node_string(node, key, required, &string));
  if (!string.data) return OLICA_OK;
  for (int i = 0; i < count; i++)
    if (olica_span_is(string, words[i], strlen(words[i]))) {
      *word = i;
      return OLICA_OK;
    }
  char expected[EXPECTED];
  list_words(plain_word, words, count, expected);
  return olica_node_refuse(node, key, expected);
}

static olica_status read_sequence(const olica_node *node, const char *parts, const olica_node_kind *kinds,
                                  int count, void *pipeline) {
  size_t length;
  OLICA_TRY(olica_node_list(node, parts, &length));
  for (size_t i = 0; i < length; i++) {
    olica_node part;
    OLICA_TRY(olica_node_element(node, parts, i, &part));
    if (!json_is_object(part.value)) return olica_node_refuse(&part, NULL, "an object");
    OLICA_TRY(olica_node_parts(&part, parts, kinds, count, pipeline));
  }
  return OLICA_OK;
}

olica_status olica_node_parts(const olica_node *node, const char *parts, const olica_node_kind *kinds,
                              int count, void *pipeline) {
  if (olica_node_is_null(node)) return OLICA_OK;
  if (!json_is_object(node->value)) return olica_node_refuse(node, NULL, "an object or null");
  olica_span type = {0};
  OLICA_TRY(olica_node_string(node, "type", true, &type));
  if (olica_span_is(type, "Sequence", 8)) return read_sequence(node, parts, kinds, count, pipeline);
  for (int i = 0; i < count; i++)
    if (olica_span_is(type, kinds[i].type, strlen(kinds[i].type))) return kinds[i].read(node, pipeline);
  char expected[EXPECTED];
  list_words(kind_word, kinds, count, expected);
  return olica_node_refuse(node, "type", expected);
}
