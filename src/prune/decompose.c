#include "decompose.h"

#include <math.h>

#include "calibrate.h"
#include "layer.h"
#include "lowrank.h"
#include "par/comm.h"
#include "par/shared.h"

/* The tasks of a layer, in the order of olica_decompose_problems. */
typedef struct tasks {
  olica_context *context;
  const olica_layer *dense;
  const olica_residual *residual;
  olica_layer *pruned;
  double *root; /* [d] */
  olica_solver *solver[OLICA_DECOMPOSE_MOST];
  olica_lowrank lowrank[OLICA_DECOMPOSE_MOST];
  olica_branch branch;
} tasks;

/* Kind of task i: a projection, or OLICA_PROJECTIONS for the branch. */
typedef struct kinds {
  int count, kind[OLICA_DECOMPOSE_MOST];
} kinds;

static kinds kinds_of(const olica_layer_shape *shape) {
  kinds k = {0};
  for (int p = OLICA_Q; p <= OLICA_K; p++)
    if (shape->rank[p] > 0) k.kind[k.count++] = p;
  if (shape->branch > 0) k.kind[k.count++] = OLICA_PROJECTIONS;
  return k;
}

int olica_decompose_problems(const olica_arch *arch, const olica_layer_shape *shape,
                             olica_problem problem[OLICA_DECOMPOSE_MOST]) {
  kinds k = kinds_of(shape);
  for (int i = 0; i < k.count; i++) {
    int heads = k.kind[i] == OLICA_Q ? arch->heads : arch->kv_heads;
    olica_linear linear = {.out = heads * arch->head, .in = arch->hidden};
    problem[i] = k.kind[i] == OLICA_PROJECTIONS ? olica_branch_problem(arch->hidden, shape->branch)
                                                : olica_lowrank_problem(&linear, shape->rank[k.kind[i]]);
  }
  return k.count;
}

static olica_status place(olica_pool *pool, const olica_arch *arch, tasks *t) {
  olica_context *context = t->context;
  olica_problem problem[OLICA_DECOMPOSE_MOST];
  olica_placement places[OLICA_DECOMPOSE_MOST];
  int count = olica_decompose_problems(arch, &t->pruned->shape, problem);
  OLICA_AGREE(context, olica_solver_place(context->env, olica_pool_settings(pool).backend, context->size,
                                          count, problem, places));
  for (int i = 0; i < count; i++) OLICA_TRY(olica_pool_solver(pool, places[i], &t->solver[i]));
  return OLICA_OK;
}

static olica_status begin(tasks *t, const kinds *k) {
  static const char *const names[] = {[OLICA_Q] = "query decomposition", [OLICA_K] = "key decomposition"};
  olica_fit *fit = NULL;
  if (t->pruned->shape.branch > 0) {
    OLICA_TRY(
        olica_fit_gather(t->context, t->solver[k->count - 1], t->residual->sums, t->residual->tokens, &fit));
    olica_fit_sums_destroy(t->residual->sums);
  }
  olica_status status = OLICA_OK;
  for (int i = 0; i < k->count && status == OLICA_OK; i++) {
    int p = k->kind[i];
    if (p == OLICA_PROJECTIONS)
      status = olica_branch_begin(fit, t->pruned->shape.branch, &t->branch);
    else
      status = olica_lowrank_begin(t->solver[i], &t->dense->linear[p], t->pruned->linear[p].rank, names[p],
                                   &t->lowrank[i]);
  }
  return olica_comm_agree(t->context, t->context->comm, status);
}

static olica_status solve_one(tasks *t, int i, int kind) {
  olica_timers *timers = &t->context->env->timers;
  olica_timer_start(timers, kind == OLICA_Q   ? "solve.query"
                            : kind == OLICA_K ? "solve.key"
                                              : "solve.calibration");
  olica_status status = kind == OLICA_PROJECTIONS ? olica_branch_solve(&t->branch, t->residual->damping)
                                                  : olica_lowrank_solve(&t->lowrank[i], t->root);
  olica_timer_stop(timers);
  return status;
}

/* Enters the next problem even after a failure: its group's other ranks may already be in it. */
static olica_status solve(tasks *t, const kinds *k) {
  olica_status status = OLICA_OK;
  for (int i = 0; i < k->count; i++) {
    if (!olica_solver_member(t->solver[i])) continue;
    olica_status one = solve_one(t, i, k->kind[i]);
    if (status == OLICA_OK) status = one;
  }
  return olica_comm_agree(t->context, t->context->comm, status);
}

/* The node's first rank receives the factors for all. */
static olica_status end(tasks *t, const kinds *k) {
  bool leads = olica_shared_leads(t->context);
  for (int i = 0; i < k->count; i++) {
    if (k->kind[i] == OLICA_PROJECTIONS) {
      OLICA_TRY(olica_branch_end(&t->branch, leads ? t->pruned->branch_a : NULL,
                                 leads ? t->pruned->branch_b : NULL));
    } else {
      const olica_linear *to = &t->pruned->linear[k->kind[i]];
      OLICA_TRY(olica_lowrank_end(&t->lowrank[i], leads ? to->b : NULL, leads ? to->a : NULL));
    }
  }
  return OLICA_OK;
}

olica_status olica_decompose_layer(olica_pool *pool, olica_context *context, const olica_arch *arch,
                                   const double *s, const olica_residual *residual, const olica_layer *dense,
                                   olica_layer *pruned) {
  tasks t = {.context = context, .dense = dense, .residual = residual, .pruned = pruned};
  kinds k = kinds_of(&pruned->shape);
  for (int p = OLICA_Q; p <= OLICA_K; p++) olica_pruned_copy(context, &dense->linear[p], &pruned->linear[p]);
  OLICA_AGREE(context, OLICA_NEW(context->env, t.root, (size_t)arch->hidden));
  for (int i = 0; i < arch->hidden; i++) t.root[i] = sqrt(s[i]);
  OLICA_TRY(place(pool, arch, &t));
  OLICA_TRY(begin(&t, &k));
  OLICA_TRY(solve(&t, &k));
  OLICA_TRY(end(&t, &k));
  olica_memory_free(context->env, t.root);
  return OLICA_OK;
}

/* ---- the replay ---- */

/* Problems of a layer as a rank sees them. */
typedef struct view {
  int count, d;
  const olica_problem *problem;
  olica_site at[OLICA_DECOMPOSE_MOST];
} view;

static void replay_begin(olica_ledger *ledger, const view *v, olica_hold sums) {
  for (int i = 0; i < v->count; i++)
    if (v->problem[i].columns > 0) olica_fit_replay_gather(ledger, &v->at[i], v->d);
  olica_ledger_release(ledger, sums);
  for (int i = 0; i < v->count; i++) {
    const olica_problem *p = &v->problem[i];
    if (p->columns > 0)
      olica_branch_replay_begin(ledger, &v->at[i], v->d, p->wanted);
    else
      olica_lowrank_replay_begin(ledger, &v->at[i], p);
  }
}

static void replay_solve(olica_ledger *ledger, const view *v) {
  for (int i = 0; i < v->count; i++) {
    const olica_problem *p = &v->problem[i];
    if (!olica_site_member(&v->at[i])) continue;
    if (p->columns > 0)
      olica_branch_replay_solve(ledger, &v->at[i], v->d, p->wanted);
    else
      olica_lowrank_replay_solve(ledger, &v->at[i], p);
  }
}

static void replay_end(olica_ledger *ledger, const view *v) {
  for (int i = 0; i < v->count; i++) {
    const olica_problem *p = &v->problem[i];
    if (p->columns > 0)
      olica_branch_replay_end(ledger, &v->at[i], v->d, p->wanted);
    else
      olica_lowrank_replay_end(ledger, &v->at[i], p);
  }
}

/* A rank that needs most is the first of some group. */
olica_status olica_decompose_replay(olica_env *env, olica_ledger *ledger, const olica_decompose_ranks *on,
                                    const olica_arch *arch, const olica_layer_shape *shape, olica_hold sums) {
  olica_problem problem[OLICA_DECOMPOSE_MOST];
  olica_placement places[OLICA_DECOMPOSE_MOST];
  view v = {.count = olica_decompose_problems(arch, shape, problem), .d = arch->hidden, .problem = problem};
  OLICA_TRY(olica_solver_place(env, on->backend, on->ranks, v.count, problem, places));
  olica_hold root = olica_ledger_hold(ledger, (size_t)arch->hidden * sizeof(double));
  for (int r = 0; r < v.count; r++) {
    olica_ledger one = *ledger;
    for (int i = 0; i < v.count; i++)
      v.at[i] = (olica_site){places[i], on->block, on->precision, on->nodes, places[r].first};
    replay_begin(&one, &v, sums);
    replay_solve(&one, &v);
    replay_end(&one, &v);
    olica_ledger_join(ledger, &one);
  }
  olica_ledger_release(ledger, root);
  olica_ledger_release(ledger, sums);
  return OLICA_OK;
}
