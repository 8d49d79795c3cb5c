#include "model/family.h"

#include <stddef.h>
#include <string.h>

/* Another family that differs only in names and numbers is one more line. */
static const olica_family families[] = {
    {.name = "llama",
     .about = "LLaMA 1-3, SmolLM, TinyLlama",
     .prefix = "model.",
     .layers = "model.layers.%d.",
     .attention = "self_attn.",
     .mlp = "mlp.",
     .head = "lm_head.weight",
     .config_bias = 1,
     .window = OLICA_WINDOW_NEVER,
     .context = 2048},
    {.name = "mistral",
     .about = "Mistral 7B and its kin",
     .prefix = "model.",
     .layers = "model.layers.%d.",
     .attention = "self_attn.",
     .mlp = "mlp.",
     .head = "lm_head.weight",
     .window = OLICA_WINDOW_ALWAYS,
     .kv_heads = 8,
     .context = 131072},
    {.name = "qwen2",
     .about = "Qwen2 and Qwen2.5, biases on q, k, v",
     .prefix = "model.",
     .layers = "model.layers.%d.",
     .attention = "self_attn.",
     .mlp = "mlp.",
     .head = "lm_head.weight",
     .attention_bias = {1, 1, 1, 0},
     .window = OLICA_WINDOW_ON_DEMAND,
     .kv_heads = 32,
     .context = 32768},
};

const olica_family *olica_family_at(int i) {
  return i >= 0 && (size_t)i < sizeof families / sizeof *families ? &families[i] : NULL;
}

const olica_family *olica_family_find(const char *name) {
  for (int i = 0; olica_family_at(i); i++)
    if (strcmp(families[i].name, name) == 0) return &families[i];
  return NULL;
}
