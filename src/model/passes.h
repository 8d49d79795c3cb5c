/* The scratch of a forward, and one pass of a layer. Private to model. */
#ifndef OLICA_MODEL_PASSES_H
#define OLICA_MODEL_PASSES_H

#include "base/arena.h"
#include "model/forward.h"

enum {
  OLICA_QUERY_ROWS = 128, /* queries that attend together; keys that they attend to together */
  OLICA_ROUND_ROWS = 32,  /* both are filled up to a multiple of it */
  OLICA_ROUNDS = OLICA_QUERY_ROWS / OLICA_ROUND_ROWS
};

/* What attention needs of a whole pack, and what a thread's attention works in. All else lies in the kernel's
 * rooms. */
typedef struct olica_scratch {
  char *query, *key, *value;      /* [R x H·h], [R x K·h], [R x K·h] in the kernel's precision */
  float *query_scale, *key_scale; /* [R] of their norm; NULL: it is not over all heads */
  char *mixed;                    /* workspace for blocks [R x H·h] */
  char *attention;                /* [threads x attention_bytes] */
  size_t attention_bytes;
  int values, group; /* of the layers that `mix` and `scores` are for: n, H/K */
  const olica_matmul *scores[OLICA_ROUNDS][OLICA_ROUNDS], *mix[OLICA_ROUNDS][OLICA_ROUNDS];
} olica_scratch;

struct olica_forward {
  olica_env *env;
  olica_kernel *kernel;
  const olica_arch *arch;
  int rows, tokens; /* of a pack, of a sequence, at most */
  int threads;
  olica_dtype precision;                          /* the kernel's */
  size_t size;                                    /* bytes of its numbers */
  void *block;                                    /* of all arrays: */
  float *cosine[OLICA_ROPES], *sine[OLICA_ROPES]; /* [T x pairs] */
  int regime[OLICA_ROPES];                        /* of the sequences that they are for */
  olica_scratch scratch;
};

/* One pass of a pack. */
typedef struct olica_pass {
  olica_forward *f;
  const olica_maps *maps;
  const olica_pack *pack;
  float *x; /* [pack->rows x d] */
  const olica_observer *observer;
} olica_pass;

/* Lays out the scratch; returns the bytes of a thread's workspace in the kernel. */
void olica_pass_lay_out(olica_forward *f, olica_arena *arena);
size_t olica_pass_workspace(olica_dtype precision, const olica_arch *arch);

olica_status olica_pass_run(const olica_pass *pass);

/* Attention of the pack: from query, key and value to mixed. Inside of a parallel region; the work is shared
 * out among its threads. */
olica_status olica_attention_prepare(const olica_pass *pass);
void olica_attention(const olica_pass *pass, const olica_blocks *mixed);
size_t olica_attention_workspace(olica_dtype precision, const olica_arch *arch, int tokens); /* of a thread */

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

/* The FFN's neurons in their activation, by the calling thread alone: gate := act(gate) up, up NULL:
 * act(gate). Less exact in OLICA_BF16, for what is rounded to bf16 next. */
void olica_pass_neurons(olica_dtype precision, const olica_arch *arch, int count, float *gate,
                        const float *up);

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
