/* Distributed fp64 matrices, two-dimensional block-cyclic over a process grid (ScaLAPACK's layout; on a 1 x 1
 * grid an ordinary column-major matrix). Every rank of the context holds the object and so knows who owns
 * what; ranks outside the grid have no elements. */
#ifndef OLICA_LA_MATRIX_H
#define OLICA_LA_MATRIX_H

#include "olica/la/grid.h"

typedef struct olica_matrix {
  const olica_grid *grid; /* borrowed */
  int rows, cols;         /* global */
  int mb, nb;             /* block size */
  int local_rows, local_cols, lld;
  double *a; /* [local_rows x local_cols], column-major, leading dimension lld */
} olica_matrix;

/* A zeroed matrix. Not collective, but every rank of the context calls it. Sizes whose local part cannot be
 * counted in an int are refused (OLICA_ERR_MEMORY). */
olica_status olica_matrix_create(const olica_grid *grid, int rows, int cols, int mb, int nb,
                                 olica_matrix **matrix);
void olica_matrix_destroy(olica_matrix *matrix); /* NULL allowed */

/* ScaLAPACK's array descriptor, for the back ends. Pure, like the two below. */
void olica_matrix_describe(const olica_matrix *matrix, int descriptor[9]);

/* The global index of a local row or column of this rank. */
int olica_matrix_global_row(const olica_matrix *matrix, int local);
int olica_matrix_global_col(const olica_matrix *matrix, int local);

/* Local part := value(data, i, j) for global indices i, j. Not collective: meant for data that every member
 * holds. */
void olica_matrix_fill(olica_matrix *matrix, double (*value)(const void *data, int row, int col),
                       const void *data);

/* Local part := rows[i * stride + j] * scale[j] for global indices i, j; scale [cols] may be NULL for 1. Not
 * collective: meant for a row-major fp32 matrix that every member holds. */
void olica_matrix_set(olica_matrix *matrix, const float *rows, size_t stride, const double *scale);

/* matrix := the sum over all nodes of the context of `part` [rows x cols, row-major], which a node's ranks
 * share: each reads the same numbers. Collective on the context. With upper = 1 only the upper triangle of
 * each part is summed and the sum is mirrored (square matrices). Scratch is a few MiB: no rank holds another
 * full matrix. */
olica_status olica_matrix_sum(olica_matrix *matrix, const double *part, int upper);

/* Rows (or columns) of n, dealt in blocks to so many processes, that the first process has: most. Bytes that
 * every rank takes in olica_matrix_sum and olica_matrix_replicate beside the matrix, of which the first
 * process has rows x cols. Pure. */
int olica_matrix_most(int n, int block, int places);
size_t olica_matrix_sum_bytes(int rows, int cols, int nodes);
size_t olica_matrix_replicate_bytes(int rows, int cols);

/* Every rank of the context gets the whole matrix, rounded to fp32, row-major [rows x cols] (its first `cols`
 * columns only, if fewer are asked for); a rank that wants nothing gives NULL. Collective on the context. */
olica_status olica_matrix_replicate(const olica_matrix *matrix, int cols, float *everywhere);

/* out[j] = sum_i A[i,j] B[i,j] for every column j; A and B of equal shape and layout; on every member of the
 * grid. Collective on the grid, called by members alone. */
void olica_matrix_column_dots(const olica_matrix *a, const olica_matrix *b, double *out);

/* out[j] = sum_i weight[i] A[i,j]; weight and out on every member. Collective on the grid, called by members
 * alone. */
void olica_matrix_column_sums(const olica_matrix *matrix, const double *weight, double *out);

/* matrix[:, j] *= scale[j]. Not collective. */
void olica_matrix_scale_columns(olica_matrix *matrix, const double *scale);

/* Copies one triangle of a square matrix with square blocks onto the other. Collective on the grid, called by
 * members alone. */
typedef enum olica_triangle { OLICA_LOWER, OLICA_UPPER } olica_triangle;
void olica_matrix_mirror(olica_matrix *matrix, olica_triangle from);

/* values[k] := A[k,k] for the k that this rank holds, the others stay; and A[k,k] := values[k] + shift. Not
 * collective. */
void olica_matrix_get_diagonal(const olica_matrix *matrix, double *values);
void olica_matrix_set_diagonal(olica_matrix *matrix, const double *values, double shift);

/* Frobenius norm, on every member. Collective on the grid, called by members alone. */
double olica_matrix_norm(const olica_matrix *matrix);

/* Sum of the diagonal, on every member. Collective on the grid, called by members alone. */
double olica_matrix_trace(const olica_matrix *matrix);

#endif
