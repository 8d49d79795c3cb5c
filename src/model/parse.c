/* Reads a config.json: sizes, biases, numbers; what it has of windows and RoPE lies in layers.c and
 * rope_config.c. */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "block.h"
#include "features.h"
#include "io/json.h"
#include "model/nested.h"
#include "reader.h"

/* Reads a size: a positive integer. */
static olica_status read_int(const olica_reader *r, const char *key, bool required, int64_t high,
                             int *value) {
  return olica_reader_int(r, key, required, 1, high, value);
}

static olica_status read_family(const olica_reader *r, olica_arch *arch) {
  const char *type = NULL;
  OLICA_TRY(olica_json_string(r->env, r->name, r->root, "model_type", true, &type));
  arch->family = olica_family_find(type);
  if (arch->family) return OLICA_OK;
  char known[512] = "";
  for (int i = 0; olica_family_at(i); i++) {
    strncat(known, i ? ", " : "", sizeof known - strlen(known) - 1);
    strncat(known, olica_family_at(i)->name, sizeof known - strlen(known) - 1);
  }
  char outer[256] = "";
  for (int i = 0; olica_nested_at(i); i++) {
    strncat(outer, i ? ", " : "", sizeof outer - strlen(outer) - 1);
    strncat(outer, olica_nested_at(i), sizeof outer - strlen(outer) - 1);
  }
  return olica_error_set(r->env, OLICA_ERR_INPUT,
                         "%s: model_type is \"%.60s\", expected one of %s, or %s with the text_config of one",
                         r->name, type, known, outer);
}

static olica_status read_sizes(const olica_reader *r, olica_arch *arch) {
  enum { LARGEST = 1 << 24, MOST_LAYERS = 1 << 14 };
  OLICA_TRY(read_int(r, "hidden_size", true, LARGEST, &arch->hidden));
  OLICA_TRY(read_int(r, "num_hidden_layers", true, MOST_LAYERS, &arch->layers));
  OLICA_TRY(read_int(r, "num_attention_heads", true, LARGEST, &arch->heads));
  OLICA_TRY(read_int(r, "intermediate_size", true, LARGEST, &arch->ffn));
  OLICA_TRY(read_int(r, "vocab_size", true, LARGEST, &arch->vocabulary));
  /* An absent key counts as the family's own number, null as the number of query heads. */
  bool absent = !json_object_get(r->root, "num_key_value_heads");
  arch->kv_heads = absent && arch->family->kv_heads ? arch->family->kv_heads : arch->heads;
  OLICA_TRY(read_int(r, "num_key_value_heads", false, LARGEST, &arch->kv_heads));
  arch->context = arch->family->context;
  OLICA_TRY(read_int(r, "max_position_embeddings", false, INT_MAX, &arch->context));
  if (arch->heads % arch->kv_heads != 0)
    return olica_error_set(r->env, OLICA_ERR_INPUT,
                           "%s: num_key_value_heads is %d, expected a divisor of num_attention_heads = %d",
                           r->name, arch->kv_heads, arch->heads);
  arch->head = arch->hidden / arch->heads;
  const json_t *given = json_object_get(r->root, "head_dim");
  if ((!given || json_is_null(given)) && arch->hidden % arch->heads != 0)
    return olica_error_set(
        r->env, OLICA_ERR_INPUT,
        "%s: hidden_size is %d, expected a multiple of num_attention_heads = %d (or a head_dim)", r->name,
        arch->hidden, arch->heads);
  OLICA_TRY(read_int(r, "head_dim", false, LARGEST, &arch->head));
  if (arch->head % 2 != 0)
    return olica_error_set(r->env, OLICA_ERR_INPUT, "%s: the size of a head is %d, expected an even number",
                           r->name, arch->head);
  if ((int64_t)arch->heads * arch->head > LARGEST)
    return olica_error_set(r->env, OLICA_ERR_INPUT,
                           "%s: %d heads of size %d are more than this program can count", r->name,
                           arch->heads, arch->head);
  return OLICA_OK;
}

/* Makes all layers alike. A family whose layers differ changes them here or below. */
static olica_status make_layers(const olica_reader *r, olica_arch *arch) {
  OLICA_TRY(OLICA_NEW(r->env, arch->layer, (size_t)arch->layers));
  arch->group = arch->heads / arch->kv_heads;
  for (int i = 0; i < arch->layers; i++) arch->layer[i] = olica_arch_plain_layer(arch);
  return OLICA_OK;
}

static olica_status read_biases(const olica_reader *r, olica_arch *arch) {
  for (int p = 0; p < OLICA_PROJECTIONS; p++) {
    const olica_family_bias *of = &arch->family->bias[p];
    arch->bias[p] = of->otherwise;
    if (of->key) OLICA_TRY(olica_json_boolean(r->env, r->name, r->root, of->key, false, &arch->bias[p]));
  }
  return OLICA_OK;
}

/* Reads what comes before and behind the scores: norms, their factor and their cap. */
static olica_status read_scores(const olica_reader *r, olica_arch *arch) {
  const olica_family *family = arch->family;
  double number = family->scale_default;
  arch->qk_norm = family->qk_norm;
  arch->qk_norm_last = family->qk_norm_last;
  if (family->scale == OLICA_SCALE_SCALAR) {
    OLICA_TRY(olica_reader_real(r, "query_pre_attn_scalar", false, 1e-12, 1e12, &number));
    arch->score_scale = 1 / sqrt(number);
  }
  if (family->scale == OLICA_SCALE_MULTIPLIER) {
    OLICA_TRY(olica_reader_real(r, "attention_multiplier", false, 1e-12, 1e12, &number));
    arch->score_scale = number;
  }
  if (!family->score_cap) return OLICA_OK;
  bool none = json_is_null(json_object_get(r->root, "attn_logit_softcapping"));
  arch->score_cap = none ? 0 : family->score_cap_default;
  return olica_reader_real(r, "attn_logit_softcapping", false, 1e-6, 1e12, &arch->score_cap);
}

/* Returns a token id, or the first of a list of them; -1: there is none. */
static int token_id(const json_t *value) {
  if (json_is_array(value)) value = json_array_get(value, 0);
  json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
  return id >= 0 && id < INT_MAX ? (int)id : -1;
}

/* Gives the config the keys that it leaves out, as the family's class in transformers does. */
static olica_status add_missing(const olica_reader *r, json_t *root, const olica_family *family,
                                const char *text) {
  json_t *defaults;
  if (!text) return OLICA_OK;
  OLICA_TRY(olica_json_parse(r->env, family->name, text, strlen(text), &defaults));
  int failed = json_object_update_missing(root, defaults);
  json_decref(defaults);
  return failed ? olica_error_set(r->env, OLICA_ERR_MEMORY, "%s: no memory for its defaults", r->name)
                : OLICA_OK;
}

static olica_status add_defaults(const olica_reader *r, json_t *root, const olica_family *family) {
  static const char *const ropes[] = {"rope_parameters", "rope_scaling", "rope_theta"};
  bool says_rope = false;
  for (int i = 0; i < 3; i++) says_rope |= json_object_get(root, ropes[i]) != NULL;
  if (!says_rope) OLICA_TRY(add_missing(r, root, family, family->ropes));
  return add_missing(r, root, family, family->defaults);
}

static olica_status read_config(const olica_reader *r, json_t *root, olica_arch *arch) {
  OLICA_TRY(read_family(r, arch));
  OLICA_TRY(add_defaults(r, root, arch->family));
  OLICA_TRY(read_sizes(r, arch));
  OLICA_TRY(olica_features_refuse(r->env, r->name, r->root, arch));
  OLICA_TRY(make_layers(r, arch));
  OLICA_TRY(olica_layers_read(r, arch));
  OLICA_TRY(olica_rope_read(r, arch));
  OLICA_TRY(read_biases(r, arch));
  OLICA_TRY(read_scores(r, arch));
  OLICA_TRY(olica_block_read(r, arch));
  OLICA_TRY(olica_json_boolean(r->env, r->name, r->root, "tie_word_embeddings", false, &arch->tied));
  arch->bos = token_id(json_object_get(r->root, "bos_token_id"));
  arch->text_of = olica_nested_find(json_string_value(json_object_get(r->root, OLICA_NESTED_KEY)));
  return OLICA_OK;
}

olica_status olica_arch_parse(olica_env *env, const char *name, const char *text, size_t bytes,
                              olica_arch *arch) {
  json_t *root;
  OLICA_TRY(olica_json_parse(env, name, text, bytes, &root));
  memset(arch, 0, sizeof *arch);
  olica_status status = read_config(&(olica_reader){env, name, root}, root, arch);
  json_decref(root);
  if (status != OLICA_OK) olica_arch_free(env, arch);
  return status;
}
