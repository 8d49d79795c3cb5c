/* The number formats of stored weights, and conversion from and to fp32, the format of all computation.
 * Little endian, round to nearest even. Not collective; never fail. */
#ifndef OLICA_LA_NUMBER_H
#define OLICA_LA_NUMBER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

typedef enum olica_dtype { OLICA_FP32, OLICA_FP16, OLICA_BF16, OLICA_DTYPES } olica_dtype;

/* Returns the bytes of one number; its name, "fp32", "fp16", "bf16". */
size_t olica_number_size(olica_dtype dtype);
const char *olica_number_name(olica_dtype dtype);

/* Converts n stored numbers at `from` (any alignment) to fp32, and back. */
void olica_number_decode(olica_dtype dtype, const void *from, float *to, size_t n);
void olica_number_encode(olica_dtype dtype, const float *from, void *to, size_t n);

/* Converts one number to bf16 and back, for inner loops. A quiet NaN stays NaN. */
static inline uint16_t olica_number_to_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float olica_number_from_bf16(uint16_t half) {
  uint32_t bits = (uint32_t)half << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Converts numbers to bf16 for input of a product: like encode, but denormal numbers may become 0.
 * OLICA_NUMBER_VECTOR numbers at a time for inner loops, or n numbers. */
enum { OLICA_NUMBER_VECTOR = 16 };

static inline void olica_number_round_vector(const float *from, uint16_t *to) {
#ifdef __AVX512BF16__
  _mm256_storeu_si256((__m256i *)(void *)to, (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from)));
#else
  for (int i = 0; i < OLICA_NUMBER_VECTOR; i++) to[i] = olica_number_to_bf16(from[i]);
#endif
}

void olica_number_round_bf16(const float *from, uint16_t *to, int n);

/* The same for products of either precision: OLICA_FP32 copies. */
void olica_number_round_operand(olica_dtype precision, const float *from, void *to, int n);

/* Rounds x in place to the values that decode returns after encode. */
void olica_number_round(olica_dtype dtype, float *x, size_t n);

/* olica_number_beyond: returns the index of the first of n numbers that the format cannot hold (it rounds to
 * infinity, or is NaN), or n. olica_number_largest: returns the largest finite number of the format. */
size_t olica_number_beyond(olica_dtype dtype, const float *x, size_t n);
double olica_number_largest(olica_dtype dtype);

/* Returns the index of the first NaN or infinity among n numbers, or n. */
size_t olica_number_nonfinite(const float *x, size_t n);

#endif
