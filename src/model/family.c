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
#define BIAS(p) [OLICA_TENSOR_LINEAR + OLICA_PARTS * OLICA_##p + OLICA_PART_BIAS]

static const char *const phi3_names[OLICA_TENSORS] = {
    WEIGHT(Q) = "qkv_proj.weight[q]", WEIGHT(K) = "qkv_proj.weight[k]", WEIGHT(V) = "qkv_proj.weight[v]",
    WEIGHT(GATE) = "gate_up_proj.weight[gate]", WEIGHT(UP) = "gate_up_proj.weight[up]"};

static const char *const glm4_names[OLICA_TENSORS] = {
    [OLICA_TENSOR_ATTENTION_OUTPUT_NORM] = "post_self_attn_layernorm.weight",
    [OLICA_TENSOR_FFN_OUTPUT_NORM] = "post_mlp_layernorm.weight",
    WEIGHT(GATE) = "gate_up_proj.weight[gate]",
    WEIGHT(UP) = "gate_up_proj.weight[up]"};
static const char *const gemma2_names[OLICA_TENSORS] = {[OLICA_TENSOR_FFN_NORM] =
                                                            "pre_feedforward_layernorm.weight"};
static const char *const hunyuan_names[OLICA_TENSORS] = {
    [OLICA_TENSOR_Q_NORM] = "query_layernorm.weight", [OLICA_TENSOR_K_NORM] = "key_layernorm.weight"};
static const char *const starcoder2_names[OLICA_TENSORS] = {
    WEIGHT(UP) = "c_fc.weight", BIAS(UP) = "c_fc.bias", WEIGHT(DOWN) = "c_proj.weight",
    BIAS(DOWN) = "c_proj.bias"};

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
     .context = 262144,
     .defaults = JSON({"rms_norm_eps" : 1e-5, "head_dim" : 128}),
     .ropes = JSON({
       "rope_parameters" : {
         "rope_type" : "yarn",
         "rope_theta" : 1000000.0,
         "factor" : 16.0,
         "original_max_position_embeddings" : 16384,
         "beta_fast" : 32.0,
         "beta_slow" : 1.0,
         "mscale_all_dim" : 1.0,
         "mscale" : 1.0,
         "llama_4_scaling_beta" : 0.1
       }
     })},
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
     .context = 32768,
     .defaults = JSON({"head_dim" : 128})},
    {.name = "smollm3",
     .about = "SmolLM3, every fourth layer without RoPE",
     LLAMA_NAMES,
     .bias = BY_CONFIG,
     .window = OLICA_WINDOW_WITHOUT_ROPE,
     .rope = OLICA_ROPE_LISTED,
     .theta = 2000000,
     .kv_heads = 4,
     .context = 32768,
     .defaults = JSON({"tie_word_embeddings" : true})},
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
     .context = 524288,
     .defaults = JSON({"head_dim" : 128})},
    {.name = "gemma",
     .about = "Gemma 1",
     LLAMA_NAMES,
     .bias = ATTENTION_BY_CONFIG,
     .kv_heads = 16,
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
    {.name = "gemma2",
     .about = "Gemma 2: norms before and behind, soft caps",
     LLAMA_NAMES,
     .published = gemma2_names,
     .bias = ATTENTION_BY_CONFIG,
     .kv_heads = 4,
     .context = 8192,
     .window = OLICA_WINDOW_PATTERN,
     .window_size = 4096,
     .window_pattern = 2,
     .scale = OLICA_SCALE_SCALAR,
     .scale_default = 256,
     .score_cap = 1,
     .score_cap_default = 50,
     .defaults = JSON({
       "head_dim" : 256,
       "final_logit_softcapping" : 30.0,
       "tie_word_embeddings" : true,
       "hidden_activation" : "gelu_pytorch_tanh"
     }),
     .block = {.one_plus_norms = true, .output_norms = true},
     .multiplier = {.cap = "final_logit_softcapping"},
     .scaled_embedding = true,
     .activation = "hidden_activation"},
    {.name = "gemma3_text",
     .class = "Gemma3",
     .about = "Gemma 3, text models",
     LLAMA_NAMES,
     .published = gemma2_names,
     .bias = ATTENTION_BY_CONFIG,
     .kv_heads = 4,
     .context = 131072,
     .window = OLICA_WINDOW_PATTERN,
     .window_size = 4096,
     .window_pattern = 6,
     .window_pattern_key = "sliding_window_pattern",
     .rope_by_kind = 1,
     .theta = 1000000,
     .local_theta = 10000,
     .local_theta_key = "rope_local_base_freq",
     .scale = OLICA_SCALE_SCALAR,
     .scale_default = 256,
     .qk_norm = OLICA_QK_NORM_HEAD,
     .defaults = JSON({
       "head_dim" : 256,
       "tie_word_embeddings" : true,
       "vocab_size" : 262208,
       "num_attention_heads" : 8,
       "hidden_activation" : "gelu_pytorch_tanh"
     }),
     .block = {.one_plus_norms = true, .output_norms = true},
     .multiplier = {.cap = "final_logit_softcapping"},
     .scaled_embedding = true,
     .activation = "hidden_activation"},
    {.name = "olmo2",
     .about = "OLMo 2: norms behind attention and FFN alone",
     LLAMA_NAMES,
     .bias = ATTENTION_BY_CONFIG,
     .context = 2048,
     .qk_norm = OLICA_QK_NORM_WIDTH,
     .defaults = JSON({"rms_norm_eps" : 1e-5}),
     .block = {.bare_inputs = true, .output_norms = true}},
    {.name = "olmo3",
     .about = "OLMo 3",
     LLAMA_NAMES,
     .bias = ATTENTION_BY_CONFIG,
     .context = 2048,
     .window = OLICA_WINDOW_PATTERN,
     .window_size = 4096,
     .window_pattern = 4,
     .rope_by_kind = 1,
     .theta = 500000,
     .local_theta = 500000,
     .qk_norm = OLICA_QK_NORM_WIDTH,
     .defaults = JSON({"rms_norm_eps" : 1e-5}),
     .block = {.bare_inputs = true, .output_norms = true}},
    {.name = "exaone4",
     .about = "EXAONE 4",
     LLAMA_NAMES,
     .kv_heads = 32,
     .context = 2048,
     .window = OLICA_WINDOW_PATTERN,
     .window_size = 4096,
     .window_pattern = 4,
     .window_pattern_key = "sliding_window_pattern",
     .rope = OLICA_ROPE_WINDOWED_IF_ANY,
     .qk_norm = OLICA_QK_NORM_HEAD,
     .defaults = JSON({"rms_norm_eps" : 1e-5}),
     .block = {.bare_inputs = true, .output_norms = true}},
    {.name = "glm4",
     .about = "GLM-4 (0414): norms before and behind",
     LLAMA_NAMES,
     .published = glm4_names,
     .bias = {{"attention_bias", 1}, {"attention_bias", 1}, {"attention_bias", 1}},
     .kv_heads = 2,
     .context = 131072,
     .partial = 0.5,
     .interleaved = 1,
     .defaults = JSON({"rms_norm_eps" : 1.5625e-7, "head_dim" : 128}),
     .block = {.output_norms = true}},
    {.name = "cohere2",
     .about = "Command R7B and A: LayerNorm, attention beside the FFN",
     LLAMA_NAMES,
     .bias = ATTENTION_BY_CONFIG,
     .context = 8192,
     .window = OLICA_WINDOW_PATTERN,
     .window_size = 4096,
     .window_pattern = 4,
     .window_pattern_key = "sliding_window_pattern",
     .rope = OLICA_ROPE_WINDOWED,
     .interleaved = 1,
     .defaults = JSON({"layer_norm_eps" : 1e-5, "logit_scale" : 0.0625, "tie_word_embeddings" : true}),
     .block = {.centred_norms = true, .parallel = true},
     .multiplier = {.logits = "logit_scale"},
     .eps = "layer_norm_eps"},
    {.name = "hunyuan_v1_dense",
     .class = "HunYuanDenseV1",
     .about = "Hunyuan dense",
     LLAMA_NAMES,
     .published = hunyuan_names,
     .bias = ATTENTION_BY_CONFIG,
     .context = 2048,
     .qk_norm = OLICA_QK_NORM_HEAD,
     .qk_norm_last = 1,
     .defaults = JSON({"rms_norm_eps" : 1e-5})},
    {.name = "helium",
     .about = "Helium",
     LLAMA_NAMES,
     .bias = {{"attention_bias", 0},
              {"attention_bias", 0},
              {"attention_bias", 0},
              {NULL, 0},
              {"mlp_bias", 0},
              {"mlp_bias", 0},
              {"mlp_bias", 0}},
     .kv_heads = 20,
     .context = 4096,
     .theta = 100000,
     .interleaved = 1,
     .defaults = JSON({"rms_norm_eps" : 1e-8, "head_dim" : 128})},
    {.name = "starcoder2",
     .about = "StarCoder2: LayerNorm with biases, a plain FFN",
     LLAMA_NAMES,
     .published = starcoder2_names,
     .bias = {{"use_bias", 1},
              {"use_bias", 1},
              {"use_bias", 1},
              {"use_bias", 1},
              {NULL, 0},
              {"use_bias", 1},
              {"use_bias", 1}},
     .kv_heads = 2,
     .context = 4096,
     .window = OLICA_WINDOW_ALWAYS,
     .defaults =
         JSON({"norm_epsilon" : 1e-5, "hidden_act" : "gelu_pytorch_tanh", "tie_word_embeddings" : true}),
     .block = {.centred_norms = true, .norm_biases = true, .plain_ffn = true},
     .eps = "norm_epsilon"},
};

const olica_family *olica_family_at(int i) {
  return i >= 0 && (size_t)i < sizeof families / sizeof *families ? &families[i] : NULL;
}

const olica_family *olica_family_find(const char *name) {
  for (int i = 0; olica_family_at(i); i++)
    if (strcmp(families[i].name, name) == 0) return &families[i];
  return NULL;
}
