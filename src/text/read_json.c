/* Reads tokenizer.json into a tokenizer. `truncation` and `padding` belong to the program that saved the file
 * and are not applied; a warning reports a truncation, since the tokenizers package would cut texts. */
#include <stdio.h>

#include "tokenizer_parts.h"

/* ---- the model ---- */

static olica_status count_vocabulary(const olica_node *vocab, size_t *bytes, int32_t *size) {
  const char *key;
  json_t *value;
  *bytes = 0;
  *size = 0;
  json_object_foreach(vocab->value, key, value) {
    json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    if (id < 0 || id >= OLICA_IDS_MAX) {
      char expected[64];
      snprintf(expected, sizeof expected, "an id in [0, %d)", OLICA_IDS_MAX);
      return olica_node_refuse(vocab, key, expected);
    }
    *bytes += strlen(key);
    if (id >= *size) *size = (int32_t)id + 1;
  }
  return OLICA_OK;
}

static olica_status read_vocabulary(olica_tokenizer *t, const olica_node *model) {
  olica_node vocab;
  size_t bytes;
  int32_t size;
  const char *key;
  json_t *value;
  OLICA_TRY(olica_node_member(model, "vocab", &vocab));
  if (!json_is_object(vocab.value)) return olica_node_refuse(model, "vocab", "an object");
  OLICA_TRY(count_vocabulary(&vocab, &bytes, &size));
  OLICA_TRY(olica_vocabulary_begin(t->env, &t->vocabulary, json_object_size(vocab.value), bytes, size));
  json_object_foreach(vocab.value, key, value) olica_vocabulary_add(
      &t->vocabulary, (olica_span){key, strlen(key)}, (int32_t)json_integer_value(value));
  return OLICA_OK;
}

/* Splits a merge into its parts: "a b", or ["a", "b"]. */
static bool split_merge(const json_t *merge, olica_span *left, olica_span *right) {
  const json_t *a = json_array_get(merge, 0), *b = json_array_get(merge, 1);
  if (json_is_string(merge)) {
    const char *text = json_string_value(merge), *space = strchr(text, ' ');
    if (!space || strchr(space + 1, ' ')) return false;
    *left = (olica_span){text, (size_t)(space - text)};
    *right = (olica_span){space + 1, strlen(space + 1)};
    return true;
  }
  if (json_array_size(merge) != 2 || !json_is_string(a) || !json_is_string(b)) return false;
  *left = (olica_span){json_string_value(a), json_string_length(a)};
  *right = (olica_span){json_string_value(b), json_string_length(b)};
  return true;
}

static olica_status no_token(const olica_tokenizer *t, size_t i, olica_span text) {
  return olica_error_set(t->env, OLICA_ERR_INPUT, "%s: model: merges[%zu]: \"%.*s\" is not in vocab", t->name,
                         i, (int)(text.bytes < 60 ? text.bytes : 60), text.data);
}

/* Adds a merge. In the merged text, the second part loses the prefix that marks the inside of a word. */
static olica_status add_merge(olica_tokenizer *t, size_t i, uint32_t rank, olica_span left,
                              olica_span right) {
  olica_bytes *text = &t->bpe.scratch;
  size_t prefix = t->bpe.prefix.bytes;
  int32_t a = olica_vocabulary_find(&t->vocabulary, left), b = olica_vocabulary_find(&t->vocabulary, right);
  if (a < 0) return no_token(t, i, left);
  if (b < 0 || right.bytes < prefix) return no_token(t, i, right);
  text->count = 0;
  OLICA_TRY(olica_bytes_append(t->env, text, left.data, left.bytes));
  OLICA_TRY(olica_bytes_append(t->env, text, right.data + prefix, right.bytes - prefix));
  int32_t merged = olica_vocabulary_find(&t->vocabulary, olica_bytes_span(text));
  return merged < 0 ? no_token(t, i, olica_bytes_span(text)) : olica_bpe_add(&t->bpe, a, b, rank, merged);
}

static olica_status read_merges(olica_tokenizer *t, const olica_node *model) {
  size_t count;
  uint32_t rank = 0;
  const json_t *list = json_object_get(model->value, "merges");
  OLICA_TRY(olica_node_list(model, "merges", &count));
  for (size_t i = 0; i < count; i++) {
    const json_t *merge = json_array_get(list, i);
    olica_span left, right;
    const char *text = json_string_value(merge);
    if (text && strncmp(text, "#version", 8) == 0) continue;
    if (!split_merge(merge, &left, &right)) {
      olica_node element;
      OLICA_TRY(olica_node_element(model, "merges", i, &element));
      return olica_node_refuse(&element, NULL, "two tokens, as \"a b\" or [\"a\", \"b\"]");
    }
    OLICA_TRY(add_merge(t, i, rank++, left, right));
  }
  return OLICA_OK;
}

static olica_status keep_affix(olica_tokenizer *t, const olica_node *model, const char *key, char **copy,
                               olica_span *affix) {
  olica_span string = {0};
  OLICA_TRY(olica_node_string(model, key, false, &string));
  if (string.bytes == 0) return OLICA_OK;
  *copy = olica_memory_get(t->env, key, string.bytes, 1);
  if (!*copy) return OLICA_ERR_MEMORY;
  memcpy(*copy, string.data, string.bytes);
  *affix = (olica_span){*copy, string.bytes};
  return OLICA_OK;
}

static olica_status read_settings(olica_tokenizer *t, const olica_node *model) {
  olica_bpe *bpe = &t->bpe;
  olica_span unk = {0};
  double dropout = 0;
  OLICA_TRY(olica_json_real(t->env, model->where, model->value, "dropout", false, 0, 0, &dropout));
  OLICA_TRY(olica_node_boolean(model, "fuse_unk", false, &bpe->fuse_unk));
  OLICA_TRY(olica_node_boolean(model, "byte_fallback", false, &bpe->byte_fallback));
  OLICA_TRY(olica_node_boolean(model, "ignore_merges", false, &bpe->ignore_merges));
  OLICA_TRY(keep_affix(t, model, "continuing_subword_prefix", &bpe->affix[0], &bpe->prefix));
  OLICA_TRY(keep_affix(t, model, "end_of_word_suffix", &bpe->affix[1], &bpe->suffix));
  OLICA_TRY(olica_node_string(model, "unk_token", false, &unk));
  if (unk.data) bpe->unk = olica_vocabulary_find(&t->vocabulary, unk);
  bpe->unk_missing = unk.data && bpe->unk < 0;
  return OLICA_OK;
}

static olica_status read_bpe(olica_tokenizer *t, const olica_node *model) {
  OLICA_TRY(read_vocabulary(t, model));
  OLICA_TRY(read_settings(t, model));
  OLICA_TRY(olica_bpe_begin(&t->bpe));
  return read_merges(t, model);
}

static olica_status read_model(olica_tokenizer *t, const olica_node *root) {
  olica_node model;
  olica_span type = {0};
  OLICA_TRY(olica_node_member(root, "model", &model));
  if (!json_is_object(model.value)) return olica_node_refuse(root, "model", "an object");
  OLICA_TRY(olica_node_string(&model, "type", !json_object_get(model.value, "merges"), &type));
  if (!type.data || olica_span_is(type, "BPE", 3)) return read_bpe(t, &model);
  if (olica_span_is(type, "Unigram", 7)) return olica_tokenizer_read_unigram(t, &model);
  return olica_node_refuse(
      &model, "type",
      "\"BPE\" or \"Unigram\" ([model] tokenizer names a directory with another tokenizer; "
      "a tokenizer.model is read where there is no tokenizer.json)");
}

/* ---- added tokens ---- */

static olica_status read_added_token(const olica_node *node, olica_added_token *token) {
  int64_t id = 0;
  OLICA_TRY(olica_node_string(node, "content", true, &token->text));
  OLICA_TRY(olica_node_integer(node, "id", true, 0, OLICA_IDS_MAX - 1, &id));
  OLICA_TRY(olica_node_boolean(node, "special", false, &token->special));
  OLICA_TRY(olica_node_boolean(node, "single_word", false, &token->single_word));
  OLICA_TRY(olica_node_boolean(node, "lstrip", false, &token->left));
  OLICA_TRY(olica_node_boolean(node, "rstrip", false, &token->right));
  token->normalized = !token->special;
  OLICA_TRY(olica_node_boolean(node, "normalized", false, &token->normalized));
  if (token->text.bytes <= OLICA_ADDED_BYTES) return OLICA_OK;
  return olica_error_set(node->env, OLICA_ERR_INPUT, "%s: content has %zu bytes, expected at most %d",
                         node->where, token->text.bytes, OLICA_ADDED_BYTES);
}

/* Returns the id of an added token: the vocabulary's, or else the next free one. The tokenizers package does
 * the same; it ignores the file's own number, which agrees in files that it has written. */
static int32_t number_added(const olica_tokenizer *t, olica_span text, int32_t *highest) {
  int32_t known = olica_vocabulary_find(&t->vocabulary, text), count = (int32_t)t->vocabulary.count;
  if (known < 0) known = *highest >= count ? *highest + 1 : count;
  if (known > *highest) *highest = known;
  return known;
}

static olica_status keep_added(olica_tokenizer *t, const olica_node *root, size_t count) {
  int32_t highest = -1;
  for (size_t i = 0; i < count; i++) {
    olica_node node;
    olica_added_token token = {0};
    OLICA_TRY(olica_node_element(root, "added_tokens", i, &node));
    if (!json_is_object(node.value)) return olica_node_refuse(&node, NULL, "an object");
    OLICA_TRY(read_added_token(&node, &token));
    if (token.text.bytes == 0 || !olica_vocabulary_add(&t->added_texts, token.text, (int32_t)t->added_count))
      continue;
    token.text = t->added_texts.text[t->added_count];
    token.id = number_added(t, token.text, &highest);
    if (token.id >= OLICA_IDS_MAX) return olica_node_refuse(&node, "id", "fewer ids in all");
    t->added[t->added_count++] = token;
  }
  return OLICA_OK;
}

static olica_status read_added(olica_tokenizer *t, const olica_node *root) {
  size_t count = 0, bytes = 0;
  olica_node list;
  OLICA_TRY(olica_node_member(root, "added_tokens", &list));
  if (!olica_node_is_null(&list)) OLICA_TRY(olica_node_list(root, "added_tokens", &count));
  if (count >= OLICA_IDS_MAX) return olica_node_refuse(root, "added_tokens", "a shorter array");
  for (size_t i = 0; i < count; i++)
    bytes += json_string_length(json_object_get(json_array_get(list.value, i), "content"));
  OLICA_TRY(OLICA_NEW(t->env, t->added, count));
  OLICA_TRY(olica_vocabulary_begin(t->env, &t->added_texts, count, bytes, (int32_t)count));
  OLICA_TRY(keep_added(t, root, count));
  return olica_tokenizer_index_added(t, false);
}

/* ---- what is put around a text ---- */

/* Prepends ids to a list (before), or appends them (after). */
static olica_status put_front(olica_env *env, olica_tokens *tokens, const int32_t *id, size_t count) {
  OLICA_TRY(olica_tokens_reserve(env, tokens, count));
  memmove(tokens->id + count, tokens->id, tokens->count * sizeof *id);
  memcpy(tokens->id, id, count * sizeof *id);
  tokens->count += count;
  return OLICA_OK;
}

/* Reads the ids of a template's special token. */
static olica_status read_special(const olica_node *node, const olica_node *element, olica_tokens *out) {
  const char *name = json_string_value(json_object_get(element->value, "id"));
  const json_t *known = name ? json_object_get(json_object_get(node->value, "special_tokens"), name) : NULL;
  const json_t *ids = json_object_get(known, "ids"), *value;
  size_t i;
  if (!json_is_array(ids))
    return olica_node_refuse(element, "id", "a name of special_tokens, which has its ids");
  json_array_foreach(ids, i, value) {
    json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    if (id < 0 || id >= OLICA_IDS_MAX)
      return olica_error_set(node->env, OLICA_ERR_INPUT, "%s: special_tokens: %.60s: ids[%zu] is no id",
                             node->where, name, i);
    OLICA_TRY(olica_tokens_append(node->env, out, &(int32_t){(int32_t)id}, 1));
  }
  return OLICA_OK;
}

static olica_status read_template_sides(const olica_node *node, olica_tokens *before, olica_tokens *after) {
  size_t count, sequences = 0;
  OLICA_TRY(olica_node_list(node, "single", &count));
  for (size_t i = 0; i < count; i++) {
    olica_node piece, element;
    OLICA_TRY(olica_node_element(node, "single", i, &piece));
    OLICA_TRY(olica_node_member(&piece, "SpecialToken", &element));
    if (element.value) {
      OLICA_TRY(read_special(node, &element, sequences ? after : before));
    } else if (json_object_get(piece.value, "Sequence")) {
      sequences++;
    } else {
      return olica_node_refuse(&piece, NULL, "{\"SpecialToken\": ...} or {\"Sequence\": ...}");
    }
  }
  return sequences == 1 ? OLICA_OK
                        : olica_node_refuse(node, "single", "an array with one \"Sequence\" in it");
}

static olica_status read_template(const olica_node *node, void *tokenizer) {
  olica_tokenizer *t = tokenizer;
  olica_tokens before = {0}, after = {0};
  olica_status status = read_template_sides(node, &before, &after);
  if (status == OLICA_OK && before.count) status = put_front(t->env, &t->before, before.id, before.count);
  if (status == OLICA_OK) status = olica_tokens_append(t->env, &t->after, after.id, after.count);
  olica_memory_free(t->env, before.id);
  olica_memory_free(t->env, after.id);
  return status;
}

/* ["<s>", 0] */
static olica_status read_pair(const olica_node *node, const char *key, int32_t *id) {
  const json_t *number = json_array_get(json_object_get(node->value, key), 1);
  json_int_t value = json_is_integer(number) ? json_integer_value(number) : -1;
  if (value < 0 || value >= OLICA_IDS_MAX) return olica_node_refuse(node, key, "a token and its id");
  *id = (int32_t)value;
  return OLICA_OK;
}

static olica_status read_bert(const olica_node *node, void *tokenizer) {
  olica_tokenizer *t = tokenizer;
  int32_t first = -1, last = -1;
  OLICA_TRY(read_pair(node, "cls", &first));
  OLICA_TRY(read_pair(node, "sep", &last));
  OLICA_TRY(put_front(t->env, &t->before, &first, 1));
  return olica_tokens_append(t->env, &t->after, &last, 1);
}

/* Affects offsets only. */
static olica_status read_byte_level(const olica_node *node, void *tokenizer) {
  (void)node, (void)tokenizer;
  return OLICA_OK;
}

static const olica_node_kind processors[] = {{"TemplateProcessing", read_template},
                                             {"ByteLevel", read_byte_level},
                                             {"BertProcessing", read_bert},
                                             {"RobertaProcessing", read_bert}};

static olica_status check_surround(const olica_tokenizer *t, const olica_tokens *tokens) {
  for (size_t i = 0; i < tokens->count; i++)
    if (tokens->id[i] >= t->size)
      return olica_error_set(t->env, OLICA_ERR_INPUT, "%s: post_processor: id %d, expected one in [0, %d)",
                             t->name, tokens->id[i], t->size);
  return OLICA_OK;
}

/* Every rank has read the file; rank 0 warns. */
static void tell_truncation(const olica_tokenizer *t, const olica_node *root) {
  const json_t *truncation = json_object_get(root->value, "truncation");
  if (truncation && !json_is_null(truncation) && t->env->log.speaks)
    olica_log_warn(t->env, "%.160s: truncation is not applied: texts stay whole", t->name);
}

static olica_status read_root(olica_tokenizer *t, const olica_node *root) {
  olica_node processor;
  OLICA_TRY(read_model(t, root));
  OLICA_TRY(olica_normalizers_read(root, &t->normalizers));
  OLICA_TRY(olica_pretokenizers_read(root, &t->pretokenizers));
  OLICA_TRY(olica_decoders_read(root, &t->decoders));
  OLICA_TRY(read_added(t, root));
  OLICA_TRY(olica_node_member(root, "post_processor", &processor));
  OLICA_TRY(
      olica_node_parts(&processor, "processors", processors, sizeof processors / sizeof *processors, t));
  OLICA_TRY(olica_tokenizer_index(t));
  tell_truncation(t, root);
  OLICA_TRY(check_surround(t, &t->before));
  return check_surround(t, &t->after);
}

olica_status olica_tokenizer_read_json(olica_tokenizer *t, const char *bytes, size_t count) {
  json_t *value;
  OLICA_TRY(olica_json_parse(t->env, t->name, bytes, count, &value));
  olica_node root = {.env = t->env, .value = value};
  snprintf(root.where, sizeof root.where, "%.200s", t->name);
  olica_status status = read_root(t, &root);
  json_decref(value);
  return status;
}
