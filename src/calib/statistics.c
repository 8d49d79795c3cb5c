#include "olica/calib/statistics.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "olica/la/product.h"
#include "olica/par/comm.h"

/* Columns of a pass over rows that stays in the innermost cache. */
enum { COLUMNS = 64 };

void olica_statistics_energy(double *energy, const float *rows, int tokens, int width) {
#pragma omp parallel for schedule(static) if ((double)tokens * width >= OLICA_PRODUCT_PARALLEL)
  for (int from = 0; from < width; from += COLUMNS) {
    int until = from + COLUMNS < width ? from + COLUMNS : width;
    for (int t = 0; t < tokens; t++) {
      const float *row = rows + (size_t)t * width;
      for (int c = from; c < until; c++) energy[c] += (double)row[c] * row[c];
    }
  }
}

/* A sum must not depend on how sequences lie on ranks: the last bit of an energy can turn a rounding to bf16,
 * and that a choice of neurons some layers on. So what one sequence adds is first put on a grid: a multiple
 * of 2^-22 of its scale, a power of two near its own norm. That is below the error of the fp32 products it
 * came from, and coarse enough that float64 adds such numbers without rounding, in any order, as long as the
 * norms of a channel in different sequences lie within a factor of 1000 (beyond that a last bit may differ).
 */
static double on_grid(double x, double scale) {
  const double shift = 1.5 * (1 << 30) * scale; /* the sum's last bit is worth 2^-22 of scale */
  return (x + shift) - shift;
}

/* The power of two at or below x >= 0; 0 of 0. */
static double power_of_two(double x) {
  return x > 0 ? ldexp(1.0, ilogb(x)) : 0.0;
}

void olica_statistics_add_energy(double *sum, double *energy, const float *rows, int tokens, int width) {
  memset(energy, 0, (size_t)width * sizeof *energy);
  olica_statistics_energy(energy, rows, tokens, width);
  for (int c = 0; c < width; c++) sum[c] += on_grid(energy[c], power_of_two(energy[c]));
}

olica_status olica_energies_create(olica_env *env, const olica_arch *arch, olica_energies **out) {
  olica_energies *e;
  OLICA_TRY(OLICA_NEW(env, e, 1));
  e->d = arch->hidden;
  e->values = arch->heads * arch->head;
  e->neurons = arch->ffn;
  OLICA_TRY(OLICA_NEW(env, e->all, (size_t)(2 * e->d + e->values + e->neurons)));
  OLICA_TRY(OLICA_NEW(env, e->sequence, (size_t)(e->neurons > e->values ? e->neurons : e->values) + e->d));
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
  olica_memory_free(env, energies->sequence);
  olica_memory_free(env, energies);
}

void olica_energies_see(olica_energies *e, olica_tap tap, const float *rows, int tokens, int width) {
  double *const sums[OLICA_TAPS] = {[OLICA_TAP_ATTENTION_INPUT] = e->attention,
                                    [OLICA_TAP_VALUES] = e->value,
                                    [OLICA_TAP_FFN_INPUT] = e->ffn,
                                    [OLICA_TAP_FFN_NEURONS] = e->neuron};
  if (sums[tap]) olica_statistics_add_energy(sums[tap], e->sequence, rows, tokens, width);
}

void olica_energies_reduce(olica_energies *e, olica_context *context, double scale) {
  size_t count = (size_t)(2 * e->d + e->values + e->neurons);
  olica_comm_sum(context, context->comm, e->all, count);
  for (size_t i = 0; i < count; i++) e->all[i] *= scale;
}

int olica_energies_silent(const olica_energies *e) {
  const int widths[4] = {e->d, e->values, e->d, e->neurons};
  const double *energy = e->all;
  int silent = 0;
  for (int k = 0; k < 4; energy += widths[k++]) {
    double mean = 0.0;
    for (int c = 0; c < widths[k]; c++) mean += energy[c] / widths[k];
    for (int c = 0; c < widths[k]; c++) silent += energy[c] <= OLICA_ENERGY_FLOOR * mean;
  }
  return silent;
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
  OLICA_TRY(OLICA_NEW(env, sums->product, n * n));
  OLICA_TRY(OLICA_NEW(env, sums->energy, n));
  OLICA_TRY(OLICA_NEW(env, sums->scale_a, n));
  OLICA_TRY(OLICA_NEW(env, sums->scale_b, n));
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
  olica_memory_free(env, sums->product);
  olica_memory_free(env, sums->energy);
  olica_memory_free(env, sums->scale_a);
  olica_memory_free(env, sums->scale_b);
  olica_memory_free(env, sums);
}

/* Scales of the columns of one sequence, from the energies it has just been found to have. */
static void find_scales(double *scale, const double *energy, int width) {
  for (int c = 0; c < width; c++) scale[c] = power_of_two(sqrt(energy[c]));
}

static void add_columns(double *sum, double *column, const float *rows, int tokens, int width,
                        const double *scale) {
  memset(column, 0, (size_t)width * sizeof *column);
  for (int t = 0; t < tokens; t++)
    for (int c = 0; c < width; c++) column[c] += rows[(size_t)t * width + c];
  for (int c = 0; c < width; c++) sum[c] += on_grid(column[c], scale[c]);
}

/* sum [n x n] += product; `upper`: its upper triangle. */
static void add_product(double *sum, const float *product, int n, bool upper, const double *row_scale,
                        const double *column_scale) {
#pragma omp parallel for schedule(static, 16) if ((double)n * n >= OLICA_PRODUCT_PARALLEL)
  for (int i = 0; i < n; i++) {
    size_t row = (size_t)i * (size_t)n;
    for (int j = upper ? i : 0; j < n; j++)
      sum[row + j] += on_grid(product[row + j], row_scale[i] * column_scale[j]);
  }
}

void olica_fit_sums_add(olica_env *env, olica_fit_sums *sums, int tokens, const float *a, const float *b) {
  int d = sums->d;
  memset(sums->energy, 0, (size_t)d * sizeof *sums->energy);
  olica_statistics_energy(sums->energy, a, tokens, d);
  find_scales(sums->scale_a, sums->energy, d);
  olica_statistics_add_energy(sums->square_b, sums->energy, b, tokens, d);
  find_scales(sums->scale_b, sums->energy, d);
  add_columns(sums->sum_a, sums->energy, a, tokens, d, sums->scale_a);
  add_columns(sums->sum_b, sums->energy, b, tokens, d, sums->scale_b);
  olica_product_gram(env, tokens, d, a, sums->product);
  add_product(sums->gram, sums->product, d, true, sums->scale_a, sums->scale_a);
  olica_product_general(env, 1, 0, d, d, tokens, 1.0f, a, d, b, d, 0.0f, sums->product, d);
  add_product(sums->cross, sums->product, d, false, sums->scale_a, sums->scale_b);
}
