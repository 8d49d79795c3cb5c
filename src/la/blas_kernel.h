/* The kernels of OpenBLAS, one per kind of processor: which instruction set a kernel needs, which kernel is
 * better, and whether the bits of its products depend on how a product is divided among threads. OpenBLAS
 * chooses a kernel at start by the processor's model number; for an unknown number it chooses its slowest.
 * Pure, apart from queries of OpenBLAS and the processor. Not collective. */
#ifndef OLICA_LA_BLAS_KERNEL_H
#define OLICA_LA_BLAS_KERNEL_H

#include <stdbool.h>

/* Instruction sets in ascending order; each includes those before it. A processor has a level only if the
 * system saves its registers. */
typedef enum olica_blas_level {
  OLICA_BLAS_UNKNOWN, /* a kernel or a processor unknown to this program */
  OLICA_BLAS_SSE3,
  OLICA_BLAS_SSSE3,
  OLICA_BLAS_SSE42,
  OLICA_BLAS_AVX,
  OLICA_BLAS_AVX2,  /* and FMA */
  OLICA_BLAS_AVX512 /* F, CD, BW, DQ and VL, as Skylake servers have */
} olica_blas_level;

enum { OLICA_BLAS_KERNEL_TEXT = 32 };

/* Returns OpenBLAS's name of the kernel in use: "SkylakeX". */
const char *olica_blas_kernel_name(void);

/* Returns the level of a kernel, by its name in any case; names not in the table are newer than this program
 * (OLICA_BLAS_UNKNOWN). */
olica_blas_level olica_blas_kernel_level(const char *name);

/* Returns the level of this processor; OLICA_BLAS_UNKNOWN if it is not x86-64. */
olica_blas_level olica_blas_processor_level(void);

/* Returns the kernel that every processor of a level can run; NULL for OLICA_BLAS_UNKNOWN. */
const char *olica_blas_kernel_of(olica_blas_level level);

/* Returns true if, with the kernel in use, an element of a product has the same bits at any position in c and
 * for any number of threads; false if that is not known. */
bool olica_blas_kernel_steady(void);

#endif
