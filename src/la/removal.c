#include "la/removal.h"

#include <assert.h>
#include <cblas.h>
#include <string.h>

#include "base/arena.h"
#include "fortran.h"
#include "la/solver.h"
#include "par/comm.h"

static int smaller(int a, int b) {
  return a < b ? a : b;
}

static size_t lay_out(olica_removal *r, void *block) {
  size_t n = (size_t)r->n, d = (size_t)r->d, most = (size_t)r->most;
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, r->columns, (n + d) * most);
  OLICA_TAKE(&arena, r->square, most * most);
  OLICA_TAKE(&arena, r->rows, (n > d ? n : d) * most);
  OLICA_TAKE(&arena, r->cols, n * most);
  return arena.used;
}

olica_status olica_removal_begin(olica_matrix *inverse, olica_matrix *weights, int most, olica_removal *r) {
  assert(inverse->grid == weights->grid && inverse->rows == inverse->cols && weights->cols == inverse->rows);
  *r = (olica_removal){
      .inverse = inverse, .weights = weights, .n = inverse->rows, .d = weights->rows, .most = most};
  return OLICA_LAY_OUT(inverse->grid->context->env, "columns of a removal", r->block, lay_out, r);
}

void olica_removal_end(olica_removal *r) {
  olica_memory_free(r->inverse->grid->context->env, r->block);
}

olica_hold olica_removal_hold(olica_ledger *ledger, int n, int d, int most) {
  return olica_ledger_hold(ledger, lay_out(&(olica_removal){.n = n, .d = d, .most = most}, NULL));
}

static double *local_column(const olica_matrix *m, int j) {
  return m->a + (size_t)j * (size_t)m->lld;
}

/* Copies what this member has of a column of P; above the diagonal it lies in the row. */
static void copy_inverse(const olica_matrix *p, int variable, double *to) {
  int j = olica_matrix_local_col(p, variable), i = olica_matrix_local_row(p, variable);
  for (int k = 0; j >= 0 && k < p->local_rows; k++) {
    int row = olica_matrix_global_row(p, k);
    if (row >= variable) to[row] = local_column(p, j)[k];
  }
  for (int k = 0; i >= 0 && k < p->local_cols; k++) {
    int col = olica_matrix_global_col(p, k);
    if (col < variable) to[col] = local_column(p, k)[i];
  }
}

static void copy_weights(const olica_matrix *w, int variable, double *to) {
  int j = olica_matrix_local_col(w, variable);
  for (int k = 0; j >= 0 && k < w->local_rows; k++) to[olica_matrix_global_row(w, k)] = local_column(w, j)[k];
}

/* columns := those of the variables, on every member: of every number one member has added more than 0. */
static void gather(olica_removal *r, int count, const int32_t *variable) {
  const olica_grid *grid = r->inverse->grid;
  size_t all = (size_t)r->n + (size_t)r->d;
  memset(r->columns, 0, all * (size_t)count * sizeof *r->columns);
  for (int k = 0; k < count; k++) {
    copy_inverse(r->inverse, variable[k], r->columns + (size_t)k * all);
    copy_weights(r->weights, variable[k], r->columns + (size_t)k * all + r->n);
  }
  if (grid->rows * grid->cols > 1) olica_comm_sum(grid->context, grid->comm, r->columns, all * (size_t)count);
}

/* columns := columns L^-T, P_GG = L Lᵀ, so that what is subtracted is a product of columns with columns. */
static olica_status divide(olica_removal *r, int count, const int32_t *variable) {
  int all = r->n + r->d, info = 0;
  for (int k = 0; k < count; k++)
    for (int i = 0; i < count; i++)
      r->square[k * count + i] = r->columns[(size_t)k * (size_t)all + (size_t)variable[i]];
  dpotrf_("L", &count, r->square, &count, &info, 1);
  if (info != 0)
    return olica_error_set(r->inverse->grid->context->env, OLICA_ERR_NUMERIC,
                           "the inverse of a Gram is not positive definite: the calibration data has numbers "
                           "of too different size; a larger damping helps");
  cblas_dtrsm(CblasColMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, all, count, 1, r->square,
              count, r->columns, all);
  return OLICA_OK;
}

/* Copies the member's rows of columns [first, first + m->rows) to `rows`, and of its columns to `cols`. */
static void pick(const olica_removal *r, int count, const olica_matrix *m, int first) {
  size_t all = (size_t)r->n + (size_t)r->d;
  for (int k = 0; k < count; k++) {
    const double *from = r->columns + (size_t)k * all;
    double *rows = r->rows + (size_t)k * (size_t)m->local_rows,
           *cols = r->cols + (size_t)k * (size_t)m->local_cols;
    for (int i = 0; i < m->local_rows; i++) rows[i] = from[first + olica_matrix_global_row(m, i)];
    for (int j = 0; j < m->local_cols; j++) cols[j] = from[olica_matrix_global_col(m, j)];
  }
}

/* m := m - rows colsᵀ; of a symmetric one not all that lies above the diagonal. */
static void subtract(const olica_removal *r, int count, olica_matrix *m, bool symmetric) {
  enum { TILE = 128 };
  for (int j = 0, top = 0; j < m->local_cols; j += TILE) {
    int width = smaller(TILE, m->local_cols - j);
    while (symmetric && top < m->local_rows &&
           olica_matrix_global_row(m, top) < olica_matrix_global_col(m, j))
      top++;
    if (top == m->local_rows) break;
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, m->local_rows - top, width, count, -1, r->rows + top,
                m->local_rows, r->cols + j, m->local_cols, 1, local_column(m, j) + top, m->lld);
  }
}

olica_status olica_removal_take(olica_removal *r, int count, const int32_t *variable) {
  assert(count > 0 && count <= r->most);
  const olica_grid *grid = r->inverse->grid;
  olica_context *context = grid->context;
  if (r->n <= OLICA_SOLVER_WHOLE) openblas_set_num_threads(1); /* the last bits do not depend on threads */
  gather(r, count, variable);
  olica_status status = olica_comm_agree(context, grid->comm, divide(r, count, variable));
  if (status == OLICA_OK) {
    pick(r, count, r->inverse, 0);
    subtract(r, count, r->inverse, true);
    pick(r, count, r->weights, r->n);
    subtract(r, count, r->weights, false);
  }
  openblas_set_num_threads(context->threads);
  return status;
}
