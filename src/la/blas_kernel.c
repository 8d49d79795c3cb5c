#include "la/blas_kernel.h"

#include <cblas.h>
#include <stddef.h>
#include <strings.h>

/* The first kernel of a level runs on every processor of that level; the others are for one maker's
 * processors. A steady kernel sums the edges of a product in the same order as its inside
 * (tests/test_ranks.py). */
static const struct {
  const char *name;
  olica_blas_level level;
  bool steady;
} table[] = {
    {"Prescott", OLICA_BLAS_SSE3, false},
    {"Opteron", OLICA_BLAS_SSE3, false},
    {"Opteron_SSE3", OLICA_BLAS_SSE3, false},
    {"Barcelona", OLICA_BLAS_SSE3, false},
    {"Core2", OLICA_BLAS_SSSE3, false},
    {"Penryn", OLICA_BLAS_SSSE3, false},
    {"Dunnington", OLICA_BLAS_SSSE3, false},
    {"Atom", OLICA_BLAS_SSSE3, false},
    {"Nano", OLICA_BLAS_SSSE3, false},
    {"Bobcat", OLICA_BLAS_SSSE3, false},
    {"Nehalem", OLICA_BLAS_SSE42, false},
    {"Sandybridge", OLICA_BLAS_AVX, true},
    {"Bulldozer", OLICA_BLAS_AVX, false},
    {"Piledriver", OLICA_BLAS_AVX, false},
    {"Steamroller", OLICA_BLAS_AVX, false},
    {"Haswell", OLICA_BLAS_AVX2, false},
    {"Zen", OLICA_BLAS_AVX2, false},
    {"Excavator", OLICA_BLAS_AVX2, false},
    {"SkylakeX", OLICA_BLAS_AVX512, true},
    {"Cooperlake", OLICA_BLAS_AVX512, true},
    {"SapphireRapids", OLICA_BLAS_AVX512, true},
};

enum { KERNELS = sizeof table / sizeof *table };

/* Returns the row of a kernel, or KERNELS if it is not in the table. */
static size_t find(const char *name) {
  size_t i = 0;
  while (i < KERNELS && strcasecmp(table[i].name, name) != 0) i++;
  return i;
}

const char *olica_blas_kernel_name(void) {
  return openblas_get_corename();
}

olica_blas_level olica_blas_kernel_level(const char *name) {
  size_t i = find(name);
  return i < KERNELS ? table[i].level : OLICA_BLAS_UNKNOWN;
}

olica_blas_level olica_blas_processor_level(void) {
#ifdef __x86_64__
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("sse3")) return OLICA_BLAS_UNKNOWN;
  if (!__builtin_cpu_supports("ssse3")) return OLICA_BLAS_SSE3;
  if (!__builtin_cpu_supports("sse4.2")) return OLICA_BLAS_SSSE3;
  if (!__builtin_cpu_supports("avx")) return OLICA_BLAS_SSE42;
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return OLICA_BLAS_AVX;
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
                 __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                 __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi2")
             ? OLICA_BLAS_AVX512
             : OLICA_BLAS_AVX2;
#else
  return OLICA_BLAS_UNKNOWN;
#endif
}

const char *olica_blas_kernel_of(olica_blas_level level) {
  for (size_t i = 0; level != OLICA_BLAS_UNKNOWN && i < KERNELS; i++)
    if (table[i].level == level) return table[i].name;
  return NULL;
}

bool olica_blas_kernel_steady(void) {
  size_t i = find(olica_blas_kernel_name());
  return i < KERNELS && table[i].steady;
}
