/* Query and key by a truncated weighted decomposition (ALGORITHM: sweep 2, step 1). */
#ifndef OLICA_PRUNE_LOWRANK_H
#define OLICA_PRUNE_LOWRANK_H

#include "olica/la/solver.h"
#include "olica/model/weights.h"

/* For q and k of `pruned`, where its shape gives them a rank r: with s [d] the input energy, the eigenvectors
 * of the r largest eigenvalues of G = W diag(s) Wᵀ are b = U_r [out x r], and a = U_rᵀ W [r x d]. Where it
 * gives none, the weight is copied. Biases are copied. The two problems are placed on the ranks by the pool's
 * back end. Both layers lie in memory of the node, whose first rank writes `pruned`. Collective on the
 * context. */
olica_status olica_lowrank_cut(olica_pool *pool, olica_context *context, const olica_arch *arch,
                               const double *s, const olica_layer *dense, olica_layer *pruned);

/* ||b·a - W||_F / ||W||_F of a projection as `pruned` holds it now; 0 where it was left whole. Rows are
 * shared out over the ranks. Collective on the context. */
olica_status olica_lowrank_error(olica_context *context, const olica_linear *dense,
                                 const olica_linear *pruned, double *error);

#endif
