#include "eval/likelihood.h"

#include <math.h>

#include "la/product.h"

void olica_likelihood_begin(size_t rows, float *top, double *sum) {
  for (size_t i = 0; i < rows; i++) {
    top[i] = -INFINITY;
    sum[i] = 0.0;
  }
}

void olica_likelihood_join(const float *logits, int64_t count, float *top, double *sum) {
  float largest = *top, added = 0.0f;
  for (int64_t j = 0; j < count; j++) largest = logits[j] > largest ? logits[j] : largest;
#pragma omp simd reduction(+ : added)
  for (int64_t j = 0; j < count; j++) added += olica_product_exp(logits[j] - largest);
  *sum = *sum * exp((double)*top - largest) + added;
  *top = largest;
}

double olica_likelihood_log(float logit, float top, double sum) {
  return (double)logit - (log(sum) + top);
}
