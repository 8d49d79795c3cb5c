/* Subspaces in mixed precision: all eigenvectors in fp32, at the speed and the traffic of fp32; then the
 * wanted ones are corrected in fp64.
 *
 *     -A/||A||_F = Z diag(w) Zᵀ          in fp32: V is the first columns of Z
 *     until V passes its check:
 *       R = A V - V diag(theta)          in fp64: theta are the Rayleigh quotients
 *       X_ij = (Zᵀ R)_ij / (theta_j + w_i)   for the unwanted i alone
 *       V := V + Z X                     in fp32: X is small, so its errors are smaller yet
 *       V := V - V (VᵀV - I)/2           the excess in fp64, the product in fp32
 *
 * The correction is Newton's to first order (Ogita and Aishima 2018, for the wanted vectors alone): what is
 * wrong with V by e is wrong by about e² after it. Inside the subspace nothing is corrected: that would change
 * the basis alone. A pair of eigenvalues across the cut that is too near to be told apart gets no correction;
 * if it matters, the check fails. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "backend.h"
#include "base/arena.h"
#include "par/comm.h"

enum { STEPS = 3 };

typedef struct mixed {
  olica_solver *solver;
  const olica_matrix *a;
  olica_matrix *v;
  int n, wanted;
  double norm;            /* of A */
  float *w;               /* [n] eigenvalues of -A/norm, ascending */
  double *theta, *square; /* [wanted] Rayleigh quotients of A/norm, squared norms of V's columns */
  olica_single turned;    /* -A/norm [n x n] */
  olica_single z;         /* [n x n] */
  olica_single r, c;      /* [n x wanted] */
  olica_single e;         /* [wanted x wanted] */
  olica_matrix *y, *g;    /* A V, V Vᵀ A V [n x wanted] */
  olica_matrix *h;        /* Vᵀ A V, VᵀV - I [wanted x wanted] */
  void *kept, *block;     /* of w, theta, square, z; of what a stage needs */
} mixed;

bool olica_mixed_is_used(const olica_backend_ops *ops, olica_solver_precision precision, int order) {
  if (!ops->single_eigen || precision == OLICA_SOLVER_DOUBLE) return false;
  return precision == OLICA_SOLVER_MIXED || order > OLICA_SOLVER_WHOLE;
}

/* ---- memory ---- */

static size_t numbers(const olica_single *s) {
  return (size_t)s->part.lld * (size_t)s->part.local_cols;
}

static size_t lay_out_kept(mixed *m, void *block) {
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, m->w, m->n);
  OLICA_TAKE(&arena, m->theta, m->wanted);
  OLICA_TAKE(&arena, m->square, m->wanted);
  OLICA_TAKE(&arena, m->z.a, numbers(&m->z));
  return arena.used;
}

static size_t lay_out_first(mixed *m, void *block) {
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, m->turned.a, numbers(&m->turned));
  return arena.used;
}

static size_t lay_out_steps(mixed *m, void *block) {
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, m->r.a, numbers(&m->r));
  OLICA_TAKE(&arena, m->c.a, numbers(&m->c));
  OLICA_TAKE(&arena, m->e.a, numbers(&m->e));
  return arena.used;
}

void olica_mixed_replay(olica_ledger *ledger, const olica_site *at, int n, int wanted) {
  olica_grid grid;
  mixed m = {.n = n, .wanted = wanted};
  m.turned.part = m.z.part = olica_solver_part(at, n, n, &grid);
  m.r.part = m.c.part = olica_solver_part(at, n, wanted, &grid);
  m.e.part = olica_solver_part(at, wanted, wanted, &grid);
  olica_hold before = olica_ledger_mark(ledger);
  olica_ledger_hold(ledger, lay_out_kept(&m, NULL));
  olica_ledger_touch(ledger, lay_out_first(&m, NULL) +
                                 olica_backend_ops_of(at->place.backend)->measure_single(at, n));
  olica_ledger_hold(ledger, lay_out_steps(&m, NULL));
  olica_solver_hold_matrix(ledger, at, n, wanted);
  olica_solver_hold_matrix(ledger, at, n, wanted);
  olica_solver_hold_matrix(ledger, at, wanted, wanted);
  olica_ledger_touch(ledger, (size_t)wanted * sizeof(double));
  olica_ledger_rewind(ledger, before);
}

static olica_status allocate_steps(mixed *m) {
  OLICA_TRY(OLICA_LAY_OUT(m->solver->context->env, "correction of a subspace", m->block, lay_out_steps, m));
  OLICA_TRY(olica_solver_matrix(m->solver, m->n, m->wanted, &m->y));
  OLICA_TRY(olica_solver_matrix(m->solver, m->n, m->wanted, &m->g));
  return olica_solver_matrix(m->solver, m->wanted, m->wanted, &m->h);
}

static olica_status agree(const mixed *m, olica_status status) {
  return olica_comm_agree(m->solver->context, m->solver->grid->comm, status);
}

/* ---- between the precisions ---- */

static size_t held(const olica_matrix *a) {
  return (size_t)a->lld * (size_t)a->local_cols;
}

static void narrow(const olica_matrix *from, double factor, olica_single *to) {
  for (size_t i = 0; i < held(from); i++) to->a[i] = (float)(factor * from->a[i]);
}

static void add(const olica_single *from, olica_matrix *to) {
  for (size_t i = 0; i < held(to); i++) to->a[i] += from->a[i];
}

/* ---- the steps ---- */

/* V := the first eigenvectors of fp32. */
static olica_status find_first(mixed *m) {
  olica_env *env = m->solver->context->env;
  OLICA_TRY(agree(m, OLICA_LAY_OUT(env, "a matrix in fp32", m->block, lay_out_first, m)));
  narrow(m->a, -1 / m->norm, &m->turned);
  olica_solver_enter(m->solver, "an eigenproblem");
  olica_status status = m->solver->ops->single_eigen(m->solver, &m->turned, m->w, &m->z);
  olica_solver_leave(m->solver);
  OLICA_FREE(env, m->block);
  for (size_t i = 0; status == OLICA_OK && i < held(m->v); i++) m->v->a[i] = m->z.a[i];
  return status;
}

/* theta := the Rayleigh quotients; R := (A V - V diag(theta)) / norm. */
static void find_residual(mixed *m) {
  olica_matrix_column_dots(m->v, m->y, m->theta);
  olica_matrix_column_dots(m->v, m->v, m->square);
  for (int j = 0; j < m->wanted; j++) m->theta[j] /= m->square[j] * m->norm;
  for (int j = 0; j < m->v->local_cols; j++) {
    double theta = m->theta[olica_matrix_global_col(m->v, j)];
    size_t column = (size_t)j * (size_t)m->v->lld;
    for (size_t i = column; i < column + (size_t)m->v->local_rows; i++)
      m->r.a[i] = (float)(m->y->a[i] / m->norm - theta * m->v->a[i]);
  }
}

/* Refuses a cut between eigenvalues that fp32 cannot order: their distance is within what fp32 is seen to be
 * wrong by. */
static olica_status check_order(const mixed *m) {
  double wrong = 0;
  for (int j = 0; j < m->wanted; j++) wrong = fmax(wrong, fabs(m->theta[j] + m->w[j]));
  if (m->wanted == m->n || (double)m->w[m->wanted] - m->w[m->wanted - 1] > 2 * wrong) return OLICA_OK;
  return olica_error_set(m->solver->context->env, OLICA_ERR_NUMERIC,
                         "eigenvalues %d and %d are too near to be ordered in fp32", m->wanted,
                         m->wanted + 1);
}

/* C := X from C = Zᵀ R; 0 inside the subspace. */
static void divide(mixed *m) {
  const double most = 0.1;
  for (int j = 0; j < m->c.part.local_cols; j++) {
    int col = olica_matrix_global_col(&m->c.part, j);
    float *x = m->c.a + (size_t)j * (size_t)m->c.part.lld;
    for (int i = 0; i < m->c.part.local_rows; i++) {
      int row = olica_matrix_global_row(&m->c.part, i);
      double part = x[i] / (m->theta[col] + m->w[row]);
      x[i] = row >= m->wanted && fabs(part) <= most ? (float)part : 0; /* 0 also for x/0 */
    }
  }
}

static olica_status correct(mixed *m) {
  const olica_backend_ops *ops = m->solver->ops;
  OLICA_TRY(ops->single_multiply(m->solver, 1, &m->z, &m->r, &m->c));
  divide(m);
  OLICA_TRY(ops->single_multiply(m->solver, 0, &m->z, &m->c, &m->r));
  add(&m->r, m->v);
  return OLICA_OK;
}

static olica_status orthonormalize(mixed *m) {
  OLICA_TRY(olica_solver_excess(m->solver, m->v, m->h));
  narrow(m->h, -0.5, &m->e);
  narrow(m->v, 1, &m->r);
  OLICA_TRY(m->solver->ops->single_multiply(m->solver, 0, &m->r, &m->e, &m->c));
  add(&m->c, m->v);
  return OLICA_OK;
}

/* *worst := the largest norm of the columns of A V - V Vᵀ A V; *distance := ||VᵀV - I||_F. Y = A V stays. */
static olica_status check(mixed *m, double *worst, double *distance) {
  olica_solver *solver = m->solver;
  OLICA_TRY(olica_solver_multiply(solver, 0, m->a, m->v, m->y));
  OLICA_TRY(olica_solver_multiply(solver, 1, m->v, m->y, m->h));
  OLICA_TRY(olica_solver_multiply(solver, 0, m->v, m->h, m->g));
  for (size_t i = 0; i < held(m->g); i++) m->g->a[i] = m->y->a[i] - m->g->a[i];
  OLICA_TRY(olica_solver_worst_column(solver, m->g, worst));
  OLICA_TRY(olica_solver_excess(solver, m->v, m->h));
  *distance = olica_matrix_norm(m->h);
  return OLICA_OK;
}

static olica_status improve(mixed *m) {
  double worst = 0, distance = 0, before = INFINITY, tolerance = m->solver->options.tolerance;
  OLICA_TRY(olica_solver_multiply(m->solver, 0, m->a, m->v, m->y));
  for (int step = 0; step < STEPS; step++) {
    find_residual(m);
    if (step == 0) OLICA_TRY(check_order(m));
    OLICA_TRY(correct(m));
    OLICA_TRY(orthonormalize(m));
    OLICA_TRY(check(m, &worst, &distance));
    if (worst <= tolerance * m->norm && distance <= tolerance) return OLICA_OK;
    if (!(fmax(worst / m->norm, distance) < before / 10)) break;
    before = fmax(worst / m->norm, distance);
  }
  return olica_error_set(m->solver->context->env, OLICA_ERR_NUMERIC,
                         "a subspace in mixed precision fails its check: residual %.2e of the matrix norm, "
                         "orthogonal to %.2e; allowed is %.1e",
                         worst / m->norm, distance, tolerance);
}

static olica_status find(mixed *m) {
  OLICA_TRY(find_first(m));
  OLICA_TRY(agree(m, allocate_steps(m)));
  return improve(m);
}

olica_status olica_mixed_subspace(olica_solver *solver, const olica_matrix *a, double norm, int wanted,
                                  olica_matrix *v) {
  olica_env *env = solver->context->env;
  mixed m = {.solver = solver, .a = a, .v = v, .n = a->rows, .wanted = wanted, .norm = norm};
  m.turned.part = m.z.part = *a;
  m.r.part = m.c.part = *v;
  m.e.part = olica_matrix_part(solver->grid, wanted, wanted, a->mb, a->nb);
  olica_status status = agree(&m, OLICA_LAY_OUT(env, "eigenvectors in fp32", m.kept, lay_out_kept, &m));
  if (status == OLICA_OK) status = find(&m);
  olica_matrix_destroy(m.y);
  olica_matrix_destroy(m.g);
  olica_matrix_destroy(m.h);
  olica_memory_free(env, m.block);
  olica_memory_free(env, m.kept);
  return status;
}
