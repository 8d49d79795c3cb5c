#include "hf_config.h"

#include <string.h>

/* What would name files that are not there, or what this directory is not. */
static const char *const dropped[] = {"_name_or_path", "auto_map", "dtype", "rope_parameters"};

static json_t *scaling(const olica_rope *rope) {
  if (rope->kind == OLICA_ROPE_LINEAR)
    return json_pack("{s:s, s:s, s:f}", "rope_type", "linear", "type", "linear", "factor", rope->factor);
  if (rope->kind != OLICA_ROPE_LLAMA3) return json_null();
  return json_pack("{s:s, s:f, s:f, s:f, s:I}", "rope_type", "llama3", "factor", rope->factor,
                   "low_freq_factor", rope->low_freq, "high_freq_factor", rope->high_freq,
                   "original_max_position_embeddings", (json_int_t)rope->original_context);
}

/* transformers before 5 reads rope_theta and rope_scaling alone. */
static void set_rope(const olica_export *e, json_t *config) {
  const olica_arch *arch = &e->source->arch;
  if (arch->ropes > 1) return;
  json_object_set_new(config, "rope_theta", json_real(arch->rope[0].theta));
  const json_t *own = json_object_get(e->config, "rope_scaling");
  if (!json_is_object(own) || json_object_size(own) == 0 || arch->rope[0].kind == OLICA_ROPE_PLAIN)
    json_object_set_new(config, "rope_scaling", scaling(&arch->rope[0]));
}

json_t *olica_hf_config(const olica_export *e) {
  static const char *const types[] = {"float32", "float16", "bfloat16"};
  json_t *config = json_deep_copy(e->config);
  for (size_t i = 0; i < sizeof dropped / sizeof *dropped; i++)
    if (strcmp(dropped[i], "rope_parameters") != 0 || e->source->arch.ropes <= 1)
      json_object_del(config, dropped[i]);
  set_rope(e, config);
  json_object_set_new(config, "torch_dtype", json_string(types[e->type]));
  json_object_set_new(config, "tie_word_embeddings", json_boolean(e->source->arch.tied));
  return config;
}
