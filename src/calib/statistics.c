#include "olica/calib/statistics.h"

#include <string.h>

#include "olica/la/product.h"
#include "olica/par/comm.h"

void olica_statistics_energy(double *energy, const float *rows, int tokens, int width) {
#pragma omp parallel for schedule(static) if ((double)tokens * width >= OLICA_PRODUCT_PARALLEL)
  for (int from = 0; from < width; from += 64) {
    int until = from + 64 < width ? from + 64 : width;
    for (int t = 0; t < tokens; t++) {
      const float *row = rows + (size_t)t * width;
      for (int c = from; c < until; c++) energy[c] += (double)row[c] * row[c];
    }
  }
}

olica_status olica_energies_create(olica_env *env, const olica_arch *arch, olica_energies **out) {
  olica_energies *e;
  OLICA_TRY(OLICA_NEW(env, e, 1));
  e->d = arch->hidden;
  e->values = arch->heads * arch->head;
  e->neurons = arch->ffn;
  OLICA_TRY(OLICA_NEW(env, e->all, (size_t)(2 * e->d + e->values + e->neurons)));
  e->attention = e->all;
  e->value = e->attention + e->d;
  e->ffn = e->value + e->values;
  e->neuron = e->ffn + e->d;
  *out = e;
  return OLICA_OK;
}

void olica_energies_destroy(olica_env *env, olica_energies *energies) {
  if (!energies) return;
  olica_memory_free(env, energies->all);
  olica_memory_free(env, energies);
}

void olica_energies_see(olica_energies *e, olica_tap tap, const float *rows, int tokens, int width) {
  double *const sums[OLICA_TAPS] = {[OLICA_TAP_ATTENTION_INPUT] = e->attention,
                                    [OLICA_TAP_VALUES] = e->value,
                                    [OLICA_TAP_FFN_INPUT] = e->ffn,
                                    [OLICA_TAP_FFN_NEURONS] = e->neuron};
  if (sums[tap]) olica_statistics_energy(sums[tap], rows, tokens, width);
}

void olica_energies_reduce(olica_energies *e, olica_context *context, double scale) {
  size_t count = (size_t)(2 * e->d + e->values + e->neurons);
  olica_comm_sum(context, context->comm, e->all, count);
  for (size_t i = 0; i < count; i++) e->all[i] *= scale;
}

olica_status olica_fit_sums_create(olica_env *env, int d, olica_fit_sums **out) {
  olica_fit_sums *sums;
  size_t n = (size_t)d;
  OLICA_TRY(OLICA_NEW(env, sums, 1));
  sums->d = d;
  OLICA_TRY(OLICA_NEW(env, sums->gram, n * n));
  OLICA_TRY(OLICA_NEW(env, sums->cross, n * n));
  OLICA_TRY(OLICA_NEW(env, sums->sum_a, n));
  OLICA_TRY(OLICA_NEW(env, sums->sum_b, n));
  OLICA_TRY(OLICA_NEW(env, sums->square_b, n));
  OLICA_TRY(OLICA_NEW(env, sums->scratch, n * n));
  *out = sums;
  return OLICA_OK;
}

void olica_fit_sums_destroy(olica_env *env, olica_fit_sums *sums) {
  if (!sums) return;
  olica_memory_free(env, sums->gram);
  olica_memory_free(env, sums->cross);
  olica_memory_free(env, sums->sum_a);
  olica_memory_free(env, sums->sum_b);
  olica_memory_free(env, sums->square_b);
  olica_memory_free(env, sums->scratch);
  olica_memory_free(env, sums);
}

void olica_fit_sums_clear(olica_fit_sums *sums) {
  size_t n = (size_t)sums->d;
  memset(sums->gram, 0, n * n * sizeof *sums->gram);
  memset(sums->cross, 0, n * n * sizeof *sums->cross);
  memset(sums->sum_a, 0, n * sizeof *sums->sum_a);
  memset(sums->sum_b, 0, n * sizeof *sums->sum_b);
  memset(sums->square_b, 0, n * sizeof *sums->square_b);
}

static void add_columns(double *sum, const float *rows, int tokens, int width) {
  for (int t = 0; t < tokens; t++)
    for (int c = 0; c < width; c++) sum[c] += rows[(size_t)t * width + c];
}

void olica_fit_sums_add(olica_env *env, olica_fit_sums *sums, int tokens, const float *a, const float *b) {
  olica_product_gram(env, tokens, sums->d, a, sums->scratch, sums->gram);
  olica_product_cross(env, tokens, sums->d, sums->d, a, b, sums->scratch, sums->cross);
  add_columns(sums->sum_a, a, tokens, sums->d);
  add_columns(sums->sum_b, b, tokens, sums->d);
  olica_statistics_energy(sums->square_b, b, tokens, sums->d);
}
