/* Counter-based random numbers (Philox4x32-10; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011). A draw depends on its seed, stream and index only, not on the caller or on the order of calls, so
 * it is the same at any number of ranks. Pure. */
#ifndef OLICA_BASE_RANDOM_H
#define OLICA_BASE_RANDOM_H

#include <stdint.h>

/* Computes one block: four words from a counter and a key. */
void olica_random_block(const uint32_t counter[4], const uint32_t key[2], uint32_t block[4]);

/* A stream of draws. Different streams of one seed are independent. */
typedef struct olica_random {
  uint64_t seed;
  uint32_t stream;
} olica_random;

/* Returns draw number `index`, uniform in [0, bound), bound > 0: the high half of x · bound, where x is the
 * first two words of a block (low word first) of the counter {index low, index high, stream, attempt} and the
 * key {seed low, seed high}. Attempts count from 0 until the draw is unbiased (Lemire 2019). */
uint64_t olica_random_below(olica_random random, uint64_t index, uint64_t bound);

#endif
