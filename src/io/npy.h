/* Token ids in NumPy's .npy format (versions 1 to 3): little-endian int32 or int64 (also uint16 and uint32),
 * C order; all dimensions but the last are rows. */
#ifndef OLICA_IO_NPY_H
#define OLICA_IO_NPY_H

#include <stdint.h>

#include "par/context.h"

typedef struct olica_npy {
  char *path;         /* counted, owned */
  int dims;           /* as in the file, at least 1 */
  int64_t rows, cols; /* product of all dimensions but the last, and the last; 1-d: 1 x n */
  int item;           /* bytes of an element */
  int is_signed;
  int64_t offset; /* position of the first element in the file */
} olica_npy;

/* Reads and checks the header on rank 0, and broadcasts it. Collective on the context. Free with
 * olica_npy_close. */
olica_status olica_npy_open(olica_context *context, const char *path, olica_npy **npy);
void olica_npy_close(olica_context *context, olica_npy *npy); /* NULL allowed */

/* Reads `count` ids from row `row`, column `col` on, continuing into the next rows. Checks that each lies in
 * [0, vocabulary): the message names file, row, column, value and bound. Not collective. */
olica_status olica_npy_read(olica_context *context, const olica_npy *npy, int64_t row, int64_t col,
                            int64_t count, int64_t vocabulary, int32_t *ids);

/* Writes ids [rows x cols] as an int32 .npy file, from the calling rank alone. Not collective. */
olica_status olica_npy_write(olica_env *env, const char *path, int64_t rows, int64_t cols,
                             const int32_t *ids);

#endif
