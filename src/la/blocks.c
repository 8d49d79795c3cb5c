#include <string.h>

#include "la/packed.h"

enum {
  SLAB = 608,  /* most columns: a slab and a panel of weights take 228 KiB in bf16, 456 KiB in fp32 */
  COLUMNS = 32 /* every slab is a multiple of this */
};

olica_blocks olica_blocks_in(olica_dtype precision, void *room, int width) {
  int slabs = (width + SLAB - 1) / SLAB;
  return (olica_blocks){.precision = precision,
                        .size = olica_number_size(precision),
                        .width = width,
                        .padded = olica_round_up(width, COLUMNS),
                        .slab = olica_round_up((width + slabs - 1) / slabs, COLUMNS),
                        .x = room};
}

size_t olica_blocks_bytes(olica_dtype precision, int rows, int width) {
  return (size_t)olica_round_up(rows, OLICA_BLOCK_ROWS) * (size_t)olica_round_up(width, COLUMNS) *
         olica_number_size(precision);
}

/* Returns the columns of the slab that contains column `col`. */
static int slab_columns(const olica_blocks *b, int col) {
  int left = b->padded - col / b->slab * b->slab;
  return left < b->slab ? left : b->slab;
}

/* Returns the address of column `col` of a row, and the number of columns from there to the end of its
 * slab. */
static char *find(const olica_blocks *b, int row, int col, int *left) {
  int first = col / b->slab * b->slab, wide = slab_columns(b, col);
  size_t block = (size_t)(row / OLICA_BLOCK_ROWS) * OLICA_BLOCK_ROWS * (size_t)b->padded;
  *left = first + wide - col;
  size_t at = block + (size_t)first * OLICA_BLOCK_ROWS + (size_t)(row % OLICA_BLOCK_ROWS) * (size_t)wide +
              (size_t)(col - first);
  return b->x + at * b->size;
}

/* Stores rows of one block, from `row` on. */
static void store(const olica_blocks *blocks, int row, int rows, int col, int count, const float *x,
                  int stride) {
  for (int done = 0, n; done < count; done += n) {
    char *to = find(blocks, row, col + done, &n);
    size_t wide = (size_t)slab_columns(blocks, col + done) * blocks->size;
    if (n > count - done) n = count - done;
    for (int t = 0; t < rows; t++)
      olica_number_round_operand(blocks->precision, x + (size_t)t * (size_t)stride + done,
                                 to + (size_t)t * wide, n);
  }
}

void olica_blocks_store(const olica_blocks *blocks, int row, int rows, int col, int count, const float *x,
                        int stride) {
  for (int done = 0, n; done < rows; done += n) {
    n = OLICA_BLOCK_ROWS - (row + done) % OLICA_BLOCK_ROWS;
    if (n > rows - done) n = rows - done;
    store(blocks, row + done, n, col, count, x + (size_t)done * (size_t)stride, stride);
  }
}

void olica_blocks_clear(const olica_blocks *blocks, int rows) {
  int left;
  if (blocks->width == blocks->padded) return;
  for (int row = 0; row < rows; row++)
    memset(find(blocks, row, blocks->width, &left), 0,
           (size_t)(blocks->padded - blocks->width) * blocks->size);
}
