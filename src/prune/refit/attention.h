/* What shape = olica measures of a layer's attention (doc/methods.md, "Refit"). Collective on the context.
 * Private to the method. */
#ifndef OLICA_PRUNE_REFIT_ATTENTION_H
#define OLICA_PRUNE_REFIT_ATTENTION_H

#include "../collect.h"

/* energy [d] := E_out of o, the sums over the calibration stream, which stays, divided by its sequences. */
olica_status olica_refit_output_energy(const olica_method_job *job, const olica_maps *maps, double *energy);

/* order [K x h] := the value neurons of every key/value head, by falling importance, the same on every rank.
 */
olica_status olica_refit_value_order(const olica_method_job *job, const olica_layer *dense,
                                     const olica_energies *energies, int32_t *order);

/* list [H x n] := the inputs of o that the first n value neurons of every head make, ascending if `sorted`,
 * else those of the first of every head first. Pure. */
void olica_refit_value_inputs(const olica_arch *arch, const int32_t *order, int n, bool sorted,
                              int32_t *list);

/* curve [olica_refit_attention_points] := the error of o for every number of value neurons, as curve.h has it
 * of `values`, the Gram of o's inputs; then of query and key for every level: the share of the sum of W
 * diag(s) Wᵀ's eigenvalues that lies behind their ranks, of both, s being the energy of their input. */
olica_status olica_refit_attention_curve(const olica_method_job *job, const olica_layer *dense,
                                         const olica_energies *energies, const olica_fit_sums *values,
                                         const int32_t *order, double *curve);

/* Mean of the diagonal of o's inputs' Gram over all tokens. Pure. */
double olica_refit_mean_values(const olica_method_job *job, const olica_energies *energies);

/* Replay them on the ledger of the rank that needs most. OLICA_ERR_MEMORY. */
void olica_refit_replay_output_energy(olica_ledger *ledger, const olica_method_site *site, int d);
void olica_refit_replay_value_order(olica_ledger *ledger, const olica_arch *arch);
olica_status olica_refit_replay_attention_curve(olica_env *env, olica_ledger *ledger,
                                                const olica_method_site *site, const olica_arch *arch);

#endif
