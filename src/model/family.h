/* Model families: what differs between LLaMA-type models in names, numbers and switches. A row each in
 * family.c. All switches off is LLaMA. Pure. */
#ifndef OLICA_MODEL_FAMILY_H
#define OLICA_MODEL_FAMILY_H

#include <stdbool.h>

/* Says when the config's sliding_window counts. The config's layer_types, where it has them, come first in
 * the last three. */
typedef enum olica_family_window {
  OLICA_WINDOW_NEVER,
  OLICA_WINDOW_ALWAYS,      /* in all layers */
  OLICA_WINDOW_ON_DEMAND,   /* if use_sliding_window, from layer max_window_layers on */
  OLICA_WINDOW_PATTERN,     /* in all layers but each window_pattern-th */
  OLICA_WINDOW_WITHOUT_ROPE /* if use_sliding_window, in layers without RoPE */
} olica_family_window;

/* Says which layers have RoPE. */
typedef enum olica_family_rope {
  OLICA_ROPE_EVERYWHERE,
  OLICA_ROPE_LISTED,         /* by no_rope_layers, or all but each no_rope_layer_interval-th */
  OLICA_ROPE_WINDOWED,       /* those with a window */
  OLICA_ROPE_WINDOWED_IF_ANY /* likewise; all if the config's sliding_window is null */
} olica_family_rope;

/* Says what the scores of attention are multiplied by. */
typedef enum olica_family_scale {
  OLICA_SCALE_HEAD,      /* 1 / the square root of the size of a head */
  OLICA_SCALE_SCALAR,    /* 1 / the square root of query_pre_attn_scalar */
  OLICA_SCALE_MULTIPLIER /* attention_multiplier */
} olica_family_scale;

/* Says over what queries and keys are normed. */
typedef enum olica_qk_norm {
  OLICA_QK_NORM_NONE,
  OLICA_QK_NORM_HEAD, /* each head alone */
  OLICA_QK_NORM_WIDTH /* all heads together */
} olica_qk_norm;

/* The bias of a projection: there if the config's `key` says so, by default `otherwise`; without a key
 * `otherwise` tells. */
typedef struct olica_family_bias {
  const char *key;
  int otherwise;
} olica_family_bias;

/* The activation of the FFN's neurons. */
typedef enum olica_activation {
  OLICA_ACTIVATION_SILU,
  OLICA_ACTIVATION_GELU_TANH, /* the tanh approximation */
  OLICA_ACTIVATION_GELU,      /* with the error function */
  OLICA_ACTIVATION_RELU,
  OLICA_ACTIVATION_RELU2, /* its square */
  OLICA_ACTIVATIONS
} olica_activation;

/* The block of a layer: its norms, and how attention and FFN follow each other. */
typedef struct olica_block {
  bool centred_norms;  /* LayerNorm: less the mean, by the standard deviation; else RMSNorm */
  bool one_plus_norms; /* a norm's gains are 1 + its weights */
  bool norm_biases;    /* a norm adds a bias */
  bool bare_inputs;    /* no norm before attention and FFN */
  bool output_norms;   /* a norm behind attention and FFN, before they are added to the states */
  bool parallel;       /* attention and FFN both read the norm of the layer's input, and both are added */
  bool plain_ffn;      /* down(act(up)); else down(act(gate) up) */
} olica_block;

/* Keys of the config whose number the family computes with, NULL: it has none. */
typedef struct olica_multiplier_keys {
  const char *embedding, *residual; /* factors of the embedding, and of what attention and FFN add */
  const char *logits, *divisor;     /* a factor of the logits, or what they are divided by */
  const char *cap;                  /* soft cap of the logits: cap tanh(z / cap) */
} olica_multiplier_keys;

typedef struct olica_family {
  const char *name;  /* model_type in config.json */
  const char *class; /* its class in transformers without "ForCausalLM"; NULL: the name without underscores */
  const char *about; /* for --list */
  const char *prefix;    /* of the tensors inside the model: "model." */
  const char *layers;    /* of one layer's, with %d: "model.layers.%d." */
  const char *attention; /* of the projections of attention: "self_attn." */
  const char *mlp;       /* of the projections of the FFN: "mlp." */
  const char *head;      /* the output matrix: "lm_head.weight" */
  /* [OLICA_TENSORS] published names that are not those of the table in src/model/tensors.c, behind the prefix
   * of their place: of a projection's bias "dense.bias". NULL: as the table has it; of all. */
  const char *const *published;
  olica_family_bias bias[7]; /* [OLICA_PROJECTIONS] */
  int kv_heads, context;     /* where the config has no num_key_value_heads (0: as many as query heads) or
                                max_position_embeddings */
  /* Further keys that the config may leave out, with the values of the class in transformers: the text of a
   * JSON object; NULL: none. `ropes`: the same of a config that says nothing of RoPE. */
  const char *defaults, *ropes;

  /* attention */
  olica_family_window window;
  int window_size;                /* where the config has no sliding_window; 0: then there is none */
  int window_pattern;             /* where the config has none of its own */
  const char *window_pattern_key; /* of the config's own; NULL: it has none */
  olica_family_rope rope;
  double theta;       /* where the config has none; 0: 10000 */
  int rope_by_kind;   /* 1: full and sliding layers have a RoPE of their own; rope_scaling is of full ones */
  double local_theta; /* of sliding layers, where the config has none */
  const char *local_theta_key; /* of the config's; NULL: there is none beside rope_theta */
  double partial;          /* share of a head that turns, where the config has none; 0: the whole always */
  int interleaved;         /* 1: pairs are neighbours; else half of the dimensions that turn apart */
  int su_is_longrope;      /* 1: the RoPE types "su" and "yarn" mean longrope */
  double original_context; /* where the config has no original_max_position_embeddings; 0: its context */
  int query_growth;        /* 1: llama_4_scaling_beta makes queries grow with their position */
  olica_family_scale scale;
  double scale_default; /* of query_pre_attn_scalar or attention_multiplier, where the config has none */
  int score_cap;        /* 1: attn_logit_softcapping caps the scores */
  double score_cap_default;
  olica_qk_norm qk_norm;
  int qk_norm_last; /* 1: queries and keys are normed after RoPE, else before */

  /* the block */
  olica_block block;
  olica_multiplier_keys multiplier;
  bool scaled_embedding;  /* the embedding is multiplied by the root of the hidden size */
  bool gelu_is_tanh;      /* "gelu" of the config means the tanh approximation */
  const char *activation; /* the config's key of the activation, NULL: hidden_act */
  const char *eps;        /* of the norms' epsilon, NULL: rms_norm_eps */
} olica_family;

/* Return the family of that name, or NULL; and number i of the table, or NULL past its end. */
const olica_family *olica_family_find(const char *name);
const olica_family *olica_family_at(int i);

#endif
