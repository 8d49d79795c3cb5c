#include "model/nested.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "model/family.h"

#define JSON(...) #__VA_ARGS__

/* Multimodal models whose text model transformers runs by the class of text_config, with nothing between. */
static const struct {
  const char *type, *text; /* model_type, and that of a text_config that names none */
  bool tied;               /* the class ties the output matrix unless its config says otherwise */
  bool forwards;           /* text_config's tie_word_embeddings counts too */
} outer[] = {
    {"gemma3", "gemma3_text", true, false}, {"mistral3", "mistral", true, false},
    {"llava", "llama", false, true},        {"llava_next", "llama", false, false},
    {"vipllava", "llama", false, false},    {"llava_onevision", "qwen2", false, true},
    {"got_ocr2", "qwen2", true, false},     {"internvl", "qwen2", true, false},
};

/* Keys that a text_config often leaves out, with the values of its class in transformers 5: a model that
 * stands alone must name them. Other defaults stand in the family's row. */
static const struct {
  const char *type, *class, *keys;
} texts[] = {
    {"llama", "LlamaForCausalLM", JSON({
       "hidden_size" : 4096,
       "intermediate_size" : 11008,
       "num_hidden_layers" : 32,
       "num_attention_heads" : 32,
       "vocab_size" : 32000
     })},
    {"mistral", "MistralForCausalLM", JSON({
       "hidden_size" : 4096,
       "intermediate_size" : 14336,
       "num_hidden_layers" : 32,
       "num_attention_heads" : 32,
       "vocab_size" : 32000
     })},
    {"ministral3", "Ministral3ForCausalLM", JSON({
       "hidden_size" : 4096,
       "intermediate_size" : 14336,
       "num_hidden_layers" : 34,
       "num_attention_heads" : 32,
       "vocab_size" : 131072
     })},
    {"qwen2", "Qwen2ForCausalLM", JSON({
       "hidden_size" : 4096,
       "intermediate_size" : 22016,
       "num_hidden_layers" : 32,
       "num_attention_heads" : 32,
       "vocab_size" : 151936
     })},
    {"qwen3", "Qwen3ForCausalLM", JSON({
       "hidden_size" : 4096,
       "intermediate_size" : 22016,
       "num_hidden_layers" : 32,
       "num_attention_heads" : 32,
       "vocab_size" : 151936
     })},
    {"gemma3_text", "Gemma3ForCausalLM",
     JSON({"hidden_size" : 2304, "intermediate_size" : 9216, "num_hidden_layers" : 26})},
};

enum { OUTERS = sizeof outer / sizeof *outer, TEXTS = sizeof texts / sizeof *texts };

static int find(const char *type) {
  for (int i = 0; type && i < OUTERS; i++)
    if (strcmp(outer[i].type, type) == 0) return i;
  return -1;
}

const char *olica_nested_at(int i) {
  return i >= 0 && i < OUTERS ? outer[i].type : NULL;
}

const char *olica_nested_find(const char *type) {
  return olica_nested_at(find(type));
}

/* ---- the config ---- */

static const char *string_of(const json_t *object, const char *key) {
  return json_string_value(json_object_get(object, key));
}

/* Gives an object the keys of a JSON text that it does not have. */
static olica_status add_missing(olica_env *env, const char *name, json_t *object, const char *keys) {
  json_t *more;
  if (!keys) return OLICA_OK;
  OLICA_TRY(olica_json_parse(env, name, keys, strlen(keys), &more));
  int failed = json_object_update_missing(object, more);
  json_decref(more);
  return failed ? olica_error_set(env, OLICA_ERR_MEMORY, "%s: no memory for its defaults", name) : OLICA_OK;
}

static olica_status add_defaults(olica_env *env, const char *name, json_t *text, const olica_family *family) {
  for (int i = 0; i < TEXTS; i++) {
    if (strcmp(texts[i].type, family->name) != 0) continue;
    OLICA_TRY(add_missing(env, name, text, texts[i].keys));
    if (!json_is_array(json_object_get(text, "architectures")))
      json_object_set_new(text, "architectures", json_pack("[s]", texts[i].class));
  }
  return OLICA_OK;
}

/* Takes over what the multimodal config says of all parts. */
static void inherit(json_t *text, const json_t *root) {
  static const char *const keys[] = {"quantization_config", "transformers_version"}, *const types[] = {
                                                                                         "dtype",
                                                                                         "torch_dtype"};
  bool has_type = json_object_get(text, types[0]) || json_object_get(text, types[1]);
  for (int i = 0; i < 2; i++) {
    json_t *value = json_object_get(root, keys[i]), *type = json_object_get(root, types[i]);
    if (value && !json_object_get(text, keys[i])) json_object_set(text, keys[i], value);
    if (type && !has_type) json_object_set(text, types[i], type);
  }
}

/* Tells whether the output matrix is the embedding, as the multimodal class of transformers 5 reads it where
 * the files hold no output matrix; `said`: a tie_word_embeddings says so. */
static olica_status read_tied(olica_env *env, const char *name, const json_t *root, const json_t *text,
                              const olica_family *family, bool *tied, bool *said) {
  int i = find(string_of(root, "model_type"));
  bool inner = false;
  json_t *class = json_object();
  olica_status status = add_missing(env, family->name, class, family->defaults);
  if (status == OLICA_OK)
    status = olica_json_boolean(env, family->name, class, "tie_word_embeddings", false, &inner);
  json_decref(class);
  OLICA_TRY(status);
  OLICA_TRY(olica_json_boolean(env, name, text, "tie_word_embeddings", false, &inner));
  *tied = outer[i].tied;
  OLICA_TRY(olica_json_boolean(env, name, root, "tie_word_embeddings", false, tied));
  if (outer[i].forwards) *tied |= inner;
  *said = json_is_true(json_object_get(root, "tie_word_embeddings")) ||
          json_is_true(json_object_get(text, "tie_word_embeddings"));
  return OLICA_OK;
}

/* Makes the text model's config of a multimodal one. A stored output matrix counts, as in transformers 5,
 * which ties no matrices that differ. */
static olica_status fill(olica_env *env, const char *name, const json_t *root, bool has_head, json_t *text,
                         const olica_family **family, bool *contradiction) {
  const char *type = string_of(root, "model_type"), *inner = string_of(text, "model_type");
  bool tied, said;
  if (!inner) json_object_set_new(text, "model_type", json_string(inner = outer[find(type)].text));
  *family = olica_family_find(inner);
  if (!*family)
    return olica_error_set(env, OLICA_ERR_INPUT,
                           "%s: model_type is \"%.60s\", and that of its text_config \"%.60s\", expected one "
                           "of those that --list names",
                           name, type, inner);
  OLICA_TRY(read_tied(env, name, root, text, *family, &tied, &said));
  OLICA_TRY(add_defaults(env, name, text, *family));
  inherit(text, root);
  *contradiction = has_head && said;
  json_object_set_new(text, "tie_word_embeddings", json_boolean(tied && !has_head));
  json_object_set_new(text, OLICA_NESTED_KEY, json_string(type));
  return OLICA_OK;
}

/* Copies the text model's config out of a multimodal one; NULL: it is none. */
static olica_status begin(olica_env *env, const char *name, const json_t *root, json_t **text) {
  const char *type = string_of(root, "model_type");
  const json_t *inner = json_object_get(root, "text_config");
  *text = NULL;
  if (find(type) < 0) return OLICA_OK;
  if (!json_is_object(inner)) {
    char found[OLICA_JSON_TEXT];
    olica_json_describe(inner, found);
    return olica_error_set(
        env, OLICA_ERR_INPUT,
        "%s: model_type is \"%.60s\", and text_config %s, expected the text model's config", name, type,
        found);
  }
  *text = json_deep_copy(inner);
  return *text ? OLICA_OK : olica_error_set(env, OLICA_ERR_MEMORY, "%s: no memory for it", name);
}

/* Writes the config into counted memory. */
static olica_status print(olica_env *env, const char *name, const json_t *text, char **out, size_t *bytes) {
  char *plain = json_dumps(text, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
  olica_status status = plain ? OLICA_NEW(env, *out, strlen(plain) + 1)
                              : olica_error_set(env, OLICA_ERR_MEMORY, "%s: no memory for it", name);
  if (status == OLICA_OK) memcpy(*out, plain, *bytes = strlen(plain));
  free(plain);
  return status;
}

/* ---- the tensors ---- */

/* The prefixes of the text model in the files, as transformers 4 and 5 write them, and of its body alone;
 * longer ones first. */
static const struct {
  const char *prefix;
  bool head;
} places[] = {{"language_model.model.", false},
              {"language_model.lm_head.", true},
              {"model.language_model.", false},
              {"lm_head.", true},
              {"language_model.", false}};

/* Renames a tensor as the family does; false: it is none of the text model. */
static bool rename_tensor(const olica_family *family, char name[OLICA_TENSOR_NAME], olica_nested *nested) {
  char old[OLICA_TENSOR_NAME];
  size_t stem = strcspn(family->head, ".") + 1;
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    size_t length = strlen(places[i].prefix);
    if (strncmp(name, places[i].prefix, length) != 0) continue;
    memcpy(old, name, sizeof old);
    if (places[i].head)
      snprintf(name, OLICA_TENSOR_NAME, "%.*s%s", (int)stem, family->head, old + length);
    else
      snprintf(name, OLICA_TENSOR_NAME, "%s%s", family->prefix, old + length);
    if (places[i].head && strcmp(name, family->head) == 0) memcpy(nested->head, old, sizeof old);
    if (!places[i].head && !nested->read++)
      snprintf(nested->prefix, OLICA_TENSOR_NAME, "%s", places[i].prefix);
    return true;
  }
  return false;
}

/* Adds the first word of a name, behind "model.", to a list of words. */
static void list_word(const char *name, char *list, size_t room) {
  char word[64];
  if (strncmp(name, "model.", strlen("model.")) == 0) name += strlen("model.");
  snprintf(word, sizeof word, "%.*s", (int)strcspn(name, "."), name);
  if (!*word) return;
  for (const char *at = list; (at = strstr(at, word)); at++)
    if ((at == list || at[-1] == ' ') && strchr(",", at[strlen(word)])) return;
  size_t used = strlen(list);
  if (used + strlen(word) + 8 < room) snprintf(list + used, room - used, "%s%s", used ? ", " : "", word);
}

/* Renames the text model's tensors, and takes the others out of the catalog; `list`: their first words. */
static void sift(olica_catalog *catalog, const olica_family *family, olica_nested *nested, char *list,
                 size_t room) {
  int kept = 0;
  for (int i = 0; i < catalog->count; i++) {
    olica_tensor *tensor = &catalog->tensor[i];
    if (rename_tensor(family, tensor->name, nested))
      catalog->tensor[kept++] = *tensor;
    else
      list_word(tensor->name, list, room);
  }
  nested->read = kept;
  nested->ignored = catalog->count - kept;
  catalog->count = kept;
}

static bool holds_head(const olica_catalog *catalog) {
  for (int i = 0; i < catalog->count; i++)
    if (strcmp(catalog->tensor[i].name, "lm_head.weight") == 0 ||
        strcmp(catalog->tensor[i].name, "language_model.lm_head.weight") == 0)
      return true;
  return false;
}

void olica_nested_name(const olica_nested *nested, const olica_family *family, char name[OLICA_TENSOR_NAME]) {
  char old[OLICA_TENSOR_NAME];
  size_t length = strlen(family->prefix);
  memcpy(old, name, sizeof old);
  if (!nested->is) return;
  if (strcmp(old, family->head) == 0)
    memcpy(name, nested->head, sizeof nested->head);
  else if (strncmp(old, family->prefix, length) == 0 && strlen(nested->prefix) < OLICA_TENSOR_NAME)
    snprintf(name, OLICA_TENSOR_NAME, "%.60s%.120s", nested->prefix, old + length);
}

/* ---- the whole ---- */

static olica_status take(olica_catalog *catalog, const char *name, const json_t *root, json_t *text,
                         olica_nested *nested) {
  olica_env *env = catalog->context->env;
  const olica_family *family;
  const char *type = string_of(root, "model_type");
  char list[256] = "";
  bool contradiction;
  OLICA_TRY(fill(env, name, root, holds_head(catalog), text, &family, &contradiction));
  *nested =
      (olica_nested){.is = true, .prefix = "language_model.model.", .head = "language_model.lm_head.weight"};
  sift(catalog, family, nested, list, sizeof list);
  if (strncmp(nested->prefix, "model.", strlen("model.")) == 0 && strstr(nested->head, "language_model"))
    snprintf(nested->head, sizeof nested->head, "%s", family->head);
  olica_log_warn(env,
                 "%s: model_type is %.60s: its text model alone is taken, a %s of %d tensors; those under %s "
                 "are read under %s",
                 name, type, family->name, nested->read, nested->prefix, family->prefix);
  if (nested->ignored > 0)
    olica_log_warn(env, "%s: tensors of other parts than the text model are ignored, %d: %s", name,
                   nested->ignored, list);
  if (contradiction)
    olica_log_warn(env,
                   "%s: tie_word_embeddings is true, and %s is stored: it counts, as in transformers 5 (4 "
                   "takes the embedding)",
                   name, nested->head);
  if (json_object_size(json_object_get(root, "auto_map")) > 0)
    olica_log_warn(env, "%s: auto_map names code of the model's own: it is not run, %s is computed", name,
                   family->name);
  return OLICA_OK;
}

olica_status olica_nested_take(olica_catalog *catalog, const char *name, char **config, size_t *bytes,
                               olica_nested *nested) {
  olica_env *env = catalog->context->env;
  json_t *root, *text;
  char *out = NULL;
  *nested = (olica_nested){.is = false};
  OLICA_TRY(olica_json_parse(env, name, *config, *bytes, &root));
  olica_status status = begin(env, name, root, &text);
  if (status == OLICA_OK && text) {
    status = take(catalog, name, root, text, nested);
    if (status == OLICA_OK) status = print(env, name, text, &out, bytes);
  }
  if (out) {
    olica_memory_free(env, *config);
    *config = out;
  }
  json_decref(text);
  json_decref(root);
  return status;
}

olica_status olica_nested_check(olica_env *env, const char *name, const olica_arch *arch) {
  if (olica_arch_factor(arch->logit_scale) == 1.0f && arch->logit_cap == 0) return OLICA_OK;
  return olica_error_set(
      env, OLICA_ERR_INPUT,
      "%s: the logits of %s have %s, expected none in a %s: transformers 5 leaves it out there, "
      "4 does not",
      name, arch->family->name, arch->logit_cap == 0 ? "a factor" : "a soft cap", arch->text_of);
}

/* Tells whether one of both texts, with an output matrix or without, is the config. */
static bool gives(olica_env *env, const char *name, const json_t *root, const char *config, size_t bytes) {
  bool same = false, contradiction;
  for (int head = 0; head < 2 && !same; head++) {
    const olica_family *family;
    json_t *text = NULL;
    char *out = NULL;
    size_t length = 0;
    if (begin(env, name, root, &text) == OLICA_OK && text &&
        fill(env, name, root, head, text, &family, &contradiction) == OLICA_OK &&
        print(env, name, text, &out, &length) == OLICA_OK)
      same = length == bytes && memcmp(out, config, bytes) == 0;
    olica_memory_free(env, out);
    json_decref(text);
  }
  return same;
}

bool olica_nested_gives(olica_env *env, const char *name, const char *text, size_t bytes, const char *config,
                        size_t config_bytes) {
  json_t *root;
  bool same = false;
  if (olica_json_parse(env, name, text, bytes, &root) == OLICA_OK) {
    same = gives(env, name, root, config, config_bytes);
    json_decref(root);
  }
  olica_error_clear(env);
  return same;
}
