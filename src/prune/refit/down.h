/* The refit of a down matrix W [d x f] on the kept neurons S (of o: on its kept inputs), by ridge regression
 * on the Gram C of the layer's neurons u:
 *
 *     W' = (W C_:S + W_S D) (C_SS + D)^-1  =  W_S + W_R C_RS (C_SS + D)^-1,   D = delta I,
 *
 * where R are the dropped neurons. The second form needs no more of C than the rows of S, and its solution is
 * the change alone. Collective on the context. Private to the method. */
#ifndef OLICA_PRUNE_REFIT_DOWN_H
#define OLICA_PRUNE_REFIT_DOWN_H

#include "../collect.h"

/* Returns the problem for olica_solver_place of a map [d x f]: of the dense width, so that all widths of a
 * layer have one place. Pure. */
olica_problem olica_refit_problem(int d, int f);

/* pruned := W' of the dense map, with its columns `list` [pruned->in], ascending; it holds W_S before. `sums`
 * is C as the ranks have summed it on their nodes, and is destroyed as soon as it has been read. *change :=
 * ||W' - W_S|| / ||W_S||, Frobenius norms, the same on every rank. `what` names it in messages. */
olica_status olica_refit_map(const olica_method_job *job, const char *what, const olica_linear *dense,
                             const int32_t *list, olica_fit_sums *sums, double delta, olica_linear *pruned,
                             double *change);
/* The same of the layers' down matrices. */
olica_status olica_refit_down(const olica_method_job *job, const olica_layer *dense, olica_fit_sums *sums,
                              double delta, olica_layer *pruned, double *change);

/* Replays it on the ledger of the rank that needs most, of a map [d x f] that keeps `kept` columns; `sums` is
 * what the sums hold. OLICA_ERR_MEMORY. */
olica_status olica_refit_map_replay(olica_env *env, olica_ledger *ledger, const olica_method_site *site,
                                    int d, int f, int kept, olica_hold sums);

#endif
