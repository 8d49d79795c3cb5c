#include "la/number.h"

#include <stdint.h>
#include <string.h>

static const struct {
  const char *name;
  size_t size;
} formats[OLICA_DTYPES] = {
    [OLICA_FP32] = {"fp32", 4}, [OLICA_FP16] = {"fp16", 2}, [OLICA_BF16] = {"bf16", 2}};

size_t olica_number_size(olica_dtype dtype) {
  return formats[dtype].size;
}

const char *olica_number_name(olica_dtype dtype) {
  return formats[dtype].name;
}

static float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static float from_fp16(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
  if (exponent == 31) return float_of(sign | 0x7f800000 | fraction << 13);
  if (exponent == 0) return float_of(sign | bits_of((float)fraction * 0x1p-24f));
  return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

static uint16_t to_fp16(float x) {
  uint32_t bits = bits_of(x);
  uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) return sign | 0x7e00;
  if (bits >= 0x477ff000) return sign | 0x7c00; /* rounds past 65504 */
  if (bits < 0x38800000)                        /* subnormal: the float adder does the rounding */
    return sign | (uint16_t)(bits_of(float_of(bits) + 0.5f) - bits_of(0.5f));
  uint32_t odd = bits >> 13 & 1;
  return sign | (uint16_t)((bits - (112u << 23) + 0xfff + odd) >> 13);
}

static uint16_t to_bf16(float x) {
  uint32_t bits = bits_of(x);
  if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void olica_number_decode(olica_dtype dtype, const void *from, float *to, size_t n) {
  if (dtype == OLICA_FP32) {
    memcpy(to, from, n * sizeof *to);
    return;
  }
  const unsigned char *bytes = from;
  for (size_t i = 0; i < n; i++) {
    uint16_t half;
    memcpy(&half, bytes + 2 * i, sizeof half);
    to[i] = dtype == OLICA_BF16 ? float_of((uint32_t)half << 16) : from_fp16(half);
  }
}

void olica_number_encode(olica_dtype dtype, const float *from, void *to, size_t n) {
  if (dtype == OLICA_FP32) {
    memcpy(to, from, n * sizeof *from);
    return;
  }
  unsigned char *bytes = to;
  if (dtype == OLICA_BF16) /* a loop of its own, which vectorizes */
    for (size_t i = 0; i < n; i++) {
      uint16_t half = to_bf16(from[i]);
      memcpy(bytes + 2 * i, &half, sizeof half);
    }
  else
    for (size_t i = 0; i < n; i++) {
      uint16_t half = to_fp16(from[i]);
      memcpy(bytes + 2 * i, &half, sizeof half);
    }
}

void olica_number_round_bf16(const float *restrict from, uint16_t *restrict to, int n) {
  int i = 0;
  for (; i + OLICA_NUMBER_VECTOR <= n; i += OLICA_NUMBER_VECTOR) olica_number_round_vector(from + i, to + i);
  for (; i < n; i++) to[i] = olica_number_to_bf16(from[i]);
}

void olica_number_round_operand(olica_dtype precision, const float *from, void *to, int n) {
  if (precision == OLICA_FP32)
    memcpy(to, from, (size_t)n * sizeof *from);
  else
    olica_number_round_bf16(from, to, n);
}

void olica_number_round(olica_dtype dtype, float *x, size_t n) {
  if (dtype == OLICA_FP32) return;
  for (size_t i = 0; i < n; i++)
    x[i] = dtype == OLICA_BF16 ? float_of((uint32_t)to_bf16(x[i]) << 16) : from_fp16(to_fp16(x[i]));
}

/* Returns the index of the first number whose magnitude bits are at least `least`, or n. */
static size_t first_from(const float *x, size_t n, uint32_t least) {
  enum { BLOCK = 4096 };
  for (size_t first = 0; first < n; first += BLOCK) {
    size_t count = n - first < BLOCK ? n - first : BLOCK;
    uint32_t bad = 0; /* no early exit inside a block, so that it vectorizes */
    for (size_t i = 0; i < count; i++) bad |= (bits_of(x[first + i]) & 0x7fffffff) >= least;
    if (!bad) continue;
    for (size_t i = 0; i < count; i++)
      if ((bits_of(x[first + i]) & 0x7fffffff) >= least) return first + i;
  }
  return n;
}

size_t olica_number_nonfinite(const float *x, size_t n) {
  return first_from(x, n, 0x7f800000);
}

size_t olica_number_beyond(olica_dtype dtype, const float *x, size_t n) {
  static const uint32_t least[OLICA_DTYPES] = {
      [OLICA_FP32] = 0x7f800000, [OLICA_FP16] = 0x477ff000, [OLICA_BF16] = 0x7f7f8000};
  return first_from(x, n, least[dtype]);
}

double olica_number_largest(olica_dtype dtype) {
  static const double largest[OLICA_DTYPES] = {
      [OLICA_FP32] = 0x1.fffffep127, [OLICA_FP16] = 65504, [OLICA_BF16] = 0x1.fep127};
  return largest[dtype];
}
