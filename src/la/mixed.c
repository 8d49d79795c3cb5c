/* Subspaces in mixed precision: all eigenvectors in fp32, at the speed and the traffic of fp32; then those of
 * the m largest eigenvalues, some more than are wanted, are corrected in fp64, and the wanted ones taken from
 * their span.
 *
 *     -A/||A||_F = Z diag(w) Zᵀ          in fp32: S is the first m columns of Z
 *     until V passes its check:
 *       R = A S - S diag(theta)          in fp64: theta are the Rayleigh quotients
 *       X_ij = (Zᵀ R)_ij / (theta_j + w_i)   for the columns i of Z outside of S
 *       S := S + Z X                     in fp32: X is small, so its errors are smaller yet
 *       S := S (I - E/2 + 3/8 E²)        E = SᵀS - I in fp64, the products in fp32
 *       Sᵀ A S = U diag(values) Uᵀ       in fp64, of order m, by the back end's algorithm
 *       V = S U                          the wanted columns
 *
 * The correction is Newton's to first order (Ogita and Aishima 2018, for some of the vectors alone): what is
 * wrong with S by e is wrong by about e² after it. In fp32 neighbours at the cut are mixed and may be in the
 * wrong order: Gram matrices of weights often have one eigenvalue that is 1e4 times those at the cut. The m -
 * r vectors beyond it keep what is not yet corrected (neighbours at S's own end) away from the wanted ones,
 * and the problem of order m puts them in order. */
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
  int n, m, wanted;
  double norm;            /* of A */
  float *w;               /* [n] eigenvalues of -A/norm, ascending */
  double *theta, *square; /* [m] Rayleigh quotients of A/norm, squared norms of S's columns */
  double *values;         /* [wanted] eigenvalues of A */
  olica_single turned;    /* -A/norm [n x n] */
  olica_single z;         /* [n x n] */
  olica_single r, t;      /* [n x m] */
  olica_single x;         /* [n - m x m] */
  olica_single e;         /* [m x m] */
  olica_matrix *s, *y;    /* S, A S [n x m] */
  olica_matrix *h;        /* SᵀS - I, -SᵀA S [m x m] */
  olica_matrix *u;        /* [m x wanted] */
  olica_matrix *v, *g;    /* V, A V [n x wanted] */
  void *kept, *block;     /* of w to values and z; of what a stage needs */
} mixed;

/* Returns m: a few more than are wanted. */
static int some_more(int n, int wanted) {
  enum { LEAST = 32, ONE_IN = 32 };
  int more = LEAST + wanted / ONE_IN, half = (n - wanted) / 2;
  return wanted + (more < half ? more : half);
}

bool olica_mixed_is_used(const olica_backend_ops *ops, olica_solver_precision precision, int order,
                         int wanted) {
  return ops->single_eigen && precision == OLICA_SOLVER_MIXED && wanted < order;
}

/* ---- memory ---- */

static size_t numbers(const olica_single *s) {
  return (size_t)s->part.lld * (size_t)s->part.local_cols;
}

static size_t lay_out_kept(mixed *m, void *block) {
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, m->w, m->n);
  OLICA_TAKE(&arena, m->theta, m->m);
  OLICA_TAKE(&arena, m->square, m->m);
  OLICA_TAKE(&arena, m->values, m->wanted);
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
  OLICA_TAKE(&arena, m->t.a, numbers(&m->t));
  OLICA_TAKE(&arena, m->x.a, numbers(&m->x));
  OLICA_TAKE(&arena, m->e.a, numbers(&m->e));
  return arena.used;
}

void olica_mixed_replay(olica_ledger *ledger, const olica_site *at, int n, int wanted) {
  const olica_backend_ops *ops = olica_backend_ops_of(at->place.backend);
  int some = some_more(n, wanted);
  olica_grid grid;
  mixed m = {.n = n, .m = some, .wanted = wanted};
  m.turned.part = m.z.part = olica_solver_part(at, n, n, &grid);
  m.r.part = m.t.part = olica_solver_part(at, n, some, &grid);
  m.x.part = olica_solver_part(at, n - some, some, &grid);
  m.e.part = olica_solver_part(at, some, some, &grid);
  olica_hold before = olica_ledger_mark(ledger);
  olica_ledger_hold(ledger, lay_out_kept(&m, NULL));
  olica_solver_hold_matrix(ledger, at, n, some);
  olica_ledger_touch(ledger, lay_out_first(&m, NULL) + ops->measure_single(at, n));
  olica_ledger_hold(ledger, lay_out_steps(&m, NULL));
  olica_solver_hold_matrix(ledger, at, n, some);
  olica_solver_hold_matrix(ledger, at, some, some);
  olica_solver_hold_matrix(ledger, at, some, wanted);
  olica_solver_hold_matrix(ledger, at, n, wanted);
  olica_ledger_touch(ledger, ops->measure_eigen(at, some, wanted));
  olica_ledger_rewind(ledger, before);
}

static olica_status allocate_steps(mixed *m) {
  olica_solver *solver = m->solver;
  OLICA_TRY(OLICA_LAY_OUT(solver->context->env, "correction of a subspace", m->block, lay_out_steps, m));
  OLICA_TRY(olica_solver_matrix(solver, m->n, m->m, &m->y));
  OLICA_TRY(olica_solver_matrix(solver, m->m, m->m, &m->h));
  OLICA_TRY(olica_solver_matrix(solver, m->m, m->wanted, &m->u));
  return olica_solver_matrix(solver, m->n, m->wanted, &m->g);
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

static void add(const olica_single *from, double factor, olica_matrix *to) {
  for (size_t i = 0; i < held(to); i++) to->a[i] += factor * from->a[i];
}

/* ---- the steps ---- */

/* S := the first eigenvectors of fp32. */
static olica_status find_first(mixed *m) {
  olica_env *env = m->solver->context->env;
  OLICA_TRY(agree(m, OLICA_LAY_OUT(env, "a matrix in fp32", m->block, lay_out_first, m)));
  narrow(m->a, -1 / m->norm, &m->turned);
  olica_solver_enter(m->solver, "an eigenproblem");
  olica_status status = m->solver->ops->single_eigen(m->solver, &m->turned, m->w, &m->z);
  olica_solver_leave(m->solver);
  OLICA_FREE(env, m->block);
  for (size_t i = 0; status == OLICA_OK && i < held(m->s); i++) m->s->a[i] = m->z.a[i];
  return status;
}

/* theta := the Rayleigh quotients; R := (A S - S diag(theta)) / norm. */
static void find_residual(mixed *m) {
  olica_matrix_column_dots(m->s, m->y, m->theta);
  olica_matrix_column_dots(m->s, m->s, m->square);
  for (int j = 0; j < m->m; j++) m->theta[j] /= m->square[j] * m->norm;
  for (int j = 0; j < m->s->local_cols; j++) {
    double theta = m->theta[olica_matrix_global_col(m->s, j)];
    size_t column = (size_t)j * (size_t)m->s->lld;
    for (size_t i = column; i < column + (size_t)m->s->local_rows; i++)
      m->r.a[i] = (float)(m->y->a[i] / m->norm - theta * m->s->a[i]);
  }
}

/* X from Zᵀ R; 0 where two eigenvalues are too near for a first order. */
static void divide(mixed *m) {
  const double most = 0.1;
  for (int j = 0; j < m->x.part.local_cols; j++) {
    double theta = m->theta[olica_matrix_global_col(&m->x.part, j)];
    float *x = m->x.a + (size_t)j * (size_t)m->x.part.lld;
    for (int i = 0; i < m->x.part.local_rows; i++) {
      double part = x[i] / (theta + m->w[m->m + olica_matrix_global_row(&m->x.part, i)]);
      x[i] = fabs(part) <= most ? (float)part : 0; /* 0 also for x/0 */
    }
  }
}

static olica_status correct(mixed *m) {
  const olica_backend_ops *ops = m->solver->ops;
  OLICA_TRY(ops->single_multiply(m->solver, 1, &m->z, m->m, &m->r, &m->x));
  divide(m);
  OLICA_TRY(ops->single_multiply(m->solver, 0, &m->z, m->m, &m->x, &m->t));
  add(&m->t, 1, m->s);
  return OLICA_OK;
}

/* S := S (I - E/2 + 3/8 E²), which leaves about ||E||³/3 of an excess E, and fp32's part of it; repeated
 * where that is too much. */
static olica_status orthonormalize(mixed *m) {
  enum { TIMES = 3 };
  const olica_backend_ops *ops = m->solver->ops;
  const double rounding = 3e-7, allowed = 0.25 * m->solver->options.tolerance;
  double left = INFINITY;
  for (int i = 0; i < TIMES && !(left <= allowed); i++) {
    OLICA_TRY(olica_solver_excess(m->solver, m->s, m->h));
    double excess = olica_matrix_norm(m->h);
    left = excess * (excess * excess / 3 + rounding);
    narrow(m->h, 1, &m->e);
    narrow(m->s, 1, &m->r);
    OLICA_TRY(ops->single_multiply(m->solver, 0, &m->r, 0, &m->e, &m->t));
    add(&m->t, -0.5, m->s);
    OLICA_TRY(ops->single_multiply(m->solver, 0, &m->t, 0, &m->e, &m->r));
    add(&m->r, 0.375, m->s);
  }
  return OLICA_OK;
}

/* V and its values from Y = A S. */
static olica_status take(mixed *m) {
  olica_solver *solver = m->solver;
  OLICA_TRY(olica_solver_multiply(solver, 1, m->s, m->y, m->h));
  for (size_t i = 0; i < held(m->h); i++) m->h->a[i] = -m->h->a[i];
  olica_solver_enter(solver, "an eigenproblem");
  olica_status status = solver->ops->eigen[0].solve(solver, m->h, m->wanted, m->values, m->u);
  olica_solver_leave(solver);
  OLICA_TRY(status);
  return olica_solver_multiply(solver, 0, m->s, m->u, m->v);
}

/* *worst := the largest norm of the columns of A V - V diag(values), where A V = (A S) U; *distance :=
 * ||VᵀV - I||_F. */
static olica_status check(mixed *m, double *worst, double *distance) {
  olica_solver *solver = m->solver;
  olica_matrix part = /* in the numbers of H, which are free */
      olica_matrix_part(solver->grid, m->wanted, m->wanted, m->h->mb, m->h->nb);
  part.a = m->h->a;
  OLICA_TRY(olica_solver_multiply(solver, 0, m->y, m->u, m->g));
  for (int j = 0; j < m->wanted; j++) m->values[j] = -m->values[j];
  olica_solver_subtract(m->g, m->values, m->v);
  OLICA_TRY(olica_solver_worst_column(solver, m->g, worst));
  OLICA_TRY(olica_solver_excess(solver, m->v, &part));
  *distance = olica_matrix_norm(&part);
  return OLICA_OK;
}

static olica_status improve(mixed *m) {
  double worst = 0, distance = 0, before = INFINITY, tolerance = m->solver->options.tolerance;
  OLICA_TRY(olica_solver_multiply(m->solver, 0, m->a, m->s, m->y));
  for (int step = 0; step < STEPS; step++) {
    find_residual(m);
    OLICA_TRY(correct(m));
    OLICA_TRY(orthonormalize(m));
    OLICA_TRY(olica_solver_multiply(m->solver, 0, m->a, m->s, m->y));
    OLICA_TRY(take(m));
    OLICA_TRY(check(m, &worst, &distance));
    if (worst <= tolerance * m->norm && distance <= tolerance) return OLICA_OK;
    if (!(fmax(worst / m->norm, distance) < before / 3)) break;
    before = fmax(worst / m->norm, distance);
  }
  return olica_error_set(m->solver->context->env, OLICA_ERR_NUMERIC,
                         "a subspace in mixed precision fails its check: residual %.2e of the matrix norm, "
                         "orthogonal to %.2e; allowed is %.1e",
                         worst / m->norm, distance, tolerance);
}

static olica_status find(mixed *m) {
  OLICA_TRY(agree(m, olica_solver_matrix(m->solver, m->n, m->m, &m->s)));
  OLICA_TRY(find_first(m));
  OLICA_TRY(agree(m, allocate_steps(m)));
  return improve(m);
}

olica_status olica_mixed_subspace(olica_solver *solver, const olica_matrix *a, double norm, int wanted,
                                  olica_matrix *v) {
  olica_env *env = solver->context->env;
  int n = a->rows, some = some_more(n, wanted), mb = a->mb, nb = a->nb;
  mixed m = {.solver = solver, .a = a, .v = v, .n = n, .m = some, .wanted = wanted, .norm = norm};
  m.turned.part = m.z.part = *a;
  m.r.part = m.t.part = olica_matrix_part(solver->grid, n, some, mb, nb);
  m.x.part = olica_matrix_part(solver->grid, n - some, some, mb, nb);
  m.e.part = olica_matrix_part(solver->grid, some, some, mb, nb);
  olica_status status = agree(&m, OLICA_LAY_OUT(env, "eigenvectors in fp32", m.kept, lay_out_kept, &m));
  if (status == OLICA_OK) status = find(&m);
  olica_matrix *const all[] = {m.s, m.y, m.h, m.u, m.g};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) olica_matrix_destroy(all[i]);
  olica_memory_free(env, m.block);
  olica_memory_free(env, m.kept);
  return status;
}
