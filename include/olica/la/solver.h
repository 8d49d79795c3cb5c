/* The solvers' facade: dense problems in fp64 on groups of ranks, over replaceable back ends.
 *
 * A solver is a back end together with the group of ranks it runs on. It chooses the layout of its matrices
 * (olica_solver_matrix). Every rank of the context holds the solver; creation and destruction are collective
 * on the context, everything else is collective on the group and called by its members alone. Independent
 * problems on disjoint groups run at the same time. After a member's call returns a status, all members
 * have the same status; the caller agrees with the ranks outside.
 *
 * Back ends: `lapack` (one rank; the reference), `scalapack` (near-square process grid, PxSYRK, PxPOTRF,
 * PxSYEVR), `slepc` (Krylov-Schur on row blocks; its Gram and ridge are ScaLAPACK's on the same blocks). */
#ifndef OLICA_LA_SOLVER_H
#define OLICA_LA_SOLVER_H

#include "olica/la/matrix.h"

typedef enum olica_backend {
  OLICA_BACKEND_AUTO,
  OLICA_BACKEND_LAPACK,
  OLICA_BACKEND_SCALAPACK,
  OLICA_BACKEND_SLEPC,
  OLICA_BACKENDS
} olica_backend;

const char *olica_backend_name(olica_backend backend);  /* "auto", "lapack", ... */
const char *olica_backend_about(olica_backend backend); /* one line for --list */

typedef struct olica_solver olica_solver;

/* What one problem of a step asks of its solver, on a symmetric matrix of order `order`: that it be made as
 * the Gram of order x inner numbers, so many eigenpairs, a ridge solve with so many right-hand sides. 0: not.
 */
typedef struct olica_problem {
  int order, inner, wanted, columns;
} olica_problem;

/* Seconds that the problem takes on so many ranks: LAPACK on one, ScaLAPACK on more, as modelled
 * (src/la/placement.c). Pure. */
double olica_solver_seconds(const olica_problem *problem, int ranks);

/* How the independent problems of a step are shared among the ranks, and with what. A function of its
 * arguments alone, so the same on every rank; not collective; OLICA_ERR_MEMORY only.
 * auto: the way, of those tried, that ends first by the model: every problem on a rank of its own with
 * LAPACK, longest first to the least busy; the longest ones on groups of ranks side by side with ScaLAPACK,
 * the others singly; or all ranks for each in turn. Problems up to order OLICA_SOLVER_WHOLE stay on one rank,
 * so that their last bits do not depend on the number of ranks. A back end asked for by name: lapack places
 * singly; scalapack and slepc run every problem on all ranks, one after the other. Groups are contiguous. A
 * rank solves the problems it takes part in by ascending index: then no two groups wait for each other. */
typedef struct olica_placement {
  olica_backend backend;
  int first, count; /* ranks [first, first + count) */
} olica_placement;
enum { OLICA_SOLVER_WHOLE = 1024 };
olica_status olica_solver_place(olica_env *env, olica_backend asked, int ranks, int problems,
                                const olica_problem *problem, olica_placement *place);

/* Where a problem's matrices will lie: for what is said beforehand of bytes. */
typedef struct olica_site {
  olica_placement place; /* not auto */
  int block;             /* the pool's */
  int nodes;             /* of the context */
} olica_site;

/* Bytes of the rank that needs most: of a matrix; of what olica_matrix_sum and olica_matrix_replicate take on
 * every rank, also outside of the solver's; and of what olica_solver_eigen takes beside A and V, checks
 * included, by the back end's first algorithm. Pure. */
double olica_solver_matrix_bytes(const olica_site *at, int rows, int cols);
double olica_solver_sum_bytes(const olica_site *at, int rows, int cols);
double olica_solver_replicate_bytes(const olica_site *at, int rows, int cols);
double olica_solver_eigen_bytes(const olica_site *at, int n, int wanted);

/* Bytes of a problem on the rank that needs most: from its beginning to its end, more while it is solved, and
 * what of these is left until its end. */
typedef struct olica_problem_bytes {
  double kept, solved, left;
} olica_problem_bytes;

/* Bytes of a step's problems, so placed, on the rank that needs most: when all have begun, while one after
 * the other is solved, and when all are solved. Pure. */
typedef struct olica_step_bytes {
  double begun, solved, ended;
} olica_step_bytes;
olica_step_bytes olica_solver_step_bytes(int problems, const olica_placement *place,
                                         const olica_problem_bytes *bytes);

/* The pool keeps the solvers (and grids, and SLEPc's initialisation) of a run: each placement's is made
 * once. */
typedef struct olica_pool olica_pool;
typedef struct olica_pool_options {
  olica_backend backend;
  int block;        /* ScaLAPACK's MB = NB */
  double tolerance; /* a residual ||A v - lambda v|| may be this times ||A||_F; also for VᵀV - I */
} olica_pool_options;
olica_pool_options olica_pool_defaults(void); /* auto, 64, 1e-9 */
/* Collective on context. */
olica_status olica_pool_create(olica_context *context, olica_pool_options options, olica_pool **pool);
void olica_pool_destroy(olica_pool *pool); /* collective; NULL allowed */

/* The solver for a placement, borrowed from the pool. Collective on the context. */
olica_status olica_pool_solver(olica_pool *pool, olica_placement place, olica_solver **solver);

/* What was solved where: one record a solver, on every rank. Collective on the context. At most `capacity`
 * are given; returns their number. */
typedef struct olica_pool_record {
  olica_placement place;
  int grid_rows, grid_cols, block;
  long problems; /* eigenproblems solved */
  int largest;   /* their largest order */
} olica_pool_record;
int olica_pool_records(const olica_pool *pool, olica_pool_record *records, int capacity);

/* Solved eigenproblems this rank took part in. */
long olica_pool_eigenproblems(const olica_pool *pool);
olica_pool_options olica_pool_settings(const olica_pool *pool);

int olica_solver_member(const olica_solver *solver);
/* "lapack on rank 0", "scalapack on a 2 x 2 grid of ranks 0-3, blocks of 64": for messages of tests and
 * benches. */
enum { OLICA_SOLVER_TEXT = 96 };
void olica_solver_describe(const olica_solver *solver, char text[OLICA_SOLVER_TEXT]);

/* A zeroed rows x cols matrix in the solver's layout. Every rank of the context calls it. Freed by the
 * caller. */
olica_status olica_solver_matrix(olica_solver *solver, int rows, int cols, olica_matrix **matrix);

/* G := M Mᵀ, all of it (both triangles). M [n x m], G [n x n]. */
olica_status olica_solver_gram(olica_solver *solver, const olica_matrix *m, olica_matrix *gram);

/* C := op(A) B, op(A) = Aᵀ if transposed. */
olica_status olica_solver_multiply(olica_solver *solver, int transposed, const olica_matrix *a,
                                   const olica_matrix *b, olica_matrix *c);

/* The `wanted` largest eigenvalues of the symmetric A [n x n], descending, and their eigenvectors, the
 * columns of V [n x wanted] (orthonormal; the component of largest modulus is positive). A is destroyed.
 * values [wanted] on every member. Each solution is checked by its residual and orthogonality and, where it
 * fails, solved again by the back end's next algorithm, while it has one; then OLICA_ERR_NUMERIC, naming
 * `what`. */
olica_status olica_solver_eigen(olica_solver *solver, const char *what, olica_matrix *a, int wanted,
                                double *values, olica_matrix *v);

/* B := (A + delta I)^-1 B by Cholesky; A [n x n] symmetric positive semidefinite, destroyed; B [n x m]. If
 * the factorisation breaks down, delta grows tenfold (from 0 to 1e-12 of the mean diagonal), up to
 * `OLICA_RIDGE_RETRIES` times, with a warning; *delta is what was used. OLICA_ERR_NUMERIC, naming `what`,
 * where that does not help or something is not finite. */
enum { OLICA_RIDGE_RETRIES = 8 };
olica_status olica_solver_ridge(olica_solver *solver, const char *what, olica_matrix *a, double *delta,
                                olica_matrix *b);

#endif
