/* The kernel of the local products of small dense matrices, in fp32 or bf16, by oneDNN. It owns oneDNN's
 * primitives, created once per shape, and the per-thread workspace. Destroy everything created with a kernel
 * before the kernel. Not collective. */
#ifndef OLICA_LA_KERNEL_H
#define OLICA_LA_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"
#include "base/ledger.h"
#include "la/number.h"

typedef struct olica_kernel olica_kernel;

/* Returns the least multiple of `unit` that is not below n. */
static inline int olica_round_up(int n, int unit) {
  return (n + unit - 1) / unit * unit;
}

/* Returns true if this processor multiplies bf16 (AVX512_BF16 or AMX). ONEDNN_MAX_CPU_ISA can disable it. */
bool olica_kernel_has_bf16(void);

/* Returns the version of oneDNN, "2.6.3". */
enum { OLICA_KERNEL_TEXT = 64 };
const char *olica_kernel_version(char text[OLICA_KERNEL_TEXT]);

/* Creates a kernel of `precision` OLICA_FP32 or OLICA_BF16 that runs its products on `threads` threads.
 * OLICA_ERR_CONFIG for bf16 on a processor without it (the caller checks first); OLICA_ERR_MEMORY. */
olica_status olica_kernel_create(olica_env *env, olica_dtype precision, int threads, olica_kernel **kernel);
void olica_kernel_destroy(olica_kernel *kernel); /* NULL allowed */

olica_env *olica_kernel_env(const olica_kernel *kernel);
olica_dtype olica_kernel_precision(const olica_kernel *kernel);
int olica_kernel_threads(const olica_kernel *kernel);
const char *olica_kernel_name(const olica_kernel *kernel); /* Returns its name: "oneDNN 2.6.3 avx512_core". */

/* Holds on a ledger what that allocates, and the workspaces of its threads as far as the ledger has reserved
 * them. */
olica_hold olica_kernel_hold(olica_ledger *ledger, int threads);

/* Grows every thread's workspace to at least `bytes`; its contents are lost. A workspace belongs to the
 * function that runs on the kernel's threads, for the time of one call. */
olica_status olica_kernel_reserve(olica_kernel *kernel, size_t bytes);
void *olica_kernel_room(const olica_kernel *kernel, int thread);

/* ---- products, whose factors have numbers of the kernel's precision ---- */

/* Memory layout of the right factor of a product. */
typedef enum olica_right {
  OLICA_RIGHT_PACKED,    /* in the order of the primitive: an olica_operand */
  OLICA_RIGHT_ROWS,      /* [depth x columns], dense */
  OLICA_RIGHT_TRANSPOSED /* [columns x depth], dense */
} olica_right;

typedef struct olica_matmul_shape {
  int rows, depth, columns;
  olica_right right;
  bool adds; /* the product is added to the previous contents */
} olica_matmul_shape;

typedef struct olica_matmul olica_matmul;

/* Returns the product of a shape, creating it at the first request; the kernel owns it. Must not be called
 * inside a parallel region. */
olica_status olica_matmul_find(olica_kernel *kernel, olica_matmul_shape shape, const olica_matmul **matmul);

/* A right factor in the order of the product's primitive. It lies in `room` (olica_operand_measure, aligned
 * to 64, owned by the caller), or, if `room` is NULL, in counted memory of its own. */
typedef struct olica_operand olica_operand;
olica_status olica_operand_create(olica_kernel *kernel, const olica_matmul *matmul, void *room,
                                  olica_operand **operand);
void olica_operand_destroy(olica_kernel *kernel, olica_operand *operand); /* NULL allowed */

/* operand := w, in bf16 rounded to nearest even; element (k, n) of [depth x columns] is w[k * row_stride + n
 * * column_stride]. `thread` is one of the kernel's threads. */
olica_status olica_operand_load(olica_kernel *kernel, int thread, olica_operand *operand, const float *w,
                                int64_t row_stride, int64_t column_stride);

/* Returns an upper bound of the bytes of an operand: oneDNN chooses their order. Pure. */
size_t olica_operand_measure(olica_dtype precision, int depth, int columns);

/* product [rows x columns], in fp32, := or += left [rows x depth] times right, all dense. `operand` is a
 * packed right factor, `right` any other. `thread` is the number of the calling thread in the kernel. The
 * caller adds the work to the timers. Never fails. */
void olica_matmul_run(const olica_matmul *matmul, int thread, const void *left, const olica_operand *operand,
                      const void *right, float *product);

#endif
