/* The independent decompositions of a layer's cut, solved at the same time, each on its own ranks: query,
 * key, linear calibration (doc/methods.md, sweep 2, steps 3 and 6). Private to prune. */
#ifndef OLICA_PRUNE_DECOMPOSE_H
#define OLICA_PRUNE_DECOMPOSE_H

#include "calib/fit_sums.h"
#include "la/solver.h"
#include "model/weights.h"

/* Input of the linear calibration; unused without a branch. */
typedef struct olica_residual {
  olica_fit_sums *sums; /* sums of the fit of the cut's residual on the FFN's inputs; the callee frees them */
  double tokens;        /* N, tokens of all ranks */
  double damping;       /* olica_fit_damping */
} olica_residual;

/* Computes q, k and the branch of `pruned`, as its shape says. If q or k has no rank, copies its weight;
 * copies the biases. s [d] is the input energy of q and k. The pool's back end places the problems. Both
 * layers lie in memory of the node, whose first rank writes `pruned`. Collective on the context. */
olica_status olica_decompose_layer(olica_pool *pool, olica_context *context, const olica_arch *arch,
                                   const double *s, const olica_residual *residual, const olica_layer *dense,
                                   olica_layer *pruned);

/* Lists the problems of a layer in the order of their placement: q, k, branch, as far as the shape has them.
 * Returns their number. Pure. */
enum { OLICA_DECOMPOSE_MOST = 3 };
int olica_decompose_problems(const olica_arch *arch, const olica_layer_shape *shape,
                             olica_problem problem[OLICA_DECOMPOSE_MOST]);

/* Replays olica_decompose_layer on the ledger of the rank that needs most; `sums` is what the branch's fit
 * sums hold when it begins. Not collective; OLICA_ERR_MEMORY only. */
typedef struct olica_decompose_ranks {
  olica_backend backend; /* the back end asked for */
  olica_solver_precision precision;
  int block, ranks, nodes;
} olica_decompose_ranks;
olica_status olica_decompose_replay(olica_env *env, olica_ledger *ledger, const olica_decompose_ranks *on,
                                    const olica_arch *arch, const olica_layer_shape *shape, olica_hold sums);

#endif
