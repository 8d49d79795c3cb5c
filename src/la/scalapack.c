/* ScaLAPACK on a near-square process grid. Its descriptors need MB = NB, which every layout here has. */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "backend.h"
#include "base/arena.h"
#include "fortran.h"
#include "par/comm.h"

static const int one = 1; /* first row or column, in Fortran's count */
static const double zero_weight = 0, full_weight = 1;

typedef int descriptor[9];

static int block(int asked, int ranks, int rows) {
  (void)ranks;
  (void)rows;
  return asked;
}

static int minimum(int a, int b) {
  return a < b ? a : b;
}

static int maximum(int a, int b) {
  return a > b ? a : b;
}

/* Turns a routine's INFO, which some routines set on some ranks only, into a status agreed by all. */
static olica_status verdict(olica_solver *solver, const char *routine, int info) {
  olica_status status = OLICA_OK;
  if (info != 0)
    status = olica_error_set(solver->context->env, OLICA_ERR_NUMERIC, "%s returned %d", routine, info);
  return olica_comm_agree(solver->context, solver->grid->comm, status);
}

olica_status olica_scalapack_gram(olica_solver *solver, const olica_matrix *m, olica_matrix *g) {
  (void)solver;
  descriptor dm, dg;
  olica_matrix_describe(m, dm);
  olica_matrix_describe(g, dg);
  pdsyrk_("L", "N", &m->rows, &m->cols, &full_weight, m->a, &one, &one, dm, &zero_weight, g->a, &one, &one,
          dg);
  return OLICA_OK;
}

void olica_scalapack_add_gram(const olica_matrix *m, double weight, olica_matrix *g) {
  descriptor dm, dg;
  olica_matrix_describe(m, dm);
  olica_matrix_describe(g, dg);
  pdsyrk_("L", "N", &m->rows, &m->cols, &weight, m->a, &one, &one, dm, &full_weight, g->a, &one, &one, dg);
}

olica_status olica_scalapack_multiply(olica_solver *solver, int transposed, const olica_matrix *a,
                                      const olica_matrix *b, olica_matrix *c) {
  (void)solver;
  descriptor da, db, dc;
  olica_matrix_describe(a, da);
  olica_matrix_describe(b, db);
  olica_matrix_describe(c, dc);
  pdgemm_(transposed ? "T" : "N", "N", &c->rows, &c->cols, &b->rows, &full_weight, a->a, &one, &one, da, b->a,
          &one, &one, db, &zero_weight, c->a, &one, &one, dc);
  return OLICA_OK;
}

/* Returns the matrix for the eigenvectors: V itself if it has as many columns as are computed, else a wider
 * matrix. Agrees on the grid, also on the caller's `status`. */
static olica_status vectors_in(olica_solver *solver, olica_status status, int columns, olica_matrix *v,
                               olica_matrix **z) {
  *z = v;
  if (status == OLICA_OK && columns != v->cols)
    status = olica_matrix_create(solver->grid, v->rows, columns, v->mb, v->nb, z);
  return olica_comm_agree(solver->context, solver->grid->comm, status);
}

/* V := the first columns of Z. Their layouts agree, so the copy is local. */
static void take(olica_matrix *z, olica_matrix *v) {
  if (z == v) return;
  memcpy(v->a, z->a, (size_t)v->lld * (size_t)v->local_cols * sizeof *v->a);
  olica_matrix_destroy(z);
}

/* Returns the number of vectors that syevr requests. */
static int asked_for(int n, int wanted, int nb) {
  return minimum(n, maximum(wanted, nb));
}

/* Predicts the answer of pdsyevr_'s workspace query, which cannot be asked without the grid: for its MRRR,
 * and for the reduction, which works in blocks of ANB on a square grid (PDSYNTRD). */
static double numbers_asked(const olica_site *at, int n, int columns) {
  enum { ANB = 16, LEAST = 18 };
  int rows, cols, ranks, share, nb = at->block, side = 1;
  olica_grid_shape(at->place.count, &rows, &cols);
  ranks = rows * cols;
  share = (columns + ranks - 1) / ranks;
  while ((side + 1) * (side + 1) <= ranks) side++;
  double most = (double)olica_matrix_most(n, nb, rows) * olica_matrix_most(columns, nb, cols) + 2.0 * nb * nb;
  double mrrr = 2 + 5.0 * n + fmax(LEAST * (double)n, most) + (2.0 + share) * n;
  double nps = maximum(olica_matrix_most(n, 1, side), 2 * ANB);
  return fmax(mrrr, 5.0 * n + 2.0 * (ANB + 1) * (4 * nps + 2) + (nps + 4) * nps);
}

static size_t measure_eigen(const olica_site *at, int n, int wanted) {
  enum { TIMES = 12, LEAST = 4 };
  int columns = asked_for(n, wanted, at->block);
  double integers = TIMES * (double)maximum(maximum(n, at->place.count + 1), LEAST) + 2.0 * n;
  olica_ledger wider = {0};
  if (columns != wanted) olica_solver_hold_matrix(&wider, at, n, columns);
  return olica_workspace_measure(n, numbers_asked(at, n, columns), integers) + wider.now;
}

/* MRRR. If fewer vectors than a block are requested, PDSYEVR 2.2.1 returns wrong ones with INFO = 0. It
 * requires n columns in Z's descriptor but touches only those it computes, so that Z need not have n. */
static olica_status syevr(olica_solver *solver, olica_matrix *a, int wanted, double *values,
                          olica_matrix *v) {
  olica_env *env = solver->context->env;
  int n = a->rows, columns = asked_for(n, wanted, a->nb);
  int query = -1, integers = 0, found = 0, vectors = 0, info = 0;
  double answer[3] = {0}, unused = 0;
  descriptor d;
  olica_matrix_describe(a, d);
  pdsyevr_("V", "I", "L", &n, a->a, &one, &one, d, &unused, &unused, &one, &columns, &found, &vectors,
           &unused, &unused, &one, &one, d, answer, &query, &integers, &query, &info, 1, 1, 1);
  OLICA_TRY(verdict(solver, "pdsyevr (workspace)", info));
  olica_workspace s;
  olica_matrix *z;
  OLICA_TRY(vectors_in(solver, olica_workspace_get(env, n, answer[0], integers, &s), columns, v, &z));
  pdsyevr_("V", "I", "L", &n, a->a, &one, &one, d, &unused, &unused, &one, &columns, &found, &vectors, s.w,
           z->a, &one, &one, d, s.work, &s.lwork, s.iwork, &s.liwork, &info, 1, 1, 1);
  if (info == 0 && vectors < wanted) info = n + 1; /* some were not found, and INFO does not report it */
  memcpy(values, s.w, (size_t)wanted * sizeof *values);
  take(z, v);
  olica_workspace_free(env, &s);
  return verdict(solver, "pdsyevr", info);
}

/* Divide and conquer; computes all pairs. The workspace query of PDSYEVD 2.2.1 omits PDORMTR's need, which is
 * larger with large blocks; the result is then wrong with INFO = 0. Ranks that hold no part of the matrix get
 * no eigenvalues: the first rank of the grid always holds one. */
olica_status olica_scalapack_syevd(olica_solver *solver, olica_matrix *a, int wanted, double *values,
                                   olica_matrix *v) {
  olica_env *env = solver->context->env;
  int n = a->rows, query = -1, integers = 0, info = 0;
  double answer[3] = {0}, unused = 0;
  descriptor d;
  olica_matrix_describe(a, d);
  pdsyevd_("V", "L", &n, a->a, &one, &one, d, &unused, &unused, &one, &one, d, answer, &query, &integers,
           &query, &info, 1, 1);
  OLICA_TRY(verdict(solver, "pdsyevd (workspace)", info));
  olica_workspace s;
  olica_matrix *z;
  double nb = a->nb, ormtr = 2.0 * n + nb * (a->local_rows + a->local_cols + 2 * nb);
  OLICA_TRY(vectors_in(solver, olica_workspace_get(env, n, answer[0] + ormtr, integers, &s), n, v, &z));
  pdsyevd_("V", "L", &n, a->a, &one, &one, d, s.w, z->a, &one, &one, d, s.work, &s.lwork, s.iwork, &s.liwork,
           &info, 1, 1);
  memcpy(values, s.w, (size_t)wanted * sizeof *values);
  olica_comm_bcast(solver->context, solver->grid->comm, values, (size_t)wanted * sizeof *values, 0);
  take(z, v);
  olica_workspace_free(env, &s);
  return verdict(solver, "pdsyevd", info);
}

/* ---- fp32 ---- */

/* Workspace of pssyevd, by its documentation and, as above, with what psormtr needs. */
typedef struct whole {
  int lwork, liwork;
  float *work;
  int *iwork;
  void *block;
} whole;

static size_t lay_out_whole(whole *s, void *block) {
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, s->work, s->lwork);
  OLICA_TAKE(&arena, s->iwork, s->liwork);
  return arena.used;
}

static whole whole_of(int n, int nb, int rows, int cols) {
  double np = olica_matrix_most(n, nb, rows), nq = olica_matrix_most(n, nb, cols);
  double reduction = 3.0 * n + nb * fmax(np + 1, 3), divide = 1 + 6.0 * n + 2 * np * nq;
  double back = 2.0 * n + nb * (np + nq + 2.0 * nb);
  double all = fmax(reduction, divide) + 2.0 * n + back;
  return (whole){.lwork = all > INT_MAX ? INT_MAX : (int)all, .liwork = 7 * n + 8 * cols + 2};
}

static size_t measure_single(const olica_site *at, int n) {
  int rows, cols;
  olica_grid_shape(at->place.count, &rows, &cols);
  whole s = whole_of(n, at->block, rows, cols);
  return lay_out_whole(&s, NULL);
}

static olica_status single_eigen(olica_solver *solver, olica_single *a, float *w, olica_single *z) {
  olica_env *env = solver->context->env;
  int n = a->part.rows, info = 0;
  descriptor d;
  olica_matrix_describe(&a->part, d);
  whole s = whole_of(n, a->part.nb, solver->grid->rows, solver->grid->cols);
  if (s.lwork == INT_MAX) return verdict(solver, "an eigenproblem too large for pssyevd", n);
  OLICA_TRY(olica_comm_agree(solver->context, solver->grid->comm,
                             OLICA_LAY_OUT(env, "an eigenproblem in fp32", s.block, lay_out_whole, &s)));
  pssyevd_("V", "L", &n, a->a, &one, &one, d, w, z->a, &one, &one, d, s.work, &s.lwork, s.iwork, &s.liwork,
           &info, 1, 1);
  OLICA_FREE(env, s.block);
  OLICA_TRY(verdict(solver, "pssyevd", info));
  olica_comm_bcast(solver->context, solver->grid->comm, w, (size_t)n * sizeof *w, 0);
  return OLICA_OK;
}

static olica_status single_multiply(olica_solver *solver, int transposed, const olica_single *a, int first,
                                    const olica_single *b, olica_single *c) {
  (void)solver;
  const float nothing = 0, all = 1;
  const int column = first + 1;
  descriptor da, db, dc;
  olica_matrix_describe(&a->part, da);
  olica_matrix_describe(&b->part, db);
  olica_matrix_describe(&c->part, dc);
  psgemm_(transposed ? "T" : "N", "N", &c->part.rows, &c->part.cols, &b->part.rows, &all, a->a, &one, &column,
          da, b->a, &one, &one, db, &nothing, c->a, &one, &one, dc);
  return OLICA_OK;
}

/* ---- Cholesky ---- */

olica_status olica_scalapack_factor(olica_solver *solver, olica_matrix *a) {
  descriptor d;
  int info = 0;
  olica_matrix_describe(a, d);
  pdpotrf_("L", &a->rows, a->a, &one, &one, d, &info, 1);
  return verdict(solver, "pdpotrf", info);
}

olica_status olica_scalapack_substitute(olica_solver *solver, const olica_matrix *a, olica_matrix *b) {
  descriptor da, db;
  int info = 0;
  olica_matrix_describe(a, da);
  olica_matrix_describe(b, db);
  pdpotrs_("L", &a->rows, &b->cols, a->a, &one, &one, da, b->a, &one, &one, db, &info, 1);
  return verdict(solver, "pdpotrs", info);
}

const olica_backend_ops olica_backend_scalapack = {
    .name = "scalapack",
    .about = "ScaLAPACK, each problem on a near-square grid of ranks",
    .shape = olica_grid_shape,
    .block = block,
    .measure_eigen = measure_eigen,
    .gram = olica_scalapack_gram,
    .multiply = olica_scalapack_multiply,
    .eigen = {{"pdsyevr", syevr}, {"pdsyevd", olica_scalapack_syevd}},
    .single_eigen = single_eigen,
    .single_multiply = single_multiply,
    .measure_single = measure_single,
    .factor = olica_scalapack_factor,
    .substitute = olica_scalapack_substitute,
};
