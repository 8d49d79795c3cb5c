/* The scratch of a forward and one pass of a layer, for the passes in fp32 and in bf16. Private to model. */
#ifndef OLICA_MODEL_PASSES_H
#define OLICA_MODEL_PASSES_H

#include "base/arena.h"
#include "model/forward.h"

enum {
  OLICA_QUERY_ROWS = 128, /* queries that attend together; keys that they attend to together in bf16 */
  OLICA_ROUND_ROWS = 32,  /* in bf16 both are filled up to a multiple of it */
  OLICA_ROUNDS = OLICA_QUERY_ROWS / OLICA_ROUND_ROWS
};

/* Scratch in fp32, of whole packs. */
typedef struct olica_scratch_fp32 {
  float *normed, *added;              /* [R x d] */
  float *query, *key, *value, *mixed; /* [R x H·h], [R x K·h], [R x K·h], [R x H·h] */
  float *scores;                      /* [threads x QUERY_ROWS x T] */
  float *gate, *up;                   /* [R x f] */
  float *low;                         /* between the factors of a low-rank map */
} olica_scratch_fp32;

/* Scratch in bf16: what attention needs of a whole pack, and what a thread's attention works in. All else
 * lies in the kernel's rooms. */
typedef struct olica_scratch_bf16 {
  uint16_t *query, *key, *value;  /* [R x H·h], [R x K·h], [R x K·h] */
  float *query_scale, *key_scale; /* [R] of their norm; NULL: it is not over all heads */
  uint16_t *mixed;                /* workspace for blocks [R x H·h] */
  char *attention;                /* [threads x attention_bytes] */
  size_t attention_bytes;
  int values, group; /* of the layers that `mix` and `scores` are for: n, H/K */
  const olica_matmul *scores[OLICA_ROUNDS][OLICA_ROUNDS], *mix[OLICA_ROUNDS][OLICA_ROUNDS];
} olica_scratch_bf16;

struct olica_forward {
  olica_env *env;
  olica_kernel *kernel;
  const olica_arch *arch;
  int rows, tokens; /* of a pack, of a sequence, at most */
  int threads;
  olica_dtype precision;                          /* the kernel's */
  void *block;                                    /* of all arrays: */
  float *cosine[OLICA_ROPES], *sine[OLICA_ROPES]; /* [T x pairs] */
  int regime[OLICA_ROPES];                        /* of the sequences that they are for */
  olica_scratch_fp32 fp32;
  olica_scratch_bf16 bf16;
};

/* One pass of a pack. */
typedef struct olica_pass {
  olica_forward *f;
  const olica_maps *maps;
  const olica_pack *pack;
  float *x; /* [pack->rows x d] */
  const olica_observer *observer;
} olica_pass;

/* Lay out the scratch of one way; in bf16 a thread has a workspace in the kernel too. */
void olica_pass_fp32_lay_out(olica_forward *f, olica_arena *arena);
void olica_pass_bf16_lay_out(olica_forward *f, olica_arena *arena);
size_t olica_pass_bf16_workspace(const olica_arch *arch);

void olica_pass_fp32(const olica_pass *pass);
olica_status olica_pass_bf16(const olica_pass *pass);

/* Attention of the pack in bf16: from query, key and value to mixed. Inside of a parallel region; the work is
 * shared out among its threads. */
olica_status olica_attention_bf16_prepare(const olica_pass *pass);
void olica_attention_bf16(const olica_pass *pass, const olica_blocks *mixed);
size_t olica_attention_bf16_workspace(const olica_arch *arch, int tokens); /* bytes of a thread */

/* Returns the unpruned layer that the layer of the pass was made from: for its window and RoPE. */
static inline const olica_arch_layer *olica_pass_layer(const olica_pass *pass) {
  return &pass->f->arch->layer[pass->maps->index];
}

/* Returns the heads and widths of the layer. */
static inline const olica_layer_shape *olica_pass_shape(const olica_pass *pass) {
  return &pass->maps->layer->shape;
}

static inline void olica_pass_observe(const olica_pass *pass, olica_view view) {
  if (pass->observer) pass->observer->observe(pass->observer->self, &view);
}

/* y [d] := the family's norm of x with weights g [d] and biases b [d] (NULL: none), by the calling thread
 * alone. y may be x. */
void olica_pass_norm_row(const olica_arch *arch, int d, const float *x, const float *g, const float *b,
                         float *y);

/* The same for rows, by all threads. */
void olica_pass_norm(const olica_arch *arch, int rows, const float *x, const float *g, const float *b,
                     float *y);

/* The FFN's neurons in their activation, for the pass in bf16: gate := act(gate) up, up NULL: act(gate). Less
 * exact than olica_forward_neurons, for what is rounded to bf16. */
void olica_pass_neurons_short(const olica_arch *arch, int count, float *gate, const float *up);

/* Columns at most between low-rank factors: no rank passes the width of what it factors. */
static inline int olica_pass_low_width(const olica_arch *arch) {
  int queries = arch->heads * arch->head;
  return arch->hidden > queries ? arch->hidden : queries;
}

/* Returns the RoPE of the layer; NULL: it has none. */
static inline const olica_rope *olica_pass_rope(const olica_pass *pass) {
  int rope = olica_pass_layer(pass)->rope;
  return rope == OLICA_ROPE_NONE ? NULL : &pass->f->arch->rope[rope];
}

/* Pairs of a query and a key. */
double olica_pass_pairs(const olica_pack *pack);

#endif
