/* Selection of neurons by importance (doc/methods.md, sweep 2, steps 4 and 5), and the copy of the kept ones
 * into the pruned layer. Not collective, except for the copy. Private to prune. */
#ifndef OLICA_PRUNE_SELECT_H
#define OLICA_PRUNE_SELECT_H

#include "calib/statistics.h"
#include "model/weights.h"
#include "prune/method.h"

/* kept [n - dropped] := the indices, ascending, of the neurons that stay when, of n sorted by importance, the
 * `dropped` least important after the first `skipped` are removed; of equal importances the lower index
 * counts as less important. OLICA_ERR_MEMORY only. */
olica_status olica_select_kept(olica_env *env, const double *importance, int n, int skipped, int dropped,
                               int32_t *kept);

/* order [n] := all neurons, those that stay longest first: for every number of dropped ones
 * olica_select_kept keeps the first of them. OLICA_ERR_MEMORY only. */
olica_status olica_select_order(olica_env *env, const double *importance, int n, int skipped, int32_t *order);

/* curve [OLICA_CURVE] := n importances in rising order, at its places. OLICA_ERR_MEMORY only. */
olica_status olica_select_curve(olica_env *env, const double *importance, int n, double *curve);

/* importance [K x h] of the value neurons: from their row of W_v and their columns of W_o, over the heads of
 * the group. */
olica_status olica_select_value_importance(olica_env *env, const olica_arch *arch, const olica_layer *dense,
                                           const olica_energies *energies, double *importance);

/* importance [f] of the FFN's neurons: from their rows of up and, if there is one, gate, and their column of
 * down. */
olica_status olica_select_neuron_importance(olica_env *env, const olica_arch *arch, const olica_layer *dense,
                                            const olica_energies *energies, double *importance);

/* Keeps the most important neurons by these energies (read on rank 0), as many as the shape of `pruned` has;
 * `skipped` of the FFN's least important ones are kept nevertheless. Makes the lists values_kept [K x n] and
 * ffn_kept [f'], rank 0's on all ranks so that ties break alike, and fills v, o, gate, up, down, their biases
 * and the norms of `pruned` from `dense`. Both lie in memory of the node, whose ranks copy a share each.
 * curve, if not NULL: on rank 0 that of the FFN's importances. Collective on the context.
 * OLICA_ERR_MEMORY. */
olica_status olica_select_neurons(olica_context *context, const olica_arch *arch, const olica_layer *dense,
                                  const olica_energies *energies, int skipped, olica_layer *pruned,
                                  double *curve);

/* Copies the norms: all vectors that belong to no projection. For the node's first rank; not collective. */
void olica_select_norms(const olica_arch *arch, const olica_layer *dense, olica_layer *pruned);

/* Allocates the lists of `pruned`: heads_kept [K'] where it has fewer than the model, values_kept [K' x n]
 * and ffn_kept [f']. OLICA_ERR_MEMORY. */
olica_status olica_select_lists(olica_env *env, const olica_arch *arch, olica_layer *pruned);

/* With these lists, the same on all ranks: fills v, o, gate, up, down, their biases (0 where only `pruned`
 * has one) and the norms of `pruned` from `dense`. Collective on the node. */
void olica_select_copy(const olica_context *context, const olica_arch *arch, const olica_layer *dense,
                       olica_layer *pruned);
/* On a ledger: replays olica_select_order and olica_select_kept of n neurons, and an importance by so many
 * columns (H h, f); holds the lists of a layer of that shape; replays
 * olica_select_neurons, and holds the lists. */
void olica_select_replay_order(olica_ledger *ledger, int n);
void olica_select_replay_importance(olica_ledger *ledger, int columns);
void olica_select_replay_kept(olica_ledger *ledger, int n);
olica_hold olica_select_hold_lists(olica_ledger *ledger, const olica_arch *arch,
                                   const olica_layer_shape *shape);
olica_hold olica_select_replay(olica_ledger *ledger, const olica_arch *arch, const olica_layer_shape *shape);

#endif
