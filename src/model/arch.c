#include "model/arch.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "features.h"
#include "io/json.h"

enum { PLACE = 1280 }; /* of a message: file and key */

static const char *const projection_names[OLICA_PROJECTIONS] = {
    [OLICA_Q] = "q_proj",       [OLICA_K] = "k_proj",   [OLICA_V] = "v_proj",      [OLICA_O] = "o_proj",
    [OLICA_GATE] = "gate_proj", [OLICA_UP] = "up_proj", [OLICA_DOWN] = "down_proj"};

const char *olica_projection_name(olica_projection projection) {
  return projection_names[projection];
}

olica_arch_layer olica_arch_plain_layer(const olica_arch *arch) {
  return (olica_arch_layer){.heads = arch->heads, .kv_heads = arch->kv_heads, .ffn = arch->ffn};
}

int olica_arch_unlike(const olica_arch *arch) {
  const olica_arch_layer *first = &arch->layer[0], *layer;
  for (int i = 1; i < arch->layers; i++) {
    layer = &arch->layer[i];
    if (layer->heads != first->heads || layer->kv_heads != first->kv_heads || layer->ffn != first->ffn)
      return i;
  }
  return arch->layers;
}

/* The object that a reader reads. */
typedef struct reader {
  olica_env *env;
  const char *name;
  const json_t *root;
} reader;

static olica_status read_int(const reader *r, const char *key, bool required, int64_t high, int *value) {
  int64_t wide = *value;
  OLICA_TRY(olica_json_integer(r->env, r->name, r->root, key, required, 1, high, &wide));
  *value = (int)wide;
  return OLICA_OK;
}

static olica_status read_family(const reader *r, olica_arch *arch) {
  const char *type = NULL;
  OLICA_TRY(olica_json_string(r->env, r->name, r->root, "model_type", true, &type));
  arch->family = olica_family_find(type);
  if (arch->family) return OLICA_OK;
  char known[256] = "";
  for (int i = 0; olica_family_at(i); i++) {
    strncat(known, i ? ", " : "", sizeof known - strlen(known) - 1);
    strncat(known, olica_family_at(i)->name, sizeof known - strlen(known) - 1);
  }
  return olica_error_set(r->env, OLICA_ERR_INPUT, "%s: model_type is \"%.60s\", expected one of %s", r->name,
                         type, known);
}

static olica_status read_sizes(const reader *r, olica_arch *arch) {
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
static olica_status make_layers(const reader *r, olica_arch *arch) {
  OLICA_TRY(OLICA_NEW(r->env, arch->layer, (size_t)arch->layers));
  arch->group = arch->heads / arch->kv_heads;
  for (int i = 0; i < arch->layers; i++) arch->layer[i] = olica_arch_plain_layer(arch);
  return OLICA_OK;
}

/* Gives the layers their windows. Absent keys have the values of Hugging Face's configurations of the family.
 */
static olica_status read_window(const reader *r, olica_arch *arch) {
  enum { WINDOW = 4096, FIRST_LAYER = 28 };
  int64_t from = 0;
  int size = WINDOW;
  olica_family_window rule = arch->family->window;
  bool use = rule == OLICA_WINDOW_ALWAYS;
  if (rule == OLICA_WINDOW_ON_DEMAND)
    OLICA_TRY(olica_json_boolean(r->env, r->name, r->root, "use_sliding_window", false, &use));
  const json_t *window = json_object_get(r->root, "sliding_window");
  if (!use || json_is_null(window)) return OLICA_OK;
  OLICA_TRY(read_int(r, "sliding_window", false, INT_MAX, &size));
  if (rule == OLICA_WINDOW_ON_DEMAND) {
    from = FIRST_LAYER;
    OLICA_TRY(olica_json_integer(r->env, r->name, r->root, "max_window_layers", false, 0, INT_MAX, &from));
  }
  for (int64_t i = from; i < arch->layers; i++) arch->layer[i].window = size;
  return OLICA_OK;
}

/* Returns the word of layer_types for a layer. */
static const char *kind_of_layer(const olica_arch *arch, int layer) {
  return arch->layer[layer].window ? "sliding_attention" : "full_attention";
}

/* Compares layer_types with the windows from the other keys. A window that layer_types alone asks for is not
 * computed. */
static olica_status check_layer_types(const reader *r, const olica_arch *arch) {
  const json_t *types = json_object_get(r->root, "layer_types");
  if (!types || json_is_null(types)) return OLICA_OK;
  if (!json_is_array(types) || json_array_size(types) != (size_t)arch->layers)
    return olica_error_set(r->env, OLICA_ERR_INPUT,
                           "%s: layer_types has %zu elements, expected num_hidden_layers = %d", r->name,
                           json_array_size(types), arch->layers);
  for (int i = 0; i < arch->layers; i++) {
    const json_t *type = json_array_get(types, (size_t)i);
    const char *word = json_string_value(type), *expected = kind_of_layer(arch, i);
    if (word && strcmp(word, expected) == 0) continue;
    char found[OLICA_JSON_TEXT];
    olica_json_describe(type, found);
    return olica_error_set(
        r->env, OLICA_ERR_INPUT,
        "%s: layer_types[%d] is %s, expected \"%s\" as model_type and sliding_window have it", r->name, i,
        found, expected);
  }
  return OLICA_OK;
}

/* Reads the context length that llama3's wavelengths refer to. rope->original_context is the one outside of
 * the RoPE settings; 0: none. */
static olica_status read_original_context(const reader *r, const olica_arch *arch, olica_rope *rope) {
  double beside = rope->original_context, within = beside > 0 ? beside : arch->context;
  OLICA_TRY(
      olica_json_real(r->env, r->name, r->root, "original_max_position_embeddings", false, 1, 1e12, &within));
  rope->original_context = within;
  if (beside == 0 || within == beside) return OLICA_OK;
  return olica_error_set(r->env, OLICA_ERR_INPUT,
                         "%s: original_max_position_embeddings is %.15g, expected %.15g: outside of it the "
                         "config says so, and they contradict each other",
                         r->name, within, beside);
}

/* Reads rope_parameters or rope_scaling (the reader's root) into `rope`, which has the defaults. */
static olica_status read_scaling(const reader *r, const olica_arch *arch, olica_rope *rope) {
  olica_env *env = r->env;
  const char *type = "default";
  OLICA_TRY(olica_features_refuse(env, r->name, r->root, arch->head));
  OLICA_TRY(olica_json_string(env, r->name, r->root, "type", false, &type));
  OLICA_TRY(olica_json_string(env, r->name, r->root, "rope_type", false, &type));
  OLICA_TRY(olica_json_real(env, r->name, r->root, "rope_theta", false, 1.0, 1e30, &rope->theta));
  if (strcmp(type, "default") == 0) return OLICA_OK;
  if (strcmp(type, "linear") == 0) {
    rope->kind = OLICA_ROPE_LINEAR;
    return olica_json_real(env, r->name, r->root, "factor", true, 1e-6, 1e6, &rope->factor);
  }
  if (strcmp(type, "llama3") != 0)
    return olica_error_set(env, OLICA_ERR_INPUT, "%s: type is \"%.40s\", expected default, linear or llama3",
                           r->name, type);
  rope->kind = OLICA_ROPE_LLAMA3;
  OLICA_TRY(read_original_context(r, arch, rope));
  OLICA_TRY(olica_json_real(env, r->name, r->root, "factor", true, 1e-6, 1e6, &rope->factor));
  OLICA_TRY(olica_json_real(env, r->name, r->root, "low_freq_factor", true, 1e-6, 1e6, &rope->low_freq));
  OLICA_TRY(olica_json_real(env, r->name, r->root, "high_freq_factor", true, 1e-6, 1e6, &rope->high_freq));
  if (rope->high_freq > rope->low_freq) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_INPUT,
                         "%s: high_freq_factor is %g, expected more than low_freq_factor %g", r->name,
                         rope->high_freq, rope->low_freq);
}

/* Makes a reader of the object under a key of the reader's root; its name lies in `place` [PLACE]. */
static olica_status enter(const reader *r, const char *key, char *place, reader *inner) {
  const json_t *value = json_object_get(r->root, key);
  if (json_is_object(value)) {
    snprintf(place, PLACE, "%.1024s: %s", r->name, key);
    *inner = (reader){r->env, place, value};
    return OLICA_OK;
  }
  char found[OLICA_JSON_TEXT];
  olica_json_describe(value, found);
  return olica_error_set(r->env, OLICA_ERR_INPUT, "%s: %s is %s, expected an object", r->name, key, found);
}

static bool holds_objects(const json_t *object) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)object, key, value) if (json_is_object(value)) return true;
  return false;
}

/* Returns the first layer whose kind is not that of the first layer; L: there is none. */
static int first_of_other_kind(const olica_arch *arch) {
  int i = 1;
  while (i < arch->layers && !arch->layer[i].window == !arch->layer[0].window) i++;
  return i;
}

/* Newer files may have one object for each kind of layer. It is read where all layers are of one kind. */
static olica_status read_scaling_of_layers(const reader *r, const olica_arch *arch, olica_rope *rope) {
  reader inner = *r;
  char place[PLACE];
  if (!holds_objects(r->root)) return read_scaling(r, arch, rope);
  int other = first_of_other_kind(arch);
  if (other < arch->layers)
    return olica_error_set(
        r->env, OLICA_ERR_INPUT,
        "%s: differs by layer, and from layer %d on there is a sliding window, expected one "
        "for all layers",
        r->name, other);
  OLICA_TRY(enter(r, kind_of_layer(arch, 0), place, &inner));
  return read_scaling(&inner, arch, rope);
}

static bool same_rope(const olica_rope *a, const olica_rope *b) {
  return a->kind == b->kind && a->theta == b->theta && a->factor == b->factor && a->low_freq == b->low_freq &&
         a->high_freq == b->high_freq && a->original_context == b->original_context;
}

/* Older files have rope_theta and rope_scaling, newer ones rope_parameters, some both. */
static olica_status read_rope(const reader *r, olica_arch *arch) {
  static const char *const keys[] = {"rope_parameters", "rope_scaling"};
  bool given = false;
  double original = 0;
  arch->ropes = 1;
  arch->rope[0] = (olica_rope){.kind = OLICA_ROPE_PLAIN, .theta = 10000.0};
  OLICA_TRY(olica_json_real(r->env, r->name, r->root, "rope_theta", false, 1.0, 1e30, &arch->rope[0].theta));
  OLICA_TRY(olica_json_real(r->env, r->name, r->root, "original_max_position_embeddings", false, 1, 1e12,
                            &original));
  for (int i = 0; i < 2; i++) {
    const json_t *value = json_object_get(r->root, keys[i]);
    if (!value || json_is_null(value) || (json_is_object(value) && json_object_size(value) == 0)) continue;
    reader inner = *r;
    char place[PLACE];
    olica_rope rope = {.kind = OLICA_ROPE_PLAIN, .theta = arch->rope[0].theta, .original_context = original};
    OLICA_TRY(enter(r, keys[i], place, &inner));
    OLICA_TRY(read_scaling_of_layers(&inner, arch, &rope));
    if (given && !same_rope(&rope, &arch->rope[0]))
      return olica_error_set(r->env, OLICA_ERR_INPUT,
                             "%s: rope_parameters and rope_scaling contradict each other, expected one of "
                             "them, or the same in both",
                             r->name);
    arch->rope[0] = rope;
    given = true;
  }
  return OLICA_OK;
}

static olica_status read_biases(const reader *r, olica_arch *arch) {
  bool attention = false, mlp = false;
  if (arch->family->config_bias) {
    OLICA_TRY(olica_json_boolean(r->env, r->name, r->root, "attention_bias", false, &attention));
    OLICA_TRY(olica_json_boolean(r->env, r->name, r->root, "mlp_bias", false, &mlp));
  }
  for (int p = 0; p < OLICA_PROJECTIONS; p++)
    arch->bias[p] = p <= OLICA_O ? attention || arch->family->attention_bias[p] : mlp;
  return OLICA_OK;
}

/* Returns a token id, or the first of a list of them; -1: there is none. */
static int token_id(const json_t *value) {
  if (json_is_array(value)) value = json_array_get(value, 0);
  json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
  return id >= 0 && id < INT_MAX ? (int)id : -1;
}

static olica_status read_config(const reader *r, olica_arch *arch) {
  OLICA_TRY(read_family(r, arch));
  OLICA_TRY(read_sizes(r, arch));
  OLICA_TRY(olica_features_refuse(r->env, r->name, r->root, arch->head));
  OLICA_TRY(make_layers(r, arch));
  OLICA_TRY(read_window(r, arch));
  OLICA_TRY(check_layer_types(r, arch));
  OLICA_TRY(read_rope(r, arch));
  OLICA_TRY(read_biases(r, arch));
  arch->eps = 1e-6;
  OLICA_TRY(olica_json_real(r->env, r->name, r->root, "rms_norm_eps", false, 0.0, 1.0, &arch->eps));
  OLICA_TRY(olica_json_boolean(r->env, r->name, r->root, "tie_word_embeddings", false, &arch->tied));
  const char *activation = "silu";
  OLICA_TRY(olica_json_string(r->env, r->name, r->root, "hidden_act", false, &activation));
  if (strcmp(activation, "silu") != 0 && strcmp(activation, "swish") != 0)
    return olica_error_set(r->env, OLICA_ERR_INPUT, "%s: hidden_act is \"%.40s\", expected silu", r->name,
                           activation);
  arch->bos = token_id(json_object_get(r->root, "bos_token_id"));
  return OLICA_OK;
}

olica_status olica_arch_parse(olica_env *env, const char *name, const char *text, size_t bytes,
                              olica_arch *arch) {
  json_t *root;
  OLICA_TRY(olica_json_parse(env, name, text, bytes, &root));
  memset(arch, 0, sizeof *arch);
  olica_status status = read_config(&(reader){env, name, root}, arch);
  json_decref(root);
  if (status != OLICA_OK) olica_arch_free(env, arch);
  return status;
}

void olica_arch_free(olica_env *env, olica_arch *arch) {
  olica_memory_free(env, arch->layer);
  arch->layer = NULL;
}
