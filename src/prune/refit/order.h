/* The order in which a layer's neurons stay, and the layer that keeps the first of them. Collective on the
 * context. Private to the method. */
#ifndef OLICA_PRUNE_REFIT_ORDER_H
#define OLICA_PRUNE_REFIT_ORDER_H

#include "../collect.h"

/* order [f] := the neurons of the layer, those that stay longest first: the `skipped` least important ones,
 * then by falling importance. The same on every rank. */
olica_status olica_refit_order(const olica_method_job *job, const olica_layer *dense,
                               const olica_energies *energies, int skipped, int32_t *order);

/* Fills `pruned` with the first neurons of the order, as many as its shape has, and all of the attention;
 * makes its lists. Its down matrix has the dense one's columns. */
olica_status olica_refit_keep(const olica_method_job *job, const olica_layer *dense, const int32_t *order,
                              olica_layer *pruned);

/* Mean of the diagonal of the neurons' Gram over all tokens. Pure. */
double olica_refit_mean_diagonal(const olica_method_job *job, const olica_energies *energies);

/* Replays olica_refit_order on the ledger of rank 0; the order itself is the caller's. */
void olica_refit_replay_order(olica_ledger *ledger, const olica_arch *arch);

#endif
