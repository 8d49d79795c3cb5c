/* The order of a layer's neurons by Optimal Brain Surgeon (doc/methods.md, "Refit"). With the neurons' Gram
 * C, H = C + delta I, P = H^-1 and the down matrix W [d x f], the neuron that costs least goes,
 *
 *     score_j = ||W_:j||² / P_jj,
 *
 * the error that its removal adds when the others make up for it as the refit lets them; then P is what is
 * left of H's inverse, and W what the others have become, and so on: OLICA_REFIT_OBS_BLOCK neurons at a time,
 * by the scores before them. Of equal scores the lower index goes first. Collective on the context. Private
 * to the method. */
#ifndef OLICA_PRUNE_REFIT_OBS_H
#define OLICA_PRUNE_REFIT_OBS_H

#include "../collect.h"

enum { OLICA_REFIT_OBS_BLOCK = 32 };

/* order [f] := the neurons, those that stay longest first, the same on every rank: the last f - `stay` are
 * those that go, the others are ordered by their scores then. `sums` is C as the ranks have summed it on
 * their nodes, and stays as it is. */
olica_status olica_refit_obs(const olica_method_job *job, const olica_layer *dense,
                             const olica_fit_sums *sums, double delta, int stay, int32_t *order);

/* Replays it on the ledger of the rank that needs most. OLICA_ERR_MEMORY. */
olica_status olica_refit_obs_replay(olica_env *env, olica_ledger *ledger, const olica_method_site *site,
                                    const olica_arch *arch);

/* Operations of an order down to `stay` neurons. Pure. */
double olica_refit_obs_work(const olica_arch *arch, int stay);

#endif
