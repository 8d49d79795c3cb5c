#include "la/packed.h"

#include <assert.h>
#include <omp.h>
#include <string.h>

#include "base/arena.h"
#include "la/product.h"
#include "par/partition.h"

enum { COLUMNS = 32 };

/* One panel of y's columns with one slab of x's columns: the product that starts a tile, and the one that
 * adds to it. */
typedef struct piece {
  olica_operand *operand;
  const olica_matmul *begins, *adds;
} piece;

typedef struct packed_panel {
  int first, columns; /* of y */
  piece *piece;       /* [slabs] */
} packed_panel;

struct olica_packed {
  olica_kernel *kernel;
  olica_packed_weights weights;
  olica_blocks x; /* only the layout of the blocks of x; no data */
  int slabs, panels;
  packed_panel *panel;
};

/* Returns the columns of every panel but the last. */
static int panel_columns(int out) {
  int panels = (out + OLICA_PANEL_COLUMNS - 1) / OLICA_PANEL_COLUMNS;
  return panels ? olica_round_up((out + panels - 1) / panels, COLUMNS) : COLUMNS;
}

/* Divides the columns of x and y. */
static void divide(olica_packed *packed, olica_dtype precision) {
  int out = packed->weights.out, columns = panel_columns(out);
  packed->x = olica_blocks_in(precision, NULL, packed->weights.in);
  packed->slabs = packed->x.slab > 0 ? (packed->x.padded + packed->x.slab - 1) / packed->x.slab : 0;
  packed->panels = (out + columns - 1) / columns;
}

/* Sets the columns of y in a panel. */
static void set_panel(const olica_packed *packed, int i, packed_panel *part) {
  int columns = panel_columns(packed->weights.out), left = packed->weights.out - i * columns;
  part->first = i * columns;
  part->columns = left < columns ? left : columns;
}

static int slab_columns(const olica_packed *packed, int slab) {
  int left = packed->x.padded - slab * packed->x.slab;
  return left < packed->x.slab ? left : packed->x.slab;
}

/* Takes the memory of a piece of W; NULL: it has its own. */
static void *take_piece(const olica_packed *packed, const packed_panel *part, int slab, olica_arena *arena) {
  return olica_arena_take(
      arena, olica_operand_measure(packed->x.precision, slab_columns(packed, slab), part->columns), 1);
}

size_t olica_packed_measure(olica_dtype precision, int out, int in) {
  olica_packed packed = {.weights = {.out = out, .in = in}};
  olica_arena arena = {0};
  packed_panel part = {0};
  if (out == 0) return 0;
  divide(&packed, precision);
  for (int i = 0; i < packed.panels; i++) {
    set_panel(&packed, i, &part);
    for (int slab = 0; slab < packed.slabs; slab++) take_piece(&packed, &part, slab, &arena);
  }
  return arena.used;
}

/* A thread's workspace: rows and their tiles; that is more than a copy of a piece of the weights. */
typedef struct workspace {
  char *rows;
  float *tiles;
} workspace;

static size_t lay_out(olica_dtype precision, int in, workspace *w, void *block) {
  olica_arena arena = {.block = block};
  int rows = olica_packed_group_rows(precision);
  OLICA_TAKE(&arena, w->rows, olica_blocks_bytes(precision, rows, in));
  OLICA_TAKE(&arena, w->tiles, (size_t)rows * OLICA_PANEL_COLUMNS);
  return arena.used;
}

void olica_packed_reserve(olica_ledger *ledger, olica_dtype precision, int in) {
  olica_ledger_reserve(ledger, lay_out(precision, in, &(workspace){0}, NULL));
}

/* ---- packing ---- */

/* Loads one piece of W. A padded slab is loaded from a padded copy of the weights. */
static olica_status load_piece(olica_packed *packed, const packed_panel *part, int slab) {
  const olica_packed_weights *w = &packed->weights;
  int first = slab * packed->x.slab, depth = slab_columns(packed, slab), real = w->in - first;
  int64_t row_stride = w->transposed ? w->out : 1, column_stride = w->transposed ? 1 : w->in;
  const float *from = w->w + first * row_stride + part->first * column_stride;
  if (real < depth) {
    float *copy = olica_kernel_room(packed->kernel, 0);
    for (int n = 0; n < part->columns; n++)
      for (int k = 0; k < depth; k++)
        copy[n * depth + k] = k < real ? from[k * row_stride + n * column_stride] : 0.0f;
    from = copy;
    row_stride = 1;
    column_stride = depth;
  }
  return olica_operand_load(packed->kernel, 0, part->piece[slab].operand, from, row_stride, column_stride);
}

static olica_status create_panel(olica_packed *packed, packed_panel *part, olica_arena *arena) {
  olica_kernel *kernel = packed->kernel;
  OLICA_TRY(OLICA_NEW(olica_kernel_env(kernel), part->piece, (size_t)packed->slabs));
  for (int slab = 0; slab < packed->slabs; slab++) {
    piece *one = &part->piece[slab];
    olica_matmul_shape shape = {.rows = OLICA_BLOCK_ROWS,
                                .depth = slab_columns(packed, slab),
                                .columns = part->columns,
                                .right = OLICA_RIGHT_PACKED};
    OLICA_TRY(olica_matmul_find(kernel, shape, &one->begins));
    shape.adds = true;
    OLICA_TRY(olica_matmul_find(kernel, shape, &one->adds));
    OLICA_TRY(
        olica_operand_create(kernel, one->begins, take_piece(packed, part, slab, arena), &one->operand));
  }
  return OLICA_OK;
}

/* Loads all pieces; each of the node's ranks loads its own share. */
static olica_status load(olica_packed *packed) {
  const olica_context *node = packed->weights.node;
  int rank = node ? node->node_rank : 0, ranks = node ? node->node_size : 1;
  for (int i = rank; i < packed->panels * packed->slabs; i += ranks)
    OLICA_TRY(load_piece(packed, &packed->panel[i / packed->slabs], i % packed->slabs));
  return OLICA_OK;
}

static olica_status create(olica_packed *packed) {
  olica_env *env = olica_kernel_env(packed->kernel);
  olica_arena arena = {.block = packed->weights.room};
  divide(packed, olica_kernel_precision(packed->kernel));
  assert(packed->x.slab > 0);
  OLICA_TRY(olica_kernel_reserve(packed->kernel,
                                 lay_out(packed->x.precision, packed->weights.in, &(workspace){0}, NULL)));
  OLICA_TRY(OLICA_NEW(env, packed->panel, (size_t)packed->panels));
  for (int i = 0; i < packed->panels; i++) {
    set_panel(packed, i, &packed->panel[i]);
    OLICA_TRY(create_panel(packed, &packed->panel[i], &arena));
  }
  return load(packed);
}

olica_status olica_packed_create(olica_kernel *kernel, olica_packed_weights weights, olica_packed **out) {
  olica_packed *packed;
  OLICA_TRY(OLICA_NEW(olica_kernel_env(kernel), packed, 1));
  *packed = (olica_packed){.kernel = kernel, .weights = weights};
  olica_status status = create(packed);
  if (status != OLICA_OK)
    olica_packed_destroy(packed);
  else
    *out = packed;
  return status;
}

void olica_packed_destroy(olica_packed *packed) {
  if (!packed) return;
  olica_env *env = olica_kernel_env(packed->kernel);
  for (int i = 0; packed->panel && i < packed->panels; i++) {
    packed_panel *part = &packed->panel[i];
    for (int slab = 0; part->piece && slab < packed->slabs; slab++)
      olica_operand_destroy(packed->kernel, part->piece[slab].operand);
    olica_memory_free(env, part->piece);
  }
  olica_memory_free(env, packed->panel);
  olica_memory_free(env, packed);
}

/* ---- multiplying ---- */

int olica_packed_panels(const olica_packed *packed) {
  return packed->panels;
}

int olica_packed_columns(const olica_packed *packed, int panel, int *first) {
  *first = packed->panel[panel].first;
  return packed->panel[panel].columns;
}

void olica_packed_tiles(const olica_packed *packed, int thread, int panel, const olica_blocks *x, int first,
                        int count, bool adds, float *tiles) {
  const packed_panel *part = &packed->panel[panel];
  size_t tile = OLICA_BLOCK_ROWS * (size_t)part->columns, block = OLICA_BLOCK_ROWS * (size_t)x->padded;
  assert(x->width == packed->weights.in && x->precision == packed->x.precision);
  /* Slab by slab: a piece of the weights stays in cache while all blocks are multiplied with it. */
  for (int slab = 0; slab < packed->slabs; slab++) {
    const piece *one = &part->piece[slab];
    const char *from =
        x->x + ((size_t)first * block + OLICA_BLOCK_ROWS * (size_t)slab * (size_t)x->slab) * x->size;
    for (int b = 0; b < count; b++)
      olica_matmul_run(adds || slab > 0 ? one->adds : one->begins, thread, from + (size_t)b * block * x->size,
                       one->operand, NULL, tiles + (size_t)b * tile);
  }
}

/* Copies a tile's rows to their place in y. */
static void spread(const olica_packed *packed, const packed_panel *part, int rows, const float *tile,
                   float *y) {
  size_t stride = (size_t)packed->weights.out, columns = (size_t)part->columns;
  for (int t = 0; t < rows; t++) {
    const float *from = tile + (size_t)t * columns;
    float *to = y + (size_t)t * stride + part->first;
    if (packed->weights.adds)
      for (size_t i = 0; i < columns; i++) to[i] += from[i];
    else
      memcpy(to, from, columns * sizeof *to);
  }
}

/* Multiplies at most one group of blocks, on one thread. */
static void multiply(const olica_packed *packed, int thread, int rows, const float *x, int x_stride,
                     float *y) {
  int in = packed->weights.in, count = (rows + OLICA_BLOCK_ROWS - 1) / OLICA_BLOCK_ROWS;
  workspace w;
  lay_out(packed->x.precision, in, &w, olica_kernel_room(packed->kernel, thread));
  const olica_blocks blocks = olica_blocks_in(packed->x.precision, w.rows, in);
  olica_blocks_clear(&blocks, rows);
  olica_blocks_store(&blocks, 0, rows, 0, in, x, x_stride);
  for (int i = 0; i < packed->panels; i++) {
    const packed_panel *part = &packed->panel[i];
    olica_packed_tiles(packed, thread, i, &blocks, 0, count, false, w.tiles);
    for (int t = 0; t < rows; t += OLICA_BLOCK_ROWS)
      spread(packed, part, rows - t < OLICA_BLOCK_ROWS ? rows - t : OLICA_BLOCK_ROWS,
             w.tiles + (size_t)t * (size_t)part->columns, y + (size_t)t * (size_t)packed->weights.out);
  }
}

static void multiply_all(const olica_packed *packed, int rows, const float *x, int x_stride, float *y) {
  int blocks = (rows + OLICA_BLOCK_ROWS - 1) / OLICA_BLOCK_ROWS,
      group = olica_packed_group_rows(packed->x.precision);
  double work = (double)rows * packed->weights.out * packed->weights.in;
#pragma omp parallel num_threads(olica_kernel_threads(packed->kernel)) if (work >= OLICA_PRODUCT_PARALLEL)
  {
    olica_range own = olica_partition_block(blocks, omp_get_num_threads(), omp_get_thread_num());
    int until = (int)(own.first + own.count) * OLICA_BLOCK_ROWS;
    if (until > rows) until = rows;
    for (int t = (int)own.first * OLICA_BLOCK_ROWS; t < until; t += group)
      multiply(packed, omp_get_thread_num(), until - t < group ? until - t : group,
               x + (size_t)t * (size_t)x_stride, x_stride, y + (size_t)t * (size_t)packed->weights.out);
  }
}

void olica_packed_multiply(olica_packed *packed, int rows, const float *x, int x_stride, float *y) {
  const olica_packed_weights *w = &packed->weights;
  olica_env *env = olica_kernel_env(packed->kernel);
  multiply_all(packed, rows, x, x_stride, y);
  olica_timer_work(&env->timers, 2.0 * rows * w->out * w->in, 0);
}
