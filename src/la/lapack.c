/* LAPACK on one rank: the plain reference. The grid is 1 x 1, so a matrix is an ordinary column-major one. */
#include <cblas.h>
#include <limits.h>
#include <string.h>

#include "backend.h"
#include "base/arena.h"
#include "fortran.h"

static void shape(int ranks, int *rows, int *cols) {
  (void)ranks;
  *rows = *cols = 1;
}

static int block(int asked, int ranks, int rows) {
  (void)ranks;
  (void)rows;
  return asked;
}

/* Up to this order one thread is nearly as fast as several, and the last bits of a solution then do not
 * depend on the number of threads. */
enum { SERIAL_ORDER = 1024 };

static void narrow(int order) {
  if (order <= SERIAL_ORDER) openblas_set_num_threads(1);
}

static olica_status widen(const olica_solver *solver, olica_status status) {
  openblas_set_num_threads(solver->context->threads);
  return status;
}

static olica_status gram(olica_solver *solver, const olica_matrix *m, olica_matrix *g) {
  narrow(m->rows);
  cblas_dsyrk(CblasColMajor, CblasLower, CblasNoTrans, m->rows, m->cols, 1, m->a, m->lld, 0, g->a, g->lld);
  return widen(solver, OLICA_OK);
}

static olica_status multiply(olica_solver *solver, int transposed, const olica_matrix *a,
                             const olica_matrix *b, olica_matrix *c) {
  narrow(b->rows);
  cblas_dgemm(CblasColMajor, transposed ? CblasTrans : CblasNoTrans, CblasNoTrans, c->rows, c->cols, b->rows,
              1, a->a, a->lld, b->a, b->lld, 0, c->a, c->lld);
  return widen(solver, OLICA_OK);
}

static olica_status verdict(olica_env *env, const char *routine, int info) {
  if (info == 0) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_NUMERIC, "%s returned %d", routine, info);
}

/* Computes the wanted eigenpairs of the tridiagonal matrix (d, e): few pairs by MRRR, which can find a
 * subset; otherwise all by divide and conquer, which consists of matrix products. z [n x n] is NULL for
 * few. */
static int few(int wanted, int n) {
  enum { ONE_IN = 8 };
  return wanted <= n / ONE_IN;
}

static int tridiagonal_pairs(int n, int wanted, double *d, double *e, double *z, int *support,
                             const olica_workspace *s, olica_matrix *v) {
  int info = 0, first = 1, found = 0, careful = 1;
  double zero = 0;
  if (few(wanted, n)) {
    dstemr_("V", "I", &n, d, e, &zero, &zero, &first, &wanted, &found, s->w, v->a, &n, &wanted, support,
            &careful, s->work, &s->lwork, s->iwork, &s->liwork, &info, 1, 1);
    return info == 0 && found < wanted ? n + 1 : info;
  }
  dstedc_("I", &n, d, e, z, &n, s->work, &s->lwork, s->iwork, &s->liwork, &info, 1);
  memcpy(s->w, d, (size_t)n * sizeof *d);
  memcpy(v->a, z, (size_t)n * (size_t)wanted * sizeof *z);
  return info;
}

/* Workspace of sytrd, and the lengths of its real and integer work arrays. */
typedef struct reduction {
  int n;
  size_t square;         /* numbers of z: n x n, or 0 if the eigenvectors are few */
  double work, integers; /* lengths */
  double *d, *e, *tau;   /* [n] of dsytrd */
  double *z;
  int *support; /* [2 n] of dstemr */
  void *block;
} reduction;

static size_t lay_out(reduction *r, void *block) {
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, r->d, r->n);
  OLICA_TAKE(&arena, r->e, r->n);
  OLICA_TAKE(&arena, r->tau, r->n);
  OLICA_TAKE(&arena, r->z, r->square);
  OLICA_TAKE(&arena, r->support, 2 * r->n);
  return arena.used;
}

static reduction reduction_of(int n, int wanted) {
  enum { BLOCK = 64, MRRR = 18, MRRR_INTEGERS = 10, DIVIDE = 4, DIVIDE_INTEGERS = 5 };
  size_t square = few(wanted, n) ? 0 : (size_t)n * (size_t)n;
  double work = few(wanted, n) ? MRRR * (double)n : DIVIDE * (double)n + (double)square + 1;
  return (reduction){.n = n,
                     .square = square,
                     .work = work > BLOCK * (double)n ? work : BLOCK * (double)n,
                     .integers = (few(wanted, n) ? MRRR_INTEGERS : DIVIDE_INTEGERS) * (double)n};
}

static size_t measure_eigen(const olica_site *at, int n, int wanted) {
  (void)at;
  reduction r = reduction_of(n, wanted);
  return olica_workspace_measure(n, r.work, r.integers) + lay_out(&r, NULL);
}

/* Householder reduction, the wanted pairs of the tridiagonal matrix, and back-transformation of these pairs
 * only. DSYEVR computes a subset one pair at a time, and DSYEVD back-transforms all pairs. */
static olica_status sytrd(olica_solver *solver, olica_matrix *a, int wanted, double *values,
                          olica_matrix *v) {
  olica_env *env = solver->context->env;
  int n = a->rows, info = 0;
  reduction r = reduction_of(n, wanted);
  olica_workspace s;
  OLICA_TRY(olica_workspace_get(env, n, r.work, r.integers, &s));
  OLICA_TRY(OLICA_LAY_OUT(env, "reduction of an eigenproblem", r.block, lay_out, &r));
  narrow(n);
  dsytrd_("L", &n, a->a, &a->lld, r.d, r.e, r.tau, s.work, &s.lwork, &info, 1);
  if (info == 0) info = tridiagonal_pairs(n, wanted, r.d, r.e, r.z, r.support, &s, v);
  if (info == 0)
    dormtr_("L", "L", "N", &n, &wanted, a->a, &a->lld, r.tau, v->a, &v->lld, s.work, &s.lwork, &info, 1, 1,
            1);
  memcpy(values, s.w, (size_t)wanted * sizeof *values);
  OLICA_FREE(env, r.block);
  olica_workspace_free(env, &s);
  return widen(solver, verdict(env, few(wanted, n) ? "dsytrd, dstemr" : "dsytrd, dstedc", info));
}

/* The second choice: a subset of the pairs by bisection and inverse iteration. */
static olica_status syevr(olica_solver *solver, olica_matrix *a, int wanted, double *values,
                          olica_matrix *v) {
  olica_env *env = solver->context->env;
  int n = a->rows, first = 1, found = 0, info = 0, query = -1, integers = 0, *support;
  double answer = 0, zero = 0;
  dsyevr_("V", "I", "L", &n, a->a, &a->lld, &zero, &zero, &first, &wanted, &zero, &found, &zero, v->a,
          &v->lld, &integers, &answer, &query, &integers, &query, &info, 1, 1, 1);
  OLICA_TRY(verdict(env, "dsyevr (workspace)", info));
  olica_workspace s;
  OLICA_TRY(olica_workspace_get(env, n, answer, integers, &s));
  OLICA_TRY(OLICA_NEW(env, support, 2 * (size_t)n));
  narrow(n);
  dsyevr_("V", "I", "L", &n, a->a, &a->lld, &zero, &zero, &first, &wanted, &zero, &found, s.w, v->a, &v->lld,
          support, s.work, &s.lwork, s.iwork, &s.liwork, &info, 1, 1, 1);
  memcpy(values, s.w, (size_t)wanted * sizeof *values);
  OLICA_FREE(env, support);
  olica_workspace_free(env, &s);
  return widen(solver, verdict(env, "dsyevr", info));
}

/* ---- fp32 ---- */

/* Columns of a block of reflectors: wider than LAPACK's, so that the eigenvectors pass through memory less
 * often. */
enum { REFLECTORS = 128 };

/* Workspace of a whole eigenproblem in fp32. */
typedef struct whole {
  int n, lwork, liwork;
  float *e, *tau;  /* [n] of ssytrd */
  float *work, *t; /* t [REFLECTORS x REFLECTORS] of slarft */
  int *iwork;
  void *block;
} whole;

static size_t lay_out_whole(whole *s, void *block) {
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, s->e, s->n);
  OLICA_TAKE(&arena, s->tau, s->n);
  OLICA_TAKE(&arena, s->work, s->lwork);
  OLICA_TAKE(&arena, s->t, REFLECTORS * REFLECTORS);
  OLICA_TAKE(&arena, s->iwork, s->liwork);
  return arena.used;
}

/* sstedc needs 1 + 4 n + n²; slarfb and ssytrd a block of columns. */
static whole whole_of(int n) {
  enum { DIVIDE = 4, INTEGERS = 5 };
  size_t square = (size_t)n * (size_t)n + DIVIDE * (size_t)n + 1, block = REFLECTORS * (size_t)n;
  size_t most = square > block ? square : block;
  return (whole){.n = n, .lwork = most > INT_MAX ? INT_MAX : (int)most, .liwork = INTEGERS * n + 3};
}

static size_t measure_single(const olica_site *at, int n) {
  (void)at;
  whole s = whole_of(n);
  return lay_out_whole(&s, NULL);
}

/* Z := H_1 ... H_(n-1) Z, the reflectors of ssytrd in A. */
static void reflect(const whole *s, const olica_single *a, olica_single *z) {
  int n = s->n, nb = REFLECTORS;
  for (int first = (n - 2) / nb * nb; first >= 0 && n > 1; first -= nb) {
    int rows = n - 1 - first, count = rows < nb ? rows : nb;
    const float *v = a->a + (size_t)first * (size_t)a->part.lld + first + 1;
    slarft_("F", "C", &rows, &count, v, &a->part.lld, s->tau + first, s->t, &nb, 1, 1);
    slarfb_("L", "N", "F", "C", &rows, &n, &count, v, &a->part.lld, s->t, &nb, z->a + first + 1, &z->part.lld,
            s->work, &n, 1, 1, 1, 1);
  }
}

static olica_status single_eigen(olica_solver *solver, olica_single *a, float *w, olica_single *z) {
  olica_env *env = solver->context->env;
  int n = a->part.rows, info = 0;
  whole s = whole_of(n);
  if (s.lwork == INT_MAX) return verdict(env, "an eigenproblem too large for sstedc", n);
  OLICA_TRY(OLICA_LAY_OUT(env, "an eigenproblem in fp32", s.block, lay_out_whole, &s));
  narrow(n);
  ssytrd_("L", &n, a->a, &a->part.lld, w, s.e, s.tau, s.work, &s.lwork, &info, 1);
  if (info == 0) sstedc_("I", &n, w, s.e, z->a, &z->part.lld, s.work, &s.lwork, s.iwork, &s.liwork, &info, 1);
  if (info == 0) reflect(&s, a, z);
  OLICA_FREE(env, s.block);
  return widen(solver, verdict(env, "ssytrd, sstedc", info));
}

static olica_status single_multiply(olica_solver *solver, int transposed, const olica_single *a, int first,
                                    const olica_single *b, olica_single *c) {
  narrow(b->part.rows);
  cblas_sgemm(CblasColMajor, transposed ? CblasTrans : CblasNoTrans, CblasNoTrans, c->part.rows, c->part.cols,
              b->part.rows, 1, a->a + (size_t)first * (size_t)a->part.lld, a->part.lld, b->a, b->part.lld, 0,
              c->a, c->part.lld);
  return widen(solver, OLICA_OK);
}

/* ---- Cholesky ---- */

static olica_status factor(olica_solver *solver, olica_matrix *a) {
  int info = 0;
  narrow(a->rows);
  dpotrf_("L", &a->rows, a->a, &a->lld, &info, 1);
  return widen(solver, verdict(solver->context->env, "dpotrf", info));
}

static olica_status substitute(olica_solver *solver, const olica_matrix *a, olica_matrix *b) {
  int info = 0;
  narrow(a->rows);
  dpotrs_("L", &a->rows, &b->cols, a->a, &a->lld, b->a, &b->lld, &info, 1);
  return widen(solver, verdict(solver->context->env, "dpotrs", info));
}

const olica_backend_ops olica_backend_lapack = {
    .name = "lapack",
    .about = "LAPACK, each problem on one rank",
    .shape = shape,
    .block = block,
    .measure_eigen = measure_eigen,
    .gram = gram,
    .multiply = multiply,
    .eigen = {{"dsytrd", sytrd}, {"dsyevr", syevr}},
    .single_eigen = single_eigen,
    .single_multiply = single_multiply,
    .measure_single = measure_single,
    .factor = factor,
    .substitute = substitute,
};
