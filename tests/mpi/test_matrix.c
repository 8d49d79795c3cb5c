/* Grids and distributed matrices: who holds what, sums over ranks, replication, the small operations. */
#include <string.h>

#include "la_check.h"

typedef struct shape {
  int rows, cols;
} shape;

static const shape shapes[] = {{1, 1}, {2, 2}, {7, 3}, {8, 8}, {30, 64}, {64, 64}, {150, 41}, {150, 150}};

/* Every element has exactly one owner, and with small blocks the data lies on all of the grid. */
static void check_distribution(tally *t, const olica_grid *grid, const olica_matrix *m) {
  int *owners = calloc((size_t)(m->rows * m->cols), sizeof *owners), holders = 0;
  for (int j = 0; j < m->local_cols; j++)
    for (int i = 0; i < m->local_rows; i++)
      owners[olica_matrix_global_row(m, i) * m->cols + olica_matrix_global_col(m, j)]++;
  MPI_Allreduce(MPI_IN_PLACE, owners, m->rows * m->cols, MPI_INT, MPI_SUM, t->context->comm);
  int once = 1, holds = m->local_rows * m->local_cols > 0;
  for (int i = 0; i < m->rows * m->cols; i++) once &= owners[i] == 1;
  expect(t, once, "%d x %d: every element has one owner", m->rows, m->cols);
  expect(t, olica_grid_member(grid) || !holds, "%d x %d: a rank outside holds nothing", m->rows, m->cols);
  MPI_Allreduce(&holds, &holders, 1, MPI_INT, MPI_SUM, t->context->comm);
  if (m->rows >= 64 && m->cols >= 64)
    expect(t, holders == grid->rows * grid->cols, "%d x %d: all of the grid holds data", m->rows, m->cols);
  free(owners);
}

/* Whole numbers, so that sums are exact; every node's part is another one. */
static double *part_of(int node, int rows, int cols, int upper) {
  double *part = numbers(rows * cols);
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < cols; j++) {
      int low = upper && i > j ? j : i, high = upper && i > j ? i : j;
      part[i * cols + j] = (node + 1) * (1000.0 * low + high + 1);
    }
  return part;
}

static void check_sum(tally *t, olica_matrix *m, int upper) {
  int nodes = t->context->nodes, count = m->rows * m->cols;
  double *part = part_of(t->context->node_index, m->rows, m->cols, upper), weight = nodes * (nodes + 1) / 2.0;
  for (int i = 0; upper && i < m->rows; i++)
    for (int j = 0; j < i; j++) part[i * m->cols + j] = NAN;             /* nobody may look there */
  for (int i = 0; i < m->local_rows * m->local_cols; i++) m->a[i] = NAN; /* all of it is to be written */
  expect(t, olica_matrix_sum(m, part, upper) == OLICA_OK, "sum");
  free(part);
  double *expected = part_of(0, m->rows, m->cols, upper);
  for (int i = 0; i < count; i++) expected[i] *= weight;
  if (olica_grid_member(m->grid)) {
    double *got = collect(m);
    expect(t, distance(count, got, expected) == 0, "%d x %d: sum over nodes, upper %d", m->rows, m->cols,
           upper);
    free(got);
  }
  for (int cols = 1; cols <= m->cols; cols += m->cols > 1 ? m->cols - 1 : 1) {
    float *everywhere = calloc((size_t)(m->rows * cols), sizeof *everywhere);
    expect(t, olica_matrix_replicate(m, cols, everywhere) == OLICA_OK, "replicate");
    int same = 1;
    for (int i = 0; i < m->rows; i++)
      for (int j = 0; j < cols; j++) same &= everywhere[i * cols + j] == (float)expected[i * m->cols + j];
    expect(t, same, "%d x %d: first %d columns on every rank", m->rows, m->cols, cols);
    free(everywhere);
  }
  free(expected);
}

/* Elements picked from a symmetric matrix of which the nodes have upper triangles; `symmetric`: columns as
 * rows. */
static void check_picked(tally *t, olica_matrix *m, int symmetric) {
  enum { ORDER = 160 };
  int32_t row[ORDER], col[ORDER];
  int nodes = t->context->nodes;
  double *part = part_of(t->context->node_index, ORDER, ORDER, 1), *full = part_of(0, ORDER, ORDER, 1),
         *expected = numbers(m->rows * m->cols);
  for (int i = 0; i < ORDER; i++) {
    row[i] = (7 * i + 3) % ORDER; /* 7 and 160 have no divisor in common, nor have 3 and 160 */
    col[i] = symmetric ? row[i] : ORDER - 1 - 3 * i % ORDER;
    for (int j = 0; j < i; j++) part[i * ORDER + j] = NAN; /* nobody may look there */
  }
  for (int i = 0; i < m->rows; i++)
    for (int j = 0; j < m->cols; j++)
      expected[i * m->cols + j] = full[row[i] * ORDER + col[j]] * nodes * (nodes + 1) / 2.0;
  expect(t, olica_matrix_sum_picked(m, part, ORDER, row, symmetric ? NULL : col) == OLICA_OK, "picked sum");
  if (olica_grid_member(m->grid)) {
    double *got = collect(m);
    expect(t, distance(m->rows * m->cols, got, expected) == 0, "%d x %d: picked sum, symmetric %d", m->rows,
           m->cols, symmetric);
    free(got);
  }
  free(part);
  free(full);
  free(expected);
}

/* Called by members alone. */
static void check_operations(tally *t, const olica_grid *grid, int rows, int cols) {
  olica_matrix *a, *b;
  double *x = random_matrix(rows, cols, 1), *y = random_matrix(rows, cols, 2);
  double *dots = numbers(cols), *expected = numbers(cols), trace = 0, squares = 0;
  if (olica_matrix_create(grid, rows, cols, 8, 8, &a) || olica_matrix_create(grid, rows, cols, 8, 8, &b))
    abort();
  spread(a, x);
  spread(b, y);
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < cols; j++) {
      expected[j] += x[i * cols + j] * y[i * cols + j];
      squares += x[i * cols + j] * x[i * cols + j];
      if (i == j) trace += x[i * cols + j];
    }
  olica_matrix_column_dots(a, b, dots);
  expect(t, distance(cols, dots, expected) < 1e-13 * rows, "%d x %d: column dots", rows, cols);
  expect(t, fabs(olica_matrix_trace(a) - trace) < 1e-13 * rows, "%d x %d: trace", rows, cols);
  expect(t, fabs(olica_matrix_norm(a) - sqrt(squares)) < 1e-12 * sqrt(squares), "%d x %d: norm", rows, cols);
  olica_matrix_scale_columns(a, expected);
  for (int i = 0; i < rows * cols; i++) x[i] *= expected[i % cols];
  double *got = collect(a), *diagonal = numbers(rows);
  expect(t, distance(rows * cols, got, x) == 0, "%d x %d: scaled columns", rows, cols);
  free(got);
  olica_matrix_get_diagonal(a, diagonal);
  olica_matrix_set_diagonal(a, diagonal, 3);
  for (int i = 0; i < rows && i < cols; i++) x[i * cols + i] += 3;
  got = collect(a);
  expect(t, distance(rows * cols, got, x) == 0, "%d x %d: shifted diagonal", rows, cols);
  free(got);
  olica_matrix_destroy(b);
  olica_matrix_destroy(a);
  free(diagonal);
  free(expected);
  free(dots);
  free(y);
  free(x);
}

/* Called by members alone. */
static void check_mirror(tally *t, const olica_grid *grid, int n, int block, olica_triangle from) {
  olica_matrix *a;
  if (olica_matrix_create(grid, n, n, block, block, &a)) abort();
  double *x = random_matrix(n, n, 3);
  spread(a, x);
  olica_matrix_mirror(a, from);
  for (int i = 0; i < n; i++)
    for (int j = 0; j < i; j++)
      if (from == OLICA_LOWER)
        x[j * n + i] = x[i * n + j];
      else
        x[i * n + j] = x[j * n + i];
  double *got = collect(a);
  expect(t, distance(n * n, got, x) == 0, "n = %d, block %d: mirrored from %s", n, block,
         from == OLICA_LOWER ? "lower" : "upper");
  free(got);
  free(x);
  olica_matrix_destroy(a);
}

static void check_grid(tally *t, int first, int rows, int cols) {
  olica_grid *grid;
  if (olica_grid_create(t->context, first, rows, cols, &grid) != OLICA_OK) abort();
  int place = t->context->rank - first;
  expect(t, olica_grid_member(grid) == (place >= 0 && place < rows * cols), "who is in the grid");
  for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
    int m = shapes[k].rows, n = shapes[k].cols;
    olica_matrix *matrix;
    expect(t, olica_matrix_create(grid, m, n, 8, 8, &matrix) == OLICA_OK, "create");
    check_distribution(t, grid, matrix);
    check_sum(t, matrix, 0);
    if (m == n) check_sum(t, matrix, 1);
    check_picked(t, matrix, 0);
    if (m == n) check_picked(t, matrix, 1);
    olica_matrix_destroy(matrix);
    if (!olica_grid_member(grid)) continue;
    check_operations(t, grid, m, n);
    for (int block = 8; m == n && block <= 64; block += 29) {
      check_mirror(t, grid, n, block, OLICA_LOWER);
      check_mirror(t, grid, n, block, OLICA_UPPER);
    }
  }
  olica_grid_destroy(grid);
}

/* A panel is 2^20 numbers: this one needs several, of several block columns. */
static void check_panels(tally *t) {
  enum { ROWS = 1100, COLS = 2100 };
  int rows, cols;
  olica_grid *grid;
  olica_matrix *matrix;
  olica_grid_shape(t->context->size, &rows, &cols);
  if (olica_grid_create(t->context, 0, rows, cols, &grid) != OLICA_OK) abort();
  if (olica_matrix_create(grid, ROWS, COLS, 8, 8, &matrix) != OLICA_OK) abort();
  check_sum(t, matrix, 0);
  olica_matrix_destroy(matrix);
  if (olica_matrix_create(grid, COLS, COLS, 8, 8, &matrix) != OLICA_OK) abort();
  check_sum(t, matrix, 1);
  olica_matrix_destroy(matrix);
  olica_grid_destroy(grid);
}

static void check_refusal(tally *t) {
  olica_grid *grid;
  olica_matrix *matrix = NULL;
  if (olica_grid_create(t->context, 0, 1, 1, &grid) != OLICA_OK) abort();
  olica_status status = olica_matrix_create(grid, 50000, 50000, 64, 64, &matrix);
  expect(t, status == (t->context->rank == 0 ? OLICA_ERR_MEMORY : OLICA_OK), "too large for an int: %d",
         status);
  if (status == OLICA_OK) olica_matrix_destroy(matrix);
  olica_error_clear(t->context->env);
  olica_grid_destroy(grid);
}

static void check_all(tally *t) {
  olica_env *env = t->context->env;
  size_t before = env->memory.now;
  int size = t->context->size, rows, cols;
  olica_grid_shape(size, &rows, &cols);
  check_grid(t, 0, rows, cols);
  check_grid(t, 0, size, 1);
  check_grid(t, size - 1, 1, 1);
  if (size > 2) check_grid(t, 1, size - 1, 1);
  if (size > 2) check_grid(t, 1, 1, size - 2);
  check_panels(t);
  expect(t, env->memory.now == before, "nothing stays allocated");
  check_refusal(t);
}

/* The ranks as so many nodes; where two are together and the number is odd, the last one is alone: some
 * owners have nobody in their place on every node. */
static void check_nodes(tally *t, const char *ranks_per_node) {
  olica_context *all = t->context;
  setenv(OLICA_RANKS_PER_NODE, ranks_per_node, 1);
  if (olica_context_create(all->env, MPI_COMM_WORLD, 1, &t->context) != OLICA_OK) abort();
  check_all(t);
  olica_context_destroy(t->context);
  unsetenv(OLICA_RANKS_PER_NODE);
  t->context = all;
}

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  olica_env *env = olica_env_create();
  tally t = {0};
  if (!env || olica_context_create(env, MPI_COMM_WORLD, 1, &t.context) != OLICA_OK) return 1;
  check_all(&t);
  check_nodes(&t, "1");
  check_nodes(&t, "2");
  int code = closing(&t);
  olica_context_destroy(t.context);
  olica_env_destroy(env);
  MPI_Finalize();
  return code;
}
