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
  olica_solver *next; /* next solver of the pool */
};

/* ScaLAPACK's operations work on any block-cyclic layout; other back ends borrow them. */
olica_status olica_scalapack_gram(olica_solver *solver, const olica_matrix *m, olica_matrix *gram);
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
