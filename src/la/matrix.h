/* Distributed fp64 matrices, two-dimensional block-cyclic over a process grid (ScaLAPACK's layout; on a 1 x 1
 * grid an ordinary column-major matrix). Every rank of the context holds the object and so knows the
 * distribution; ranks outside the grid hold no elements.
 *
 *     6 x 6 blocks of mb x nb on a 2 x 2 grid; "rc" is the block's process row and column:
 *
 *       00 01 00 01 00 01        process (0, 0) stores its blocks of rows 0, 2, 4 and
 *       10 11 10 11 10 11        columns 0, 2, 4 as one column-major local matrix
 *       00 01 00 01 00 01        [local_rows x local_cols]
 *       10 11 10 11 10 11
 *       00 01 00 01 00 01
 *       10 11 10 11 10 11 */
#ifndef OLICA_LA_MATRIX_H
#define OLICA_LA_MATRIX_H

#include <stdint.h>

#include "la/grid.h"

typedef struct olica_matrix {
  const olica_grid *grid; /* borrowed */
  int rows, cols;         /* global */
  int mb, nb;             /* block size */
  int local_rows, local_cols, lld;
  double *a; /* [local_rows x local_cols], column-major, leading dimension lld */
} olica_matrix;

/* Creates a zeroed matrix. Not collective, but every rank of the context must call it. OLICA_ERR_MEMORY if
 * the local part does not fit in memory or its size in an int. */
olica_status olica_matrix_create(const olica_grid *grid, int rows, int cols, int mb, int nb,
                                 olica_matrix **matrix);
void olica_matrix_destroy(olica_matrix *matrix); /* NULL allowed */

/* Fills ScaLAPACK's array descriptor, for the back ends. Pure, like the four below. */
void olica_matrix_describe(const olica_matrix *matrix, int descriptor[9]);

/* Returns the global index of a local row or column of this rank. */
int olica_matrix_global_row(const olica_matrix *matrix, int local);
int olica_matrix_global_col(const olica_matrix *matrix, int local);

/* Returns the local index of a global row or column; -1 if this rank has none of it. */
int olica_matrix_local_row(const olica_matrix *matrix, int row);
int olica_matrix_local_col(const olica_matrix *matrix, int col);

/* Local part := value(data, i, j) for global indices i, j. Not collective: for data that every member
 * holds. */
void olica_matrix_fill(olica_matrix *matrix, double (*value)(const void *data, int row, int col),
                       const void *data);

/* Local part := rows[i * stride + j] * scale[j] for global indices i, j; scale [cols] may be NULL for 1. Not
 * collective: for a row-major fp32 matrix that every member holds. */
void olica_matrix_set(olica_matrix *matrix, const float *rows, size_t stride, const double *scale);

/* matrix := the sum over all nodes of the context of `part` [rows x cols, row-major], which lies in memory
 * shared by the node's ranks. With upper = 1 only the upper triangle of each part is summed and the sum is
 * mirrored (square matrices). Uses a few MiB of workspace: no rank allocates a second full matrix. Collective
 * on the context. */
olica_status olica_matrix_sum(olica_matrix *matrix, const double *part, int upper);

/* The same of a part of a symmetric matrix of order `order`, whose upper triangle lies in `part`: matrix [i,
 * j] := the sum of its elements (row[i], col[j]). With col = NULL the columns are the rows' and the result is
 * symmetric. */
olica_status olica_matrix_sum_picked(olica_matrix *matrix, const double *part, int order, const int32_t *row,
                                     const int32_t *col);

/* For estimates, all pure: a matrix without its numbers on a grid of which only the shape is known (rows,
 * cols, row, col, count); the bytes of its numbers on that rank; the workspace, on every rank, of
 * olica_matrix_sum on so many nodes and of olica_matrix_replicate of all columns. */
olica_matrix olica_matrix_part(const olica_grid *grid, int rows, int cols, int mb, int nb);
size_t olica_matrix_measure(const olica_matrix *part);
size_t olica_matrix_measure_sum(const olica_matrix *part, int nodes);
size_t olica_matrix_measure_replicate(const olica_matrix *part);

/* Returns how many of n rows (or columns), dealt in blocks to `places` processes, the first process holds:
 * the most. Pure. */
int olica_matrix_most(int n, int block, int places);

/* Copies the matrix to every rank of the context, rounded to fp32, row-major [rows x cols]; only the first
 * `cols` columns, if cols is less than the matrix has. A rank that wants no copy passes NULL. Collective on
 * the context. */
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

/* values[k] := A[k,k] for the k that this rank holds, the others are unchanged; A[k,k] := values[k] + shift;
 * and A[k,k] := A[k,k] + shift. Not collective. */
void olica_matrix_get_diagonal(const olica_matrix *matrix, double *values);
void olica_matrix_set_diagonal(olica_matrix *matrix, const double *values, double shift);
void olica_matrix_shift_diagonal(olica_matrix *matrix, double shift);

/* Frobenius norm, on every member. Collective on the grid, called by members alone. */
double olica_matrix_norm(const olica_matrix *matrix);

/* Sum of the diagonal, on every member. Collective on the grid, called by members alone. */
double olica_matrix_trace(const olica_matrix *matrix);

#endif
