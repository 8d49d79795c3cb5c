/* The error curve of a layer: what is lost when its FFN keeps the first n neurons of an order and its down
 * matrix W is fitted again, for all n from one Cholesky factor. (shape = olica: likewise the inputs of o.)
 * With C the Gram of the neurons in that order,
 *
 *     C + 0.001 mean(diag C) I = L Lᵀ,   c_j = ||(W L)_:j||²,   E(n) = sum over j >= n of c_j.
 *
 * Collective on the context. Private to the method. */
#ifndef OLICA_PRUNE_REFIT_CURVE_H
#define OLICA_PRUNE_REFIT_CURVE_H

#include "../collect.h"

/* curve [f + 1] := E(0) ... E(f) = 0 of `map` [d x f], on every rank. `order` [f]: neurons, the first to stay
 * first; `mean`: of C's diagonal. `sums` stays as it is. */
olica_status olica_refit_curve(const olica_method_job *job, const olica_linear *map,
                               const olica_fit_sums *sums, const int32_t *order, double mean, double *curve);

/* Replays it on the ledger of the rank that needs most. OLICA_ERR_MEMORY. */
olica_status olica_refit_replay_curve(olica_env *env, olica_ledger *ledger, const olica_method_site *site,
                                      int d, int f);

#endif
