/* Local fp32 products on row-major matrices by BLAS, for what is done once a layer (la/packed.h: what is done
 * for every token), and a vectorizable exponential. Work is added to the running timers. The bytes of a
 * product do not depend on the number of threads: some BLAS kernels sum the edges of a thread's share in
 * another order than its inside, and with those the program divides the product itself, at places that depend
 * on its shape alone, and one BLAS thread multiplies each block (la/blas_kernel.h). Not collective. */
#ifndef OLICA_LA_PRODUCT_H
#define OLICA_LA_PRODUCT_H

#include <stdint.h>
#include <string.h>

#include "base/env.h"

/* Loops over fewer numbers than this run on one thread. */
enum { OLICA_PRODUCT_PARALLEL = 1 << 15 };

/* Reserves the buffers of BLAS for products on `threads` threads. OpenBLAS 0.3.21 maps 128 MiB of address
 * space per thread at first use, and retries for ever if that fails (ulimit -v); here it fails with
 * OLICA_ERR_MEMORY. Call it once, before the first product. */
olica_status olica_product_reserve(olica_env *env, int threads);

/* c [m x n] := alpha op(a) op(b) + beta c; a is [m x k] (or [k x m] if a_transposed), b [k x n] (or [n x k]).
 */
void olica_product_general(olica_env *env, int a_transposed, int b_transposed, int m, int n, int k,
                           float alpha, const float *a, int a_stride, const float *b, int b_stride,
                           float beta, float *c, int c_stride);

/* exp(x) to 2 ulp in a form that compilers vectorize: 2^k times a polynomial. 0 below -87.3, and never
 * infinite (the argument is clamped to 88). */
static inline float olica_product_exp(float x) {
  float clamped = x < -87.33f ? -87.33f : x > 88.0f ? 88.0f : x;
  float k = clamped * 1.44269504f + 12582912.0f; /* the sum's low bits are round(x / ln 2) */
  uint32_t bits;
  memcpy(&bits, &k, sizeof bits);
  k -= 12582912.0f;
  float r = clamped - k * 0.693359375f + k * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  bits = (bits << 23) + 0x3f800000u; /* 2^k */
  float scale;
  memcpy(&scale, &bits, sizeof scale);
  return x < -87.33f ? 0.0f : p * scale;
}

/* The same in double to 2 ulp, for sums that nearly cancel. 0 below -708, clamped to 709. */
static inline double olica_product_exp_double(double x) {
  double clamped = x < -708.0 ? -708.0 : x > 709.0 ? 709.0 : x;
  double k = clamped * 1.4426950408889634 + 0x1.8p52; /* the sum's low bits are round(x / ln 2) */
  uint64_t bits;
  memcpy(&bits, &k, sizeof bits);
  k -= 0x1.8p52;
  double r = clamped - k * 0x1.62e42fefa38p-1; /* ln 2 in two parts; k times the first is exact */
  r -= k * 0x1.ef35793c7673p-45;
  double p = 1.0 / 6227020800.0; /* Taylor's, |r| <= ln 2 / 2 */
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r * r + r + 1.0;
  bits = (bits << 52) + 0x3ff0000000000000u; /* 2^k */
  double scale;
  memcpy(&scale, &bits, sizeof scale);
  return x < -708.0 ? 0.0 : p * scale;
}

/* 2^x (x clamped to [-126, 125]) and 1/x (1 <= x < 2^126), for results that are rounded to bf16 next:
 * relative errors below 1e-5. */
static inline float olica_product_exp2_short(float x) {
  x = x < -126.0f ? -126.0f : x > 125.0f ? 125.0f : x;
  float k = x + 12582912.0f; /* the sum's low bits are round(x) */
  uint32_t bits, power;
  memcpy(&power, &k, sizeof power);
  float f = x - (k - 12582912.0f);
  float p = 9.6181291e-3f; /* 2^f, |f| <= 1/2 */
  p = p * f + 5.5504109e-2f;
  p = p * f + 2.4022651e-1f;
  p = p * f + 6.9314718e-1f;
  p = p * f + 1.0f;
  memcpy(&bits, &p, sizeof bits);
  bits += power << 23;
  memcpy(&p, &bits, sizeof p);
  return p;
}

static inline float olica_product_reciprocal(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  bits = 0x7ef311c7u - bits; /* within an eighth; each Newton step squares the error */
  float r;
  memcpy(&r, &bits, sizeof r);
  r = r * (2.0f - x * r);
  r = r * (2.0f - x * r);
  return r * (2.0f - x * r);
}

#endif
