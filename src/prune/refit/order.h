/* The order in which a layer's neurons stay, and the layer that keeps the first of them. Collective on the
 * context. Private to the method. */
#ifndef OLICA_PRUNE_REFIT_ORDER_H
#define OLICA_PRUNE_REFIT_ORDER_H

#include "../collect.h"
#include "budget.h"

/* What the order goes by. */
typedef struct olica_refit_rule {
  olica_refit_select select;
  int skipped;  /* by energy: least important neurons that stay nevertheless */
  double delta; /* by OBS: the ridge of the refit; */
  int stay;     /* neurons that it leaves */
} olica_refit_rule;

/* order [f] := the neurons of the layer, those that stay longest first, the same on every rank. By energy:
 * the skipped ones, then by falling importance. By OBS: obs.h, whose `sums` stay as they are. */
olica_status olica_refit_order(const olica_method_job *job, const olica_layer *dense,
                               const olica_energies *energies, const olica_fit_sums *sums,
                               const olica_refit_rule *rule, int32_t *order);

/* Fills `pruned` with the first neurons of the order, as many as its shape has, and all of the attention;
 * makes its lists. Its down matrix has the dense one's columns. */
olica_status olica_refit_keep(const olica_method_job *job, const olica_layer *dense, const int32_t *order,
                              olica_layer *pruned);

/* list [n] := the first n of an order, ascending. Pure. */
void olica_refit_first(const int32_t *order, int n, int32_t *list);

/* Mean of the diagonal of the neurons' Gram over all tokens. Pure. */
double olica_refit_mean_diagonal(const olica_method_job *job, const olica_energies *energies);

/* Replays olica_refit_order on the ledger of the rank that needs most; the order itself is the caller's.
 * OLICA_ERR_MEMORY. */
olica_status olica_refit_replay_order(olica_env *env, olica_ledger *ledger, const olica_method_model *model,
                                      const olica_method_site *site);

#endif
