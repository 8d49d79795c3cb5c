#include "model/rope.h"

#include <math.h>

#include "la/product.h"

/* The angle per position of pair i, 0 <= i < head/2: theta^(-2i/h), scaled. */
static double frequency_of(const olica_rope *rope, int head, int i) {
  double plain = pow(rope->theta, -2.0 * i / head);
  if (rope->kind == OLICA_ROPE_LINEAR) return plain / rope->factor;
  if (rope->kind == OLICA_ROPE_PLAIN) return plain;
  /* llama3: long wavelengths are stretched, short ones kept, those between blended. */
  double wavelength = 2.0 * acos(-1.0) / plain;
  double longest_kept = rope->original_context / rope->high_freq;
  double shortest_stretched = rope->original_context / rope->low_freq;
  if (wavelength < longest_kept) return plain;
  if (wavelength > shortest_stretched) return plain / rope->factor;
  double smooth = (rope->original_context / wavelength - rope->low_freq) / (rope->high_freq - rope->low_freq);
  return (1.0 - smooth) * plain / rope->factor + smooth * plain;
}

void olica_rope_tables(const olica_rope *rope, int head, int tokens, float *cosine, float *sine) {
  int pairs = head / 2;
  for (int i = 0; i < pairs; i++) {
    double frequency = frequency_of(rope, head, i);
    for (int t = 0; t < tokens; t++) {
      cosine[(size_t)t * pairs + i] = (float)cos(t * frequency);
      sine[(size_t)t * pairs + i] = (float)sin(t * frequency);
    }
  }
}

void olica_rope_apply(const float *cosine, const float *sine, int tokens, int heads, int head, float *x) {
  int pairs = head / 2;
#pragma omp parallel for schedule(static) if ((double)tokens * heads * head >= OLICA_PRODUCT_PARALLEL)
  for (int t = 0; t < tokens; t++) {
    const float *c = cosine + (size_t)t * pairs, *s = sine + (size_t)t * pairs;
    for (int j = 0; j < heads; j++) {
      float *low = x + ((size_t)t * heads + j) * head, *high = low + pairs;
      for (int i = 0; i < pairs; i++) {
        float a = low[i], b = high[i];
        low[i] = a * c[i] - b * s[i];
        high[i] = b * c[i] + a * s[i];
      }
    }
  }
}
