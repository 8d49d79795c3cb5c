/* Selection of neurons by importance (doc/methods.md, sweep 2, steps 4 and 5), and the layer without the
 * others. Not collective but for the copying. */
#ifndef OLICA_PRUNE_SELECT_H
#define OLICA_PRUNE_SELECT_H

#include "olica/calib/statistics.h"
#include "olica/model/weights.h"

/* kept [n - dropped] := indices, ascending, of what stays when the `dropped` least important but `skipped` of
 * n are taken away; of equal importance the lower index counts as less. OLICA_ERR_MEMORY only. */
olica_status olica_select_kept(olica_env *env, const double *importance, int n, int skipped, int dropped,
                               int32_t *kept);

/* importance [K x h] of the value neurons: their row of W_v and, over the heads of the group, their columns
 * of W_o. */
olica_status olica_select_value_importance(olica_env *env, const olica_arch *arch, const olica_layer *dense,
                                           const olica_energies *energies, double *importance);

/* importance [f] of the FFN's neurons: their rows of up and gate, their column of down. */
olica_status olica_select_neuron_importance(olica_env *env, const olica_arch *arch, const olica_layer *dense,
                                            const olica_energies *energies, double *importance);

/* Bytes that the selection takes in a layer of that shape, the importances of the larger choice included.
 * Pure. */
size_t olica_select_bytes(const olica_arch *arch);

/* Makes the lists of what `pruned` keeps, for rank 0 to fill: values_kept [K x n], ffn_kept [f']. Not
 * collective. OLICA_ERR_MEMORY. */
olica_status olica_select_begin(olica_env *env, const olica_arch *arch, olica_layer *pruned);

/* Takes rank 0's lists, so that a tie in the last bit falls the same way everywhere, and fills v, o, gate,
 * up, down, their biases and the norms of `pruned` from `dense`. Both lie in memory of the node, whose ranks
 * copy a share each. Collective on the context. */
void olica_select_finish(olica_context *context, const olica_arch *arch, const olica_layer *dense,
                         olica_layer *pruned);

#endif
