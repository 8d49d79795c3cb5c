/* Orthogonal neuron decomposition of value and output (ALGORITHM: sweep 1, step 2, fast form): every
 * key/value head's value neurons are rotated so that they become orthogonal and ordered; the product W_o W_v
 * of each query head stays what it is. */
#ifndef OLICA_PRUNE_ROTATE_H
#define OLICA_PRUNE_ROTATE_H

#include "olica/la/solver.h"
#include "olica/model/weights.h"

/* Rotates W_v (and its bias) and W_o of a dense layer in place, by the eigenvectors of
 *     sum over the heads i of a group of (diag(sqrt e) O_i)ᵀ (diag(sqrt e) O_i)   [h x h]
 * with e [d] the output energy of o_proj. Heads are shared out over the ranks and solved with LAPACK.
 * The layer lies in memory of the node, whose ranks rotate a share of the heads each. Collective on the
 * context. */
olica_status olica_rotate_values(olica_pool *pool, olica_context *context, const olica_arch *arch,
                                 const double *e, olica_layer *layer);

#endif
