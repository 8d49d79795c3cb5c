#include "curve.h"

#include "down.h"
#include "par/comm.h"

#define RIDGE 1e-3

typedef struct factor {
  olica_solver *solver;
  olica_matrix *gram;          /* C in order, then L */
  olica_matrix *weights, *all; /* W in order; W L */
  const int32_t *order;
  const float *down;
  int d, f;
} factor;

static double weight(const void *data, int row, int col) {
  const factor *t = data;
  return t->down[(size_t)row * (size_t)t->f + (size_t)t->order[col]];
}

/* By the members of the solver. */
static olica_status solve(factor *t, double mean, double *squares) {
  double delta = RIDGE * mean;
  olica_matrix_fill(t->weights, weight, t);
  OLICA_TRY(olica_solver_factor(t->solver, "error curve of a layer", t->gram, &delta));
  OLICA_TRY(olica_solver_multiply(t->solver, 0, t->weights, t->gram, t->all));
  olica_matrix_column_dots(t->all, t->all, squares);
  return OLICA_OK;
}

static olica_status place(const olica_method_job *job, factor *t) {
  olica_context *context = job->context;
  const olica_problem problem = olica_refit_problem(t->d, t->f);
  olica_placement place;
  OLICA_AGREE(context, olica_solver_place(context->env, olica_pool_settings(job->pool).backend, context->size,
                                          1, &problem, &place));
  return olica_pool_solver(job->pool, place, &t->solver);
}

static olica_status gather(olica_context *context, const double *sums, factor *t) {
  OLICA_AGREE(context, olica_solver_matrix(t->solver, t->f, t->f, &t->gram));
  olica_shared_fence(context); /* the node's other ranks have added their sums */
  OLICA_TRY(olica_matrix_sum_picked(t->gram, sums, t->f, t->order, NULL));
  olica_status status = olica_solver_matrix(t->solver, t->d, t->f, &t->weights);
  if (status == OLICA_OK) status = olica_solver_matrix(t->solver, t->d, t->f, &t->all);
  OLICA_AGREE(context, status);
  return OLICA_OK;
}

/* curve [f + 1]: c_j before, E(n) after. */
static void add_up(double *curve, int f) {
  curve[f] = 0;
  for (int n = f - 1; n >= 0; n--) curve[n] += curve[n + 1];
}

olica_status olica_refit_curve(const olica_method_job *job, const olica_linear *map,
                               const olica_fit_sums *sums, const int32_t *order, double mean, double *curve) {
  olica_context *context = job->context;
  factor t = {.order = order, .down = map->weight, .d = map->out, .f = map->in};
  OLICA_TRY(place(job, &t));
  OLICA_TRY(gather(context, sums->gram, &t));
  OLICA_AGREE(context, olica_solver_member(t.solver) ? solve(&t, mean, curve) : OLICA_OK);
  add_up(curve, t.f);
  olica_comm_bcast(context, context->comm, curve, ((size_t)t.f + 1) * sizeof *curve, t.gram->grid->first);
  olica_matrix_destroy(t.gram);
  olica_matrix_destroy(t.weights);
  olica_matrix_destroy(t.all);
  return OLICA_OK;
}

olica_status olica_refit_replay_curve(olica_env *env, olica_ledger *ledger, const olica_method_site *site,
                                      int d, int f) {
  const olica_problem problem = olica_refit_problem(d, f);
  olica_site at = {.block = site->block, .nodes = site->nodes};
  OLICA_TRY(olica_solver_place(env, site->backend, site->ranks, 1, &problem, &at.place));
  at.rank = at.place.first;
  olica_hold before = olica_ledger_mark(ledger);
  olica_solver_hold_matrix(ledger, &at, f, f);
  olica_solver_replay_sum(ledger, &at, f, f);
  olica_solver_hold_matrix(ledger, &at, d, f);
  olica_solver_hold_matrix(ledger, &at, d, f);
  olica_solver_replay_ridge(ledger, f);
  olica_ledger_rewind(ledger, before);
  return OLICA_OK;
}
