#include "base/random.h"

#include <assert.h>

enum { ROUNDS = 10 };

static uint32_t high(uint64_t x) {
  return (uint32_t)(x >> 32);
}

void olica_random_block(const uint32_t counter[4], const uint32_t key[2], uint32_t block[4]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
  for (int round = 0; round < ROUNDS; round++) {
    uint64_t a = UINT64_C(0xd2511f53) * c0, b = UINT64_C(0xcd9e8d57) * c2;
    c0 = high(b) ^ c1 ^ k0;
    c1 = (uint32_t)b;
    c2 = high(a) ^ c3 ^ k1;
    c3 = (uint32_t)a;
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  block[0] = c0, block[1] = c1, block[2] = c2, block[3] = c3;
}

uint64_t olica_random_below(olica_random random, uint64_t index, uint64_t bound) {
  assert(bound > 0);
  const uint32_t key[2] = {(uint32_t)random.seed, high(random.seed)};
  uint64_t unfair = -bound % bound; /* 2^64 mod bound: low halves below it would be drawn once too often */
  for (uint32_t attempt = 0;; attempt++) {
    const uint32_t counter[4] = {(uint32_t)index, high(index), random.stream, attempt};
    uint32_t block[4];
    olica_random_block(counter, key, block);
    unsigned __int128 product = (unsigned __int128)((uint64_t)block[1] << 32 | block[0]) * bound;
    if ((uint64_t)product >= unfair) return (uint64_t)(product >> 64);
  }
}
