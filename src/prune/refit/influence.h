/* The block influence of a layer: 1 - cos of a token's hidden state before and behind it, the mean over all
 * tokens of the calibration. A token counts once, however large its state is. Private to the method. */
#ifndef OLICA_PRUNE_REFIT_INFLUENCE_H
#define OLICA_PRUNE_REFIT_INFLUENCE_H

#include "prune/method.h"

/* Lets the calibration stream pass the layer. The sum is the same for any distribution of the sequences.
 * Collective on the context. */
olica_status olica_refit_influence(const olica_method_job *job, const olica_maps *maps, double *influence);

/* Replays the pass of a layer, packed, on a ledger. */
void olica_refit_replay_influence(olica_ledger *ledger, const olica_method_model *model,
                                  const olica_method_site *site);

#endif
