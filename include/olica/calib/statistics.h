/* The statistics of a layer over the calibration tokens: energies of channels. Each rank sums over its own
 * sequences, a piece of a sequence at a time; ranks then add theirs up. The sums come out the same, to the
 * last bit, however the sequences lie on ranks. Not collective unless said. */
#ifndef OLICA_CALIB_STATISTICS_H
#define OLICA_CALIB_STATISTICS_H

#include "olica/model/forward.h"
#include "olica/par/context.h"

/* sum[c] += sum over rows of x[t, c]², element (t, c) at x[t * stride + c]. */
void olica_statistics_add_squares(double *sum, const float *x, int rows, int cols, int stride);

/* The same of one piece of a sequence, put on a grid, so that a sum of pieces is the same in any order. */
void olica_statistics_add_energy(double *sum, const float *x, int rows, int cols, int stride);

/* x rounded to a grid of 2^-22 of `scale`, and the power of two at or below x >= 0 (0 of 0), which makes a
 * scale: see statistics.c. */
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

/* The energies that the pruning needs, of the inputs of q, k, v; o; gate, up; down. */
typedef struct olica_energies {
  int d, values, neurons, total; /* d, H·h, f, all of them */
  int threads;
  double *attention; /* [d] E_in of q, k, v */
  double *value;     /* [H·h] E_in of o */
  double *ffn;       /* [d] E_in of gate and up */
  double *neuron;    /* [f] E_in of down */
  double *all; /* [threads x total]: the four, one after the other, first of all threads, then their sum */
} olica_energies;

/* For an observer on so many threads. OLICA_ERR_MEMORY; free with destroy. */
olica_status olica_energies_create(olica_env *env, const olica_arch *arch, int threads,
                                   olica_energies **energies);
void olica_energies_destroy(olica_env *env, olica_energies *energies); /* NULL allowed */
size_t olica_energies_bytes(const olica_arch *arch, int threads);      /* counted; pure */

/* Adds what one tap shows; others are ignored. Not collective. */
void olica_energies_see(olica_energies *energies, const olica_view *view);

/* Sums over threads and ranks, times `scale` (1/S). Collective on the context. */
void olica_energies_reduce(olica_energies *energies, olica_context *context, double scale);

/* How many of all the channels have no energy to speak of: at most this share of their map's mean. Nothing is
 * divided by them. Pure, after the reduction. */
#define OLICA_ENERGY_FLOOR 1e-12
int olica_energies_silent(const olica_energies *energies);

#endif
