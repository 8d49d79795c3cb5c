/* The stock form of a layer: the matrices of a plain LLaMA layer that computes what the pruned layer
 * computes. Factors are multiplied out. Value neurons that were cut are zero rows of v and zero columns of o
 * in each head. Key/value heads that were cut are zeros behind those that were kept, with their query heads.
 * The branch's ranks are FFN neurons behind the real ones: their gate row is 0 and its bias b, so that the
 * gate is silu(b); the up rows are the branch's a, the down columns its b divided by silu(b). Neurons beyond
 * are 0. Private to export. */
#ifndef OLICA_EXPORT_STOCK_H
#define OLICA_EXPORT_STOCK_H

#include "kind.h"

/* The sizes to which layers are padded, and the gate's bias of a branch neuron as the file will hold it. */
typedef struct olica_stock_form {
  int kv_heads; /* at least those of the layer */
  int ffn;      /* at least FFN neurons and rank of the branch together */
  float one;    /* near 1.2784645, whose silu is 1: rounded to the type of the bias in the file */
} olica_stock_form;

/* Returns b for a file whose biases are of that type. Pure. */
float olica_stock_one(olica_export_type type);

/* Returns the FFN neurons that a layer needs: its own and its branch's. Pure. */
int olica_stock_ffn(const olica_layer_shape *shape);

/* Gives rows and columns of a projection. Pure. */
void olica_stock_extents(const olica_export *e, const olica_stock_form *form, int layer, olica_projection p,
                         int64_t *rows, int64_t *columns);

/* Returns whether a projection has a bias that is not 0: a stored one, or the gate's of a branch. Pure. */
bool olica_stock_biased(const olica_export *e, int layer, olica_projection p);

/* Makes rows [first, first + count) of a projection, [count x columns]. Not collective. */
olica_status olica_stock_rows(olica_export *e, const olica_stock_form *form, int layer, olica_projection p,
                              int64_t first, int64_t count, float *rows);

/* Makes elements [first, first + count) of its bias; zeros where there is none. Not collective. */
olica_status olica_stock_bias(olica_export *e, const olica_stock_form *form, int layer, olica_projection p,
                              int64_t first, int64_t count, float *bias);

#endif
