#include "down.h"

#include <math.h>

#include "par/comm.h"

/* A refit under way. */
typedef struct refit {
  olica_context *context;
  olica_solver *solver;
  const char *what;
  int d, f, kept, dropped;
  const int32_t *list;   /* [kept] S */
  int32_t *rest;         /* [dropped] R */
  const float *down;     /* [d x f] W */
  olica_matrix *gram;    /* C_SS */
  olica_matrix *cross;   /* C_SR */
  olica_matrix *weights; /* W_Rᵀ */
  olica_matrix *change;  /* [kept x d] (W' - W_S)ᵀ */
} refit;

olica_problem olica_refit_problem(int d, int f) {
  return (olica_problem){.order = f, .columns = d};
}

static void list_rest(refit *r) {
  for (int i = 0, at = 0, n = 0; i < r->f; i++) {
    if (at < r->kept && r->list[at] == i)
      at++;
    else
      r->rest[n++] = i;
  }
}

static olica_status begin(refit *r, const olica_method_job *job) {
  olica_env *env = r->context->env;
  const olica_problem problem = olica_refit_problem(r->d, r->f);
  olica_placement place;
  OLICA_AGREE(r->context, olica_solver_place(env, olica_pool_settings(job->pool).backend, r->context->size, 1,
                                             &problem, &place));
  OLICA_TRY(olica_pool_solver(job->pool, place, &r->solver));
  OLICA_AGREE(r->context, OLICA_NEW(env, r->rest, (size_t)r->dropped));
  list_rest(r);
  return OLICA_OK;
}

static olica_status gather(refit *r, const double *sums) {
  olica_status status = olica_solver_matrix(r->solver, r->kept, r->kept, &r->gram);
  if (status == OLICA_OK) status = olica_solver_matrix(r->solver, r->kept, r->dropped, &r->cross);
  OLICA_AGREE(r->context, status);
  olica_shared_fence(r->context); /* the node's other ranks have added their sums */
  OLICA_TRY(olica_matrix_sum_picked(r->gram, sums, r->f, r->list, NULL));
  return olica_matrix_sum_picked(r->cross, sums, r->f, r->list, r->rest);
}

static double dropped_weight(const void *data, int row, int col) {
  const refit *r = data;
  return r->down[(size_t)col * (size_t)r->f + (size_t)r->rest[row]];
}

/* change := C_SR W_Rᵀ, then (C_SS + delta I)^-1 of it. By the members of the solver. */
static olica_status solve(refit *r, double delta) {
  olica_matrix_fill(r->weights, dropped_weight, r);
  OLICA_TRY(olica_solver_multiply(r->solver, 0, r->cross, r->weights, r->change));
  OLICA_FREE(r->context->env, r->cross->a);
  OLICA_FREE(r->context->env, r->weights->a);
  return olica_solver_ridge(r->solver, r->what, r->gram, &delta, r->change);
}

static olica_status make_room(refit *r) {
  OLICA_TRY(olica_solver_matrix(r->solver, r->dropped, r->d, &r->weights));
  return olica_solver_matrix(r->solver, r->kept, r->d, &r->change);
}

/* Adds the change [kept x d] to down [d x kept], on the node's first rank. Returns the ratio of the norms. */
static double add(const refit *r, const float *change, float *down) {
  double changed = 0, before = 0;
  for (int o = 0; o < r->d; o++)
    for (int i = 0; i < r->kept; i++) {
      float *w = &down[(size_t)o * (size_t)r->kept + (size_t)i];
      double x = change[(size_t)i * (size_t)r->d + (size_t)o];
      changed += x * x;
      before += (double)*w * *w;
      *w = (float)(*w + x);
    }
  return before > 0 ? sqrt(changed / before) : 0;
}

static olica_status end(refit *r, olica_linear *pruned, double *ratio) {
  olica_env *env = r->context->env;
  bool leads = olica_shared_leads(r->context);
  float *everywhere = NULL;
  size_t numbers = (size_t)r->kept * (size_t)r->d;
  OLICA_AGREE(r->context, leads ? OLICA_NEW(env, everywhere, numbers) : OLICA_OK);
  OLICA_TRY(olica_matrix_replicate(r->change, r->d, everywhere));
  if (leads) *ratio = add(r, everywhere, pruned->weight);
  olica_memory_free(env, everywhere);
  olica_comm_bcast(r->context, r->context->comm, ratio, sizeof *ratio, 0);
  olica_shared_fence(r->context);
  return OLICA_OK;
}

static void destroy(refit *r) {
  olica_matrix_destroy(r->gram);
  olica_matrix_destroy(r->cross);
  olica_matrix_destroy(r->weights);
  olica_matrix_destroy(r->change);
  olica_memory_free(r->context->env, r->rest);
}

olica_status olica_refit_down(const olica_method_job *job, const olica_layer *dense, olica_fit_sums *sums,
                              double delta, olica_layer *pruned, double *change) {
  return olica_refit_map(job, "refit of the down matrix", &dense->linear[OLICA_DOWN], pruned->ffn_kept, sums,
                         delta, &pruned->linear[OLICA_DOWN], change);
}

olica_status olica_refit_map(const olica_method_job *job, const char *what, const olica_linear *dense,
                             const int32_t *list, olica_fit_sums *sums, double delta, olica_linear *pruned,
                             double *change) {
  olica_context *context = job->context;
  refit r = {.context = context,
             .what = what,
             .d = dense->out,
             .f = dense->in,
             .kept = pruned->in,
             .dropped = dense->in - pruned->in,
             .list = list,
             .down = dense->weight};
  *change = 0;
  if (r.dropped == 0) {
    olica_fit_sums_destroy(sums);
    return OLICA_OK;
  }
  OLICA_TRY(begin(&r, job));
  OLICA_TRY(gather(&r, sums->gram));
  olica_fit_sums_destroy(sums);
  OLICA_AGREE(context, make_room(&r));
  OLICA_AGREE(context, olica_solver_member(r.solver) ? solve(&r, delta) : OLICA_OK);
  OLICA_FREE(context->env, r.gram->a);
  OLICA_TRY(end(&r, pruned, change));
  destroy(&r);
  return OLICA_OK;
}

olica_status olica_refit_map_replay(olica_env *env, olica_ledger *ledger, const olica_method_site *site,
                                    int d, int f, int kept, olica_hold sums) {
  int dropped = f - kept;
  const olica_problem problem = olica_refit_problem(d, f);
  olica_site at = {.block = site->block, .nodes = site->nodes};
  if (dropped == 0) {
    olica_ledger_release(ledger, sums);
    return OLICA_OK;
  }
  OLICA_TRY(olica_solver_place(env, site->backend, site->ranks, 1, &problem, &at.place));
  at.rank = at.place.first;
  olica_hold rest = olica_ledger_hold(ledger, (size_t)dropped * sizeof(int32_t));
  olica_hold gram = olica_solver_hold_matrix(ledger, &at, kept, kept);
  olica_hold cross = olica_solver_hold_matrix(ledger, &at, kept, dropped);
  olica_solver_replay_sum(ledger, &at, kept, kept);
  olica_solver_replay_sum(ledger, &at, kept, dropped);
  olica_ledger_release(ledger, sums);
  olica_hold weights = olica_solver_hold_matrix(ledger, &at, dropped, d);
  olica_hold change = olica_solver_hold_matrix(ledger, &at, kept, d);
  olica_ledger_release(ledger, cross);
  olica_ledger_release(ledger, weights);
  olica_solver_replay_ridge(ledger, kept);
  olica_ledger_release(ledger, gram);
  olica_hold everywhere = olica_ledger_hold(ledger, (size_t)kept * (size_t)d * sizeof(float));
  olica_solver_replay_replicate(ledger, &at, kept, d);
  olica_ledger_release(ledger, everywhere);
  olica_ledger_release(ledger, change);
  olica_ledger_release(ledger, rest);
  return OLICA_OK;
}
