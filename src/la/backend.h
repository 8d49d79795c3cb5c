/* What a back end of the solvers' facade is: one table of operations in one file, and one line in the table
 * of src/la/backend.c. The facade (solver.c) checks arguments and results, books the work, retries; a back
 * end computes. Private to la.
 *
 * All operations are collective on the solver's grid and called by its members alone. They return the same
 * status on all members: what can fail on one rank alone (an allocation) is agreed on before the library is
 * entered. An operation that is absent is NULL. */
#ifndef OLICA_LA_BACKEND_H
#define OLICA_LA_BACKEND_H

#include "olica/la/solver.h"

/* The `wanted` smallest eigenvalues of the symmetric A [n x n], ascending, and their orthonormal
 * eigenvectors, the columns of V. Of A only the lower triangle with the diagonal may be destroyed. values
 * [wanted] on every member. OLICA_ERR_NUMERIC where the algorithm gives up. */
typedef olica_status olica_eigen_algorithm(olica_solver *solver, olica_matrix *a, int wanted, double *values,
                                           olica_matrix *v);

enum { OLICA_EIGEN_ALGORITHMS = 4 };

typedef struct olica_backend_ops {
  const char *name, *about;

  /* The process grid that a group of `ranks` ranks forms; rows * cols <= ranks. Pure. */
  void (*shape)(int ranks, int *rows, int *cols);
  /* MB = NB of a matrix with `rows` rows on a grid of so many ranks; `asked` is the setting. Pure. */
  int (*block)(int asked, int ranks, int rows);
  /* Bytes that the first of the algorithms below takes beside A and V, on the rank that needs most. Pure. */
  double (*eigen_bytes)(const olica_site *at, int n, int wanted);

  /* What the library needs once in a run; collective on the context. NULL: nothing. */
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

/* The table's row, NULL for OLICA_BACKEND_AUTO. */
const olica_backend_ops *olica_backend_ops_of(olica_backend backend);

struct olica_solver {
  olica_context *context;
  const olica_backend_ops *ops;
  const olica_grid *grid; /* borrowed from the pool */
  olica_placement place;
  olica_pool_options options;
  long eigenproblems; /* solved by this rank */
  int largest;        /* their largest order */
  olica_solver *next; /* in the pool */
};

/* ScaLAPACK's operations work on any block-cyclic layout; other back ends borrow them. */
olica_status olica_scalapack_gram(olica_solver *solver, const olica_matrix *m, olica_matrix *gram);
olica_status olica_scalapack_multiply(olica_solver *solver, int transposed, const olica_matrix *a,
                                      const olica_matrix *b, olica_matrix *c);
olica_eigen_algorithm olica_scalapack_syevd;
olica_status olica_scalapack_factor(olica_solver *solver, olica_matrix *a);
olica_status olica_scalapack_substitute(olica_solver *solver, const olica_matrix *a, olica_matrix *b);

/* What LAPACK's and ScaLAPACK's eigensolvers work in: all n eigenvalues, and work arrays a little longer than
 * their workspace query answers, which runs short now and then. Not collective. */
typedef struct olica_workspace {
  double *w, *work;
  int *iwork, lwork, liwork;
} olica_workspace;
olica_status olica_workspace_get(olica_env *env, int n, double lwork, double liwork, olica_workspace *space);
double olica_workspace_bytes(int n, double lwork, double liwork); /* pure */
void olica_workspace_free(olica_env *env, olica_workspace *space);

#endif
