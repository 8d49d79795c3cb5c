/* The facade: checks arguments and results, retries, and adds the work to the timers. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "backend.h"
#include "par/comm.h"
#include "par/watch.h"

/* Agrees on a failure within the group. */
#define AGREE(solver, call) OLICA_TRY(olica_comm_agree((solver)->context, (solver)->grid->comm, (call)))

static olica_env *env_of(const olica_solver *solver) {
  return solver->context->env;
}

/* Returns true on the one member that warns for the group. */
static bool is_first(const olica_solver *solver) {
  return solver->context->rank == solver->grid->first;
}

static olica_status absent(const olica_solver *solver, const char *operation) {
  return olica_error_set(env_of(solver), OLICA_ERR_CONFIG, "the solver %s has no %s", solver->ops->name,
                         operation);
}

/* Adds this member's share of the operations to the timers. */
static void book(olica_solver *solver, double flops) {
  olica_timer_work(&env_of(solver)->timers, flops / solver->grid->count, 0);
}

/* Enters the watchdog, unless the rank solves alone and waits for nobody. */
void olica_solver_enter(olica_solver *solver, const char *what) {
  if (solver->grid->count > 1) olica_watch_enter(solver->context, what);
}

void olica_solver_leave(olica_solver *solver) {
  if (solver->grid->count > 1) olica_watch_leave(solver->context);
}

olica_status olica_solver_matrix(olica_solver *solver, int rows, int cols, olica_matrix **matrix) {
  int block = solver->ops->block(solver->options.block, solver->grid->count, rows);
  return olica_matrix_create(solver->grid, rows, cols, block, block, matrix);
}

olica_status olica_solver_gram(olica_solver *solver, const olica_matrix *m, olica_matrix *gram) {
  assert(gram->rows == m->rows && gram->cols == m->rows && m->grid == solver->grid &&
         gram->grid == solver->grid);
  if (!solver->ops->gram) return absent(solver, "Gram product");
  OLICA_TRY(solver->ops->gram(solver, m, gram));
  olica_matrix_mirror(gram, OLICA_LOWER);
  book(solver, (double)m->rows * m->rows * m->cols);
  return OLICA_OK;
}

olica_status olica_solver_multiply(olica_solver *solver, int transposed, const olica_matrix *a,
                                   const olica_matrix *b, olica_matrix *c) {
  assert((transposed ? a->cols : a->rows) == c->rows && (transposed ? a->rows : a->cols) == b->rows);
  assert(b->cols == c->cols && a->grid == solver->grid && b->grid == solver->grid && c->grid == solver->grid);
  if (!solver->ops->multiply) return absent(solver, "product");
  OLICA_TRY(solver->ops->multiply(solver, transposed, a, b, c));
  book(solver, 2.0 * c->rows * c->cols * b->rows);
  return OLICA_OK;
}

/* ---- estimates ---- */

bool olica_site_member(const olica_site *at) {
  return at->rank >= at->place.first && at->rank < at->place.first + at->place.count;
}

olica_matrix olica_solver_part(const olica_site *at, int rows, int cols, olica_grid *grid) {
  const olica_backend_ops *ops = olica_backend_ops_of(at->place.backend);
  int member = at->rank - at->place.first;
  *grid = (olica_grid){.first = at->place.first, .row = -1, .col = -1};
  ops->shape(at->place.count, &grid->rows, &grid->cols);
  grid->count = grid->rows * grid->cols;
  if (member >= 0 && member < grid->count) {
    grid->row = member / grid->cols;
    grid->col = member % grid->cols;
  }
  int block = ops->block(at->block, grid->count, rows);
  return olica_matrix_part(grid, rows, cols, block, block);
}

olica_hold olica_solver_hold_matrix(olica_ledger *ledger, const olica_site *at, int rows, int cols) {
  olica_grid grid;
  const olica_matrix part = olica_solver_part(at, rows, cols, &grid);
  return olica_ledger_hold(ledger, olica_matrix_measure(&part));
}

void olica_solver_replay_sum(olica_ledger *ledger, const olica_site *at, int rows, int cols) {
  olica_grid grid;
  const olica_matrix part = olica_solver_part(at, rows, cols, &grid);
  olica_ledger_touch(ledger, olica_matrix_measure_sum(&part, at->nodes));
}

void olica_solver_replay_replicate(olica_ledger *ledger, const olica_site *at, int rows, int cols) {
  olica_grid grid;
  const olica_matrix part = olica_solver_part(at, rows, cols, &grid);
  olica_ledger_touch(ledger, olica_matrix_measure_replicate(&part));
}

/* Replays the check of vectors [n x wanted]: their residual, and a number of each of its columns; then VᵀV.
 */
static void replay_check(olica_ledger *ledger, const olica_site *at, int n, int wanted) {
  olica_hold product = olica_solver_hold_matrix(ledger, at, n, wanted);
  olica_ledger_touch(ledger, (size_t)wanted * sizeof(double));
  olica_ledger_release(ledger, product);
  olica_ledger_release(ledger, olica_solver_hold_matrix(ledger, at, wanted, wanted));
}

void olica_solver_replay_eigen(olica_ledger *ledger, const olica_site *at, int n, int wanted) {
  olica_hold diagonal = olica_ledger_hold(ledger, (size_t)n * sizeof(double));
  olica_ledger_touch(ledger, olica_backend_ops_of(at->place.backend)->measure_eigen(at, n, wanted));
  replay_check(ledger, at, n, wanted);
  olica_ledger_release(ledger, diagonal);
}

void olica_solver_replay_subspace(olica_ledger *ledger, const olica_site *at, int n, int wanted) {
  if (olica_mixed_is_used(olica_backend_ops_of(at->place.backend), at->precision, n, wanted))
    olica_mixed_replay(ledger, at, n, wanted);
  olica_hold values = olica_ledger_hold(ledger, (size_t)wanted * sizeof(double));
  olica_solver_replay_eigen(ledger, at, n, wanted);
  olica_ledger_release(ledger, values);
}

/* The diagonal is kept. */
void olica_solver_replay_ridge(olica_ledger *ledger, int n) {
  olica_ledger_touch(ledger, (size_t)n * sizeof(double));
}

/* ---- eigenproblems ----
 * Back ends find the smallest eigenvalues, ascending, so A is negated: the largest come first, and with them
 * the first columns of V, wherever they lie. They leave the upper triangle alone, which saves a copy of A. */

static void negate(olica_matrix *a) {
  size_t count = (size_t)a->lld * (size_t)a->local_cols;
  for (size_t i = 0; i < count; i++) a->a[i] = -a->a[i];
}

/* Restores the lower triangle and the diagonal. */
static void restore(olica_matrix *a, const double *diagonal) {
  olica_matrix_set_diagonal(a, diagonal, 0);
  olica_matrix_mirror(a, OLICA_UPPER);
}

olica_status olica_solver_worst_column(olica_solver *solver, const olica_matrix *r, double *worst) {
  double *squares = NULL;
  AGREE(solver, OLICA_NEW(env_of(solver), squares, (size_t)r->cols));
  olica_matrix_column_dots(r, r, squares);
  *worst = 0;
  for (int j = 0; j < r->cols; j++)
    if (squares[j] > *worst || isnan(squares[j])) *worst = squares[j]; /* a NaN stays */
  *worst = sqrt(*worst);
  OLICA_FREE(env_of(solver), squares);
  return OLICA_OK;
}

void olica_solver_subtract(olica_matrix *r, const double *values, const olica_matrix *v) {
  for (int j = 0; j < v->local_cols; j++) {
    double value = values[olica_matrix_global_col(v, j)];
    size_t column = (size_t)j * (size_t)v->lld;
    for (size_t i = column; i < column + (size_t)v->local_rows; i++) r->a[i] -= value * v->a[i];
  }
}

/* *worst := the largest norm of the columns of A V - V diag(values). */
static olica_status residual(olica_solver *solver, const olica_matrix *a, const double *values,
                             const olica_matrix *v, double *worst) {
  olica_matrix *r;
  AGREE(solver, olica_solver_matrix(solver, v->rows, v->cols, &r));
  OLICA_TRY(olica_solver_multiply(solver, 0, a, v, r));
  olica_solver_subtract(r, values, v);
  OLICA_TRY(olica_solver_worst_column(solver, r, worst));
  olica_matrix_destroy(r);
  return OLICA_OK;
}

olica_status olica_solver_excess(olica_solver *solver, const olica_matrix *v, olica_matrix *excess) {
  OLICA_TRY(olica_solver_multiply(solver, 1, v, v, excess));
  olica_matrix_shift_diagonal(excess, -1);
  return OLICA_OK;
}

/* *distance := ||VᵀV - I||_F. */
static olica_status orthogonality(olica_solver *solver, const olica_matrix *v, double *distance) {
  olica_matrix *e;
  AGREE(solver, olica_solver_matrix(solver, v->cols, v->cols, &e));
  OLICA_TRY(olica_solver_excess(solver, v, e));
  *distance = olica_matrix_norm(e);
  olica_matrix_destroy(e);
  return OLICA_OK;
}

static olica_status check(olica_solver *solver, const char *algorithm, const olica_matrix *a, double norm,
                          const double *values, const olica_matrix *v) {
  double worst, distance, tolerance = solver->options.tolerance;
  OLICA_TRY(residual(solver, a, values, v, &worst));
  OLICA_TRY(orthogonality(solver, v, &distance));
  if (worst <= tolerance * norm && distance <= tolerance) return OLICA_OK;
  return olica_error_set(env_of(solver), OLICA_ERR_NUMERIC,
                         "the eigenvectors of %s fail their check: residual %.2e of the matrix norm, "
                         "orthogonal to %.2e; allowed is %.1e",
                         algorithm, worst / norm, distance, tolerance);
}

/* Tries the back end's algorithms in turn until a result passes the check. */
static olica_status solve_checked(olica_solver *solver, olica_matrix *a, double norm, int wanted,
                                  double *values, olica_matrix *v) {
  olica_env *env = env_of(solver);
  double *diagonal = NULL;
  AGREE(solver, OLICA_NEW(env, diagonal, (size_t)a->rows));
  olica_matrix_get_diagonal(a, diagonal);
  olica_status status = OLICA_OK;
  for (int k = 0; solver->ops->eigen[k].solve; k++) {
    const char *name = solver->ops->eigen[k].name;
    if (status != OLICA_OK) {
      if (is_first(solver))
        olica_log_warn(env, "an eigenproblem is solved again, by %s: %s failed", name,
                       solver->ops->eigen[k - 1].name);
      olica_error_clear(env);
    }
    olica_solver_enter(solver, "an eigenproblem");
    status = solver->ops->eigen[k].solve(solver, a, wanted, values, v);
    olica_solver_leave(solver);
    restore(a, diagonal);
    if (status == OLICA_OK) status = check(solver, name, a, norm, values, v);
    if (status != OLICA_ERR_NUMERIC) break;
  }
  OLICA_FREE(env, diagonal);
  return status;
}

/* Turns every column so that its component of largest modulus (the first of them) is positive. The components
 * are compared in one reduction: place = 2 row + (negative). */
static olica_status fix_signs(olica_solver *solver, olica_matrix *v) {
  struct {
    double modulus;
    int place;
  } * largest;
  double *sign = NULL;
  olica_env *env = env_of(solver);
  olica_status status = OLICA_NEW(env, largest, (size_t)v->cols);
  if (status == OLICA_OK) status = OLICA_NEW(env, sign, (size_t)v->cols);
  AGREE(solver, status);
  for (int j = 0; j < v->cols; j++) largest[j].modulus = -1;
  for (int j = 0; j < v->local_cols; j++) {
    const double *x = v->a + (size_t)j * (size_t)v->lld;
    int col = olica_matrix_global_col(v, j);
    for (int i = 0; i < v->local_rows; i++) {
      if (fabs(x[i]) <= largest[col].modulus) continue;
      largest[col].modulus = fabs(x[i]);
      largest[col].place = 2 * olica_matrix_global_row(v, i) + (x[i] < 0);
    }
  }
  olica_watch_enter(solver->context, "an allreduce on a grid");
  MPI_Allreduce(MPI_IN_PLACE, largest, v->cols, MPI_DOUBLE_INT, MPI_MAXLOC, solver->grid->comm);
  olica_watch_leave(solver->context);
  for (int j = 0; j < v->cols; j++) sign[j] = largest[j].place % 2 ? -1 : 1;
  olica_matrix_scale_columns(v, sign);
  OLICA_FREE(env, sign);
  OLICA_FREE(env, largest);
  return OLICA_OK;
}

static double identity(const void *unused, int row, int col) {
  (void)unused;
  return row == col;
}

/* Counts an eigenproblem. */
static void count(olica_solver *solver, int order) {
  solver->eigenproblems++;
  if (order > solver->largest) solver->largest = order;
}

olica_status olica_solver_eigen(olica_solver *solver, const char *what, olica_matrix *a, int wanted,
                                double *values, olica_matrix *v) {
  assert(a->rows == a->cols && v->rows == a->rows && v->cols == wanted && wanted > 0 && wanted <= a->rows);
  assert(a->grid == solver->grid && v->grid == solver->grid);
  olica_env *env = env_of(solver);
  if (!solver->ops->eigen[0].solve) return absent(solver, "eigensolver");
  double n = a->rows, norm = olica_matrix_norm(a);
  if (!isfinite(norm))
    return olica_error_set(env, OLICA_ERR_NUMERIC, "%s: the matrix has numbers that are not finite", what);
  count(solver, a->rows);
  if (norm == 0) { /* Krylov methods have no starting vector here */
    memset(values, 0, (size_t)wanted * sizeof *values);
    olica_matrix_fill(v, identity, NULL);
    return OLICA_OK;
  }
  negate(a);
  olica_status status = solve_checked(solver, a, norm, wanted, values, v);
  if (status != OLICA_OK) return olica_error_context(env, "%s: ", what);
  for (int j = 0; j < wanted; j++) values[j] = -values[j];
  book(solver, n * n * (4.0 / 3 * n + 2.0 * wanted));
  return fix_signs(solver, v);
}

/* ---- subspaces ---- */

/* In mixed precision; OLICA_ERR_NUMERIC, without a message, if that does not solve it. */
static olica_status subspace_mixed(olica_solver *solver, const char *what, const olica_matrix *a, int wanted,
                                   olica_matrix *v) {
  double n = a->rows, norm = olica_matrix_norm(a);
  if (!isfinite(norm) || norm == 0) return OLICA_ERR_NUMERIC;
  olica_status status = olica_mixed_subspace(solver, a, norm, wanted, v);
  if (status == OLICA_ERR_NUMERIC) {
    olica_error_clear(env_of(solver));
    solver->again++;
    return status;
  }
  if (status != OLICA_OK) return olica_error_context(env_of(solver), "%s: ", what);
  count(solver, a->rows);
  solver->mixed++;
  book(solver, n * n * (10.0 / 3 * n + 4.0 * wanted) + 2.0 * n * wanted * wanted);
  return fix_signs(solver, v);
}

/* Tells, once for the group, that a back end does not do what was asked for. */
static void tell_double(const olica_solver *solver) {
  if (solver->options.precision == OLICA_SOLVER_MIXED && is_first(solver))
    olica_log_warn(env_of(solver),
                   "%s has no fp32: it finds subspaces in double, not [solver] precision = %s",
                   solver->ops->name, olica_solver_precision_name(OLICA_SOLVER_MIXED));
}

olica_status olica_solver_subspace(olica_solver *solver, const char *what, olica_matrix *a, int wanted,
                                   olica_matrix *v) {
  assert(a->rows == a->cols && v->rows == a->rows && v->cols == wanted && wanted > 0 && wanted <= a->rows);
  olica_env *env = env_of(solver);
  double *values = NULL;
  if (!solver->ops->single_eigen) tell_double(solver);
  if (olica_mixed_is_used(solver->ops, solver->options.precision, a->rows, wanted)) {
    olica_status status = subspace_mixed(solver, what, a, wanted, v);
    if (status != OLICA_ERR_NUMERIC) return status;
  }
  AGREE(solver, OLICA_NEW(env, values, (size_t)wanted));
  olica_status status = olica_solver_eigen(solver, what, a, wanted, values, v);
  OLICA_FREE(env, values);
  return status;
}

/* ---- ridge ---- */

/* Returns the next larger shift after delta was too small; positive even if delta was 0. */
static double grown(double delta, double trace, int n) {
  const double least = 1e-12;
  double floor = trace > 0 ? least * trace / n : 1;
  return delta > 0 ? 10 * delta : floor;
}

/* A := the Cholesky factor of A + delta I, delta grown as far as needed. */
static olica_status factor_shifted(olica_solver *solver, olica_matrix *a, double *delta) {
  olica_env *env = env_of(solver);
  double *diagonal = NULL, trace = olica_matrix_trace(a);
  AGREE(solver, OLICA_NEW(env, diagonal, (size_t)a->rows));
  olica_matrix_get_diagonal(a, diagonal);
  olica_status status;
  for (int retry = 0;; retry++) {
    olica_matrix_set_diagonal(a, diagonal, *delta);
    olica_solver_enter(solver, "a Cholesky factorization");
    status = solver->ops->factor(solver, a);
    olica_solver_leave(solver);
    if (status != OLICA_ERR_NUMERIC || retry == OLICA_RIDGE_RETRIES) break;
    olica_error_clear(env);
    if (is_first(solver))
      olica_log_warn(env, "a ridge fit's matrix is not positive definite; its delta is raised tenfold");
    *delta = grown(*delta, trace, a->rows);
    restore(a, diagonal);
  }
  OLICA_FREE(env, diagonal);
  return status;
}

static void clear_upper(olica_matrix *a) {
  for (int j = 0; j < a->local_cols; j++)
    for (int i = 0; i < a->local_rows; i++)
      if (olica_matrix_global_row(a, i) < olica_matrix_global_col(a, j))
        a->a[(size_t)j * (size_t)a->lld + (size_t)i] = 0;
}

olica_status olica_solver_factor(olica_solver *solver, const char *what, olica_matrix *a, double *delta) {
  assert(a->rows == a->cols && a->grid == solver->grid);
  olica_env *env = env_of(solver);
  if (!solver->ops->factor) return absent(solver, "Cholesky factorization");
  if (!isfinite(olica_matrix_norm(a) + *delta))
    return olica_error_set(env, OLICA_ERR_NUMERIC, "%s: the matrix has numbers that are not finite", what);
  if (factor_shifted(solver, a, delta) != OLICA_OK)
    return olica_error_context(env, "%s: (A + %.3g I): ", what, *delta);
  clear_upper(a);
  book(solver, (double)a->rows * a->rows * a->rows / 3);
  return OLICA_OK;
}

olica_status olica_solver_ridge(olica_solver *solver, const char *what, olica_matrix *a, double *delta,
                                olica_matrix *b) {
  assert(a->rows == a->cols && b->rows == a->rows && a->grid == solver->grid && b->grid == solver->grid);
  olica_env *env = env_of(solver);
  if (!solver->ops->factor || !solver->ops->substitute) return absent(solver, "ridge solve");
  if (!isfinite(olica_matrix_norm(a) + olica_matrix_norm(b) + *delta))
    return olica_error_set(env, OLICA_ERR_NUMERIC, "%s: the matrix has numbers that are not finite", what);
  if (factor_shifted(solver, a, delta) != OLICA_OK)
    return olica_error_context(env, "%s: (A + %.3g I): ", what, *delta);
  olica_solver_enter(solver, "a Cholesky solution");
  olica_status status = solver->ops->substitute(solver, a, b);
  olica_solver_leave(solver);
  OLICA_TRY(status);
  if (!isfinite(olica_matrix_norm(b)))
    return olica_error_set(env, OLICA_ERR_NUMERIC, "%s: the solution of (A + %.3g I) X = B is not finite",
                           what, *delta);
  double n = a->rows;
  book(solver, n * n * (n / 3 + 2.0 * b->cols));
  return OLICA_OK;
}
