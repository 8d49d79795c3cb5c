/* Sums for a linear fit, in outline:
 *
 *   for every pack of sequences
 *     store the rows of A and B as the observer receives them              olica_fit_sums_see
 *     at the end of the pack                                               olica_fit_sums_passed
 *       add the column sums; the columns' norms give the scales            add_vectors
 *       transpose the panels of A                                          turn_all
 *     when the buffer cannot hold another pack, and at the end             olica_fit_sums_finish
 *       for every square of the sums and every batch of sequences,
 *         multiply, lock, add                                              add_square
 *
 * The ranks of a node and their threads add to the same sums, cut into squares, with a lock for each:
 *
 *         AᵀA, upper triangle         AᵀB
 *     A   +----+----+----+        A   +----+----+----+
 *     |   | 00 | 01 | 02 |        |   | 00 | 01 | 02 |
 *     |   +----+----+----+        |   +----+----+----+
 *     |        | 11 | 12 |        |   | 10 | 11 | 12 |
 *     |        +----+----+        |   +----+----+----+
 *     v             | 22 |        v   | 20 | 21 | 22 |
 *                   +----+            +----+----+----+    d = 3 SQUARE */
#include "calib/fit_sums.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <pthread.h>

#include "base/arena.h"
#include "la/product.h"
#include "par/comm.h"

enum {
  ROOM = 4096,  /* bytes of a channel's rows that are stored before they are added to the sums */
  SQUARE = 192, /* rows and columns of a square of the sums, which has a lock; also of the products */
  BATCH = 4,    /* sequences whose products of a square are added to the sums together */
  COLUMNS = 64  /* columns per pass over rows: their sums stay in the L1 cache */
};

static int room_for(olica_dtype precision, int tokens, int pack) {
  int room = ROOM / (int)olica_number_size(precision) / tokens;
  return room > pack ? room : pack;
}

static int squares_of(int d) {
  return (d + SQUARE - 1) / SQUARE;
}

/* Lays out a rank's arrays. */
static size_t lay_out(olica_fit_sums *sums, void *block) {
  olica_arena arena = {.block = block};
  size_t d = (size_t)sums->d, room = (size_t)sums->room, rows = room * (size_t)sums->tokens * d;
  OLICA_TAKE(&arena, sums->sum_a, d);
  OLICA_TAKE(&arena, sums->sum_b, d);
  OLICA_TAKE(&arena, sums->square_b, d);
  for (int side = 0; side < sums->sides; side++) {
    OLICA_TAKE(&arena, sums->rows[side], rows * sums->size);
    OLICA_TAKE(&arena, sums->scale[side], room * d);
  }
  OLICA_TAKE(&arena, sums->turned, rows * sums->size);
  return arena.used;
}

/* Lays out the node's part: AᵀA and, of both sides, AᵀB, and a lock for each square of each. */
static size_t lay_out_node(olica_fit_sums *sums, void *block) {
  olica_arena arena = {.block = block};
  size_t numbers = (size_t)sums->d * (size_t)sums->d, squares = (size_t)squares_of(sums->d);
  OLICA_TAKE(&arena, sums->gram, numbers);
  if (sums->sides > 1) OLICA_TAKE(&arena, sums->cross, numbers);
  sums->locks = olica_arena_take(&arena, (size_t)sums->sides * squares * squares, sizeof(pthread_mutex_t));
  return arena.used;
}

enum { WORKSPACE = sizeof(float) * BATCH * SQUARE * SQUARE }; /* bytes of a thread's in the kernel */

olica_hold olica_fit_sums_hold(olica_ledger *ledger, olica_dtype precision, int sides, int d, int tokens,
                               int pack) {
  olica_fit_sums sums = {
      .sides = sides, .precision = precision, .size = olica_number_size(precision), .d = d, .tokens = tokens};
  sums.room = room_for(precision, tokens, pack);
  olica_ledger_reserve(ledger, WORKSPACE);
  olica_hold before = olica_ledger_mark(ledger);
  olica_ledger_hold(ledger, lay_out(&sums, NULL));
  olica_ledger_hold_node(ledger, lay_out_node(&sums, NULL));
  return olica_ledger_since(ledger, before);
}

static olica_status allocate(olica_fit_sums *sums) {
  OLICA_TRY(OLICA_LAY_OUT(sums->context->env, "sums of a fit", sums->block, lay_out, sums));
  return olica_kernel_reserve(sums->kernel, WORKSPACE);
}

static pthread_mutex_t *lock_of(const olica_fit_sums *sums, olica_side side, int square) {
  int squares = squares_of(sums->d);
  return (pthread_mutex_t *)sums->locks + (size_t)side * (size_t)(squares * squares) + square;
}

/* Initializes the node's part: zeros, and locks shared by its ranks and their threads. */
static void initialize(olica_fit_sums *sums) {
  int squares = squares_of(sums->d) * squares_of(sums->d);
  lay_out_node(sums, sums->shared->data);
  if (olica_shared_leads(sums->context)) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    for (int i = 0; i < sums->sides * squares; i++)
      pthread_mutex_init(lock_of(sums, (olica_side)(i / squares), i % squares), &attributes);
    pthread_mutexattr_destroy(&attributes);
  }
  olica_shared_fence(sums->context);
}

olica_status olica_fit_sums_create(olica_context *context, olica_kernel *kernel, int sides, int d, int tokens,
                                   int pack, olica_fit_sums **out) {
  olica_fit_sums *sums = NULL;
  OLICA_AGREE(context, OLICA_NEW(context->env, sums, 1));
  *sums = (olica_fit_sums){.context = context,
                           .kernel = kernel,
                           .sides = sides,
                           .precision = olica_kernel_precision(kernel),
                           .size = olica_number_size(olica_kernel_precision(kernel)),
                           .d = d,
                           .tokens = tokens};
  sums->room = room_for(sums->precision, tokens, pack);
  OLICA_AGREE(context, allocate(sums));
  OLICA_TRY(olica_shared_create(context, "sums of a fit", lay_out_node(sums, NULL), &sums->shared));
  initialize(sums);
  *out = sums;
  return OLICA_OK;
}

void olica_fit_sums_destroy(olica_fit_sums *sums) {
  if (!sums) return;
  olica_env *env = olica_kernel_env(sums->kernel);
  olica_shared_destroy(sums->shared); /* its locks are free and own no resources */
  olica_memory_free(env, sums->block);
  olica_memory_free(env, sums);
}

/* The rows of a sequence are stored in panels of SQUARE columns, [T x SQUARE] each, one after the other: the
 * layout of a product's right factor. */
static int square_columns(const olica_fit_sums *sums, int first) {
  return sums->d - first < SQUARE ? sums->d - first : SQUARE;
}

/* Returns the panel of a sequence that begins at column `first`, a multiple of SQUARE. */
static char *columns_of(const olica_fit_sums *sums, olica_side side, int s, int first) {
  return sums->rows[side] + (size_t)sums->tokens * ((size_t)s * (size_t)sums->d + (size_t)first) * sums->size;
}

void olica_fit_sums_see(olica_fit_sums *sums, olica_side side, const olica_view *view) {
  for (int t = 0; t < view->rows; t++) {
    int row = view->row + t, s = sums->used + row / sums->tokens;
    for (int done = 0, n; done < view->cols; done += n) {
      int col = view->col + done, first = col / SQUARE * SQUARE, wide = square_columns(sums, first);
      size_t at = (size_t)(row % sums->tokens) * (size_t)wide + (size_t)(col - first);
      n = first + wide - col < view->cols - done ? first + wide - col : view->cols - done;
      olica_number_round_operand(sums->precision, view->x + (size_t)t * (size_t)view->stride + done,
                                 columns_of(sums, side, s, first) + at * sums->size, n);
    }
  }
}

/* ---- one sequence ---- */

static double *scale_of(const olica_fit_sums *sums, olica_side side, int s) {
  return sums->scale[side] + (size_t)s * (size_t)sums->d;
}

/* Returns row t of columns [from, from + count), which lie in one panel: in place in fp32, decoded in
 * bf16. */
static const float *row_part(const olica_fit_sums *sums, olica_side side, int s, int t, int from, int count,
                             float *decoded) {
  int first = from / SQUARE * SQUARE;
  size_t at = (size_t)t * (size_t)square_columns(sums, first) + (size_t)(from - first);
  const void *row = columns_of(sums, side, s, first) + at * sums->size;
  if (sums->precision == OLICA_FP32) return row;
  for (int c = 0; c < count; c++) decoded[c] = olica_number_from_bf16(((const uint16_t *)row)[c]);
  return decoded;
}

/* Sums `count` columns of a sequence, and their squares; the compiler inlines it with a constant `count`. */
static inline void sum_columns(const olica_fit_sums *sums, olica_side side, int s, int from, int count,
                               double *restrict column, double *restrict energy) {
  float decoded[COLUMNS];
  for (int t = 0; t < sums->tokens; t++) {
    const float *row = row_part(sums, side, s, t, from, count, decoded);
    for (int c = 0; c < count; c++) {
      energy[c] += (double)row[c] * row[c];
      column[c] += row[c];
    }
  }
}

/* Adds column sums and energies of columns [from, from + count) of one side of a sequence. The scale of a
 * column is a power of two near its norm. */
static void add_columns(const olica_fit_sums *sums, olica_side side, int s, int from, int count) {
  double energy[COLUMNS] = {0}, column[COLUMNS] = {0}, *scale = scale_of(sums, side, s);
  double *sum = side == OLICA_SIDE_A ? sums->sum_a : sums->sum_b;
  if (count == COLUMNS)
    sum_columns(sums, side, s, from, COLUMNS, column, energy);
  else
    sum_columns(sums, side, s, from, count, column, energy);
  for (int c = 0; c < count; c++) {
    scale[from + c] = olica_statistics_power_of_two(sqrt(energy[c]));
    sum[from + c] += olica_statistics_on_grid(column[c], scale[from + c]);
    if (side == OLICA_SIDE_B)
      sums->square_b[from + c] +=
          olica_statistics_on_grid(energy[c], olica_statistics_power_of_two(energy[c]));
  }
}

/* Adds the vectors of `count` sequences, from `first` on. */
static void add_vectors(const olica_fit_sums *sums, int first, int count) {
#pragma omp parallel for schedule(static) num_threads(olica_kernel_threads(sums->kernel))
  for (int from = 0; from < sums->d; from += COLUMNS)
    for (int s = first; s < first + count; s++)
      for (int side = 0; side < sums->sides; side++)
        add_columns(sums, (olica_side)side, s, from, sums->d - from < COLUMNS ? sums->d - from : COLUMNS);
}

/* sum [n] += products [n] of `count` sequences, each rounded to the grid of its scale: the row's, `by`, times
 * the column's, `scales`. From one sequence to the next, `product` advances by `tile` numbers, `by` and
 * `scales` by `width`. */
static inline void add_row(double *restrict sum, int n, int count, const float *restrict product, size_t tile,
                           const double *restrict by, const double *restrict scales, size_t width) {
  for (int j = 0; j < n; j++) {
    double all = 0.0;
    for (int s = 0; s < count; s++)
      all += olica_statistics_on_grid(product[(size_t)s * tile + (size_t)j],
                                      by[(size_t)s * width] * scales[(size_t)s * width + (size_t)j]);
    sum[j] += all;
  }
}

/* Returns the k-th piece of work of this rank: the ranks of a node begin at different pieces, to avoid
 * waiting for locks. */
static int turn_of(const olica_fit_sums *sums, int k, int pieces) {
  const olica_context *context = sums->context;
  return (int)((k + (int64_t)context->node_rank * pieces / context->node_size) % pieces);
}

/* ---- all sequences, a square of the sums after the other ---- */

/* Returns the transposed panel of A of a sequence from column `first` on: [SQUARE x T]. */
static char *turned_of(const olica_fit_sums *sums, int s, int first) {
  return sums->turned + ((size_t)s * (size_t)sums->d + (size_t)first) * (size_t)sums->tokens * sums->size;
}

/* Transposes a panel [T x columns], four numbers at a time: single stores would dominate the cost. The
 * compiler inlines it with a constant size of a number. */
static inline void turn(const char *from, size_t size, size_t tokens, size_t columns, char *to) {
  enum { STEP = 4 };
  size_t t = 0;
  for (; t + STEP <= tokens; t += STEP)
    for (size_t c = 0; c < columns; c++) {
      char four[STEP * sizeof(float)];
      for (size_t i = 0; i < STEP; i++) memcpy(four + i * size, from + ((t + i) * columns + c) * size, size);
      memcpy(to + (c * tokens + t) * size, four, STEP * size);
    }
  for (; t < tokens; t++)
    for (size_t c = 0; c < columns; c++)
      memcpy(to + (c * tokens + t) * size, from + (t * columns + c) * size, size);
}

static void turn_panel(const olica_fit_sums *sums, int s, int first) {
  size_t tokens = (size_t)sums->tokens, columns = (size_t)square_columns(sums, first);
  const char *from = columns_of(sums, OLICA_SIDE_A, s, first);
  if (sums->precision == OLICA_FP32)
    turn(from, sizeof(float), tokens, columns, turned_of(sums, s, first));
  else
    turn(from, sizeof(uint16_t), tokens, columns, turned_of(sums, s, first));
}

static void turn_all(const olica_fit_sums *sums, int first, int count) {
#pragma omp parallel for collapse(2) schedule(static) num_threads(olica_kernel_threads(sums->kernel))
  for (int s = first; s < first + count; s++)
    for (int col = 0; col < sums->d; col += SQUARE) turn_panel(sums, s, col);
}

/* A square of the sums at (row, col), and its products for a batch of sequences. */
typedef struct square {
  pthread_mutex_t *lock;
  olica_side side; /* A: of AᵀA, upper triangle only; B: of AᵀB */
  int row, col, rows, columns;
  float *tiles; /* [BATCH][rows x columns] */
} square;

/* Adds `count` sequences from s on. Each number of the sums is loaded once for the batch. */
static inline void add_tiles(const olica_fit_sums *sums, const square *q, int s, int count) {
  size_t d = (size_t)sums->d, tile = (size_t)q->rows * (size_t)q->columns;
  double *sum = (q->side == OLICA_SIDE_A ? sums->gram : sums->cross) + (size_t)q->row * d + q->col;
  const double *by = scale_of(sums, OLICA_SIDE_A, s) + q->row, *scales = scale_of(sums, q->side, s) + q->col;
  for (int i = 0; i < q->rows; i++) {
    int from = q->side == OLICA_SIDE_A && q->row == q->col ? i : 0; /* skips the lower triangle */
    add_row(sum + (size_t)i * d + from, q->columns - from, count,
            q->tiles + (size_t)i * (size_t)q->columns + from, tile, by + i, scales + from, d);
  }
}

static void add_square(const olica_fit_sums *sums, const square *q, const olica_matmul *product, int thread) {
  for (int done = 0, n; done < sums->used; done += n) {
    n = sums->used - done < BATCH ? 1 : BATCH;
    for (int s = done; s < done + n; s++)
      olica_matmul_run(product, thread, turned_of(sums, s, q->row), NULL,
                       columns_of(sums, q->side, s, q->col),
                       q->tiles + (size_t)(s - done) * (size_t)q->rows * (size_t)q->columns);
    pthread_mutex_lock(q->lock);
    if (n == BATCH) /* a constant count: the compiler unrolls the inner loop */
      add_tiles(sums, q, done, BATCH);
    else
      add_tiles(sums, q, done, 1);
    pthread_mutex_unlock(q->lock);
  }
}

/* Finds the products of a full square and of the last, narrower one: product[rows are full][columns are
 * full]. */
static olica_status find_products(olica_fit_sums *sums, const olica_matmul *product[2][2]) {
  int rest = sums->d % SQUARE ? sums->d % SQUARE : SQUARE, full = sums->d < SQUARE ? rest : SQUARE;
  for (int r = 0; r < 2; r++)
    for (int c = 0; c < 2; c++)
      OLICA_TRY(olica_matmul_find(sums->kernel,
                                  (olica_matmul_shape){.rows = r ? full : rest,
                                                       .depth = sums->tokens,
                                                       .columns = c ? full : rest,
                                                       .right = OLICA_RIGHT_ROWS},
                                  &product[r][c]));
  return OLICA_OK;
}

static olica_status add_all(olica_fit_sums *sums) {
  olica_env *env = olica_kernel_env(sums->kernel);
  int squares = squares_of(sums->d);
  const olica_matmul *product[2][2];
  OLICA_TRY(find_products(sums, product));
#pragma omp parallel for schedule(dynamic) num_threads(olica_kernel_threads(sums->kernel))
  for (int k = 0; k < squares * squares; k++) {
    int at = turn_of(sums, k, squares * squares), i = at / squares, j = at % squares;
    const olica_matmul *one = product[i + 1 < squares][j + 1 < squares];
    square q = {.row = i * SQUARE, .col = j * SQUARE};
    q.rows = square_columns(sums, q.row);
    q.columns = square_columns(sums, q.col);
    q.tiles = olica_kernel_room(sums->kernel, omp_get_thread_num());
    for (int side = j >= i ? OLICA_SIDE_A : OLICA_SIDE_B; side < sums->sides; side++) {
      q.side = (olica_side)side;
      q.lock = lock_of(sums, q.side, at);
      add_square(sums, &q, one, omp_get_thread_num());
    }
  }
  double products = (sums->sides == 1 ? 1.0 : 3.0) * sums->d + 1;
  olica_timer_work(&env->timers, (double)sums->used * sums->tokens * sums->d * products, 0);
  return OLICA_OK;
}

olica_status olica_fit_sums_finish(olica_fit_sums *sums) {
  if (sums->used == 0) return OLICA_OK;
  OLICA_TRY(add_all(sums));
  sums->used = 0;
  return OLICA_OK;
}

/* Adds the column sums and transposes A, while the rows are still in cache. */
olica_status olica_fit_sums_passed(olica_fit_sums *sums, int sequences) {
  add_vectors(sums, sums->used, sequences);
  turn_all(sums, sums->used, sequences);
  sums->used += sequences;
  assert(sums->used <= sums->room);
  return sums->used + sequences > sums->room ? olica_fit_sums_finish(sums) : OLICA_OK;
}
