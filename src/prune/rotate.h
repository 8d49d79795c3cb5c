/* Orthogonal neuron decomposition of value and output (doc/methods.md, sweep 2, step 1): makes every
 * key/value head's value neurons orthogonal and orders them; the product W_o W_v of each query head does not
 * change. Private to prune. */
#ifndef OLICA_PRUNE_ROTATE_H
#define OLICA_PRUNE_ROTATE_H

#include "la/solver.h"
#include "model/weights.h"

/* The two forms of the turn. */
typedef enum olica_ond_choice { OLICA_OND_FAST, OLICA_OND_STANDARD } olica_ond_choice;

/* Changes W_v (and its bias) and W_o of a dense layer in place: O_i <- O_i T, W_v <- T⁻¹ W_v for the heads i
 * of a group. With e [d] the output energy of o_proj:
 *
 *     fast:      T = U, the eigenvectors of the sum over i of
 *                (diag(sqrt e) O_i)ᵀ (diag(sqrt e) O_i)   [h x h]
 *     standard:  from the SVD of the product itself, M_i = diag(sqrt e) O_i W_v
 *                one below the other   [g·d x d]: with its right singular vectors Z [d x h]
 *                and c = ||W_v||_F / sqrt(h), T = W_v Z / c and T⁻¹ W_v = c Zᵀ;
 *                heads may not be wider than d (olica_budget_make).
 *                If T has no inverse and there is a bias, the group takes the fast form, with a warning.
 *
 * Heads are divided among the ranks and solved with LAPACK. The layer lies in memory of the node, whose ranks
 * change a share of the heads each. Collective on the context. */
olica_status olica_rotate_values(olica_pool *pool, olica_context *context, const olica_arch *arch,
                                 olica_ond_choice form, const double *e, olica_layer *layer);

/* Replays it on the ledger of a rank that solves. */
void olica_rotate_replay(olica_ledger *ledger, const olica_arch *arch, olica_ond_choice form);

#endif
