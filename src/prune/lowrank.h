/* Query and key by a truncated weighted decomposition (doc/methods.md, sweep 2, step 3). Private to
 * prune. */
#ifndef OLICA_PRUNE_LOWRANK_H
#define OLICA_PRUNE_LOWRANK_H

#include "la/solver.h"
#include "model/weights.h"
#include "prune/method.h"

/* The decomposition of q or k at rank r: with s [d] the input energy, the eigenvectors of the r largest
 * eigenvalues of G = W diag(s) Wᵀ are b = U_r [out x r], and a = U_rᵀ W [r x d]. */
typedef struct olica_lowrank {
  olica_solver *solver;       /* borrowed */
  const olica_linear *linear; /* borrowed: W [out x d], on every rank */
  const char *name;
  olica_matrix *basis, *factor; /* U_r [out x r], U_rᵀ W [r x d] */
} olica_lowrank;

/* Returns the rank that leaves (1 - rho) of the numbers of a [rows x d] weight; 0 if two factors would not be
 * smaller. Pure. */
int olica_lowrank_rank(double rho, int d, int rows);

/* Returns the problem for olica_solver_place. Pure. */
olica_problem olica_lowrank_problem(const olica_linear *linear, int rank);

/* Allocates the factors on the solver's ranks. Not collective, but every rank of the context calls it. */
olica_status olica_lowrank_begin(olica_solver *solver, const olica_linear *linear, int rank, const char *name,
                                 olica_lowrank *lowrank);
/* Solves; root [d] = sqrt(s). Collective on the solver's ranks, called by them alone. */
olica_status olica_lowrank_solve(olica_lowrank *lowrank, const double *root);
/* Copies b and a to every rank (NULL: this rank takes none, since another rank of its node does), and frees
 * the factors. Collective on the context. */
olica_status olica_lowrank_end(olica_lowrank *lowrank, float *b, float *a);

/* Replay the three on the ledger of a rank (solve: of a member). */
void olica_lowrank_replay_begin(olica_ledger *ledger, const olica_site *at, const olica_problem *problem);
void olica_lowrank_replay_solve(olica_ledger *ledger, const olica_site *at, const olica_problem *problem);
void olica_lowrank_replay_end(olica_ledger *ledger, const olica_site *at, const olica_problem *problem);

/* The spectrum of W diag(s) Wᵀ as far as the rank of a factored projection keeps it, from its factors: the
 * eigenvalues are those of the rows of a, sum_c (a[i, c]² s[c]). curve [OLICA_CURVE]: falling, at its places;
 * *energy: their sum as a share of all eigenvalues'. Not collective, no effect without a rank. */
void olica_lowrank_spectrum(const double *s, const olica_linear *dense, const olica_linear *pruned,
                            double *curve, double *energy);

/* Returns ||b·a - W||_F / ||W||_F of a projection of `pruned`; 0 if it was not factored. Rows are divided
 * among the ranks. Collective on the context. */
olica_status olica_lowrank_error(olica_context *context, const olica_linear *dense,
                                 const olica_linear *pruned, double *error);

#endif
