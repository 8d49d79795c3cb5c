/* SLEPc's Krylov-Schur on row blocks: for a few of many eigenpairs. The grid is P x 1 with one block of rows
 * on each rank, so that a local part is also a row of a PETSc MATDENSE and nothing is copied; products and
 * Cholesky are ScaLAPACK's on the same storage. */
#include <slepceps.h>

#include "backend.h"
#include "par/comm.h"

/* ---- the library's life ---- */

/* PETSc keeps pointers to its arguments until PetscFinalize. */
typedef struct session {
  MPI_Comm comm;
  int argc;
  char *argv[4], **args;
} session;

static olica_status petsc_failed(olica_env *env, PetscErrorCode code, const char *call) {
  const char *text = NULL;
  PetscErrorMessage(code, &text, NULL);
  return olica_error_set(env, OLICA_ERR_NUMERIC, "PETSc error %d (%s) in %s", (int)code, text ? text : "?",
                         call);
}

#define PETSC_TRY(env, call)                                                                                 \
  do {                                                                                                       \
    PetscErrorCode code_ = (call);                                                                           \
    if (code_ != 0) return petsc_failed((env), code_, #call);                                                \
  } while (0)

static olica_status initialize(olica_env *env, session *s) {
  PETSC_COMM_WORLD = s->comm;
  PETSC_TRY(env, SlepcInitialize(&s->argc, &s->args, NULL, NULL));
  PETSC_TRY(env, PetscPushErrorHandler(PetscReturnErrorHandler, NULL));
  return OLICA_OK;
}

/* Disables PETSc's options files and signal handlers, which would interfere with the run; a user's
 * PETSC_OPTIONS still applies. */
static olica_status start(olica_context *context, void **out) {
  static char name[] = "olica_mpi", no_file[] = "-skip_petscrc", no_signals[] = "-no_signal_handler";
  olica_env *env = context->env;
  session *s;
  PetscBool running = PETSC_FALSE;
  PETSC_TRY(env, PetscInitialized(&running));
  if (running) return OLICA_OK; /* another part of the process initialized it */
  OLICA_AGREE(context, OLICA_NEW(env, s, 1));
  *s = (session){.argc = 3, .argv = {name, no_file, no_signals}};
  s->args = s->argv;
  MPI_Comm_dup(context->comm, &s->comm);
  OLICA_AGREE(context, initialize(env, s));
  olica_context_restore_threads(context); /* PETSc may have changed them for BLAS */
  *out = s;
  return OLICA_OK;
}

static void stop(olica_context *context, void *state) {
  session *s = state;
  if (!s) return;
  PetscPopErrorHandler();
  SlepcFinalize();
  MPI_Comm_free(&s->comm);
  olica_memory_free(context->env, s);
}

static void shape(int ranks, int *rows, int *cols) {
  *rows = ranks;
  *cols = 1;
}

static int block(int asked, int ranks, int rows) {
  (void)asked;
  return (rows + ranks - 1) / ranks;
}

/* PETSc's own memory is not counted. */
static size_t measure_eigen(const olica_site *at, int n, int wanted) {
  (void)at;
  (void)n;
  return sizeof(Vec) * (size_t)wanted;
}

/* ---- eigenproblems ---- */

/* Parameters of a Krylov-Schur run. */
typedef struct effort {
  int pairs, space; /* wanted, and the dimension of the search space (0: SLEPc's choice) */
  double tolerance; /* of a residual, relative to the matrix norm */
} effort;

/* The PETSc objects of one solution. */
typedef struct problem {
  Mat a;
  EPS eps;
  Vec *vectors; /* the columns of V, in place */
  int columns;
} problem;

static olica_status prepare(olica_env *env, const olica_matrix *a, const olica_matrix *v, problem *p) {
  MPI_Comm comm = a->grid->comm;
  int rows = a->local_rows, n = a->rows;
  PETSC_TRY(env, MatCreateDense(comm, rows, rows, n, n, a->a, &p->a));
  PETSC_TRY(env, MatAssemblyBegin(p->a, MAT_FINAL_ASSEMBLY));
  PETSC_TRY(env, MatAssemblyEnd(p->a, MAT_FINAL_ASSEMBLY));
  PETSC_TRY(env, MatSetOption(p->a, MAT_SYMMETRIC, PETSC_TRUE));
  for (; p->columns < v->cols; p->columns++) {
    double *column = v->a + (size_t)p->columns * (size_t)v->lld;
    PETSC_TRY(env, VecCreateMPIWithArray(comm, 1, rows, n, column, &p->vectors[p->columns]));
  }
  return OLICA_OK;
}

static void clean_up(problem *p) {
  EPSDestroy(&p->eps);
  MatDestroy(&p->a);
  while (p->columns > 0) VecDestroy(&p->vectors[--p->columns]);
}

/* Runs Krylov-Schur for the smallest eigenvalues. */
static olica_status iterate(olica_env *env, problem *p, effort try) {
  PetscInt space = try.space > 0 ? try.space : PETSC_DEFAULT, found = 0;
  PETSC_TRY(env, EPSCreate(PetscObjectComm((PetscObject)p->a), &p->eps));
  PETSC_TRY(env, EPSSetOperators(p->eps, p->a, NULL));
  PETSC_TRY(env, EPSSetProblemType(p->eps, EPS_HEP));
  PETSC_TRY(env, EPSSetType(p->eps, EPSKRYLOVSCHUR));
  PETSC_TRY(env, EPSSetWhichEigenpairs(p->eps, EPS_SMALLEST_REAL));
  /* Not relative to |lambda|: a zero eigenvalue would never converge. */
  PETSC_TRY(env, EPSSetConvergenceTest(p->eps, EPS_CONV_NORM));
  PETSC_TRY(env, EPSSetTolerances(p->eps, try.tolerance, PETSC_DEFAULT));
  PETSC_TRY(env, EPSSetDimensions(p->eps, try.pairs, space, PETSC_DEFAULT));
  PETSC_TRY(env, EPSSolve(p->eps));
  PETSC_TRY(env, EPSGetConverged(p->eps, &found));
  if (found >= try.pairs) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_NUMERIC, "Krylov-Schur found %d of %d eigenpairs", (int)found,
                         try.pairs);
}

static olica_status extract(olica_env *env, problem *p, int wanted, double *values) {
  for (int j = 0; j < wanted; j++)
    PETSC_TRY(env, EPSGetEigenpair(p->eps, j, &values[j], NULL, p->vectors[j], NULL));
  return OLICA_OK;
}

/* Checks that no eigenvalue was missed: a Krylov space holds one vector of each eigenvalue, so copies of a
 * multiple one can be missed while later ones converge. With the found eigenvalues lifted above all others,
 * the smallest is no smaller than the last one found: A + 4 ||A|| V Vᵀ - (values[wanted - 1] - slack) I has a
 * Cholesky factor if and only if none was missed. Destroys A's lower triangle. */
static olica_status nothing_missed(olica_solver *solver, olica_matrix *a, int wanted, const double *values,
                                   const olica_matrix *v, double norm) {
  const double lift = 4;
  olica_scalapack_add_gram(v, lift * norm, a);
  olica_matrix_shift_diagonal(a, solver->options.tolerance * norm - values[wanted - 1]);
  if (olica_scalapack_factor(solver, a) == OLICA_OK) return OLICA_OK;
  return olica_error_set(solver->context->env, OLICA_ERR_NUMERIC, "Krylov-Schur missed an eigenvalue");
}

static olica_status solve(olica_solver *solver, olica_matrix *a, int wanted, double *values, olica_matrix *v,
                          effort try, problem *p) {
  olica_env *env = solver->context->env;
  PetscReal norm;
  OLICA_TRY(prepare(env, a, v, p));
  PETSC_TRY(env, MatNorm(p->a, NORM_FROBENIUS, &norm));
  OLICA_TRY(iterate(env, p, try));
  OLICA_TRY(extract(env, p, wanted, values));
  if (try.pairs == a->rows) return OLICA_OK;
  return nothing_missed(solver, a, wanted, values, v, norm);
}

static olica_status krylov(olica_solver *solver, olica_matrix *a, int wanted, double *values, olica_matrix *v,
                           effort try) {
  olica_context *context = solver->context;
  problem p = {0};
  OLICA_TRY(
      olica_comm_agree(context, solver->grid->comm, OLICA_NEW(context->env, p.vectors, (size_t)wanted)));
  olica_status status = solve(solver, a, wanted, values, v, try, &p);
  clean_up(&p);
  OLICA_FREE(context->env, p.vectors);
  return olica_comm_agree(context, solver->grid->comm, status);
}

/* Returns the number of pairs to request: if half of them or more are wanted, all, since then none can be
 * missed. */
static int pairs(int wanted, int n) {
  return 2 * wanted < n ? wanted : n;
}

/* The facade's residual check uses the Frobenius norm, Krylov-Schur's own the infinity norm, which is
 * larger. */
static olica_status plain(olica_solver *solver, olica_matrix *a, int wanted, double *values,
                          olica_matrix *v) {
  effort try = {.pairs = pairs(wanted, a->rows), .tolerance = 1e-3 * solver->options.tolerance};
  return krylov(solver, a, wanted, values, v, try);
}

static olica_status harder(olica_solver *solver, olica_matrix *a, int wanted, double *values,
                           olica_matrix *v) {
  enum { TIMES = 4, MORE = 64 };
  int n = a->rows, space = wanted < (n - MORE) / TIMES ? TIMES * wanted + MORE : n;
  effort try = {.pairs = pairs(wanted, n), .space = space, .tolerance = 1e-5 * solver->options.tolerance};
  return krylov(solver, a, wanted, values, v, try);
}

const olica_backend_ops olica_backend_slepc = {
    .name = "slepc",
    .about = "SLEPc's Krylov-Schur on row blocks, each problem on all ranks; products are ScaLAPACK's",
    .shape = shape,
    .block = block,
    .measure_eigen = measure_eigen,
    .start = start,
    .stop = stop,
    .gram = olica_scalapack_gram,
    .multiply = olica_scalapack_multiply,
    .eigen = {{"Krylov-Schur", plain}, {"a wider Krylov-Schur", harder}, {"pdsyevd", olica_scalapack_syevd}},
    .factor = olica_scalapack_factor,
    .substitute = olica_scalapack_substitute,
};
