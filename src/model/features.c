#include "features.h"

#include <math.h>
#include <stdio.h>

#include "block.h"
#include "io/json.h"

/* The value that asks for nothing, beside null: a number (or a list of it), false being 0 and true 1. */
typedef enum neutral {
  NEUTRAL_NONE, /* only null */
  NEUTRAL_ZERO,
  NEUTRAL_ONE,
  NEUTRAL_HEAD, /* the size of a head */
  NEUTRAL_ROOT  /* 1 / its square root: the scale of the scores that is used anyway */
} neutral;

/* Tell whether a family computes the feature. */
static bool turns_partly(const olica_family *family) {
  return family->partial > 0;
}
static bool lists_layers(const olica_family *family) {
  return family->rope == OLICA_ROPE_LISTED;
}
static bool caps_scores(const olica_family *family) {
  return family->score_cap;
}
static bool multiplies_scores(const olica_family *family) {
  return family->scale == OLICA_SCALE_MULTIPLIER;
}
static bool divides_scores(const olica_family *family) {
  return family->scale == OLICA_SCALE_SCALAR;
}
static bool grows_queries(const olica_family *family) {
  return family->query_growth;
}

static const struct {
  const char *key;
  neutral neutral;
  bool (*computed)(const olica_family *family); /* NULL: by none */
} features[] = {
    {"partial_rotary_factor", NEUTRAL_ONE, turns_partly},
    {"rope_interleaved", NEUTRAL_ZERO, NULL},
    {"no_rope_layers", NEUTRAL_ONE, lists_layers}, /* 1: the layer has RoPE */
    {"attn_logit_softcapping", NEUTRAL_ZERO, caps_scores},
    {"final_logit_softcapping", NEUTRAL_ZERO, NULL},
    {"logit_scale", NEUTRAL_ONE, NULL},
    {"logits_scaling", NEUTRAL_ONE, NULL},
    {"residual_multiplier", NEUTRAL_ONE, NULL},
    {"embedding_multiplier", NEUTRAL_ONE, NULL},
    {"attention_multiplier", NEUTRAL_ROOT, multiplies_scores},
    {"query_pre_attn_scalar", NEUTRAL_HEAD, divides_scores},
    {"llama_4_scaling_beta", NEUTRAL_ZERO, grows_queries},
    {"use_bidirectional_attention", NEUTRAL_ZERO, NULL},
    {"qk_layernorm", NEUTRAL_ZERO, NULL},
    {"qk_norm", NEUTRAL_ZERO, NULL},
    {"use_qk_norm", NEUTRAL_ZERO, NULL},
    {"clip_qkv", NEUTRAL_NONE, NULL},
    {"parallel_attn", NEUTRAL_ZERO, NULL},
    {"num_experts", NEUTRAL_ZERO, NULL},
    {"num_local_experts", NEUTRAL_ZERO, NULL},
    {"quantization_config", NEUTRAL_NONE, NULL},
};

static double number_of(neutral kind, int head) {
  switch (kind) {
  case NEUTRAL_ZERO:
    return 0;
  case NEUTRAL_ONE:
    return 1;
  case NEUTRAL_HEAD:
    return head;
  case NEUTRAL_ROOT:
    return 1 / sqrt(head);
  case NEUTRAL_NONE:
    break;
  }
  return NAN;
}

/* NaN is near to nothing. Config files round. */
static bool says(const json_t *value, double number) {
  if (json_is_boolean(value)) return json_boolean_value(value) == number;
  return json_is_number(value) && fabs(json_number_value(value) - number) <= 1e-5 * number;
}

static bool says_throughout(const json_t *value, double number) {
  size_t i;
  const json_t *element;
  if (!json_is_array(value)) return says(value, number);
  json_array_foreach(value, i, element) if (!says(element, number)) return false;
  return true;
}

olica_status olica_features_refuse(olica_env *env, const char *name, const json_t *object,
                                   const olica_arch *arch) {
  for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
    const json_t *value = json_object_get(object, features[i].key);
    double number = number_of(features[i].neutral, arch->head);
    if (features[i].computed && features[i].computed(arch->family)) continue;
    if (olica_block_computes(arch->family, features[i].key)) continue;
    if (!value || json_is_null(value) || says_throughout(value, number)) continue;
    char found[OLICA_JSON_TEXT], expected[32] = "none";
    olica_json_describe(value, found);
    if (features[i].neutral != NEUTRAL_NONE) snprintf(expected, sizeof expected, "%.10g or none", number);
    return olica_error_set(env, OLICA_ERR_INPUT, "%s: %s is %s, expected %s: nothing else is computed", name,
                           features[i].key, found, expected);
  }
  return OLICA_OK;
}
