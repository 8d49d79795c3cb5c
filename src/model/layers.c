/* What differs from layer to layer: windows, and layers without RoPE. Absent keys have the values of Hugging
 * Face's configurations of the family. */
#include <limits.h>
#include <string.h>

#include "io/json.h"
#include "reader.h"

const char *olica_layers_kind(const olica_arch *arch, int layer) {
  return arch->layer[layer].window ? "sliding_attention" : "full_attention";
}

/* ---- layers without RoPE ---- */

/* Reads no_rope_layers: 1 for a layer that has RoPE. Without it every no_rope_layer_interval-th has none. */
static olica_status read_listed(const olica_reader *r, olica_arch *arch) {
  enum { EVERY = 4 };
  const json_t *list = json_object_get(r->root, "no_rope_layers");
  int every = EVERY;
  if (!list || json_is_null(list)) {
    OLICA_TRY(olica_reader_int(r, "no_rope_layer_interval", false, 1, INT_MAX, &every));
    for (int i = every - 1; i < arch->layers; i += every) arch->layer[i].rope = OLICA_ROPE_NONE;
    return OLICA_OK;
  }
  if (!json_is_array(list) || json_array_size(list) < (size_t)arch->layers)
    return olica_error_set(r->env, OLICA_ERR_INPUT,
                           "%s: no_rope_layers has %zu elements, expected num_hidden_layers = %d", r->name,
                           json_array_size(list), arch->layers);
  for (int i = 0; i < arch->layers; i++) {
    const json_t *has = json_array_get(list, (size_t)i);
    json_int_t value = json_is_integer(has) ? json_integer_value(has) : json_is_true(has) ? 1 : 0;
    if (!json_is_boolean(has) && (!json_is_integer(has) || (value != 0 && value != 1))) {
      char found[OLICA_JSON_TEXT];
      olica_json_describe(has, found);
      return olica_error_set(r->env, OLICA_ERR_INPUT, "%s: no_rope_layers[%d] is %s, expected 0 or 1",
                             r->name, i, found);
    }
    if (value == 0) arch->layer[i].rope = OLICA_ROPE_NONE;
  }
  return OLICA_OK;
}

/* ---- windows ---- */

/* Returns whether layer i has a window by the family's rule. */
static bool slides(const olica_arch *arch, int i, int64_t from, int pattern) {
  switch (arch->family->window) {
  case OLICA_WINDOW_NEVER:
    break;
  case OLICA_WINDOW_ALWAYS:
    return true;
  case OLICA_WINDOW_ON_DEMAND:
    return i >= from;
  case OLICA_WINDOW_PATTERN:
    return (i + 1) % pattern != 0;
  case OLICA_WINDOW_WITHOUT_ROPE:
    return arch->layer[i].rope == OLICA_ROPE_NONE;
  }
  return false;
}

/* Reads the size of the windows; 0: there are none. */
static olica_status read_size(const olica_reader *r, const olica_arch *arch, int *size) {
  olica_family_window rule = arch->family->window;
  bool use = rule != OLICA_WINDOW_NEVER;
  *size = arch->family->window_size;
  if (rule == OLICA_WINDOW_ON_DEMAND || rule == OLICA_WINDOW_WITHOUT_ROPE) {
    use = false;
    OLICA_TRY(olica_json_boolean(r->env, r->name, r->root, "use_sliding_window", false, &use));
  }
  if (!use || json_is_null(json_object_get(r->root, "sliding_window"))) {
    *size = 0;
    return OLICA_OK;
  }
  return olica_reader_int(r, "sliding_window", false, 1, INT_MAX, size);
}

/* Windows by the family's rule, for a config without layer_types. */
static olica_status read_rule(const olica_reader *r, olica_arch *arch, int size) {
  enum { FIRST_LAYER = 28 };
  const olica_family *family = arch->family;
  int64_t from = FIRST_LAYER;
  int pattern = family->window_pattern ? family->window_pattern : 1;
  if (family->window == OLICA_WINDOW_ON_DEMAND)
    OLICA_TRY(olica_json_integer(r->env, r->name, r->root, "max_window_layers", false, 0, INT_MAX, &from));
  if (family->window == OLICA_WINDOW_PATTERN && family->window_pattern_key)
    OLICA_TRY(olica_reader_int(r, family->window_pattern_key, false, 1, INT_MAX, &pattern));
  for (int i = 0; i < arch->layers; i++)
    if (slides(arch, i, from, pattern)) arch->layer[i].window = size;
  return OLICA_OK;
}

/* Tells whether the family takes its windows from layer_types. */
static bool by_types(const olica_family *family) {
  return family->window != OLICA_WINDOW_NEVER && family->window != OLICA_WINDOW_ALWAYS;
}

/* Reads layer_types: windows of `size` where the family has them by layer, and nothing else than the keys
 * beside it say where it has them in all layers or in none. */
static olica_status read_types(const olica_reader *r, const json_t *types, olica_arch *arch, int size) {
  if (!json_is_array(types) || json_array_size(types) != (size_t)arch->layers)
    return olica_error_set(r->env, OLICA_ERR_INPUT,
                           "%s: layer_types has %zu elements, expected num_hidden_layers = %d", r->name,
                           json_array_size(types), arch->layers);
  for (int i = 0; i < arch->layers; i++) {
    const json_t *type = json_array_get(types, (size_t)i);
    const char *word = json_string_value(type), *expected;
    if (by_types(arch->family) && word && size && strcmp(word, "sliding_attention") == 0)
      arch->layer[i].window = size;
    if (by_types(arch->family) && word && size && strcmp(word, "full_attention") == 0)
      arch->layer[i].window = 0;
    expected = olica_layers_kind(arch, i);
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

olica_status olica_layers_read(const olica_reader *r, olica_arch *arch) {
  const json_t *types = json_object_get(r->root, "layer_types");
  olica_family_rope rule = arch->family->rope;
  int size = 0;
  bool typed = types && !json_is_null(types);
  if (rule == OLICA_ROPE_LISTED) OLICA_TRY(read_listed(r, arch));
  OLICA_TRY(read_size(r, arch, &size));
  if (!typed || !by_types(arch->family)) OLICA_TRY(read_rule(r, arch, size));
  if (typed) OLICA_TRY(read_types(r, types, arch, size));
  if (rule == OLICA_ROPE_WINDOWED || (rule == OLICA_ROPE_WINDOWED_IF_ANY && size))
    for (int i = 0; i < arch->layers; i++)
      if (!arch->layer[i].window) arch->layer[i].rope = OLICA_ROPE_NONE;
  return OLICA_OK;
}
