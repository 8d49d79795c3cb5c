/* Linear calibration of a cut FFN (doc/methods.md, sweep 2, step 6): a low-rank linear branch that gives back
 * what a linear map of the FFN's input can of what the dropped neurons did. */
#ifndef OLICA_PRUNE_CALIBRATE_H
#define OLICA_PRUNE_CALIBRATE_H

#include "../fit.h"

/* The neurons that a cut drops, as an FFN of their own: its output is the residual R = B - B^ of the cut. */
typedef struct olica_dropped {
  olica_context *context;
  olica_kernel *kernel;
  int count, d;
  olica_shared *shared;       /* of the node: the weights, and what the kernel has packed */
  float *gate, *up;           /* [count x d] */
  float *down;                /* [d x count] */
  float *gate_bias, *up_bias; /* [count] or NULL, this rank's */
  olica_packed *packed_gate, *packed_up, *packed_down;
} olica_dropped;

/* Collective on the context. OLICA_ERR_MEMORY. */
olica_status olica_dropped_create(olica_context *context, olica_kernel *kernel, const olica_layer *dense,
                                  const olica_layer *pruned, int d, olica_dropped **dropped);
void olica_dropped_destroy(olica_dropped *dropped); /* collective on the node; NULL allowed */

/* Bytes of `count` dropped neurons, packed, at most; once on a node. Pure. */
size_t olica_dropped_bytes(olica_dtype precision, int count, int d);

/* residual [tokens x d] of inputs a [tokens x d]; gate, up [tokens x count] are scratch. Not collective. */
void olica_dropped_apply(const olica_dropped *dropped, int tokens, const float *a, float *gate, float *up,
                         float *residual);

/* The branch from a fit of R on A: w_j = sigmoid((r_j - mean r)/0.05), the eigenvectors U_r of the rank
 * largest eigenvalues of (C diag(w))(C diag(w))ᵀ, and branch_a = U_r [d x r], branch_b = U_rᵀ C [r x d] (a
 * product equal to the SVD's, without the division by w). */
typedef struct olica_branch {
  olica_fit *fit;               /* owned from begin to end */
  olica_matrix *basis, *factor; /* U_r, U_rᵀ C */
} olica_branch;

/* What it asks of its solver, the fit included. Pure. */
olica_problem olica_branch_problem(int d, int rank);

/* Bytes of it, the fit included, and of the scratch, on every rank, that the branch goes through. Pure. */
olica_problem_bytes olica_branch_bytes(const olica_site *at, int d, int rank);
double olica_branch_end_bytes(const olica_site *at, int d, int rank);

/* Makes room on the fit's ranks. Not collective, but every rank of the context calls it. */
olica_status olica_branch_begin(olica_fit *fit, int rank, olica_branch *branch);
/* Solves the fit, then the decomposition. Collective on the fit's ranks, called by them alone. */
olica_status olica_branch_solve(olica_branch *branch, double damping);
/* Every rank gets the branch (NULL: this rank takes none, another one of its node does), and fit and room are
 * given back. Collective on the context. */
olica_status olica_branch_end(olica_branch *branch, float *branch_a, float *branch_b);

#endif
