#include "model/family.h"

#include <stddef.h>
#include <string.h>

#include "model/ids.h"

/* Biases as the config's keys say: in attention and FFN, in attention alone. */
#define BY_CONFIG                                                                                            \
  {                                                                                                          \
    {"attention_bias", 0}, {"attention_bias", 0}, {"attention_bias", 0}, {"attention_bias", 0},              \
        {"mlp_bias", 0}, {"mlp_bias", 0}, {                                                                  \
      "mlp_bias", 0                                                                                          \
    }                                                                                                        \
  }
#define ATTENTION_BY_CONFIG                                                                                  \
  {                                                                                                          \
    {"attention_bias", 0}, {"attention_bias", 0}, {"attention_bias", 0}, {                                   \
      "attention_bias", 0                                                                                    \
    }                                                                                                        \
  }
/* A text of JSON. */
#define JSON(...) #__VA_ARGS__

/* The names of LLaMA's tensors. */
#define LLAMA_NAMES                                                                                          \
  .prefix = "model.", .layers = "model.layers.%d.", .attention = "self_attn.", .mlp = "mlp.",                \
  .head = "lm_head.weight"

/* A projection's weight in a list of published names; [part] of a tensor: the rows of one that several share,
 * in the order of the ids. */
#define WEIGHT(p) [OLICA_TENSOR_LINEAR + OLICA_PARTS * OLICA_##p + OLICA_PART_WEIGHT]

static const char *const phi3_names[OLICA_TENSORS] = {
    WEIGHT(Q) = "qkv_proj.weight[q]", WEIGHT(K) = "qkv_proj.weight[k]", WEIGHT(V) = "qkv_proj.weight[v]",
    WEIGHT(GATE) = "gate_up_proj.weight[gate]", WEIGHT(UP) = "gate_up_proj.weight[up]"};

/* Another family that differs by switches and names is one more row. Defaults are those of its class in
 * transformers. */
static const olica_family families[] = {
    {.name = "llama",
     .about = "LLaMA 1-3, SmolLM, TinyLlama",
     LLAMA_NAMES,
     .bias = BY_CONFIG,
     .window = OLICA_WINDOW_NEVER,
     .context = 2048},
    {.name = "mistral",
     .about = "Mistral 7B and its kin",
     LLAMA_NAMES,
     .window = OLICA_WINDOW_ALWAYS,
     .window_size = 4096,
     .kv_heads = 8,
     .context = 131072},
    {.name = "ministral3",
     .about = "Ministral 3: queries grow with their position",
     LLAMA_NAMES,
     .window = OLICA_WINDOW_ALWAYS,
     .query_growth = 1,
     .kv_heads = 8,
     .context = 262144},
    {.name = "qwen2",
     .about = "Qwen2 and Qwen2.5, biases on q, k, v",
     LLAMA_NAMES,
     .bias = {{NULL, 1}, {NULL, 1}, {NULL, 1}},
     .window = OLICA_WINDOW_ON_DEMAND,
     .window_size = 4096,
     .kv_heads = 32,
     .context = 32768},
    {.name = "qwen3",
     .about = "Qwen3, queries and keys normed by head",
     LLAMA_NAMES,
     .bias = ATTENTION_BY_CONFIG,
     .window = OLICA_WINDOW_ON_DEMAND,
     .window_size = 4096,
     .qk_norm = OLICA_QK_NORM_HEAD,
     .kv_heads = 32,
     .context = 32768},
    {.name = "smollm3",
     .about = "SmolLM3, every fourth layer without RoPE",
     LLAMA_NAMES,
     .bias = BY_CONFIG,
     .window = OLICA_WINDOW_WITHOUT_ROPE,
     .rope = OLICA_ROPE_LISTED,
     .theta = 2000000,
     .kv_heads = 4,
     .context = 32768},
    {.name = "seed_oss",
     .about = "Seed-OSS, biases on q, k, v",
     LLAMA_NAMES,
     .bias = {{"attention_bias", 1},
              {"attention_bias", 1},
              {"attention_bias", 1},
              {"attention_out_bias", 0},
              {"mlp_bias", 0},
              {"mlp_bias", 0},
              {"mlp_bias", 0}},
     .kv_heads = 8,
     .context = 524288},
    {.name = "gemma",
     .about = "Gemma 1",
     LLAMA_NAMES,
     .bias = ATTENTION_BY_CONFIG,
     .context = 8192,
     .defaults = JSON({"head_dim" : 256, "hidden_act" : "gelu_pytorch_tanh", "tie_word_embeddings" : true}),
     .block = {.one_plus_norms = true},
     .scaled_embedding = true,
     .gelu_is_tanh = true},
    {.name = "granite",
     .about = "Granite 3, with multipliers",
     LLAMA_NAMES,
     .bias = BY_CONFIG,
     .context = 2048,
     .scale = OLICA_SCALE_MULTIPLIER,
     .scale_default = 1,
     .multiplier = {.embedding = "embedding_multiplier",
                    .residual = "residual_multiplier",
                    .divisor = "logits_scaling"}},
    {.name = "phi3",
     .about = "Phi-3, Phi-3.5 and Phi-4",
     LLAMA_NAMES,
     .published = phi3_names,
     .window = OLICA_WINDOW_ALWAYS,
     .partial = 1,
     .su_is_longrope = 1,
     .original_context = 4096,
     .context = 4096,
     .defaults = JSON({"rms_norm_eps" : 1e-5})},
    {.name = "arcee",
     .about = "Arcee AFM, a plain FFN",
     LLAMA_NAMES,
     .bias = BY_CONFIG,
     .context = 4096,
     .defaults = JSON({"rms_norm_eps" : 1e-5, "hidden_act" : "relu2"}),
     .block = {.plain_ffn = true}},
};

const olica_family *olica_family_at(int i) {
  return i >= 0 && (size_t)i < sizeof families / sizeof *families ? &families[i] : NULL;
}

const olica_family *olica_family_find(const char *name) {
  for (int i = 0; olica_family_at(i); i++)
    if (strcmp(families[i].name, name) == 0) return &families[i];
  return NULL;
}
