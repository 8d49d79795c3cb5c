/* Distributed matrices. A row-major matrix in every node's shared memory and the block-cyclic local parts are
 * converted panel by panel, a few whole local columns of one process at a time, so that the workspace is
 * small:
 *
 *     part of node 0   part of node 1             local parts, block-cyclic over the grid
 *     [rows x cols]    [rows x cols]
 *     +-----------+    +-----------+    sum       process (0,0)  (0,1)  (1,0)  (1,1)
 *     |  .  .  .  |    |  .  .  .  |   ----->          +----+   +----+ +----+ +----+
 *     |  .  .  .  |    |  .  .  .  |  replicate        |    |   |    | |    | |    |
 *     +-----------+    +-----------+   <-----          +----+   +----+ +----+ +----+
 *
 *   olica_matrix_sum         for every panel of every process:
 *                              one rank of each node gathers the panel's numbers from its node's part
 *                              reduce them over the nodes to the owner, who stores them
 *                            mirror the triangle, if only one was summed
 *   olica_matrix_replicate   for every panel of every process:
 *                              the owner rounds it to fp32 and broadcasts it
 *                              every rank that wants a copy scatters it into its row-major matrix */
#include "la/matrix.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "fortran.h"
#include "par/comm.h"

/* Numbers in one piece of a distribution: bounds the workspace. */
enum { PIECE = 1 << 20 };

/* Returns how many of the first `n` indices, dealt in blocks to `places` processes, lie on process `place`
 * (NUMROC). */
static int held(int n, int block, int place, int places) {
  int blocks = n / block, mine = blocks / places * block, rest = blocks % places;
  if (place < rest) return mine + block;
  return place == rest ? mine + n % block : mine;
}

/* Returns the global index of local index `local` of process `place`. */
static int global(int local, int block, int place, int places) {
  return (local / block * places + place) * block + local % block;
}

static int minimum(int a, int b) {
  return a < b ? a : b;
}

olica_matrix olica_matrix_part(const olica_grid *grid, int rows, int cols, int mb, int nb) {
  olica_matrix part = {.grid = grid, .rows = rows, .cols = cols, .mb = mb, .nb = nb, .lld = 1};
  if (!olica_grid_member(grid)) return part;
  part.local_rows = held(rows, mb, grid->row, grid->rows);
  part.local_cols = held(cols, nb, grid->col, grid->cols);
  if (part.local_rows > 0) part.lld = part.local_rows;
  return part;
}

size_t olica_matrix_measure(const olica_matrix *part) {
  return (size_t)part->lld * (size_t)part->local_cols * sizeof *part->a;
}

olica_status olica_matrix_create(const olica_grid *grid, int rows, int cols, int mb, int nb,
                                 olica_matrix **out) {
  assert(rows > 0 && cols > 0 && mb > 0 && nb > 0);
  olica_env *env = grid->context->env;
  olica_matrix *matrix;
  OLICA_TRY(OLICA_NEW(env, matrix, 1));
  *matrix = olica_matrix_part(grid, rows, cols, mb, nb);
  if (matrix->local_cols > 0 && matrix->lld > INT_MAX / matrix->local_cols)
    return olica_error_set(
        env, OLICA_ERR_MEMORY,
        "a %d x %d matrix on a %d x %d grid: %d x %d numbers on one rank are more than its "
        "libraries can count; use more ranks",
        rows, cols, grid->rows, grid->cols, matrix->lld, matrix->local_cols);
  matrix->a = olica_memory_get(env, "matrix", olica_matrix_measure(matrix), 1);
  if (!matrix->a) return env->error.code;
  *out = matrix;
  return OLICA_OK;
}

void olica_matrix_destroy(olica_matrix *matrix) {
  if (!matrix) return;
  olica_env *env = matrix->grid->context->env;
  olica_memory_free(env, matrix->a);
  olica_memory_free(env, matrix);
}

int olica_matrix_global_row(const olica_matrix *matrix, int local) {
  return global(local, matrix->mb, matrix->grid->row, matrix->grid->rows);
}

int olica_matrix_global_col(const olica_matrix *matrix, int local) {
  return global(local, matrix->nb, matrix->grid->col, matrix->grid->cols);
}

static double *column(const olica_matrix *matrix, int local) {
  return matrix->a + (size_t)local * (size_t)matrix->lld;
}

void olica_matrix_describe(const olica_matrix *matrix, int descriptor[9]) {
  enum { DENSE = 1 };
  const int all[9] = {DENSE, matrix->grid->blacs, matrix->rows, matrix->cols, matrix->mb, matrix->nb, 0,
                      0,     matrix->lld};
  memcpy(descriptor, all, sizeof all);
}

void olica_matrix_fill(olica_matrix *matrix, double (*value)(const void *data, int row, int col),
                       const void *data) {
  for (int j = 0; j < matrix->local_cols; j++)
    for (int i = 0; i < matrix->local_rows; i++)
      column(matrix, j)[i] =
          value(data, olica_matrix_global_row(matrix, i), olica_matrix_global_col(matrix, j));
}

void olica_matrix_set(olica_matrix *matrix, const float *rows, size_t stride, const double *scale) {
  enum { TILE = 16 }; /* columns: the numbers of a row in one cache line */
  for (int first = 0; first < matrix->local_cols; first += TILE) {
    int last = minimum(matrix->local_cols, first + TILE), from[TILE] = {0};
    double factor[TILE] = {0};
    for (int j = first; j < last; j++) {
      from[j - first] = olica_matrix_global_col(matrix, j);
      factor[j - first] = scale ? scale[from[j - first]] : 1;
    }
    for (int i = 0; i < matrix->local_rows; i++) {
      const float *row = rows + (size_t)olica_matrix_global_row(matrix, i) * stride;
      for (int j = first; j < last; j++) column(matrix, j)[i] = factor[j - first] * row[from[j - first]];
    }
  }
}

/* ---- between the whole matrix on every rank and its distributed form ----
 * Every process' local part is handled in turn, in panels of whole local columns. All ranks walk through the
 * same panels, since all know the distribution. */

typedef struct panel {
  int owner;       /* rank in the context */
  int row, col;    /* its process row and column */
  int rows;        /* its local rows */
  int first, last; /* local columns [first, last) */
} panel;

static int panel_cols(int rows) {
  return rows < PIECE ? PIECE / rows : 1;
}

/* Calls `move` for every panel of the first `cols` columns. */
static void each_panel(const olica_matrix *matrix, int cols, void (*move)(const panel *, void *),
                       void *state) {
  const olica_grid *grid = matrix->grid;
  for (int p = 0; p < grid->count; p++) {
    panel at = {.owner = grid->first + p, .row = p / grid->cols, .col = p % grid->cols};
    at.rows = held(matrix->rows, matrix->mb, at.row, grid->rows);
    int mine = held(cols, matrix->nb, at.col, grid->cols);
    if (at.rows == 0) continue;
    for (at.first = 0; at.first < mine; at.first = at.last) {
      at.last = minimum(mine, at.first + panel_cols(at.rows));
      move(&at, state);
    }
  }
}

int olica_matrix_most(int n, int block, int places) {
  return held(n, block, 0, places);
}

/* Returns an upper bound of the numbers in any panel. Process (0, 0) has most rows and columns. */
static size_t panel_size(const olica_matrix *matrix, int cols) {
  const olica_grid *grid = matrix->grid;
  size_t rows = (size_t)held(matrix->rows, matrix->mb, 0, grid->rows),
         all = rows * (size_t)held(cols, matrix->nb, 0, grid->cols), limit = rows > PIECE ? rows : PIECE;
  return all < limit ? all : limit;
}

typedef struct summation {
  olica_matrix *matrix;
  const double *part; /* [rows x cols], row-major, of the node; or, picked from, [order x order] */
  int upper, order, nodes;
  const int32_t *row, *col; /* of what is picked; NULL: nothing is */
  size_t size;              /* largest panel */
  double *mine, *sum;       /* one panel each; mine: with several nodes */
} summation;

static size_t lay_out_sum(summation *s, void *block) {
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, s->sum, s->size);
  if (s->nodes > 1) OLICA_TAKE(&arena, s->mine, s->size);
  return arena.used;
}

size_t olica_matrix_measure_sum(const olica_matrix *part, int nodes) {
  return lay_out_sum(&(summation){.nodes = nodes, .size = panel_size(part, part->cols)}, NULL);
}

/* Returns the first local row of a panel that is summed for global column `col`. With `upper` the sum goes to
 * the lower triangle, transposed: there the upper triangle of the row-major part is contiguous. */
static int summed_from(const summation *s, const panel *at, int col) {
  return s->upper ? held(col, s->matrix->mb, at->row, s->matrix->grid->rows) : 0;
}

/* Element (row, col) of what is picked, from the upper triangle. */
static double picked(const summation *s, size_t row, int col) {
  size_t a = (size_t)s->row[row], b = (size_t)(s->col ? s->col : s->row)[col];
  return a < b ? s->part[a * (size_t)s->order + b] : s->part[b * (size_t)s->order + a];
}

/* Copies this node's part of a panel; returns the count of its numbers. */
static size_t gather_panel(const summation *s, const panel *at, double *to) {
  const olica_matrix *matrix = s->matrix;
  const olica_grid *grid = matrix->grid;
  size_t used = 0, width = (size_t)matrix->cols;
  for (int j = at->first; j < at->last; j++) {
    int col = global(j, matrix->nb, at->col, grid->cols);
    for (int i = summed_from(s, at, col); i < at->rows; i++) {
      size_t row = (size_t)global(i, matrix->mb, at->row, grid->rows);
      to[used++] = s->row     ? picked(s, row, col)
                   : s->upper ? s->part[(size_t)col * width + row]
                              : s->part[row * width + (size_t)col];
    }
  }
  return used;
}

/* One rank of every node takes part: the peers of the owner. If the owner has no peer on some node, another
 * rank's peers compute the sum, and that rank sends it to the owner. */
static void sum_over_nodes(const summation *s, const panel *at) {
  olica_context *context = s->matrix->grid->context;
  const struct olica_place *owner = &context->place[at->owner];
  int group = owner->rank % context->peer_groups;
  if (context->node_rank == group) {
    size_t used = gather_panel(s, at, s->mine);
    olica_comm_sum_to(context, context->peers, s->mine, s->sum, used, owner->node);
    if (context->node_index == owner->node && group != owner->rank)
      MPI_Send(s->sum, (int)used, MPI_DOUBLE, at->owner, 0, context->comm);
  } else if (context->rank == at->owner) {
    MPI_Recv(s->sum, (int)s->size, MPI_DOUBLE, MPI_ANY_SOURCE, 0, context->comm, MPI_STATUS_IGNORE);
  }
}

static void sum_panel(const panel *at, void *state) {
  const summation *s = state;
  const olica_matrix *matrix = s->matrix;
  const olica_grid *grid = matrix->grid;
  olica_context *context = grid->context;
  if (context->nodes > 1)
    sum_over_nodes(s, at);
  else if (context->rank == at->owner)
    gather_panel(s, at, s->sum);
  if (context->rank != at->owner) return;
  const double *next = s->sum;
  for (int j = at->first; j < at->last; j++) {
    int from = summed_from(s, at, global(j, matrix->nb, at->col, grid->cols));
    size_t count = (size_t)(at->rows - from);
    memcpy(column(matrix, j) + from, next, count * sizeof *next);
    next += count;
  }
}

static olica_status sum_all(summation s) {
  olica_matrix *matrix = s.matrix;
  assert(!s.upper || matrix->rows == matrix->cols);
  olica_context *context = matrix->grid->context;
  void *block;
  s.nodes = context->nodes;
  s.size = panel_size(matrix, matrix->cols);
  OLICA_AGREE(context, OLICA_LAY_OUT(context->env, "panels of a sum", block, lay_out_sum, &s));
  each_panel(matrix, matrix->cols, sum_panel, &s);
  olica_memory_free(context->env, block);
  if (s.upper && olica_grid_member(matrix->grid)) olica_matrix_mirror(matrix, OLICA_LOWER);
  return OLICA_OK;
}

olica_status olica_matrix_sum(olica_matrix *matrix, const double *part, int upper) {
  return sum_all((summation){.matrix = matrix, .part = part, .upper = upper});
}

olica_status olica_matrix_sum_picked(olica_matrix *matrix, const double *part, int order, const int32_t *row,
                                     const int32_t *col) {
  return sum_all(
      (summation){.matrix = matrix, .part = part, .upper = !col, .order = order, .row = row, .col = col});
}

typedef struct replication {
  const olica_matrix *matrix;
  int cols;
  float *everywhere; /* [rows x cols], row-major */
  float *piece;      /* one panel */
} replication;

static void replicate_panel(const panel *at, void *state) {
  const replication *r = state;
  const olica_matrix *matrix = r->matrix;
  const olica_grid *grid = matrix->grid;
  size_t used = 0, rows = (size_t)at->rows;
  if (grid->context->rank == at->owner)
    for (int j = at->first; j < at->last; j++)
      for (int i = 0; i < at->rows; i++) r->piece[used++] = (float)column(matrix, j)[i];
  size_t bytes = rows * (size_t)(at->last - at->first) * sizeof *r->piece;
  olica_comm_bcast(grid->context, grid->context->comm, r->piece, bytes, at->owner);
  if (!r->everywhere) return;
  for (int i = 0; i < at->rows; i++) {
    float *row = r->everywhere + (size_t)global(i, matrix->mb, at->row, grid->rows) * (size_t)r->cols;
    for (int j = at->first; j < at->last; j++)
      row[global(j, matrix->nb, at->col, grid->cols)] = r->piece[(size_t)(j - at->first) * rows + (size_t)i];
  }
}

size_t olica_matrix_measure_replicate(const olica_matrix *part) {
  return panel_size(part, part->cols) * sizeof *((replication *)NULL)->piece;
}

olica_status olica_matrix_replicate(const olica_matrix *matrix, int cols, float *everywhere) {
  assert(cols > 0 && cols <= matrix->cols);
  olica_context *context = matrix->grid->context;
  replication r = {.matrix = matrix, .cols = cols, .everywhere = everywhere};
  OLICA_AGREE(context, OLICA_NEW(context->env, r.piece, panel_size(matrix, cols)));
  each_panel(matrix, cols, replicate_panel, &r);
  OLICA_FREE(context->env, r.piece);
  return OLICA_OK;
}

/* ---- operations on the grid ---- */

/* Mirrors a triangle of the local square block a [n x n], in tiles that stay in cache. */
static void mirror_block(double *a, size_t lld, int n, olica_triangle from) {
  enum { TILE = 32 };
  for (int i0 = 0; i0 < n; i0 += TILE)
    for (int j0 = 0; j0 <= i0; j0 += TILE)
      for (int j = j0; j < minimum(n, j0 + TILE); j++)
        for (int i = i0 > j ? i0 : j + 1; i < minimum(n, i0 + TILE); i++) {
          double *lower = a + (size_t)j * lld + (size_t)i, *upper = a + (size_t)i * lld + (size_t)j;
          if (from == OLICA_LOWER)
            *upper = *lower;
          else
            *lower = *upper;
        }
}

/* The local index of global index g on this process, or -1. */
static int local_of(int g, int block, int place, int places) {
  return g / block % places == place ? g / block / places * block + g % block : -1;
}

int olica_matrix_local_row(const olica_matrix *matrix, int row) {
  return local_of(row, matrix->mb, matrix->grid->row, matrix->grid->rows);
}

int olica_matrix_local_col(const olica_matrix *matrix, int col) {
  return local_of(col, matrix->nb, matrix->grid->col, matrix->grid->cols);
}

/* Returns the address of diagonal element k in this rank's local part, or NULL if another rank holds it. */
static double *diagonal(const olica_matrix *matrix, int k) {
  int i = olica_matrix_local_row(matrix, k), j = olica_matrix_local_col(matrix, k);
  return i >= 0 && j >= 0 ? column(matrix, j) + i : NULL;
}

void olica_matrix_mirror(olica_matrix *matrix, olica_triangle from) {
  assert(matrix->rows == matrix->cols && matrix->mb == matrix->nb);
  int n = matrix->rows, block = matrix->grid->count == 1 ? n : matrix->nb, descriptor[9];
  static const double zero = 0, one = 1;
  olica_matrix_describe(matrix, descriptor);
  for (int k = 0; k < n; k += block) {
    int here = minimum(block, n - k), rest = n - k - here;
    double *corner = diagonal(matrix, k);
    if (corner) mirror_block(corner, (size_t)matrix->lld, here, from);
    if (rest == 0) break;
    int top = k + 1, below = k + here + 1; /* Fortran counts from 1 */
    if (from == OLICA_LOWER)
      pdtran_(&here, &rest, &one, matrix->a, &below, &top, descriptor, &zero, matrix->a, &top, &below,
              descriptor);
    else
      pdtran_(&rest, &here, &one, matrix->a, &top, &below, descriptor, &zero, matrix->a, &below, &top,
              descriptor);
  }
}

void olica_matrix_column_dots(const olica_matrix *a, const olica_matrix *b, double *out) {
  assert(a->grid == b->grid && a->rows == b->rows && a->cols == b->cols && a->mb == b->mb && a->nb == b->nb);
  memset(out, 0, (size_t)a->cols * sizeof *out);
  for (int j = 0; j < a->local_cols; j++) {
    const double *x = column(a, j), *y = column(b, j);
    double dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int i = 0; i < a->local_rows; i++) dot += x[i] * y[i];
    out[olica_matrix_global_col(a, j)] = dot;
  }
  olica_comm_sum(a->grid->context, a->grid->comm, out, (size_t)a->cols);
}

void olica_matrix_column_sums(const olica_matrix *matrix, const double *weight, double *out) {
  memset(out, 0, (size_t)matrix->cols * sizeof *out);
  for (int j = 0; j < matrix->local_cols; j++) {
    const double *x = column(matrix, j);
    double sum = 0;
    for (int i = 0; i < matrix->local_rows; i++) sum += weight[olica_matrix_global_row(matrix, i)] * x[i];
    out[olica_matrix_global_col(matrix, j)] = sum;
  }
  olica_comm_sum(matrix->grid->context, matrix->grid->comm, out, (size_t)matrix->cols);
}

void olica_matrix_scale_columns(olica_matrix *matrix, const double *scale) {
  for (int j = 0; j < matrix->local_cols; j++) {
    double factor = scale[olica_matrix_global_col(matrix, j)];
    for (int i = 0; i < matrix->local_rows; i++) column(matrix, j)[i] *= factor;
  }
}

double olica_matrix_trace(const olica_matrix *matrix) {
  double sum = 0;
  for (int k = 0; k < matrix->rows && k < matrix->cols; k++) {
    const double *element = diagonal(matrix, k);
    if (element) sum += *element;
  }
  olica_comm_sum(matrix->grid->context, matrix->grid->comm, &sum, 1);
  return sum;
}

double olica_matrix_norm(const olica_matrix *matrix) {
  double sum = 0;
  for (int j = 0; j < matrix->local_cols; j++) {
    const double *x = column(matrix, j);
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < matrix->local_rows; i++) sum += x[i] * x[i];
  }
  olica_comm_sum(matrix->grid->context, matrix->grid->comm, &sum, 1);
  return sqrt(sum);
}

void olica_matrix_get_diagonal(const olica_matrix *matrix, double *out) {
  for (int k = 0; k < matrix->rows && k < matrix->cols; k++) {
    const double *element = diagonal(matrix, k);
    if (element) out[k] = *element;
  }
}

void olica_matrix_set_diagonal(olica_matrix *matrix, const double *values, double shift) {
  for (int k = 0; k < matrix->rows && k < matrix->cols; k++) {
    double *element = diagonal(matrix, k);
    if (element) *element = values[k] + shift;
  }
}

void olica_matrix_shift_diagonal(olica_matrix *matrix, double shift) {
  for (int k = 0; k < matrix->rows && k < matrix->cols; k++) {
    double *element = diagonal(matrix, k);
    if (element) *element += shift;
  }
}
