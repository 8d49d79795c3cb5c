/* The architecture: the numbers of a LLaMA-type model before pruning, read from its config.json. Not
 * collective.
 *
 * Layers may differ. `layer` describes each layer of the unpruned model. A layer in hand, pruned or not, has
 * an olica_layer_shape (model/weights.h): its heads and widths are those of its tensors, and code that works
 * on that layer reads them there. Window and RoPE are no widths: code reads them from `layer` alone. `heads`,
 * `kv_heads`, `ffn` and `group` of olica_arch bound all layers, for workspace and estimates. */
#ifndef OLICA_MODEL_ARCH_H
#define OLICA_MODEL_ARCH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/env.h"
#include "model/family.h"
#include "model/ids.h"
#include "model/rope.h"

/* A layer of the unpruned model. */
enum { OLICA_ROPES = 2, OLICA_ROPE_NONE = -1 };
typedef struct olica_arch_layer {
  int heads, kv_heads; /* H, K; K divides H */
  int ffn;             /* f */
  int window;          /* tokens that a query attends to, its own included; 0: all before it */
  int rope;            /* index of olica_arch.rope; OLICA_ROPE_NONE: queries and keys are not rotated */
} olica_arch_layer;

typedef struct olica_arch {
  const olica_family *family;
  int layers;                   /* L */
  olica_arch_layer *layer;      /* [L]; owned by who has parsed, copies of the struct borrow it */
  int hidden;                   /* d */
  int heads, kv_heads;          /* H, K: the most of any layer */
  int group;                    /* H/K: the most query heads that share a key/value head */
  int head;                     /* h, size of a head */
  int ffn;                      /* f: the most of any layer */
  int vocabulary;               /* V */
  int context;                  /* longest sequence the model was made for */
  double score_scale;           /* of attention; 0: 1 / sqrt(h) */
  double score_cap;             /* scores s become cap tanh(s / cap); 0: they stay */
  olica_qk_norm qk_norm;        /* of queries and keys, */
  bool qk_norm_last;            /* after RoPE; else before */
  double eps;                   /* of the norms */
  bool tied;                    /* lm_head is embed_tokens */
  bool bias[OLICA_PROJECTIONS]; /* the config (or the family) says there is one: then it must be there */
  olica_rope rope[OLICA_ROPES];
  int ropes; /* that layers use */
  /* The block: */
  olica_block block;
  olica_activation activation;
  double embedding_scale, residual_scale, logit_scale; /* factors; 0: none, as 1 */
  double logit_cap;                                    /* cap tanh(z / cap); 0: none */
  int bos;                                             /* -1: none */
  const char *text_of; /* model_type of the multimodal model whose text model it is; NULL: it is none */
} olica_arch;

/* Returns whether layers have that projection: a plain FFN has no gate. Pure. */
static inline bool olica_arch_has(const olica_arch *arch, olica_projection projection) {
  return projection != OLICA_GATE || !arch->block.plain_ffn;
}

/* Returns a factor of those, 1 where there is none. Pure. */
static inline float olica_arch_factor(double scale) {
  return scale == 0 ? 1.0f : (float)scale;
}

/* Returns the numbers of the final norm: d gains, and d biases behind them where norms have biases. Pure. */
size_t olica_arch_norm_numbers(const olica_arch *arch);

/* Returns a layer with the heads and the width of `arch`, without a window, with RoPE 0. Pure. */
olica_arch_layer olica_arch_plain_layer(const olica_arch *arch);

/* Returns what the scores of attention are multiplied by. Pure. */
float olica_arch_score_scale(const olica_arch *arch);

/* Returns the most tokens of a sequence: the context, or without a bound (INT_MAX) where RoPE grows with the
 * sequence. Pure. */
int olica_arch_longest(const olica_arch *arch);

/* Returns the tokens beyond which a sequence is rotated otherwise in all its positions; 0: there is no such
 * number. Pure. */
int olica_arch_turn(const olica_arch *arch);

/* Returns the first layer whose heads or FFN width are not those of layer 0; L: there is none. Pure. */
int olica_arch_unlike(const olica_arch *arch);

/* Reads the text of a config.json; `name` is for messages. Unknown families, activations and rope scalings,
 * features that are not computed (src/model/features.c), keys that are missing or contradict each other and
 * sizes that do not fit each other are OLICA_ERR_INPUT. Free with olica_arch_free; after a failure there is
 * nothing to free. */
olica_status olica_arch_parse(olica_env *env, const char *name, const char *text, size_t bytes,
                              olica_arch *arch);
void olica_arch_free(olica_env *env, olica_arch *arch);

#endif
