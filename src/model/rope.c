#include "model/rope.h"

#include <math.h>

#include "la/product.h"

static int dims_of(const olica_rope *rope, int head) {
  return rope->dims ? rope->dims : head;
}

int olica_rope_pairs(const olica_rope *rope, int head) {
  return (dims_of(rope, head) + 1) / 2;
}

int olica_rope_regime(const olica_rope *rope, int length) {
  if (rope->kind == OLICA_ROPE_DYNAMIC) return length > rope->original_context ? length : 0;
  return rope->kind == OLICA_ROPE_LONG && length > rope->original_context;
}

/* The base of `dynamic` for sequences of that regime. */
static double base_of(const olica_rope *rope, int dims, int regime) {
  if (rope->kind != OLICA_ROPE_DYNAMIC || regime == 0) return rope->theta;
  double stretch = rope->factor * regime / rope->original_context - (rope->factor - 1);
  return rope->theta * pow(stretch, dims / (dims - 2.0));
}

/* llama3: long wavelengths are stretched, short ones kept, those between blended. */
static double blend_wavelengths(const olica_rope *rope, double plain) {
  double wavelength = 2.0 * acos(-1.0) / plain;
  double longest_kept = rope->original_context / rope->high_freq;
  double shortest_stretched = rope->original_context / rope->low_freq;
  if (wavelength < longest_kept) return plain;
  if (wavelength > shortest_stretched) return plain / rope->factor;
  double smooth = (rope->original_context / wavelength - rope->low_freq) / (rope->high_freq - rope->low_freq);
  return (1.0 - smooth) * plain / rope->factor + smooth * plain;
}

/* yarn: the first pairs are kept, the last stretched, those between blended. */
static double blend_pairs(const olica_rope *rope, double plain, int i) {
  double ramp = (i - rope->ramp_from) / (rope->ramp_to - rope->ramp_from);
  double stretched = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
  return stretched * plain / rope->factor + (1 - stretched) * plain;
}

/* The angle per position of pair i: theta^(-2i/dims), scaled. */
static double frequency_of(const olica_rope *rope, int dims, int regime, int i) {
  double plain = pow(base_of(rope, dims, regime), -2.0 * i / dims);
  switch (rope->kind) {
  case OLICA_ROPE_LINEAR:
    return plain / rope->factor;
  case OLICA_ROPE_LLAMA3:
    return blend_wavelengths(rope, plain);
  case OLICA_ROPE_YARN:
    return blend_pairs(rope, plain, i);
  case OLICA_ROPE_LONG:
    return plain / rope->divisor[regime][i];
  case OLICA_ROPE_PLAIN:
  case OLICA_ROPE_DYNAMIC:
    break;
  }
  return plain;
}

double olica_rope_frequency(const olica_rope *rope, int head, int regime, int i) {
  return frequency_of(rope, dims_of(rope, head), regime, i);
}

void olica_rope_tables(const olica_rope *rope, int head, int regime, int tokens, float *cosine, float *sine) {
  int dims = dims_of(rope, head), pairs = olica_rope_pairs(rope, head);
  double magnitude = rope->magnitude > 0 ? rope->magnitude : 1;
  for (int i = 0; i < pairs; i++) {
    double frequency = frequency_of(rope, dims, regime, i);
    for (int t = 0; t < tokens; t++) {
      cosine[(size_t)t * pairs + i] = (float)(magnitude * cos(t * frequency));
      sine[(size_t)t * pairs + i] = (float)(magnitude * sin(t * frequency));
    }
  }
}

float olica_rope_query_scale(const olica_rope *rope, int position) {
  if (rope->query_growth == 0) return 1.0f;
  return (float)(1 + rope->query_growth * log(1 + floor(position / rope->original_context)));
}

void olica_rope_turn(const float *c, const float *s, int pairs, bool interleaved, float *x) {
  if (!interleaved) {
    float *low = x, *high = x + pairs;
    for (int i = 0; i < pairs; i++) {
      float a = low[i], b = high[i];
      low[i] = a * c[i] - b * s[i];
      high[i] = b * c[i] + a * s[i];
    }
    return;
  }
  for (int i = 0; i < pairs; i++) {
    float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * c[i] - b * s[i];
    x[2 * i + 1] = b * c[i] + a * s[i];
  }
}
