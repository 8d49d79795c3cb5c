/* The kernels of OpenBLAS, one for each kind of processor: what a kernel needs, which is better, and whether
 * its bits depend on how a product is shared out. OpenBLAS takes one when it starts, by the processor's model
 * number; one that it does not know gets its slowest. Pure, but for what they ask OpenBLAS and the processor.
 * Not collective. */
#ifndef OLICA_LA_BLAS_KERNEL_H
#define OLICA_LA_BLAS_KERNEL_H

#include <stdbool.h>

/* Instruction sets, each with those before it: a processor's, as far as the system saves their registers. */
typedef enum olica_blas_level {
  OLICA_BLAS_UNKNOWN, /* a kernel or a processor that this program does not know */
  OLICA_BLAS_SSE3,
  OLICA_BLAS_SSSE3,
  OLICA_BLAS_SSE42,
  OLICA_BLAS_AVX,
  OLICA_BLAS_AVX2,  /* and FMA */
  OLICA_BLAS_AVX512 /* F, CD, BW, DQ and VL: what Skylake's servers have */
} olica_blas_level;

enum { OLICA_BLAS_KERNEL_TEXT = 32 };

/* OpenBLAS's name of the kernel in use: "SkylakeX". */
const char *olica_blas_kernel_name(void);

/* The level of a kernel, by its name in any case; unknown names are newer than this program. */
olica_blas_level olica_blas_kernel_level(const char *name);

/* What this processor can do; unknown where it is none of x86-64. */
olica_blas_level olica_blas_processor_level(void);

/* The kernel that any processor of a level can run; NULL for the unknown one. */
const char *olica_blas_kernel_of(olica_blas_level level);

/* Whether a number of a product has the same bits wherever it lies in c and however many threads share c out:
 * of the kernel in use. False for those that are not known to be so. */
bool olica_blas_kernel_steady(void);

#endif
