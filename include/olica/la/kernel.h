/* The kernel of the local products: fp32 by BLAS, the reference, or bf16 by oneDNN. It holds oneDNN's
 * primitives, each made once for a shape, and what its threads need of their own. Whatever is made with a
 * kernel must be destroyed before it. Not collective. */
#ifndef OLICA_LA_KERNEL_H
#define OLICA_LA_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "olica/base/env.h"
#include "olica/la/number.h"

typedef struct olica_kernel olica_kernel;

/* The least multiple of `unit` that is not below n. */
static inline int olica_round_up(int n, int unit) {
  return (n + unit - 1) / unit * unit;
}

/* Does this processor multiply bf16 (AVX512_BF16 or AMX)? ONEDNN_MAX_CPU_ISA can deny it. */
bool olica_kernel_has_bf16(void);

/* The version of oneDNN, "2.6.3". */
enum { OLICA_KERNEL_TEXT = 64 };
const char *olica_kernel_version(char text[OLICA_KERNEL_TEXT]);

/* `precision` OLICA_FP32 or OLICA_BF16; products run on `threads` threads. bf16 that the processor lacks is
 * OLICA_ERR_CONFIG: whoever asks has looked before. OLICA_ERR_MEMORY too. */
olica_status olica_kernel_create(olica_env *env, olica_dtype precision, int threads, olica_kernel **kernel);
void olica_kernel_destroy(olica_kernel *kernel); /* NULL allowed */

olica_env *olica_kernel_env(const olica_kernel *kernel);
olica_dtype olica_kernel_precision(const olica_kernel *kernel);
int olica_kernel_threads(const olica_kernel *kernel);
const char *olica_kernel_name(const olica_kernel *kernel); /* "oneDNN 2.6.3 avx512_core_amx_bf16" */

/* Counted bytes of a kernel without its rooms, at most. Pure. */
size_t olica_kernel_bytes(olica_dtype precision, int threads);

/* A room of scratch for each thread, of at least `bytes`: whoever works with the kernel's threads uses it for
 * the time of a call. What was in it is lost. bf16 only. */
olica_status olica_kernel_reserve(olica_kernel *kernel, size_t bytes);
void *olica_kernel_room(const olica_kernel *kernel, int thread);

/* ---- products of small dense matrices, in bf16 only ---- */

/* How the right factor of a product lies in memory. */
typedef enum olica_right {
  OLICA_RIGHT_PACKED,    /* as the primitive likes it best: an olica_operand */
  OLICA_RIGHT_ROWS,      /* [depth x columns], dense */
  OLICA_RIGHT_TRANSPOSED /* [columns x depth], dense */
} olica_right;

typedef struct olica_matmul_shape {
  int rows, depth, columns;
  olica_right right;
  bool adds; /* the product is added to what is there */
} olica_matmul_shape;

typedef struct olica_matmul olica_matmul;

/* The product of that shape, made when it is first asked for; the kernel's. Not inside of a parallel region.
 */
olica_status olica_matmul_find(olica_kernel *kernel, olica_matmul_shape shape, const olica_matmul **matmul);

/* A right factor in a product's own order: in `room` (olica_operand_bytes of it, aligned to 64, the
 * caller's), or NULL: in counted memory of its own. */
typedef struct olica_operand olica_operand;
olica_status olica_operand_create(olica_kernel *kernel, const olica_matmul *matmul, void *room,
                                  olica_operand **operand);
void olica_operand_destroy(olica_kernel *kernel, olica_operand *operand); /* NULL allowed */

/* operand := w, rounded to nearest even; element (k, n) of [depth x columns] at w[k * row_stride + n *
 * column_stride]. `thread` is one of the kernel's. */
olica_status olica_operand_load(olica_kernel *kernel, int thread, olica_operand *operand, const float *w,
                                int64_t row_stride, int64_t column_stride);

/* Bytes of an operand, at most. Pure. */
size_t olica_operand_bytes(int depth, int columns);

/* product [rows x columns] := or += left [rows x depth] times right, all dense. `operand` for a packed right
 * factor, `right` for the others. Called by thread number `thread` of the kernel; its work is the caller's to
 * book. Never fails. */
void olica_matmul_run(const olica_matmul *matmul, int thread, const uint16_t *left,
                      const olica_operand *operand, const uint16_t *right, float *product);

#endif
