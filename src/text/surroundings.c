#include "surroundings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classes.h"

/* The keys that name tokens, in the order in which transformers adds new tokens. */
static const char *const keys[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                   "pad_token", "cls_token", "mask_token"};
enum { PAD = 4, KEYS = sizeof keys / sizeof *keys, TEXT = 40 };

void olica_surroundings_warn(olica_env *env, const char *format, ...) {
  if (!env->log.speaks) return;
  char text[OLICA_WARNING_TEXT];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  olica_log_warn(env, "%s", text);
}

static int shown(olica_span text) {
  return text.bytes < TEXT ? (int)text.bytes : TEXT;
}

/* ---- files ---- */

static olica_status open_file(olica_surroundings *s, const olica_bundle *bundle, olica_bundle_part part) {
  if (!bundle->part[part].data) return OLICA_OK;
  OLICA_TRY(olica_bundle_name(s->env, bundle, part, &s->name[part]));
  return olica_json_parse(s->env, s->name[part], bundle->part[part].data, bundle->part[part].bytes,
                          &s->root[part]);
}

/* Returns a file's root; its value is NULL if the file does not exist. */
static olica_node root_of(const olica_surroundings *s, olica_bundle_part part) {
  olica_node node = {.env = s->env, .value = s->root[part]};
  snprintf(node.where, sizeof node.where, "%.200s", s->name[part] ? s->name[part] : "");
  return node;
}

static olica_status read_switch(const olica_node *node, const char *key, olica_said *said) {
  bool value = false;
  const json_t *found = json_object_get(node->value, key);
  if (!found || json_is_null(found)) return OLICA_OK;
  OLICA_TRY(olica_node_boolean(node, key, true, &value));
  *said = value ? OLICA_SAID_YES : OLICA_SAID_NO;
  return OLICA_OK;
}

/* ---- tokens ---- */

/* Reads a token: a string, or an object like transformers' AddedToken. */
static olica_status read_token(const olica_node *node, bool special, olica_added_token *token) {
  *token = (olica_added_token){.id = -1, .special = special};
  if (json_is_string(node->value)) {
    token->text = (olica_span){json_string_value(node->value), json_string_length(node->value)};
    token->normalized = !special;
  } else if (json_is_object(node->value)) {
    OLICA_TRY(olica_node_string(node, "content", true, &token->text));
    OLICA_TRY(olica_node_boolean(node, "special", false, &token->special));
    OLICA_TRY(olica_node_boolean(node, "single_word", false, &token->single_word));
    OLICA_TRY(olica_node_boolean(node, "lstrip", false, &token->left));
    OLICA_TRY(olica_node_boolean(node, "rstrip", false, &token->right));
    token->special = token->special || special;
    token->normalized = !token->special;
    OLICA_TRY(olica_node_boolean(node, "normalized", false, &token->normalized));
  } else {
    return olica_node_refuse(node, NULL, "a string, or an object with \"content\"");
  }
  if (token->text.bytes <= OLICA_ADDED_BYTES) return OLICA_OK;
  return olica_error_set(node->env, OLICA_ERR_INPUT, "%s: has %zu bytes, expected at most %d", node->where,
                         token->text.bytes, OLICA_ADDED_BYTES);
}

static olica_status keep(olica_surroundings *s, const olica_added_token *token) {
  if (token->text.bytes == 0) return OLICA_OK;
  OLICA_TRY(OLICA_GROW(s->env, s->token, s->room, s->count, s->count + 1));
  s->token[s->count++] = *token;
  return OLICA_OK;
}

/* Reads "32000": a number and nothing else. */
static bool read_number(const char *text, int32_t *id) {
  char *end;
  long value = strtol(text, &end, 10);
  if (*text < '0' || *text > '9' || *end || value >= OLICA_IDS_MAX) return false;
  *id = (int32_t)value;
  return true;
}

static olica_status read_decoder(olica_surroundings *s, const olica_node *config) {
  olica_node decoder;
  const char *key;
  json_t *value;
  OLICA_TRY(olica_node_member(config, "added_tokens_decoder", &decoder));
  if (!json_is_object(decoder.value)) return olica_node_refuse(&decoder, NULL, "an object: id to token");
  json_object_foreach(decoder.value, key, value) {
    olica_node element;
    olica_added_token token;
    int32_t id;
    OLICA_TRY(olica_node_member(&decoder, key, &element));
    if (!read_number(key, &id))
      return olica_error_set(s->env, OLICA_ERR_INPUT, "%s: the key is no id, expected one in [0, %d)",
                             element.where, OLICA_IDS_MAX);
    if (!json_is_object(value)) return olica_node_refuse(&element, NULL, "an object with \"content\"");
    OLICA_TRY(read_token(&element, false, &token));
    token.id = id;
    OLICA_TRY(keep(s, &token));
  }
  return OLICA_OK;
}

/* Reads {"<|im_start|>": 32001}; a token is special if a key of the other files names it. */
static olica_status read_added(olica_surroundings *s) {
  olica_node root = root_of(s, OLICA_BUNDLE_ADDED);
  const char *key;
  json_t *value;
  json_object_foreach(root.value, key, value) {
    int64_t id = 0;
    OLICA_TRY(olica_node_integer(&root, key, true, 0, OLICA_IDS_MAX - 1, &id));
    olica_added_token token = {.text = {key, strlen(key)}, .id = (int32_t)id, .normalized = true};
    if (token.text.bytes > OLICA_ADDED_BYTES)
      return olica_error_set(s->env, OLICA_ERR_INPUT, "%s: a token has %zu bytes, expected at most %d",
                             root.where, token.text.bytes, OLICA_ADDED_BYTES);
    OLICA_TRY(keep(s, &token));
  }
  return OLICA_OK;
}

static int by_id(const void *a, const void *b) {
  int32_t x = ((const olica_added_token *)a)->id, y = ((const olica_added_token *)b)->id;
  return x < y ? -1 : x > y;
}

/* ---- the tokens that have a role ---- */

/* Finds the value of a key: special_tokens_map.json wins over tokenizer_config.json, unless the latter lists
 * its added tokens. The value is NULL if neither has the key. */
static olica_status find_key(const olica_surroundings *s, const char *key, olica_node *member) {
  olica_node config = root_of(s, OLICA_BUNDLE_CONFIG), map = root_of(s, OLICA_BUNDLE_MAP);
  olica_node other;
  OLICA_TRY(olica_node_member(&map, key, &other));
  OLICA_TRY(olica_node_member(&config, key, member));
  if (!s->has_decoder && other.value) *member = other;
  return OLICA_OK;
}

/* Warns of differences in a special_tokens_map.json that is not used. */
static olica_status compare_map(const olica_surroundings *s, const char *key, olica_span taken) {
  olica_node map = root_of(s, OLICA_BUNDLE_MAP), other;
  olica_added_token token;
  OLICA_TRY(olica_node_member(&map, key, &other));
  if (olica_node_is_null(&other)) return OLICA_OK;
  OLICA_TRY(read_token(&other, true, &token));
  if (!olica_span_is(taken, token.text.data, token.text.bytes))
    olica_surroundings_warn(
        s->env,
        "special_tokens_map.json: %s is \"%.*s\", not followed: tokenizer_config.json has "
        "added_tokens_decoder and says \"%.*s\"",
        key, shown(token.text), token.text.data, shown(taken), taken.data ? taken.data : "");
  return OLICA_OK;
}

/* Reads a key's token; text.data stays NULL if the key is null or missing. An empty text, as in the first
 * conversions of LLaMA, counts as missing: transformers replaces it by <unk>. */
static olica_status read_key(olica_surroundings *s, const char *key, olica_role_name *name) {
  olica_node member;
  olica_added_token token = {0};
  OLICA_TRY(find_key(s, key, &member));
  name->said = member.value != NULL;
  if (!olica_node_is_null(&member)) OLICA_TRY(read_token(&member, true, &token));
  if (s->has_decoder) OLICA_TRY(compare_map(s, key, token.text));
  if (token.text.data && token.text.bytes == 0) {
    olica_surroundings_warn(s->env,
                            "%s is empty in the tokenizer's files: taken as if it were not there "
                            "(transformers takes the unknown token for it)",
                            key);
    name->said = false;
    token.text = (olica_span){0};
  }
  name->text = token.text;
  return keep(s, &token);
}

static olica_status keep_special(olica_surroundings *s, const olica_node *node) {
  olica_added_token token;
  OLICA_TRY(read_token(node, true, &token));
  return keep(s, &token);
}

/* Reads additional_special_tokens; transformers 5 calls it extra_special_tokens, which may also be an
 * object. */
static olica_status read_list(olica_surroundings *s, const char *key) {
  olica_node list, element;
  const char *name;
  json_t *member;
  OLICA_TRY(find_key(s, key, &list));
  if (olica_node_is_null(&list)) return OLICA_OK;
  if (!json_is_array(list.value) && !json_is_object(list.value))
    return olica_node_refuse(&list, NULL, "an array of tokens");
  for (size_t i = 0; i < json_array_size(list.value); i++) {
    element = (olica_node){.env = s->env, .value = json_array_get(list.value, i)};
    snprintf(element.where, sizeof element.where, "%.280s[%zu]", list.where, i);
    OLICA_TRY(keep_special(s, &element));
  }
  json_object_foreach(list.value, name, member) {
    OLICA_TRY(olica_node_member(&list, name, &element));
    OLICA_TRY(keep_special(s, &element));
  }
  return OLICA_OK;
}

static olica_status keep_default(olica_surroundings *s, const char *text, olica_span *kept) {
  *kept = (olica_span){text, strlen(text)};
  return keep(s, &(olica_added_token){.text = *kept, .id = -1, .special = true});
}

/* Reads the token of key i; if no file has the key, the class's default names it. */
static olica_status read_role(olica_surroundings *s, int i, bool is_model) {
  olica_role_name name = {0};
  OLICA_TRY(read_key(s, keys[i], &name));
  const char *own = i == PAD ? s->kind->pad : i < OLICA_ROLES && !is_model ? s->kind->role[i] : NULL;
  if (!name.said && own)
    OLICA_TRY(keep_default(s, own, &name.text)); /* a tokenizer.model names its own roles */
  if (i < OLICA_ROLES) s->role[i] = name;
  return OLICA_OK;
}

static olica_status read_roles(olica_surroundings *s, bool is_model) {
  for (int i = 0; i < KEYS; i++) OLICA_TRY(read_role(s, i, is_model));
  OLICA_TRY(read_list(s, "additional_special_tokens"));
  return read_list(s, "extra_special_tokens");
}

/* ---- switches, and what is not followed ---- */

static olica_status read_class(olica_surroundings *s, const olica_node *config) {
  olica_span name = {0};
  OLICA_TRY(olica_node_string(config, "tokenizer_class", false, &name));
  s->class_name = name.data ? name.data : "";
  s->kind = olica_tokenizer_class_find(s->class_name);
  s->known = s->kind != NULL;
  if (!s->known) s->kind = olica_tokenizer_class_find("");
  s->five = json_object_get(config->value, "backend") || strcmp(s->class_name, "TokenizersBackend") == 0;
  s->splits_special = s->kind->splits;
  return OLICA_OK;
}

static bool is_true(const json_t *object, const char *key) {
  return json_is_true(json_object_get(object, key));
}

/* Warns of keys that would change ids and are not followed. */
static olica_status tell_ignored(const olica_surroundings *s, const olica_node *config, bool is_model) {
  const json_t *map = json_object_get(config->value, "auto_map");
  const json_t *code = json_is_object(map) ? json_object_get(map, "AutoTokenizer") : map;
  olica_span file = {0};
  if (code && !json_is_null(code))
    olica_surroundings_warn(s->env,
                            "tokenizer_config.json: auto_map names code of the model's own for the tokenizer "
                            "(class %.60s), which is not run: %s is read as it stands",
                            s->class_name, is_model ? "tokenizer.model" : "tokenizer.json");
  else if (!s->known)
    olica_surroundings_warn(s->env,
                            "tokenizer_config.json: tokenizer_class %.60s is not known: %s is read %s",
                            s->class_name, is_model ? "tokenizer.model" : "tokenizer.json",
                            is_model ? "as LlamaTokenizer does" : "as it stands");
  if (is_true(config->value, "do_lower_case"))
    olica_surroundings_warn(s->env, "tokenizer_config.json: do_lower_case = true is not followed: texts keep "
                                    "their capitals, unless the tokenizer's own file says otherwise");
  OLICA_TRY(olica_node_string(config, "tokenizer_file", false, &file));
  if (file.bytes)
    olica_surroundings_warn(s->env,
                            "tokenizer_config.json: tokenizer_file = %.80s is not followed: %s is read",
                            file.data, is_model ? "tokenizer.model" : "tokenizer.json");
  return OLICA_OK;
}

/* Warns of options of SentencePiece's own processor. */
static olica_status tell_sampling(const olica_surroundings *s, const olica_node *config) {
  static const char *const options[] = {"enable_sampling", "add_bos", "add_eos", "reverse", "emit_unk_piece"};
  olica_node member;
  OLICA_TRY(olica_node_member(config, "sp_model_kwargs", &member));
  if (olica_node_is_null(&member)) return OLICA_OK;
  if (!json_is_object(member.value)) return olica_node_refuse(&member, NULL, "an object");
  for (size_t i = 0; i < sizeof options / sizeof *options; i++)
    if (is_true(member.value, options[i]))
      olica_surroundings_warn(s->env, "tokenizer_config.json: sp_model_kwargs: %s = true is not followed%s",
                              options[i], i == 0 ? ": a text gets its best ids, not drawn ones" : "");
  return OLICA_OK;
}

static olica_status read_config(olica_surroundings *s, bool is_model) {
  olica_node config = root_of(s, OLICA_BUNDLE_CONFIG);
  OLICA_TRY(read_class(s, &config));
  OLICA_TRY(read_switch(&config, "add_bos_token", &s->add_bos));
  OLICA_TRY(read_switch(&config, "add_eos_token", &s->add_eos));
  OLICA_TRY(read_switch(&config, "add_prefix_space", &s->prefix_space));
  OLICA_TRY(read_switch(&config, "legacy", &s->legacy));
  OLICA_TRY(olica_node_boolean(&config, "split_special_tokens", false, &s->splits_special));
  OLICA_TRY(tell_ignored(s, &config, is_model));
  return is_model ? tell_sampling(s, &config) : OLICA_OK;
}

olica_status olica_surroundings_read(olica_env *env, const olica_bundle *bundle, bool is_model,
                                     olica_surroundings *s) {
  *s = (olica_surroundings){.env = env};
  for (int part = OLICA_BUNDLE_CONFIG; part < OLICA_BUNDLE_PARTS; part++)
    OLICA_TRY(open_file(s, bundle, (olica_bundle_part)part));
  OLICA_TRY(read_config(s, is_model));
  const json_t *list = json_object_get(s->root[OLICA_BUNDLE_CONFIG], "added_tokens_decoder");
  olica_node config = root_of(s, OLICA_BUNDLE_CONFIG);
  s->has_decoder = list && !json_is_null(list);
  OLICA_TRY(s->has_decoder ? read_decoder(s, &config) : read_added(s));
  if (s->count > 0) qsort(s->token, s->count, sizeof *s->token, by_id);
  return read_roles(s, is_model);
}

void olica_surroundings_free(olica_surroundings *s) {
  for (int part = 0; part < OLICA_BUNDLE_PARTS; part++) {
    json_decref(s->root[part]);
    olica_memory_free(s->env, s->name[part]);
  }
  OLICA_FREE(s->env, s->token);
}
