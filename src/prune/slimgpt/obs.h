/* Optimal Brain Surgeon on groups of a map's input columns (doc/methods.md, "SlimGPT"). With W [d x n], the
 * Gram C of its inputs and H = C + 0.01 mean(diag C) I, a set G of columns goes with the update of the others
 *
 *     W := W - W_:G (H^-1_GG)^-1 H^-1_G:,
 *
 * which is the least change of W x over the inputs; H then loses the rows and columns of G. One rank holds
 * all of it. Private to the method. */
#ifndef OLICA_PRUNE_SLIMGPT_OBS_H
#define OLICA_PRUNE_SLIMGPT_OBS_H

#include "../collect.h"

/* Takes the columns of `gone` of the n / each units of a map from its weights in the node's memory: they
 * become zero, and the others make up for them. `each` columns are a unit: heads go one by one, the one with
 * the least error first; single columns (each = 1) in batches. kept [n / each - gone] := the units that stay,
 * ascending, on every rank. `sums` is the Gram as the ranks have summed it on their nodes, and is destroyed
 * as soon as it has been read. Collective on the context. OLICA_ERR_MEMORY, OLICA_ERR_NUMERIC. */
olica_status olica_slimgpt_remove(const olica_method_job *job, olica_fit_sums *sums, int each, int gone,
                                  olica_linear *map, int32_t *kept);

/* Replays it on the ledger of the rank that solves; `sums` is what the sums hold. */
void olica_slimgpt_replay_remove(olica_ledger *ledger, const olica_method_site *site, int d, int n, int each,
                                 int gone, olica_hold sums);
/* Operations. Pure. */
double olica_slimgpt_remove_work(int d, int n, int gone);

/* Columns that go together, of `left` that are still to go from a map that loses `all` single columns, in the
 * step number `step`: half of what all - 512 is, then half of that less 512, ..., within [64, 1024]. Pure. */
int olica_slimgpt_batch(int all, int left, int step);

#endif
