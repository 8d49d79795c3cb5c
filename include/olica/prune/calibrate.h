/* Linear calibration of a cut FFN (ALGORITHM: sweep 2, step 4): a low-rank linear branch that gives back what
 * a linear map of the FFN's input can of what the dropped neurons did. */
#ifndef OLICA_PRUNE_CALIBRATE_H
#define OLICA_PRUNE_CALIBRATE_H

#include "olica/prune/fit.h"

/* The neurons that a cut drops, as an FFN of their own: its output is the residual R = B - B^ of the cut. */
typedef struct olica_dropped {
  olica_kernel *kernel;
  int count, d;
  float *gate, *up;           /* [count x d] */
  float *gate_bias, *up_bias; /* [count] or NULL */
  float *down;                /* [d x count] */
  olica_packed *packed_gate, *packed_up, *packed_down;
} olica_dropped;

olica_status olica_dropped_create(olica_kernel *kernel, const olica_arch *arch, const olica_layer *dense,
                                  const olica_layer *pruned, olica_dropped **dropped);
void olica_dropped_destroy(olica_dropped *dropped); /* NULL allowed */

/* Counted bytes of `count` dropped neurons, packed, at most. Pure. */
size_t olica_dropped_bytes(olica_dtype precision, int count, int d);

/* residual [tokens x d] of inputs a [tokens x d]; gate, up [tokens x count] are scratch. Not collective. */
void olica_dropped_apply(const olica_dropped *dropped, int tokens, const float *a, float *gate, float *up,
                         float *residual);

/* From a solved fit of R on A: w_j = sigmoid((r_j - mean r)/0.05), the eigenvectors U_r of the rank largest
 * eigenvalues of (C diag(w))(C diag(w))ᵀ, and branch_a = U_r [d x r], branch_b = U_rᵀ C [r x d] (a product
 * equal to the SVD's, without the division by w). Collective on the context; every rank gets the branch. */
olica_status olica_calibrate_branch(olica_fit *fit, int rank, float *branch_a, float *branch_b);

#endif
