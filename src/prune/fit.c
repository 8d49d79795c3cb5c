#include "fit.h"

#include <math.h>
#include <string.h>

#include "par/comm.h"

olica_problem olica_fit_problem(int d) {
  return (olica_problem){.order = d, .columns = d};
}

enum { VECTORS = 4, SUMS = 3 }; /* vectors of a fit; sums per column for its correlations */

olica_hold olica_fit_replay_gather(olica_ledger *ledger, const olica_site *at, int d) {
  olica_hold before = olica_ledger_mark(ledger);
  olica_ledger_hold(ledger, VECTORS * (size_t)d * sizeof(double));
  olica_solver_hold_matrix(ledger, at, d, d);
  olica_solver_hold_matrix(ledger, at, d, d);
  olica_solver_replay_sum(ledger, at, d, d);
  return olica_ledger_since(ledger, before);
}

olica_hold olica_fit_replay_solve(olica_ledger *ledger, const olica_site *at, int d) {
  olica_hold coef = olica_solver_hold_matrix(ledger, at, d, d);
  olica_solver_replay_ridge(ledger, d);
  olica_ledger_touch(ledger, SUMS * (size_t)d * sizeof(double));
  return coef;
}

static olica_status create(olica_context *context, olica_solver *solver, int d, olica_fit **out) {
  olica_fit *fit;
  OLICA_TRY(OLICA_NEW(context->env, fit, 1));
  *fit = (olica_fit){.context = context, .solver = solver, .d = d};
  OLICA_TRY(OLICA_NEW(context->env, fit->sum_a, VECTORS * (size_t)d));
  fit->sum_b = fit->sum_a + d;
  fit->square_b = fit->sum_b + d;
  fit->correlation = fit->square_b + d;
  OLICA_TRY(olica_solver_matrix(solver, d, d, &fit->gram));
  OLICA_TRY(olica_solver_matrix(solver, d, d, &fit->cross));
  *out = fit;
  return OLICA_OK;
}

olica_status olica_fit_gather(olica_context *context, olica_solver *solver, const olica_fit_sums *sums,
                              double tokens, olica_fit **out) {
  size_t d = (size_t)sums->d;
  olica_fit *fit = NULL;
  OLICA_AGREE(context, create(context, solver, sums->d, &fit));
  fit->tokens = tokens;
  memcpy(fit->sum_a, sums->sum_a, d * sizeof(double));
  memcpy(fit->sum_b, sums->sum_b, d * sizeof(double));
  memcpy(fit->square_b, sums->square_b, d * sizeof(double));
  olica_comm_sum(context, context->comm, fit->sum_a, 3 * d); /* the three vectors are contiguous */
  olica_shared_fence(context); /* the node's other ranks have added their sums */
  OLICA_TRY(olica_matrix_sum(fit->gram, sums->gram, 1));
  OLICA_TRY(olica_matrix_sum(fit->cross, sums->cross, 0));
  *out = fit;
  return OLICA_OK;
}

void olica_fit_destroy(olica_fit *fit) {
  if (!fit) return;
  olica_matrix_destroy(fit->gram);
  olica_matrix_destroy(fit->cross);
  olica_matrix_destroy(fit->coef);
  olica_memory_free(fit->context->env, fit->sum_a);
  olica_memory_free(fit->context->env, fit);
}

/* Returns r_j from ΣP_jB_j, ΣP_j², ΣP_j, ΣB_j, ΣB_j². */
static double correlate(double n, double pb, double pp, double p, double b, double bb) {
  double covariance = (pb - p * b / n) / n;
  double var_p = (pp - p * p / n) / (n - 1.0), var_b = (bb - b * b / n) / (n - 1.0);
  /* The variance of a constant column is rounding error only. */
  if (!(var_p > 1e-14 * pp / n) || !(var_b > 1e-14 * bb / n)) return 0.0;
  return covariance / sqrt(var_p * var_b);
}

static olica_status correlations(olica_fit *fit, double delta) {
  olica_env *env = fit->context->env;
  int d = fit->d;
  double *pb, *cc, *sum_p;
  OLICA_TRY(OLICA_NEW(env, pb, SUMS * (size_t)d));
  cc = pb + d;
  sum_p = cc + d;
  olica_matrix_column_dots(fit->coef, fit->cross, pb);
  olica_matrix_column_dots(fit->coef, fit->coef, cc);
  olica_matrix_column_sums(fit->coef, fit->sum_a, sum_p);
  for (int j = 0; j < d; j++) {
    double pp = pb[j] - delta * cc[j]; /* CᵀAᵀAC = Cᵀ(AᵀB − δC) */
    fit->correlation[j] =
        correlate(fit->tokens, pb[j], pp > 0.0 ? pp : 0.0, sum_p[j], fit->sum_b[j], fit->square_b[j]);
  }
  olica_memory_free(env, pb);
  return OLICA_OK;
}

/* The correlation of a constant column is 0/0. One rank of the fit warns. */
static void warn_constant(const olica_fit *fit) {
  long constant = 0;
  if (fit->context->rank != fit->gram->grid->first) return;
  for (int j = 0; j < fit->d; j++) constant += fit->correlation[j] == 0.0;
  olica_log_warn_times(fit->context->env, constant,
                       "columns of a linear fit are constant: their correlation, 0/0, counts as 0");
}

olica_status olica_fit_solve(olica_fit *fit, double damping) {
  olica_context *context = fit->context;
  int d = fit->d;
  OLICA_TRY(
      olica_comm_agree(context, fit->gram->grid->comm, olica_solver_matrix(fit->solver, d, d, &fit->coef)));
  for (int j = 0; j < fit->coef->local_cols; j++)
    memcpy(fit->coef->a + (size_t)j * fit->coef->lld, fit->cross->a + (size_t)j * fit->cross->lld,
           (size_t)fit->coef->local_rows * sizeof(double));
  double delta = damping * olica_matrix_trace(fit->gram) / d;
  OLICA_TRY(olica_solver_ridge(fit->solver, "linear fit of the FFN", fit->gram, &delta, fit->coef));
  OLICA_TRY(olica_comm_agree(context, fit->gram->grid->comm, correlations(fit, delta)));
  warn_constant(fit);
  return OLICA_OK;
}
