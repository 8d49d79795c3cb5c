/* Products y = x Wᵀ of many rows with one matrix of weights, packed beforehand for the kernel in use: fp32 by
 * BLAS, the reference, which borrows the weights as they are; or bf16, which holds its own copy. bf16
 * products round x and W to nearest even and sum in fp32. y does not depend on the number of threads. In bf16
 * a row of y depends on its row of x alone; in fp32, with some kernels of BLAS, also on where it lies among
 * the others. Not collective.
 *
 * In bf16 a product is cut in three directions, always at the same places: rows into blocks of 64, columns of
 * y into panels of at most 192, columns of x into slabs of at most 608. A block of one slab times one panel
 * is what the second cache of a core holds; all three lie dense in memory, as the kernel wants them. */
#ifndef OLICA_LA_PACKED_H
#define OLICA_LA_PACKED_H

#include "olica/la/kernel.h"
#include "olica/par/context.h"

enum {
  OLICA_BLOCK_ROWS = 64,
  OLICA_PANEL_COLUMNS = 192,
  OLICA_GROUP_BLOCKS = 8 /* blocks that a thread takes through a panel one after the other */
};

/* Weights W [out x in] in fp32, element (i, j) at w[i * in + j], or at w[j * out + i] if transposed. */
typedef struct olica_packed_weights {
  int out, in;
  const float *w;
  bool transposed;
  bool adds; /* products are added to y */
  /* Where the packed form lies: in olica_packed_bytes of the caller's, aligned to 64, or NULL: in counted
   * memory of its own. With `node` that memory is the node's, whose ranks pack it together; the fence between
   * packing and multiplying is the caller's. */
  char *room;
  const olica_context *node;
} olica_packed_weights;

typedef struct olica_packed olica_packed;

/* Packs W, which must stay as it is until the product is destroyed. OLICA_ERR_MEMORY. */
olica_status olica_packed_create(olica_kernel *kernel, olica_packed_weights weights, olica_packed **packed);
void olica_packed_destroy(olica_packed *packed); /* NULL allowed */

/* Bytes of counted memory of one packed matrix, at most. Pure. */
size_t olica_packed_bytes(olica_dtype precision, int out, int in);

/* y [rows x out] := x Wᵀ (y += x Wᵀ if it adds), x [rows x in] of row stride x_stride. One at a time for all
 * that is packed with a kernel. Books its work on the running timers. Never fails. */
void olica_packed_multiply(olica_packed *packed, int rows, const float *x, int x_stride, float *y);

/* Bytes of a thread's room in the kernel that olica_packed_multiply works in. Pure. */
size_t olica_packed_room(olica_dtype precision, int in);

/* ---- blocks of rows in bf16, and tiles of products, for what fuses products with what lies between ---- */

/* Rows [.. x width], block after block; in a block slab after slab, each [64 x slab]. The last slab is filled
 * up with zeros to a multiple of 32 columns. */
typedef struct olica_blocks {
  int width, padded, slab; /* columns; with the zeros; of every slab but the last */
  uint16_t *x;             /* in memory of the caller's */
} olica_blocks;

/* Bytes that `rows` rows take. */
size_t olica_blocks_bytes(int rows, int width);

/* Blocks of such rows in memory of the caller's, whose zeros are the caller's too (olica_blocks_clear). */
olica_blocks olica_blocks_in(void *room, int width);

/* Zeros behind the columns of the first `rows` rows. */
void olica_blocks_clear(const olica_blocks *blocks, int rows);

/* x [rows x count], of row stride `stride`, becomes columns [col, col + count) of rows [row, row + rows). */
void olica_blocks_store(const olica_blocks *blocks, int row, int rows, int col, int count, const float *x,
                        int stride);

/* Panels of a packed matrix; columns of y in one, and the first of them. */
int olica_packed_panels(const olica_packed *packed);
int olica_packed_columns(const olica_packed *packed, int panel, int *first);

/* tiles [count][64 x columns of the panel] := (+=) blocks [first, first + count) of x times a panel, by
 * thread number `thread` of the kernel. What lies in rows of a block beyond those that were stored is of no
 * use. Books nothing. */
void olica_packed_tiles(const olica_packed *packed, int thread, int panel, const olica_blocks *x, int first,
                        int count, bool adds, float *tiles);

#endif
