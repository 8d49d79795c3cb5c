#include "hf_config.h"

#include <string.h>

/* What would name files that are not there, or what this directory is not. */
static const char *const dropped[] = {"_name_or_path", "auto_map", "dtype"};

/* Moves a member of rope_parameters out of it, to where transformers before 5 looks for it. */
static void lift(json_t *config, json_t *rope, const char *key) {
  const json_t *value = json_object_get(rope, key);
  if (value) json_object_set(config, key, (json_t *)value);
  json_object_del(rope, key);
}

static bool differs_by_layer(const json_t *rope) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)rope, key, value) if (json_is_object(value)) return true;
  return false;
}

/* transformers before 5 reads rope_theta and rope_scaling alone: without them it would take theta 10000
 * without a word. What differs by layer only newer ones can read. */
static void set_rope(const olica_export *e, json_t *config) {
  json_t *rope = json_object_get(config, "rope_parameters");
  if (json_is_object(rope) && !differs_by_layer(rope)) {
    json_incref(rope);
    json_object_del(config, "rope_parameters");
    lift(config, rope, "rope_theta");
    lift(config, rope, "partial_rotary_factor");
    const char *type = json_string_value(json_object_get(rope, "rope_type"));
    bool plain = !type || strcmp(type, "default") == 0;
    json_object_set_new(config, "rope_scaling", plain ? json_null() : json_copy(rope));
    json_decref(rope);
  }
  if (e->source->arch.ropes == 1 && !json_object_get(config, "rope_theta") && !json_is_object(rope))
    json_object_set_new(config, "rope_theta", json_real(e->source->arch.rope[0].theta));
}

json_t *olica_hf_config(const olica_export *e) {
  static const char *const types[] = {"float32", "float16", "bfloat16"};
  json_t *config = json_deep_copy(e->config);
  for (size_t i = 0; i < sizeof dropped / sizeof *dropped; i++) json_object_del(config, dropped[i]);
  set_rope(e, config);
  json_object_set_new(config, "torch_dtype", json_string(types[e->type]));
  json_object_set_new(config, "tie_word_embeddings", json_boolean(e->source->arch.tied));
  return config;
}

bool olica_hf_is_old(const olica_family *family) {
  static const char *const names[] = {"llama", "mistral", "qwen2"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(family->name, names[i]) == 0) return true;
  return false;
}

void olica_hf_note_rope(olica_export *e) {
  const olica_arch *arch = &e->source->arch;
  if (!olica_hf_is_old(arch->family)) return;
  for (int i = 0; i < arch->ropes; i++) {
    bool yarn = arch->rope[i].kind == OLICA_ROPE_YARN;
    if (!yarn && arch->rope[i].kind != OLICA_ROPE_LONG) continue;
    olica_export_note(
        e,
        "RoPE is of type %s, which transformers 4.46 computes from other numbers than 5 does: there "
        "the source model and this one have other logits. Use transformers 5.",
        yarn ? "yarn" : "longrope");
    return;
  }
}
