#include "obs.h"

#include <math.h>
#include <string.h>

#include "../select.h"
#include "base/arena.h"
#include "down.h"
#include "la/removal.h"
#include "par/comm.h"

typedef struct obs {
  olica_context *context;
  olica_solver *solver;
  const float *down; /* [d x f] W of the dense layer */
  int d, f;
  olica_matrix *gram;    /* C */
  olica_matrix *inverse; /* P */
  olica_matrix *weights; /* W */
  double *score, *pivot; /* [f] */
  int32_t *order, *now;  /* [f] the caller's; by the scores as they are */
} obs;

static size_t lay_out(obs *o, void *block) {
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, o->score, o->f);
  OLICA_TAKE(&arena, o->pivot, o->f);
  OLICA_TAKE(&arena, o->now, o->f);
  return arena.used;
}

static double identity(const void *unused, int row, int col) {
  (void)unused;
  return row == col;
}

static olica_status place(const olica_method_job *job, obs *o) {
  const olica_problem problem = olica_refit_problem(o->d, o->f);
  olica_placement place;
  OLICA_AGREE(o->context, olica_solver_place(o->context->env, olica_pool_settings(job->pool).backend,
                                             o->context->size, 1, &problem, &place));
  return olica_pool_solver(job->pool, place, &o->solver);
}

static olica_status gather(obs *o, const double *sums) {
  OLICA_AGREE(o->context, olica_solver_matrix(o->solver, o->f, o->f, &o->gram));
  olica_shared_fence(o->context); /* the node's other ranks have added their sums */
  OLICA_TRY(olica_matrix_sum(o->gram, sums, 1));
  olica_status status = olica_solver_matrix(o->solver, o->f, o->f, &o->inverse);
  if (status == OLICA_OK) status = olica_solver_matrix(o->solver, o->d, o->f, &o->weights);
  OLICA_AGREE(o->context, status);
  return OLICA_OK;
}

static olica_status invert(obs *o, double delta) {
  olica_matrix_fill(o->inverse, identity, NULL);
  OLICA_TRY(olica_solver_ridge(o->solver, "inverse of the neurons' Gram", o->gram, &delta, o->inverse));
  OLICA_FREE(o->context->env, o->gram->a);
  olica_matrix_set(o->weights, o->down, (size_t)o->f, NULL);
  return OLICA_OK;
}

/* order [left] := the neurons that are left, by falling score. Those that have gone lie behind them. */
static olica_status rank_left(const obs *o, int left) {
  const olica_grid *grid = o->inverse->grid;
  memset(o->pivot, 0, (size_t)o->f * sizeof *o->pivot);
  olica_matrix_get_diagonal(o->inverse, o->pivot);
  olica_comm_sum(o->context, grid->comm, o->pivot, (size_t)o->f);
  olica_matrix_column_dots(o->weights, o->weights, o->score);
  for (int j = 0; j < o->f; j++) o->score[j] = o->pivot[j] > 0 ? o->score[j] / o->pivot[j] : INFINITY;
  for (int k = left; k < o->f; k++) o->score[o->order[k]] = -INFINITY;
  OLICA_TRY(olica_select_order(o->context->env, o->score, o->f, 0, o->now));
  memcpy(o->order, o->now, (size_t)left * sizeof *o->order);
  return OLICA_OK;
}

/* The grid's first rank decides, since the last bits of scores may differ. By the members of the solver. */
static olica_status sort_left(const obs *o, int left) {
  const olica_grid *grid = o->inverse->grid;
  OLICA_TRY(olica_comm_agree(o->context, grid->comm, rank_left(o, left)));
  olica_comm_bcast(o->context, grid->comm, o->order, (size_t)left * sizeof *o->order, 0);
  return OLICA_OK;
}

static olica_status remove_down_to(const obs *o, int stay, olica_removal *removal) {
  OLICA_TRY(sort_left(o, o->f));
  for (int left = o->f; left > stay;) {
    int count = left - stay < OLICA_REFIT_OBS_BLOCK ? left - stay : OLICA_REFIT_OBS_BLOCK;
    left -= count;
    OLICA_TRY(olica_removal_take(removal, count, o->order + left));
    OLICA_TRY(sort_left(o, left));
  }
  return OLICA_OK;
}

static olica_status solve(obs *o, double delta, int stay) {
  olica_env *env = o->context->env;
  olica_removal removal = {0};
  void *lists;
  OLICA_TRY(invert(o, delta));
  olica_status status = OLICA_LAY_OUT(env, "scores of neurons", lists, lay_out, o);
  if (status == OLICA_OK)
    status = olica_removal_begin(o->inverse, o->weights, OLICA_REFIT_OBS_BLOCK, &removal);
  OLICA_TRY(olica_comm_agree(o->context, o->inverse->grid->comm, status));
  OLICA_TRY(remove_down_to(o, stay, &removal));
  olica_removal_end(&removal);
  olica_memory_free(env, lists);
  return OLICA_OK;
}

olica_status olica_refit_obs(const olica_method_job *job, const olica_layer *dense,
                             const olica_fit_sums *sums, double delta, int stay, int32_t *order) {
  olica_context *context = job->context;
  obs o = {.context = context,
           .down = dense->linear[OLICA_DOWN].weight,
           .d = job->model.arch->hidden,
           .f = dense->shape.ffn,
           .order = order};
  for (int j = 0; j < o.f; j++) order[j] = j;
  if (stay >= o.f) return OLICA_OK;
  OLICA_TRY(place(job, &o));
  OLICA_TRY(gather(&o, sums->gram));
  OLICA_AGREE(context, olica_solver_member(o.solver) ? solve(&o, delta, stay) : OLICA_OK);
  olica_comm_bcast(context, context->comm, order, (size_t)o.f * sizeof *order, o.gram->grid->first);
  olica_matrix_destroy(o.gram);
  olica_matrix_destroy(o.inverse);
  olica_matrix_destroy(o.weights);
  return OLICA_OK;
}

olica_status olica_refit_obs_replay(olica_env *env, olica_ledger *ledger, const olica_method_site *site,
                                    const olica_arch *arch) {
  int d = arch->hidden, f = arch->ffn;
  const olica_problem problem = olica_refit_problem(d, f);
  olica_site at = {.block = site->block, .nodes = site->nodes};
  OLICA_TRY(olica_solver_place(env, site->backend, site->ranks, 1, &problem, &at.place));
  at.rank = at.place.first;
  olica_hold before = olica_ledger_mark(ledger);
  olica_hold gram = olica_solver_hold_matrix(ledger, &at, f, f);
  olica_solver_replay_sum(ledger, &at, f, f);
  olica_solver_hold_matrix(ledger, &at, f, f);
  olica_solver_hold_matrix(ledger, &at, d, f);
  olica_solver_replay_ridge(ledger, f);
  olica_ledger_release(ledger, gram);
  olica_ledger_hold(ledger, lay_out(&(obs){.f = f}, NULL));
  olica_removal_hold(ledger, f, d, OLICA_REFIT_OBS_BLOCK);
  olica_select_replay_order(ledger, f);
  olica_ledger_rewind(ledger, before);
  return OLICA_OK;
}

double olica_refit_obs_work(const olica_arch *arch, int stay) {
  double d = arch->hidden, f = arch->ffn, gone = arch->ffn - stay;
  return 7.0 / 3 * f * f * f + gone * f * (f + 2 * d);
}
