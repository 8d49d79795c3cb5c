#include "q8_0.h"

#include <math.h>
#include <string.h>

#include "la/number.h"

enum { MOST = 127 };

/* The scale is the largest of the block over 127, in fp32; numbers are divided by that, not by its fp16. */
static float scale_of(const float *x) {
  float largest = 0;
  for (int i = 0; i < OLICA_Q8_0_NUMBERS; i++) largest = fmaxf(largest, fabsf(x[i]));
  return largest / MOST;
}

static void encode(const float *x, unsigned char *to) {
  float scale = scale_of(x), inverse = scale != 0 ? 1.0F / scale : 0;
  olica_number_encode(OLICA_FP16, &scale, to, 1);
  for (int i = 0; i < OLICA_Q8_0_NUMBERS; i++) {
    int8_t whole = (int8_t)roundf(x[i] * inverse);
    memcpy(to + 2 + i, &whole, 1);
  }
}

void olica_export_q8_0(const float *from, void *to, size_t n) {
  unsigned char *out = to;
  for (size_t i = 0; i < n; i += OLICA_Q8_0_NUMBERS, out += OLICA_Q8_0_BYTES) encode(from + i, out);
}

size_t olica_export_q8_0_beyond(const float *from, size_t n, double *small) {
  for (size_t i = 0; i < n; i += OLICA_Q8_0_NUMBERS) {
    size_t bad = i + olica_number_nonfinite(from + i, OLICA_Q8_0_NUMBERS);
    float scale = scale_of(from + i);
    if (bad < i + OLICA_Q8_0_NUMBERS) return bad;
    olica_number_round(OLICA_FP16, &scale, 1);
    if (!isfinite(scale)) return i;
    for (size_t k = i; k < i + OLICA_Q8_0_NUMBERS; k++) *small += scale == 0 && from[k] != 0;
  }
  return n;
}
