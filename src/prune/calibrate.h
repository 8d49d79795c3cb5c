/* Linear calibration of a cut FFN (doc/methods.md, sweep 2, step 6): a low-rank linear branch from the FFN's
 * input that compensates, as far as a linear map can, for the dropped neurons. Private to prune. */
#ifndef OLICA_PRUNE_CALIBRATE_H
#define OLICA_PRUNE_CALIBRATE_H

#include "fit.h"

/* The neurons that a cut drops, as an FFN of their own: its output is the residual R = B - B^ of the cut. */
typedef struct olica_dropped {
  olica_context *context;
  olica_kernel *kernel;
  const olica_arch *arch; /* borrowed */
  int count, d;
  bool gated;                 /* a plain FFN has no gate: gate, its bias and its packed form are NULL */
  olica_shared *shared;       /* of the node: the weights, and the kernel's packed form */
  float *gate, *up;           /* [count x d] */
  float *down;                /* [d x count] */
  char *room[3];              /* of the packed forms; unused in fp32 */
  float *gate_bias, *up_bias; /* [count] or NULL, private to the rank */
  olica_packed *packed_gate, *packed_up, *packed_down;
} olica_dropped;

/* Copies and packs the dropped neurons. Collective on the context. OLICA_ERR_MEMORY. */
olica_status olica_dropped_create(olica_context *context, olica_kernel *kernel, const olica_arch *arch,
                                  const olica_layer *dense, const olica_layer *pruned,
                                  olica_dropped **dropped);
void olica_dropped_destroy(olica_dropped *dropped); /* collective on the node; NULL allowed */

/* Holds on a ledger what that allocates for `count` dropped neurons, with biases. */
olica_hold olica_dropped_hold(olica_ledger *ledger, const olica_arch *arch, olica_dtype precision, int count);

/* residual [tokens x d] := the FFN of the dropped neurons at inputs a [tokens x d]; gate, up [tokens x count]
 * are workspace. Not collective. */
void olica_dropped_apply(const olica_dropped *dropped, int tokens, const float *a, float *gate, float *up,
                         float *residual);

/* The branch from a fit of R on A: w_j = sigmoid((r_j - mean r)/0.05), the eigenvectors U_r of the rank
 * largest eigenvalues of (C diag(w))(C diag(w))ᵀ, and branch_a = U_r [d x r], branch_b = U_rᵀ C [r x d] (the
 * same product as by the SVD, without the division by w). */
typedef struct olica_branch {
  olica_fit *fit;               /* owned from begin to end */
  olica_matrix *basis, *factor; /* U_r, U_rᵀ C */
} olica_branch;

/* Returns the problem for olica_solver_place, fit included. Pure. */
olica_problem olica_branch_problem(int d, int rank);

/* Allocates the factors on the fit's ranks. Not collective, but every rank of the context calls it. */
olica_status olica_branch_begin(olica_fit *fit, int rank, olica_branch *branch);
/* Solves the fit, then the decomposition. Collective on the fit's ranks, called by them alone. */
olica_status olica_branch_solve(olica_branch *branch, double damping);
/* Copies the branch to every rank (NULL: this rank takes none, since another rank of its node does), and
 * frees the fit and the factors. Collective on the context. */
olica_status olica_branch_end(olica_branch *branch, float *branch_a, float *branch_b);

/* Replay the three on the ledger of a rank (solve: of a member, the coefficients stay held). */
void olica_branch_replay_begin(olica_ledger *ledger, const olica_site *at, int d, int rank);
void olica_branch_replay_solve(olica_ledger *ledger, const olica_site *at, int d, int rank);
void olica_branch_replay_end(olica_ledger *ledger, const olica_site *at, int d, int rank);

#endif
