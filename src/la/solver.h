/* The solvers' facade: dense problems in fp64 on groups of ranks, over replaceable back ends.
 *
 * A solver is a back end together with the group of ranks it runs on. It chooses the layout of its matrices
 * (olica_solver_matrix). Every rank of the context holds the solver; creation and destruction are collective
 * on the context, everything else is collective on the group and called by its members alone. Independent
 * problems on disjoint groups run at the same time. All members return the same status; the caller agrees
 * with the ranks outside.
 *
 * Back ends: `lapack` (one rank; the reference), `scalapack` (near-square process grid, PxSYRK, PxPOTRF,
 * PxSYEVR), `slepc` (Krylov-Schur on row blocks; its Gram and ridge are ScaLAPACK's on the same blocks). */
#ifndef OLICA_LA_SOLVER_H
#define OLICA_LA_SOLVER_H

#include <stdbool.h>

#include "base/ledger.h"
#include "la/matrix.h"

typedef enum olica_backend {
  OLICA_BACKEND_AUTO,
  OLICA_BACKEND_LAPACK,
  OLICA_BACKEND_SCALAPACK,
  OLICA_BACKEND_SLEPC,
  OLICA_BACKENDS
} olica_backend;

/* Precision of the subspaces: mixed finds them in fp32 and corrects them in fp64; auto: double, since mixed
 * did not pay where it was measured (doc/methods.md). A back end without fp32 (slepc) always takes double. */
typedef enum olica_solver_precision {
  OLICA_SOLVER_AUTO,
  OLICA_SOLVER_DOUBLE,
  OLICA_SOLVER_MIXED,
  OLICA_SOLVER_PRECISIONS
} olica_solver_precision;

const char *olica_solver_precision_name(olica_solver_precision precision);

const char *olica_backend_name(olica_backend backend);  /* "auto", "lapack", ... */
const char *olica_backend_about(olica_backend backend); /* one line for --list */

typedef struct olica_solver olica_solver;

/* The work of one problem of a step, on a symmetric matrix of order `order`: its Gram product of order x
 * inner numbers, the number of eigenpairs, the number of right-hand sides of a ridge solve. 0: that part is
 * absent. */
typedef struct olica_problem {
  int order, inner, wanted, columns;
} olica_problem;

/* Returns the modelled seconds of a problem: LAPACK on one rank, ScaLAPACK on more (src/la/placement.c).
 * Pure. */
double olica_solver_seconds(const olica_problem *problem, int ranks);

/* Places the independent problems of a step on ranks and chooses their back ends. The result depends on the
 * arguments alone and so is the same on every rank. Not collective; OLICA_ERR_MEMORY only.
 *
 * auto takes the fastest of three placements by the model: every problem on one rank with LAPACK, longest
 * first to the least busy rank; the longest problems on groups of ranks side by side with ScaLAPACK, the
 * others on one rank each; or all ranks for each problem in turn. Problems up to order OLICA_SOLVER_WHOLE
 * stay on one rank, so that their last bits do not depend on the number of ranks. A back end requested by
 * name: lapack places every problem on one rank; scalapack and slepc run every problem on all ranks, one
 * after the other.
 *
 * Groups are contiguous. A rank solves its problems in ascending order of index, so groups cannot
 * deadlock. */
typedef struct olica_placement {
  olica_backend backend;
  int first, count; /* ranks [first, first + count) */
} olica_placement;
enum { OLICA_SOLVER_WHOLE = 1024 };
olica_status olica_solver_place(olica_env *env, olica_backend asked, int ranks, int problems,
                                const olica_problem *problem, olica_placement *place);

/* A problem as a rank sees it, for estimates. */
typedef struct olica_site {
  olica_placement place;            /* a real back end, not auto */
  int block;                        /* block size of the pool */
  olica_solver_precision precision; /* of the pool */
  int nodes;                        /* number of nodes of the context */
  int rank;                         /* the rank: a member of the place, or not */
} olica_site;

/* Returns true if the rank takes part. Pure. */
bool olica_site_member(const olica_site *at);

/* Estimates of a rank's memory, on its ledger: hold what olica_solver_matrix allocates; replay
 * olica_matrix_sum, olica_matrix_replicate, and (a member) olica_solver_eigen with the back end's first
 * algorithm, olica_solver_subspace (also when mixed precision fails and double follows), and
 * olica_solver_ridge or olica_solver_factor of order n. */
olica_hold olica_solver_hold_matrix(olica_ledger *ledger, const olica_site *at, int rows, int cols);
void olica_solver_replay_sum(olica_ledger *ledger, const olica_site *at, int rows, int cols);
void olica_solver_replay_replicate(olica_ledger *ledger, const olica_site *at, int rows, int cols);
void olica_solver_replay_eigen(olica_ledger *ledger, const olica_site *at, int n, int wanted);
void olica_solver_replay_subspace(olica_ledger *ledger, const olica_site *at, int n, int wanted);
void olica_solver_replay_ridge(olica_ledger *ledger, int n);

/* The pool owns the solvers of a run (their grids, and SLEPc's initialization); it creates one solver per
 * placement. */
typedef struct olica_pool olica_pool;
typedef struct olica_pool_options {
  olica_backend backend;
  int block;        /* ScaLAPACK's MB = NB */
  double tolerance; /* allowed residual ||A v - lambda v|| as a part of ||A||_F; also for VᵀV - I */
  olica_solver_precision precision;
} olica_pool_options;
olica_pool_options olica_pool_defaults(void); /* Returns the defaults: auto, 64, 1e-9, auto. */
/* Collective on context. */
olica_status olica_pool_create(olica_context *context, olica_pool_options options, olica_pool **pool);
void olica_pool_destroy(olica_pool *pool); /* collective; NULL allowed */

/* Returns the solver of a placement, borrowed from the pool. Collective on the context. */
olica_status olica_pool_solver(olica_pool *pool, olica_placement place, olica_solver **solver);

/* Reports what each solver has solved: one record per solver, on every rank. Fills at most `capacity` records
 * and returns their number. Collective on the context. */
typedef struct olica_pool_record {
  olica_placement place;
  int grid_rows, grid_cols, block;
  long problems; /* eigenproblems solved */
  int largest;   /* their largest order */
  long mixed;    /* of these, subspaces found in mixed precision */
  long again;    /* of these, subspaces tried in mixed precision and then solved in double */
} olica_pool_record;
int olica_pool_records(const olica_pool *pool, olica_pool_record *records, int capacity);

/* Returns the number of eigenproblems that this rank took part in. */
long olica_pool_eigenproblems(const olica_pool *pool);
olica_pool_options olica_pool_settings(const olica_pool *pool);

int olica_solver_member(const olica_solver *solver);
/* Describes a solver, for messages of tests and benchmarks: "lapack on rank 0", "scalapack on a 2 x 2 grid of
 * ranks 0-3, blocks of 64". */
enum { OLICA_SOLVER_TEXT = 96 };
void olica_solver_describe(const olica_solver *solver, char text[OLICA_SOLVER_TEXT]);

/* Creates a zeroed rows x cols matrix in the solver's layout. Every rank of the context calls it; the caller
 * frees it. */
olica_status olica_solver_matrix(olica_solver *solver, int rows, int cols, olica_matrix **matrix);

/* G := M Mᵀ, both triangles. M [n x m], G [n x n]. */
olica_status olica_solver_gram(olica_solver *solver, const olica_matrix *m, olica_matrix *gram);

/* C := op(A) B, op(A) = Aᵀ if transposed. */
olica_status olica_solver_multiply(olica_solver *solver, int transposed, const olica_matrix *a,
                                   const olica_matrix *b, olica_matrix *c);

/* Computes the `wanted` largest eigenvalues of the symmetric A [n x n], descending, and their eigenvectors,
 * the columns of V [n x wanted] (orthonormal; the component of largest modulus is positive). A is destroyed.
 * values [wanted] on every member. Each solution is checked by its residual and orthogonality; if it fails,
 * the back end's next algorithm is tried; if none passes: OLICA_ERR_NUMERIC, naming `what`. */
olica_status olica_solver_eigen(olica_solver *solver, const char *what, olica_matrix *a, int wanted,
                                double *values, olica_matrix *v);

/* Computes an orthonormal basis, the columns of V [n x wanted], of the subspace that belongs to the `wanted`
 * largest eigenvalues of the symmetric A [n x n]; A is destroyed. The columns are eigenvectors, largest
 * eigenvalue first, as far as the tolerance tells them apart, with signs as those of olica_solver_eigen. In
 * mixed precision they are checked in the same way, in fp64; what fails is solved by olica_solver_eigen.
 * Errors as there. */
olica_status olica_solver_subspace(olica_solver *solver, const char *what, olica_matrix *a, int wanted,
                                   olica_matrix *v);

/* A := the lower Cholesky factor of A + delta I, zeros above; A [n x n] symmetric positive semidefinite.
 * `delta`, its growth and failures as those of olica_solver_ridge. */
olica_status olica_solver_factor(olica_solver *solver, const char *what, olica_matrix *a, double *delta);

/* B := (A + delta I)^-1 B by Cholesky; A [n x n] symmetric positive semidefinite, destroyed; B [n x m]. If
 * the factorization breaks down, delta grows tenfold (from 0 to 1e-12 of the mean diagonal), up to
 * `OLICA_RIDGE_RETRIES` times, with a warning; *delta returns the value used. OLICA_ERR_NUMERIC, naming
 * `what`, if all retries fail or a number is not finite. */
enum { OLICA_RIDGE_RETRIES = 8 };
olica_status olica_solver_ridge(olica_solver *solver, const char *what, olica_matrix *a, double *delta,
                                olica_matrix *b);

#endif
