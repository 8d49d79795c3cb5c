#include "block.h"

#include <math.h>
#include <string.h>

#include "io/json.h"

static const struct {
  const char *name; /* of the config */
  olica_activation activation;
} activations[] = {
    {"silu", OLICA_ACTIVATION_SILU},
    {"swish", OLICA_ACTIVATION_SILU},
    {"gelu_pytorch_tanh", OLICA_ACTIVATION_GELU_TANH},
    {"gelu_new", OLICA_ACTIVATION_GELU_TANH},
    {"gelu", OLICA_ACTIVATION_GELU},
    {"relu", OLICA_ACTIVATION_RELU},
    {"relu2", OLICA_ACTIVATION_RELU2},
};
enum { NAMES = sizeof activations / sizeof *activations };

static olica_status read_activation(const olica_reader *r, olica_arch *arch) {
  const char *key = arch->family->activation ? arch->family->activation : "hidden_act", *word = "silu";
  OLICA_TRY(olica_json_string(r->env, r->name, r->root, key, false, &word));
  if (arch->family->gelu_is_tanh && strcmp(word, "gelu") == 0) word = "gelu_pytorch_tanh";
  for (int i = 0; i < NAMES; i++)
    if (strcmp(word, activations[i].name) == 0) {
      arch->activation = activations[i].activation;
      return OLICA_OK;
    }
  return olica_error_set(r->env, OLICA_ERR_INPUT,
                         "%s: %s is \"%.40s\", expected silu, gelu, gelu_pytorch_tanh, relu or relu2",
                         r->name, key, word);
}

/* A factor that the family has a key for; null and an absent key are 1. */
static olica_status read_factor(const olica_reader *r, const char *key, double *factor) {
  *factor = 1;
  return key ? olica_reader_real(r, key, false, 1e-12, 1e12, factor) : OLICA_OK;
}

/* A factor of 1 is none. */
static double used(double factor) {
  return factor == 1 ? 0 : factor;
}

static olica_status read_multipliers(const olica_reader *r, olica_arch *arch) {
  const olica_multiplier_keys *keys = &arch->family->multiplier;
  double embedding, residual, logits, divisor;
  OLICA_TRY(read_factor(r, keys->embedding, &embedding));
  OLICA_TRY(read_factor(r, keys->residual, &residual));
  OLICA_TRY(read_factor(r, keys->logits, &logits));
  OLICA_TRY(read_factor(r, keys->divisor, &divisor));
  if (arch->family->scaled_embedding) embedding *= sqrt(arch->hidden);
  arch->embedding_scale = used(embedding);
  arch->residual_scale = used(residual);
  arch->logit_scale = used(logits / divisor);
  return keys->cap ? olica_reader_real(r, keys->cap, false, 1e-6, 1e12, &arch->logit_cap) : OLICA_OK;
}

olica_status olica_block_read(const olica_reader *r, olica_arch *arch) {
  const char *eps = arch->family->eps ? arch->family->eps : "rms_norm_eps";
  arch->block = arch->family->block;
  arch->eps = 1e-6;
  OLICA_TRY(olica_reader_real(r, eps, false, 0.0, 1.0, &arch->eps));
  OLICA_TRY(read_multipliers(r, arch));
  return read_activation(r, arch);
}

bool olica_block_computes(const olica_family *family, const char *key) {
  const olica_multiplier_keys *keys = &family->multiplier;
  const char *const all[] = {keys->embedding, keys->residual, keys->logits, keys->divisor, keys->cap};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (all[i] && strcmp(all[i], key) == 0) return true;
  return false;
}
