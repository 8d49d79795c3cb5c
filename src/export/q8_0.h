/* GGUF's Q8_0: blocks of 32 numbers as whole ones from -127 to 127 and a scale in fp16. Private to export. */
#ifndef OLICA_EXPORT_Q8_0_H
#define OLICA_EXPORT_Q8_0_H

#include <stddef.h>
#include <stdint.h>

enum { OLICA_Q8_0_NUMBERS = 32, OLICA_Q8_0_BYTES = 34 };

/* Encodes n numbers, a multiple of OLICA_Q8_0_NUMBERS, by llama.cpp's reference rounding. Pure. */
void olica_export_q8_0(const float *from, void *to, size_t n);

/* Returns the index of the first number that Q8_0 cannot hold (no finite one, or one of a block whose scale
 * is none in fp16), or n. Adds to *small the numbers other than 0 of blocks whose scale becomes 0. Pure. */
size_t olica_export_q8_0_beyond(const float *from, size_t n, double *small);

#endif
