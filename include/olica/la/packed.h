/* Products y = x Wᵀ of many rows with one matrix of weights, packed beforehand for the kernel in use: fp32 by
 * BLAS, the reference, which borrows the weights as they are; or bf16 by oneDNN, which holds its own copy in
 * the order its primitives want. x and y are fp32 either way; bf16 products round x and W to nearest even and
 * sum in fp32. A row of y depends on its row of x alone, never on the other rows nor on the number of
 * threads. Not collective. */
#ifndef OLICA_LA_PACKED_H
#define OLICA_LA_PACKED_H

#include <stdbool.h>

#include "olica/base/env.h"
#include "olica/la/number.h"

/* The kernel: its primitives, cached by shape, and the scratch of its threads. Whatever is packed with one
 * must be destroyed before it. */
typedef struct olica_kernel olica_kernel;

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
const char *olica_kernel_name(const olica_kernel *kernel); /* "oneDNN 2.6.3 avx512_core_bf16" */

/* Bytes of counted memory at most: of the scratch of a kernel whose matrices have at most so many columns,
 * and of one packed matrix. Pure. */
size_t olica_kernel_bytes(olica_dtype precision, int threads, int most_in);
size_t olica_packed_bytes(olica_dtype precision, int out, int in);

/* Weights W [out x in] in fp32, element (i, j) at w[i * in + j], or at w[j * out + i] if transposed. */
typedef struct olica_packed_weights {
  int out, in;
  const float *w;
  bool transposed;
  bool adds; /* products are added to y */
} olica_packed_weights;

typedef struct olica_packed olica_packed;

/* Packs W, which must stay as it is until the product is destroyed. OLICA_ERR_MEMORY. */
olica_status olica_packed_create(olica_kernel *kernel, olica_packed_weights weights, olica_packed **packed);
void olica_packed_destroy(olica_packed *packed); /* NULL allowed */

/* y [rows x out] := x Wᵀ (y += x Wᵀ if it adds), x [rows x in] of row stride x_stride. One at a time for all
 * that is packed with a kernel. Books its work on the running timers. Never fails. */
void olica_packed_multiply(olica_packed *packed, int rows, const float *x, int x_stride, float *y);

#endif
