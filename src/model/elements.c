/* What a family computes number by number: norms, activations, scales and caps. The switches of a family are
 * asked for once a row, outside of the loops. */
#include <math.h>
#include <string.h>

#include "la/product.h"
#include "passes.h"

/* ---- embedding and logits ---- */

void olica_forward_embed(const olica_arch *arch, const float *row, float *x) {
  float scale = olica_arch_factor(arch->embedding_scale);
  for (int i = 0; i < arch->hidden; i++) x[i] = row[i] * scale;
}

/* z := cap tanh(z / cap) */
static void cap_logits(float cap, int64_t count, float *z) {
#pragma omp simd
  for (int64_t i = 0; i < count; i++)
    z[i] = cap - 2.0f * cap / (1.0f + olica_product_exp(z[i] * (2.0f / cap)));
}

void olica_forward_logits(const olica_arch *arch, olica_packed *matrix, int rows, const float *x,
                          int64_t count, float *logits) {
  float scale = olica_arch_factor(arch->logit_scale);
  olica_packed_multiply(matrix, rows, x, arch->hidden, logits);
  if (scale == 1.0f && arch->logit_cap == 0) return;
#pragma omp parallel for schedule(static)
  for (int t = 0; t < rows; t++) {
    float *z = logits + (size_t)t * (size_t)count;
    for (int64_t i = 0; i < count; i++) z[i] *= scale;
    if (arch->logit_cap > 0) cap_logits((float)arch->logit_cap, count, z);
  }
}

/* ---- norms ---- */

/* Squares overflow before the states do: zeros would look like a row, NaN is found. */
static float scale_of(const olica_arch *arch, int d, float squares) {
  return isfinite(squares) ? 1.0f / sqrtf(squares / (float)d + (float)arch->eps) : NAN;
}

static float mean_of(int d, const float *x) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int i = 0; i < d; i++) sum += x[i];
  return sum / (float)d;
}

static float squares_of(int d, const float *x) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int i = 0; i < d; i++) sum += x[i] * x[i];
  return sum;
}

/* y := x less its mean, by its standard deviation. Returns y. */
static const float *centre(const olica_arch *arch, int d, const float *x, float *y) {
  float mean = mean_of(d, x);
  for (int i = 0; i < d; i++) y[i] = x[i] - mean;
  float scale = scale_of(arch, d, squares_of(d, y));
  for (int i = 0; i < d; i++) y[i] *= scale;
  return y;
}

void olica_pass_norm_row(const olica_arch *arch, int d, const float *x, const float *g, const float *b,
                         float *y) {
  float scale = 1.0f;
  if (arch->block.centred_norms)
    x = centre(arch, d, x, y);
  else
    scale = scale_of(arch, d, squares_of(d, x));
  if (arch->block.one_plus_norms)
    for (int i = 0; i < d; i++) y[i] = x[i] * scale * (1.0f + g[i]);
  else
    for (int i = 0; i < d; i++) y[i] = x[i] * scale * g[i];
  for (int i = 0; b && i < d; i++) y[i] += b[i];
}

void olica_forward_norm(const olica_arch *arch, int rows, const float *x, const float *g, float *y) {
  const float *b = arch->block.norm_biases ? g + arch->hidden : NULL;
  size_t d = (size_t)arch->hidden;
#pragma omp parallel for schedule(static) if ((double)rows * d >= OLICA_PRODUCT_PARALLEL)
  for (int t = 0; t < rows; t++)
    olica_pass_norm_row(arch, arch->hidden, x + (size_t)t * d, g, b, y + (size_t)t * d);
}

/* ---- activations ---- */

/* x tanh-approximated: gelu(x) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3) */
static float twice_u(float x) {
  return 1.59576912f * (x + 0.044715f * x * x * x);
}

static void activate(olica_activation activation, int n, float *x) {
  switch (activation) {
  case OLICA_ACTIVATION_GELU_TANH:
#pragma omp simd
    for (int i = 0; i < n; i++) x[i] = x[i] / (1.0f + olica_product_exp(-twice_u(x[i])));
    return;
  case OLICA_ACTIVATION_GELU:
    for (int i = 0; i < n; i++) x[i] = 0.5f * x[i] * (1.0f + erff(x[i] * 0.707106781f));
    return;
  case OLICA_ACTIVATION_RELU:
  case OLICA_ACTIVATION_RELU2:
    for (int i = 0; i < n; i++) x[i] = x[i] > 0 ? x[i] : 0;
    for (int i = 0; i < n && activation == OLICA_ACTIVATION_RELU2; i++) x[i] *= x[i];
    return;
  case OLICA_ACTIVATION_SILU:
  case OLICA_ACTIVATIONS:
#pragma omp simd
    for (int i = 0; i < n; i++) x[i] = x[i] / (1.0f + olica_product_exp(-x[i]));
  }
}

/* The one that most models have, in one loop. */
static void gate_by_silu(int n, float *restrict gate, const float *restrict up) {
#pragma omp simd
  for (int i = 0; i < n; i++) gate[i] = gate[i] / (1.0f + olica_product_exp(-gate[i])) * up[i];
}

static void multiply_by(int n, float *restrict gate, const float *restrict up) {
  for (int i = 0; up && i < n; i++) gate[i] *= up[i];
}

static void activate_exactly(const olica_arch *arch, int count, float *gate, const float *up) {
  if (up && arch->activation == OLICA_ACTIVATION_SILU) {
    gate_by_silu(count, gate, up);
    return;
  }
  activate(arch->activation, count, gate);
  multiply_by(count, gate, up);
}

void olica_forward_neurons(const olica_arch *arch, int rows, int width, float *gate, const float *up) {
#pragma omp parallel for schedule(static) if ((double)rows * width >= OLICA_PRODUCT_PARALLEL)
  for (int t = 0; t < rows; t++)
    activate_exactly(arch, width, gate + (size_t)t * (size_t)width,
                     up ? up + (size_t)t * (size_t)width : NULL);
}

static void silu_short(int count, float *restrict gate, const float *restrict up) {
  for (int i = 0; i < count; i++)
    gate[i] =
        gate[i] * olica_product_reciprocal(1.0f + olica_product_exp2_short(gate[i] * -1.44269504f)) * up[i];
}

static void gelu_short(int count, float *x) {
  for (int i = 0; i < count; i++)
    x[i] *= olica_product_reciprocal(1.0f + olica_product_exp2_short(twice_u(x[i]) * -1.44269504f));
}

static void activate_shortly(const olica_arch *arch, int count, float *gate, const float *up) {
  if (up && arch->activation == OLICA_ACTIVATION_SILU) {
    silu_short(count, gate, up);
    return;
  }
  if (arch->activation == OLICA_ACTIVATION_GELU_TANH)
    gelu_short(count, gate);
  else
    activate(arch->activation, count, gate);
  multiply_by(count, gate, up);
}

void olica_pass_neurons(olica_dtype precision, const olica_arch *arch, int count, float *gate,
                        const float *up) {
  if (precision == OLICA_FP32)
    activate_exactly(arch, count, gate, up);
  else
    activate_shortly(arch, count, gate, up);
}
