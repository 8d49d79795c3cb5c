/* The weights of one layer in fp32, as the forward pass uses them, and the linear maps they are made of. */
#ifndef OLICA_MODEL_WEIGHTS_H
#define OLICA_MODEL_WEIGHTS_H

#include <stdint.h>

#include "la/number.h"
#include "model/arch.h"
#include "par/context.h"

/* y = x Wᵀ + bias with W [out x in], dense (rank 0) or b·a. */
typedef struct olica_linear {
  int out, in, rank;
  float *weight; /* [out x in], rank 0 */
  float *b, *a;  /* [out x rank], [rank x in], rank > 0 */
  float *bias;   /* [out] or NULL */
} olica_linear;

/* The sizes of a layer's tensors, pruned or not: the truth for all code that works on that layer (see
 * model/arch.h). The unpruned layer has ranks 0 and full widths. */
typedef struct olica_layer_shape {
  int rank[OLICA_PROJECTIONS]; /* 0: stored whole */
  int kv_heads, kv_before;     /* K', key/value heads, and K, those before pruning */
  int group;                   /* H/K, the query heads of each */
  int values;                  /* n, value neurons of each key/value head; h when unpruned */
  int ffn;                     /* f', FFN neurons */
  int branch;                  /* rank of the linear calibration, 0: none */
  bool bias[OLICA_PROJECTIONS];
} olica_layer_shape;

typedef struct olica_layer {
  olica_layer_shape shape;
  float *input_norm, *ffn_norm;                   /* [d], NULL: the layer has none */
  float *q_norm, *k_norm;                         /* [h], or of all heads (arch.qk_norm); NULL: none */
  float *attention_output_norm, *ffn_output_norm; /* [d] likewise, behind attention and FFN */
  float *input_norm_bias, *ffn_norm_bias;         /* [d] likewise */
  olica_linear linear[OLICA_PROJECTIONS];
  float *branch_a, *branch_b; /* [d x r], [r x d]: y += (x a) b; NULL without a branch */
  int32_t *heads_kept;        /* [K'] key/value heads, ascending, NULL: all */
  int32_t *values_kept;       /* [K' x n] ascending within a head, NULL: unpruned */
  int32_t *ffn_kept;          /* [f'] ascending, NULL: unpruned */
  void *own;                  /* the block of all numbers; NULL: the caller's */
} olica_layer;

/* The shape of layer `layer` before pruning. Pure. */
olica_layer_shape olica_layer_shape_dense(const olica_arch *arch, int layer,
                                          const bool bias[OLICA_PROJECTIONS]);

/* Returns the query heads of a layer of that shape: H' = K' H/K. Pure. */
int olica_layer_shape_heads(const olica_layer_shape *shape);

/* Out and in of a projection in a layer of that shape: q [H'·h x d], k [K'·h x d], v [K'·n x d], o [d x
 * H'·n], gate, up [f' x d], down [d x f']; a plain FFN's gate [0 x d]. Pure. */
void olica_layer_shape_linear(const olica_arch *arch, const olica_layer_shape *shape,
                              olica_projection projection, int *out, int *in);

/* Stored numbers of a layer of that shape: of one projection with its bias, and of all with norms and branch.
 * Pure. */
int64_t olica_layer_shape_numbers(const olica_arch *arch, const olica_layer_shape *shape,
                                  olica_projection projection);
int64_t olica_layer_shape_total(const olica_arch *arch, const olica_layer_shape *shape);

/* Floating-point operations of a token that passes a layer of that shape in a sequence of `length`, a
 * multiply-add counted as two. Pure. */
double olica_layer_shape_work(const olica_arch *arch, const olica_layer_shape *shape, double length);

/* Bytes of a layer's numbers in one block, every tensor at a multiple of 64. Pure. */
size_t olica_layer_bytes(const olica_arch *arch, const olica_layer_shape *shape);

/* Returns a layer of that shape without its numbers. Pure. */
olica_layer olica_layer_outline(const olica_arch *arch, const olica_layer_shape *shape);

/* A layer of that shape with its numbers in `memory` [olica_layer_bytes], which stays the caller's (and may
 * be shared by a node: then every rank has a layer of its own that shows the same numbers), or in a zeroed
 * block of its own (NULL). The method that cuts a layer makes its kept lists. */
olica_status olica_layer_create(olica_env *env, const olica_arch *arch, const olica_layer_shape *shape,
                                void *memory, olica_layer **layer);
void olica_layer_destroy(olica_env *env, olica_layer *layer); /* NULL allowed */

/* Rounds n numbers to what `dtype` holds; NULL is nothing. A number that becomes infinite is OLICA_ERR_CONFIG
 * naming `name`: [output] dtype is too narrow. Not collective. */
olica_status olica_weights_round(olica_env *env, olica_dtype dtype, const char *name, float *x, size_t n);

/* Rounds every number of a layer in memory of the node to what `dtype` holds, each rank its part. Errors as
 * above, on the rank that has the number. Collective on the node. */
olica_status olica_layer_round(const olica_context *context, olica_layer *layer, const olica_arch *arch,
                               olica_dtype dtype);

#endif
