/* Statistics of a layer over the calibration tokens: energies of channels. Each rank sums over its own
 * sequences, one piece of a sequence at a time; then the ranks' sums are added. The result is the same, to
 * the last bit, for any distribution of the sequences over ranks. Not collective unless stated. */
#ifndef OLICA_CALIB_STATISTICS_H
#define OLICA_CALIB_STATISTICS_H

#include "base/ledger.h"
#include "model/forward.h"
#include "par/context.h"

/* sum[c] += sum over rows t of x[t, c]²; element (t, c) is x[t * stride + c]. */
void olica_statistics_add_squares(double *sum, const float *x, int rows, int cols, int stride);

/* Does the same for one piece of a sequence, rounded to a grid, so that the pieces sum to the same bits in
 * any order. */
void olica_statistics_add_energy(double *sum, const float *x, int rows, int cols, int stride);

/* olica_statistics_on_grid: rounds x to a multiple of 2^-22 · `scale`. olica_statistics_power_of_two: returns
 * the largest power of two not above x >= 0 (0 for 0), used as a scale. See statistics.c. */
static inline double olica_statistics_on_grid(double x, double scale) {
  const double shift = 1.5 * (1 << 30) * scale; /* the sum's last bit is worth 2^-22 of scale */
  return (x + shift) - shift;
}

static inline double olica_statistics_power_of_two(double x) {
  const uint64_t exponent = UINT64_C(0x7ff) << 52;
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  bits &= exponent;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* sum[c] += sum over rows t of x[t, c], likewise rounded to a grid: relative to the norm of the piece. */
void olica_statistics_add_sum(double *sum, const float *x, int rows, int cols, int stride);

/* Energies of the inputs of a layer's linear maps: q, k, v; o; gate, up; down. */
typedef struct olica_energies {
  int d, values, neurons, total; /* d, H·h, f, and the sum of all channels */
  int threads;
  double *attention; /* [d] E_in of q, k, v */
  double *value;     /* [H·h] E_in of o */
  double *ffn;       /* [d] E_in of gate and up */
  double *neuron;    /* [f] E_in of down */
  double *all; /* [threads x total]: the four energies, one after the other, per thread; after the reduction
                  the sums, in the place of thread 0 */
} olica_energies;

/* Creates zero energies for an observer on `threads` threads. OLICA_ERR_MEMORY; free with destroy. */
olica_status olica_energies_create(olica_env *env, const olica_arch *arch, int threads,
                                   olica_energies **energies);
void olica_energies_destroy(olica_env *env, olica_energies *energies); /* NULL allowed */
/* Holds on a ledger what olica_energies_create allocates. */
olica_hold olica_energies_hold(olica_ledger *ledger, const olica_arch *arch, int threads);

/* Adds the rows that a tap shows; ignores taps that it does not need. Not collective. */
void olica_energies_see(olica_energies *energies, const olica_view *view);

/* The same for sums of the numbers themselves, in an object of its own: first moments in place of energies.
 */
void olica_energies_see_sum(olica_energies *sums, const olica_view *view);

/* Sums over threads and ranks and multiplies by `scale` (1/S). Collective on the context. */
void olica_energies_reduce(olica_energies *energies, olica_context *context, double scale);

/* Returns the number of channels without energy: at most OLICA_ENERGY_FLOOR of their map's mean. No energy is
 * used as a divisor. Pure; call it after the reduction. */
#define OLICA_ENERGY_FLOOR 1e-12
int olica_energies_silent(const olica_energies *energies);

#endif
