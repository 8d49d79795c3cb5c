/* Products y = x Wᵀ of many rows with one matrix of weights, packed in advance for the kernel in use, which
 * keeps its own copy. Products in bf16 round x and W to nearest even and sum in fp32. A row of y depends on
 * its row of x alone, and not on the number of threads. Not collective.
 *
 * A product is divided in three directions, always at the same places: rows into blocks of 64,
 * columns of y into panels of at most 192, columns of x into slabs of at most 608. A block of one slab times
 * one panel fits in a core's L2 cache; all three are dense in memory, as the kernel requires.
 *
 *         x [rows x in]                  Wᵀ [in x out]              y [rows x out]
 *       slab 0   slab 1                panel 0  panel 1           panel 0  panel 1
 *       +--------+------+              +-------+-----+            +-------+-----+
 *       |        |      | block 0      |       |     | slab 0     | tile  |     | block 0
 *       +--------+------+              +-------+-----+            +-------+-----+
 *       |        |      | block 1      |       |     | slab 1     |       |     | block 1
 *       +--------+------+              +-------+-----+            +-------+-----+ */
#ifndef OLICA_LA_PACKED_H
#define OLICA_LA_PACKED_H

#include "la/kernel.h"
#include "par/context.h"

enum { OLICA_BLOCK_ROWS = 64, OLICA_PANEL_COLUMNS = 192 };

/* Returns the blocks that a thread multiplies with a panel in a row, and their rows: as many as take the same
 * memory in both precisions. */
static inline int olica_packed_group(olica_dtype precision) {
  return precision == OLICA_FP32 ? 4 : 8;
}

static inline int olica_packed_group_rows(olica_dtype precision) {
  return olica_packed_group(precision) * OLICA_BLOCK_ROWS;
}

/* Weights W [out x in] in fp32: element (i, j) is w[i * in + j], or w[j * out + i] if transposed. */
typedef struct olica_packed_weights {
  int out, in;
  const float *w;
  bool transposed;
  bool adds; /* products are added to y */
  /* Memory of the packed form: olica_packed_measure of the caller's, aligned to 64, or NULL for counted
   * memory of its own. With `node` the memory is shared by the node's ranks, which pack it together; the
   * caller fences between packing and multiplying. */
  char *room;
  const olica_context *node;
} olica_packed_weights;

typedef struct olica_packed olica_packed;

/* Packs W, which must not change or be freed before the product is destroyed. OLICA_ERR_MEMORY. */
olica_status olica_packed_create(olica_kernel *kernel, olica_packed_weights weights, olica_packed **packed);
void olica_packed_destroy(olica_packed *packed); /* NULL allowed */

/* Returns an upper bound of the bytes of the packed form. Pure. */
size_t olica_packed_measure(olica_dtype precision, int out, int in);

/* y [rows x out] := x Wᵀ (y += x Wᵀ if `adds`), x [rows x in] of row stride x_stride. At most one call at a
 * time per kernel. Adds its work to the running timers. Never fails. */
void olica_packed_multiply(olica_packed *packed, int rows, const float *x, int x_stride, float *y);

/* Reserves on a ledger a thread's workspace in the kernel for olica_packed_multiply. */
void olica_packed_reserve(olica_ledger *ledger, olica_dtype precision, int in);

/* ---- blocks of rows in the kernel's precision, and tiles of products, for what fuses products with what
 * lies between ---- */

/* Rows [.. x width] in blocks, one after the other; each block in slabs [64 x slab], one after the other. The
 * last slab is padded with zeros to a multiple of 32 columns. */
typedef struct olica_blocks {
  olica_dtype precision;
  size_t size;             /* bytes of a number */
  int width, padded, slab; /* columns; columns with padding; columns of every slab but the last */
  char *x;                 /* borrowed */
} olica_blocks;

/* Returns the bytes of `rows` rows. */
size_t olica_blocks_bytes(olica_dtype precision, int rows, int width);

/* Lays out such blocks in memory of the caller, who also clears the padding (olica_blocks_clear). */
olica_blocks olica_blocks_in(olica_dtype precision, void *room, int width);

/* Clears the padding of the first `rows` rows. */
void olica_blocks_clear(const olica_blocks *blocks, int rows);

/* Stores x [rows x count], of row stride `stride`, as columns [col, col + count) of rows [row, row +
 * rows). */
void olica_blocks_store(const olica_blocks *blocks, int row, int rows, int col, int count, const float *x,
                        int stride);

/* Returns the number of panels of a packed matrix; the columns of y in one panel, and its first column. */
int olica_packed_panels(const olica_packed *packed);
int olica_packed_columns(const olica_packed *packed, int panel, int *first);

/* tiles [count][64 x columns of the panel] := (+=) blocks [first, first + count) of x times a panel, by
 * thread number `thread` of the kernel. Rows of a tile are undefined where the block's rows were not stored.
 * Adds nothing to the timers. */
void olica_packed_tiles(const olica_packed *packed, int thread, int panel, const olica_blocks *x, int first,
                        int count, bool adds, float *tiles);

#endif
