#include "calib/divergence.h"

#include <math.h>

#include "la/product.h"

void olica_divergence_begin(size_t rows, olica_divergence *d) {
  for (size_t i = 0; i < rows; i++) d[i] = (olica_divergence){.top_p = -INFINITY, .top_q = -INFINITY};
}

static double largest(const float *logits, int64_t count, double before) {
  float top = (float)before;
#pragma omp simd reduction(max : top)
  for (int64_t j = 0; j < count; j++) top = logits[j] > top ? logits[j] : top;
  return top;
}

void olica_divergence_join(const float *z, const float *y, int64_t count, olica_divergence *d) {
  double top_p = largest(z, count, d->top_p), top_q = largest(y, count, d->top_q);
  double sum_p = 0, sum_q = 0, weighted = 0;
#pragma omp simd reduction(+ : sum_p, sum_q, weighted)
  for (int64_t j = 0; j < count; j++) {
    double p = olica_product_exp_double(z[j] - top_p);
    sum_p += p;
    weighted += p * ((double)z[j] - y[j]);
    sum_q += olica_product_exp_double(y[j] - top_q);
  }
  double rescale = exp(d->top_p - top_p);
  d->sum_p = d->sum_p * rescale + sum_p;
  d->weighted = d->weighted * rescale + weighted;
  d->sum_q = d->sum_q * exp(d->top_q - top_q) + sum_q;
  d->top_p = top_p;
  d->top_q = top_q;
}

double olica_divergence_value(const olica_divergence *d) {
  return d->weighted / d->sum_p - (d->top_p + log(d->sum_p)) + (d->top_q + log(d->sum_q));
}
