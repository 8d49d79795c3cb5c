#include "model/family.h"

#include <stddef.h>
#include <string.h>

/* Another family that differs only in names and numbers is one more line. */
static const olica_family families[] = {
    /* name, about, prefix, layers, attention, mlp, head, bias of q k v o, and by config, sliding window,
       key/value heads and context by default */
    {"llama",
     "LLaMA 1-3, SmolLM, TinyLlama",
     "model.",
     "model.layers.%d.",
     "self_attn.",
     "mlp.",
     "lm_head.weight",
     {0, 0, 0, 0},
     1,
     OLICA_WINDOW_NEVER,
     0,
     2048},
    {"mistral",
     "Mistral 7B and its kin",
     "model.",
     "model.layers.%d.",
     "self_attn.",
     "mlp.",
     "lm_head.weight",
     {0, 0, 0, 0},
     0,
     OLICA_WINDOW_ALWAYS,
     8,
     131072},
    {"qwen2",
     "Qwen2 and Qwen2.5, biases on q, k, v",
     "model.",
     "model.layers.%d.",
     "self_attn.",
     "mlp.",
     "lm_head.weight",
     {1, 1, 1, 0},
     0,
     OLICA_WINDOW_ON_DEMAND,
     32,
     32768},
};

const olica_family *olica_family_at(int i) {
  return i >= 0 && (size_t)i < sizeof families / sizeof *families ? &families[i] : NULL;
}

const olica_family *olica_family_find(const char *name) {
  for (int i = 0; olica_family_at(i); i++)
    if (strcmp(families[i].name, name) == 0) return &families[i];
  return NULL;
}
