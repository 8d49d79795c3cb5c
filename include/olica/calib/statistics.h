/* The statistics of a layer over the calibration tokens: energies of channels, and the sums a linear fit of
 * one set of rows on another needs. Each rank sums over its own sequences, one sequence at a time in fp32 and
 * across sequences in fp64; ranks then add theirs up. The sums come out the same, to the last bit, however
 * the sequences lie on ranks. */
#ifndef OLICA_CALIB_STATISTICS_H
#define OLICA_CALIB_STATISTICS_H

#include "olica/model/forward.h"
#include "olica/par/context.h"

/* energy[c] += sum over tokens of rows[t, c]², rows [tokens x width]. Not collective. */
void olica_statistics_energy(double *energy, const float *rows, int tokens, int width);

/* The same for one sequence, so that sum [width] over sequences is the same in any order. energy [width]
 * becomes the sequence's own. */
void olica_statistics_add_energy(double *sum, double *energy, const float *rows, int tokens, int width);

/* The energies that the pruning needs, of the inputs of q, k, v; o; gate, up; down. */
typedef struct olica_energies {
  int d, values, neurons; /* d, H·h, f */
  double *attention;      /* [d] E_in of q, k, v */
  double *value;          /* [H·h] E_in of o */
  double *ffn;            /* [d] E_in of gate and up */
  double *neuron;         /* [f] E_in of down */
  double *all;            /* the four lie here, one after the other */
  double *sequence;       /* of one sequence */
} olica_energies;

olica_status olica_energies_create(olica_env *env, const olica_arch *arch, olica_energies **energies);
void olica_energies_destroy(olica_env *env, olica_energies *energies); /* NULL allowed */

/* Adds what one tap shows; others are ignored. Not collective. */
void olica_energies_see(olica_energies *energies, olica_tap tap, const float *rows, int tokens, int width);

/* Sums over ranks, times `scale` (1/S). Collective on the context. */
void olica_energies_reduce(olica_energies *energies, olica_context *context, double scale);

/* How many of all the channels have no energy to speak of: at most this share of their map's mean. Nothing is
 * divided by them. Pure, after the
 * reduction. */
#define OLICA_ENERGY_FLOOR 1e-12
int olica_energies_silent(const olica_energies *energies);

/* Sums for a linear fit of B [N x d] on A [N x d]: AᵀA (upper triangle), AᵀB, column sums of A and B, and
 * ΣB². */
typedef struct olica_fit_sums {
  int d;
  double *gram, *cross;             /* [d x d] this rank's part */
  double *sum_a, *sum_b, *square_b; /* [d] */
  /* Of one sequence: */
  float *product;                     /* [d x d] */
  double *energy, *scale_a, *scale_b; /* [d] */
} olica_fit_sums;

/* Zero sums; creation is not collective. */
olica_status olica_fit_sums_create(olica_env *env, int d, olica_fit_sums **sums);
void olica_fit_sums_destroy(olica_env *env, olica_fit_sums *sums); /* NULL allowed */

/* Adds one sequence: a, b [tokens x d]. Not collective. */
void olica_fit_sums_add(olica_env *env, olica_fit_sums *sums, int tokens, const float *a, const float *b);

#endif
