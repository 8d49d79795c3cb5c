#include "calib/statistics.h"

#include <math.h>

#include "la/product.h"
#include "par/comm.h"

/* Columns per pass over rows: their sums stay in registers and the L1 cache. */
enum { COLUMNS = 64 };

/* energy[COLUMNS] += squares of that many columns. */
static void add_squares(double *energy, const float *x, int rows, int cols, int stride) {
  for (int t = 0; t < rows; t++) {
    const float *row = x + (size_t)t * (size_t)stride;
    for (int c = 0; c < cols; c++) energy[c] += (double)row[c] * row[c];
  }
}

void olica_statistics_add_squares(double *sum, const float *x, int rows, int cols, int stride) {
#pragma omp parallel for schedule(static) if ((double)rows * cols >= OLICA_PRODUCT_PARALLEL)
  for (int from = 0; from < cols; from += COLUMNS)
    add_squares(sum + from, x + from, rows, cols - from < COLUMNS ? cols - from : COLUMNS, stride);
}

/* A sum must not depend on the distribution of sequences over ranks: the last bit of an energy can change a
 * rounding to bf16, and that can change a choice of neurons some layers later. So the contribution of each
 * piece is first rounded to a grid: a multiple of 2^-22 of its scale, a power of two near its own norm. The
 * grid is finer than the error of the fp32 products, and coarse enough that float64 adds such numbers without
 * rounding, in any order, as long as the norms of a channel in different pieces are within a factor of 1000
 * (beyond that a last bit may differ). */
void olica_statistics_add_energy(double *sum, const float *x, int rows, int cols, int stride) {
  for (int from = 0; from < cols; from += COLUMNS) {
    double energy[COLUMNS] = {0};
    int count = cols - from < COLUMNS ? cols - from : COLUMNS;
    add_squares(energy, x + from, rows, count, stride);
    for (int c = 0; c < count; c++)
      sum[from + c] += olica_statistics_on_grid(energy[c], olica_statistics_power_of_two(energy[c]));
  }
}

/* |Σ x| is at most sqrt(rows Σ x²), which is the scale of its grid. */
void olica_statistics_add_sum(double *sum, const float *x, int rows, int cols, int stride) {
  for (int from = 0; from < cols; from += COLUMNS) {
    double energy[COLUMNS] = {0}, total[COLUMNS] = {0};
    int count = cols - from < COLUMNS ? cols - from : COLUMNS;
    add_squares(energy, x + from, rows, count, stride);
    for (int t = 0; t < rows; t++)
      for (int c = 0; c < count; c++) total[c] += x[(size_t)t * (size_t)stride + (size_t)(from + c)];
    for (int c = 0; c < count; c++)
      sum[from + c] +=
          olica_statistics_on_grid(total[c], olica_statistics_power_of_two(sqrt(rows * energy[c])));
  }
}

/* Returns the energies of all threads, without their memory. */
static olica_energies energies_of(const olica_arch *arch, int threads) {
  olica_energies e = {
      .d = arch->hidden, .values = arch->heads * arch->head, .neurons = arch->ffn, .threads = threads};
  e.total = 2 * e.d + e.values + e.neurons;
  return e;
}

static size_t numbers(const olica_energies *e) {
  return (size_t)e->threads * (size_t)e->total;
}

olica_hold olica_energies_hold(olica_ledger *ledger, const olica_arch *arch, int threads) {
  const olica_energies e = energies_of(arch, threads);
  return olica_ledger_hold(ledger, numbers(&e) * sizeof *e.all);
}

olica_status olica_energies_create(olica_env *env, const olica_arch *arch, int threads,
                                   olica_energies **out) {
  olica_energies *e;
  OLICA_TRY(OLICA_NEW(env, e, 1));
  *e = energies_of(arch, threads);
  OLICA_TRY(OLICA_NEW(env, e->all, numbers(e)));
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

typedef void add_piece(double *sum, const float *x, int rows, int cols, int stride);

static void see(olica_energies *e, const olica_view *view, add_piece *add) {
  double *const sums[OLICA_TAPS] = {[OLICA_TAP_ATTENTION_INPUT] = e->attention,
                                    [OLICA_TAP_VALUES] = e->value,
                                    [OLICA_TAP_FFN_INPUT] = e->ffn,
                                    [OLICA_TAP_FFN_NEURONS] = e->neuron};
  if (!sums[view->tap]) return;
  add(sums[view->tap] + (size_t)view->thread * (size_t)e->total + view->col, view->x, view->rows, view->cols,
      view->stride);
}

void olica_energies_see(olica_energies *e, const olica_view *view) {
  see(e, view, olica_statistics_add_energy);
}

void olica_energies_see_sum(olica_energies *sums, const olica_view *view) {
  see(sums, view, olica_statistics_add_sum);
}

void olica_energies_reduce(olica_energies *e, olica_context *context, double scale) {
  for (int t = 1; t < e->threads; t++)
    for (int i = 0; i < e->total; i++) e->all[i] += e->all[(size_t)t * (size_t)e->total + (size_t)i];
  olica_comm_sum(context, context->comm, e->all, (size_t)e->total);
  for (int i = 0; i < e->total; i++) e->all[i] *= scale;
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
