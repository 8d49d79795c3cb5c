/* The interface of a back end of the solvers' facade. A back end is one table of operations in one file, and
 * one line in the table of src/la/backend.c. The facade (solver.c) checks arguments and results, adds the
 * work to the timers and retries; a back end only computes. Private to la.
 *
 * All operations are collective on the solver's grid and called by its members alone. They return the same
 * status on all members: the members agree on anything that can fail on one rank alone (an allocation) before
 * they enter the library. An absent operation is NULL. */
#ifndef OLICA_LA_BACKEND_H
#define OLICA_LA_BACKEND_H

#include "la/solver.h"

/* Computes the `wanted` smallest eigenvalues of the symmetric A [n x n], ascending, and their orthonormal
 * eigenvectors, the columns of V. Only the lower triangle of A, with the diagonal, may be destroyed. values
 * [wanted] on every member. OLICA_ERR_NUMERIC if the algorithm fails. */
typedef olica_status olica_eigen_algorithm(olica_solver *solver, olica_matrix *a, int wanted, double *values,
                                           olica_matrix *v);

enum { OLICA_EIGEN_ALGORITHMS = 4 };

/* A matrix in fp32, in the layout of one in fp64. */
typedef struct olica_single {
  olica_matrix part; /* its layout; part.a is not used */
  float *a;          /* [local_rows x local_cols], leading dimension part.lld */
} olica_single;

typedef struct olica_backend_ops {
  const char *name, *about;

  /* Returns the process grid of a group of `ranks` ranks; rows * cols <= ranks. Pure. */
  void (*shape)(int ranks, int *rows, int *cols);
  /* Returns MB = NB of a matrix with `rows` rows on a grid of `ranks` ranks; `asked` is the setting. Pure. */
  int (*block)(int asked, int ranks, int rows);
  /* Returns the bytes of workspace of the first algorithm below, beside A and V, on the rank that needs most:
   * measured by the code that lays it out, but for what a library asks for. Pure. */
  size_t (*measure_eigen)(const olica_site *at, int n, int wanted);

  /* Initializes the library once per run; collective on the context. NULL: not needed. */
  olica_status (*start)(olica_context *context, void **session);
  void (*stop)(olica_context *context, void *session);

  olica_status (*gram)(olica_solver *solver, const olica_matrix *m, olica_matrix *gram); /* lower triangle */
  olica_status (*multiply)(olica_solver *solver, int transposed, const olica_matrix *a, const olica_matrix *b,
                           olica_matrix *c);
  /* The algorithms in the order they are tried, then NULL. */
  struct {
    const char *name;
    olica_eigen_algorithm *solve;
  } eigen[OLICA_EIGEN_ALGORITHMS];
  /* For mixed precision (mixed.c); NULL in a back end without fp32. All eigenvalues of the symmetric A [n x
   * n], ascending, into w [n] on every member, and all eigenvectors, the columns of Z; A is destroyed, only
   * its lower triangle is read. Then C := op(A) B of the columns of A from `first` on, and the bytes of
   * workspace beside A, w and Z. */
  olica_status (*single_eigen)(olica_solver *solver, olica_single *a, float *w, olica_single *z);
  olica_status (*single_multiply)(olica_solver *solver, int transposed, const olica_single *a, int first,
                                  const olica_single *b, olica_single *c);
  size_t (*measure_single)(const olica_site *at, int n);
  /* Lower Cholesky factor over the lower triangle of A; OLICA_ERR_NUMERIC where A is not positive definite.
   */
  olica_status (*factor)(olica_solver *solver, olica_matrix *a);
  /* B := A^-1 B, A factored. */
  olica_status (*substitute)(olica_solver *solver, const olica_matrix *a, olica_matrix *b);
} olica_backend_ops;

extern const olica_backend_ops olica_backend_lapack, olica_backend_scalapack, olica_backend_slepc;

/* Returns the back end's row of the table; NULL for OLICA_BACKEND_AUTO. */
const olica_backend_ops *olica_backend_ops_of(olica_backend backend);

struct olica_solver {
  olica_context *context;
  const olica_backend_ops *ops;
  const olica_grid *grid; /* borrowed from the pool */
  olica_placement place;
  olica_pool_options options;
  long eigenproblems; /* number of problems solved by this rank */
  int largest;        /* their largest order */
  long mixed, again;  /* subspaces found in mixed precision; and solved again in double */
  olica_solver *next; /* next solver of the pool */
};

/* Subspaces in mixed precision (mixed.c). The operations' arguments are those of olica_solver_subspace; A is
 * left as it is; norm = ||A||_F, finite and not 0. OLICA_ERR_NUMERIC if the result fails its check. Its
 * memory on the rank of the site, beside A and V, is replayed by the other. */
olica_status olica_mixed_subspace(olica_solver *solver, const olica_matrix *a, double norm, int wanted,
                                  olica_matrix *v);
void olica_mixed_replay(olica_ledger *ledger, const olica_site *at, int n, int wanted);

/* Returns true if such a subspace is found in mixed precision. Pure. */
bool olica_mixed_is_used(const olica_backend_ops *ops, olica_solver_precision precision, int order,
                         int wanted);

/* What mixed.c needs of the facade: *worst := the largest norm of the columns of R, NaN if there is one;
 * E := VᵀV - I; R := R - V diag(values); the watchdog, around a library's long call. */
olica_status olica_solver_worst_column(olica_solver *solver, const olica_matrix *r, double *worst);
olica_status olica_solver_excess(olica_solver *solver, const olica_matrix *v, olica_matrix *excess);
void olica_solver_subtract(olica_matrix *r, const double *values, const olica_matrix *v);
void olica_solver_enter(olica_solver *solver, const char *what);
void olica_solver_leave(olica_solver *solver);

/* A rank's part of a matrix at a site, without its numbers; `grid` gets the shape alone. */
olica_matrix olica_solver_part(const olica_site *at, int rows, int cols, olica_grid *grid);

/* ScaLAPACK's operations work on any block-cyclic layout; other back ends borrow them. */
olica_status olica_scalapack_gram(olica_solver *solver, const olica_matrix *m, olica_matrix *gram);
void olica_scalapack_add_gram(const olica_matrix *m, double weight, olica_matrix *g); /* G += weight M Mᵀ */
olica_status olica_scalapack_multiply(olica_solver *solver, int transposed, const olica_matrix *a,
                                      const olica_matrix *b, olica_matrix *c);
olica_eigen_algorithm olica_scalapack_syevd;
olica_status olica_scalapack_factor(olica_solver *solver, olica_matrix *a);
olica_status olica_scalapack_substitute(olica_solver *solver, const olica_matrix *a, olica_matrix *b);

/* Workspace of LAPACK's and ScaLAPACK's eigensolvers: all n eigenvalues, and work arrays slightly longer than
 * the answer of the workspace query, which is occasionally too small. Not collective. */
typedef struct olica_workspace {
  double *w, *work;
  int *iwork, lwork, liwork, n;
  void *block;
} olica_workspace;
olica_status olica_workspace_get(olica_env *env, int n, double lwork, double liwork, olica_workspace *space);
size_t olica_workspace_measure(int n, double lwork, double liwork); /* pure */
void olica_workspace_free(olica_env *env, olica_workspace *space);

#endif
