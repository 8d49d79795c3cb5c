/* The widths of the layers: how they share the neurons that go (doc/methods.md, "Refit"). Pure, except for
 * workspace. Private to the method. */
#ifndef OLICA_PRUNE_REFIT_ALLOCATE_H
#define OLICA_PRUNE_REFIT_ALLOCATE_H

#include <stdint.h>

#include "base/env.h"

/* Bounds that all layers share. A width is `full`, or a multiple of `align` that is not below `least`. */
typedef struct olica_refit_shares {
  int layers, full, align, least;
  int64_t total; /* neurons to remove from all of them, at most; missed by less than `align` */
} olica_refit_shares;

/* Returns how many neurons all layers can lose. */
int64_t olica_refit_most(const olica_refit_shares *shares);

/* width [L] := the widths of least loss. The loss of layer i at width n is E_i(n) kl_i / E_i(half), with E_i
 * the lower convex hull of curve [i x (full + 1)], so the greedy choice of the step that costs least for a
 * neuron is the best one. OLICA_ERR_MEMORY. */
olica_status olica_refit_by_loss(olica_env *env, const olica_refit_shares *shares, const double *curve,
                                 int half, const double *kl, int *width);

/* width [L] := what layer i loses is weight_i of the sum, as near as steps allow. Not below `least`. */
void olica_refit_by_weight(const olica_refit_shares *shares, const double *weight, int *width);

/* width [L] := widths that are as alike as steps allow. OLICA_ERR_MEMORY. */
olica_status olica_refit_even(olica_env *env, const olica_refit_shares *shares, int *width);

/* weight [n] := the softmax of -influence / 0.2. */
void olica_refit_influence_weights(const double *influence, int n, double *weight);

/* Replaces y [n + 1] by its lower convex hull at the same places; hull [n + 1] is workspace. */
void olica_refit_convex(double *y, int n, int *hull);

#endif
