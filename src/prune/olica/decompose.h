/* The independent decompositions of a layer's cut at the same time, each on its own ranks: query, key, linear
 * calibration (doc/methods.md, sweep 2, steps 3 and 6). */
#ifndef OLICA_PRUNE_DECOMPOSE_H
#define OLICA_PRUNE_DECOMPOSE_H

#include "olica/calib/fit_sums.h"
#include "olica/la/solver.h"
#include "olica/model/weights.h"

/* What the linear calibration works with; without a branch none of it is looked at. */
typedef struct olica_residual {
  olica_fit_sums *sums; /* of the cut's residual on the FFN's inputs; given away */
  double tokens;        /* of all ranks */
  double damping;       /* olica_fit_damping */
} olica_residual;

/* q, k and the branch of `pruned`, as its shape asks; where q or k has no rank, its weight is copied; biases
 * are copied. s [d] is the input energy of q and k. The pool's back end places the problems. Collective on
 * the context. Both layers lie in memory of the node, whose first rank writes `pruned`. */
olica_status olica_decompose_layer(olica_pool *pool, olica_context *context, const olica_arch *arch,
                                   const double *s, const olica_residual *residual, const olica_layer *dense,
                                   olica_layer *pruned);

/* The problems of a layer of that shape in the order in which they are placed: q, k, branch, as far as the
 * shape has them. Returns their number. Pure. */
enum { OLICA_DECOMPOSE_MOST = 3 };
int olica_decompose_problems(const olica_arch *arch, const olica_layer_shape *shape,
                             olica_problem problem[OLICA_DECOMPOSE_MOST]);

/* Bytes of the rank that needs most, of so many on so many nodes; `sums` are those of the branch's fit on a
 * rank, which are there when it begins. Not collective; OLICA_ERR_MEMORY only. */
typedef struct olica_decompose_ranks {
  olica_backend backend; /* asked for */
  int block, ranks, nodes;
} olica_decompose_ranks;
olica_status olica_decompose_bytes(olica_env *env, const olica_decompose_ranks *on, const olica_arch *arch,
                                   const olica_layer_shape *shape, double sums, double *bytes);

#endif
