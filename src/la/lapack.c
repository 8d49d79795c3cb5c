/* LAPACK on one rank: the plain reference. The grid is 1 x 1, so that a matrix is an ordinary column-major
 * one. */
#include <cblas.h>
#include <string.h>

#include "backend.h"
#include "fortran.h"

static void shape(int ranks, int *rows, int *cols) {
  (void)ranks;
  *rows = *cols = 1;
}

static int block(const olica_solver *solver, int rows) {
  (void)rows;
  return solver->options.block;
}

/* Up to this order one thread does nearly as well as several, and then a solution does not depend, in its
 * last bits, on how many threads there are. */
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

/* MRRR; finds just the pairs that are wanted. */
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

/* Divide and conquer; finds all pairs, in a copy of A. */
static olica_status syevd(olica_solver *solver, olica_matrix *a, int wanted, double *values,
                          olica_matrix *v) {
  olica_env *env = solver->context->env;
  int n = a->rows, info = 0, query = -1, integers = 0;
  double answer = 0, unused = 0, *all;
  dsyevd_("V", "L", &n, a->a, &n, &unused, &answer, &query, &integers, &query, &info, 1, 1);
  OLICA_TRY(verdict(env, "dsyevd (workspace)", info));
  olica_workspace s;
  OLICA_TRY(olica_workspace_get(env, n, answer, integers, &s));
  OLICA_TRY(OLICA_NEW(env, all, (size_t)n * (size_t)n));
  memcpy(all, a->a, (size_t)n * (size_t)n * sizeof *all);
  narrow(n);
  dsyevd_("V", "L", &n, all, &n, s.w, s.work, &s.lwork, s.iwork, &s.liwork, &info, 1, 1);
  memcpy(values, s.w, (size_t)wanted * sizeof *values);
  memcpy(v->a, all, (size_t)n * (size_t)wanted * sizeof *all);
  OLICA_FREE(env, all);
  olica_workspace_free(env, &s);
  return widen(solver, verdict(env, "dsyevd", info));
}

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
    .gram = gram,
    .multiply = multiply,
    .eigen = {{"dsyevr", syevr}, {"dsyevd", syevd}},
    .factor = factor,
    .substitute = substitute,
};
