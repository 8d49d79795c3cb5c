/* llama.cpp's architectures, a row each in gguf_arch.c: what each computes, and so which models it takes. All
 * switches off is a decoder without windows, whose norms stand before attention and FFN. Private to export.
 */
#ifndef OLICA_EXPORT_GGUF_ARCH_H
#define OLICA_EXPORT_GGUF_ARCH_H

#include "kind.h"

/* Says what an architecture does. */
typedef enum olica_gguf_need {
  OLICA_GGUF_NEVER,
  OLICA_GGUF_MAY,
  OLICA_GGUF_MUST, /* whatever the file says: a model without it is another one */
} olica_gguf_need;

/* Says where factors of RoPE's frequencies are read from. */
typedef enum olica_gguf_factors {
  OLICA_GGUF_NO_FACTORS,
  OLICA_GGUF_ONE_LIST, /* rope_freqs.weight */
  OLICA_GGUF_TWO_LISTS /* rope_factors_short.weight and rope_factors_long.weight */
} olica_gguf_factors;

/* Says which layers turn. */
typedef enum olica_gguf_turning {
  OLICA_GGUF_TURN_ALL,
  OLICA_GGUF_TURN_THREE,          /* all but each fourth */
  OLICA_GGUF_TURN_WINDOWED,       /* those with a window */
  OLICA_GGUF_TURN_WINDOWED_IF_ANY /* likewise; all if there is none */
} olica_gguf_turning;

/* Says how layers with a window turn. */
typedef enum olica_gguf_local {
  OLICA_GGUF_LOCAL_SAME,
  OLICA_GGUF_LOCAL_PLAIN, /* by the same base, without a scaling */
  OLICA_GGUF_LOCAL_BASE   /* by a base of their own, without a scaling */
} olica_gguf_local;

/* Says what becomes of the logits. */
typedef enum olica_gguf_logits {
  OLICA_GGUF_LOGITS_PLAIN,
  OLICA_GGUF_LOGITS_FACTOR, /* key logit_scale is a factor */
  OLICA_GGUF_LOGITS_DIVISOR /* they are divided by it */
} olica_gguf_logits;

typedef struct olica_gguf_arch {
  const char *name;      /* general.architecture */
  const char *family[2]; /* for which it is made; others may have it, too */
  bool by_layer;         /* widths and heads by layer */

  /* attention */
  bool halves;    /* pairs that turn lie half of the dimensions apart; else they are neighbours */
  bool in_part;   /* the first dimensions of a head may turn alone */
  bool square;    /* heads times their size is the hidden size */
  bool growth;    /* key attention.temperature_scale makes queries grow with their position */
  bool scale_key; /* key attention.scale */
  int wide;       /* with so many layers scores are divided by the root of hidden/heads; else of a head */
  olica_gguf_factors factors;
  int windows; /* each windows-th layer has none, if the file does not say otherwise; 0: no layer has */
  int windows_layers; /* windows only in models of so many layers; 0: of any number */
  olica_gguf_need window;
  olica_gguf_turning turning;
  olica_gguf_local local;
  olica_gguf_need score_cap;
  olica_qk_norm qk_norm;
  bool qk_norm_last; /* behind RoPE */

  /* the block */
  olica_block block;
  olica_activation activation;
  bool packed; /* ffn_up holds the rows of gate, then those of up */

  /* around it */
  bool scaled_embedding; /* times the root of the hidden size */
  bool multipliers;      /* keys embedding_scale and residual_scale */
  olica_gguf_logits logits;
  olica_gguf_need logit_cap;
  olica_gguf_need tied; /* the output matrix is the embedding */
  /* biases of o, and of the FFN; those of q, k and v may be there always */
  olica_gguf_need output_bias, ffn_bias;
} olica_gguf_arch;

/* Chooses the row that computes what the model does: its family's own, else the first one. Without one the
 * model is refused (OLICA_ERR_CONFIG): what the family's own row, or llama, does not have, and the way out.
 * Every rank; not collective. */
olica_status olica_gguf_choose(olica_export *e, const olica_gguf_arch **row);

/* Returns the row of that name, NULL if there is none. Pure. */
const olica_gguf_arch *olica_gguf_find(const char *name);

/* Returns the RoPE of layers with or without a window; that of the others if there are none. Pure. */
const olica_rope *olica_gguf_rope(const olica_arch *arch, bool local);

/* Returns how many dimensions of a head turn. Pure. */
int olica_gguf_turns(const olica_rope *rope, int head);

/* Returns the window of the layers that have one; 0: none has. Pure. */
int olica_gguf_window(const olica_arch *arch);

#endif
