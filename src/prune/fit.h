/* The damped linear fit of both sweeps: B on A by ridge regression, and its correlation column by column
 * (doc/methods.md, "The ridge fit" and sweep 2, step 6). Private to prune. */
#ifndef OLICA_PRUNE_FIT_H
#define OLICA_PRUNE_FIT_H

#include "calib/fit_sums.h"
#include "la/solver.h"

/* One fit on the ranks of its solver. */
typedef struct olica_fit {
  olica_context *context;
  olica_solver *solver; /* borrowed */
  int d;
  double tokens;                    /* N, tokens of all ranks */
  olica_matrix *gram;               /* AᵀA, destroyed by the solve */
  olica_matrix *cross;              /* AᵀB */
  olica_matrix *coef;               /* C [d x d], after the solve */
  double *sum_a, *sum_b, *square_b; /* [d] on every rank */
  double *correlation;              /* [d] on the members, after the solve: r_j of P = A C with B */
} olica_fit;

/* Returns the problem for olica_solver_place. Pure. */
olica_problem olica_fit_problem(int d);

/* Sums all ranks' sums into a new fit. Collective on the context. */
olica_status olica_fit_gather(olica_context *context, olica_solver *solver, const olica_fit_sums *sums,
                              double tokens, olica_fit **fit);
void olica_fit_destroy(olica_fit *fit); /* NULL allowed; every rank of the context */

/* Replay both on the ledger of a rank (solve: of a member), and return what the fit then holds, or holds
 * more. */
olica_hold olica_fit_replay_gather(olica_ledger *ledger, const olica_site *at, int d);
olica_hold olica_fit_replay_solve(olica_ledger *ledger, const olica_site *at, int d);

/* C = (AᵀA + δI)⁻¹ AᵀB with δ = damping · mean(diag(AᵀA)), and the correlations
 *     r_j = (1/N) Σ(P_j − mean)(B_j − mean) / (sd(P_j) sd(B_j)),  sd with N−1; 0 where a column is constant,
 * with a counted warning, from the sums alone: P is never formed. Collective on the solver's ranks, called by
 * them alone. */
olica_status olica_fit_solve(olica_fit *fit, double damping);

#endif
