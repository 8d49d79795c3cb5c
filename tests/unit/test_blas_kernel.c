/* The table of OpenBLAS's kernels: which falls short of what, and that what is newer than it is left alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "la/blas_kernel.h"

/* From slow to fast; kernels of one line are as good as each other. */
static const struct {
  olica_blas_level level;
  const char *any, *names[6];
} lines[] = {{OLICA_BLAS_SSE3, "Prescott", {"Prescott", "Barcelona", "Opteron"}},
             {OLICA_BLAS_SSSE3, "Core2", {"Core2", "Penryn", "Bobcat", "Atom"}},
             {OLICA_BLAS_SSE42, "Nehalem", {"Nehalem"}},
             {OLICA_BLAS_AVX, "Sandybridge", {"Sandybridge", "Bulldozer", "Piledriver", "Steamroller"}},
             {OLICA_BLAS_AVX2, "Haswell", {"Haswell", "Zen", "ZEN", "Excavator"}},
             {OLICA_BLAS_AVX512, "SkylakeX", {"SkylakeX", "skylakex", "Cooperlake", "SapphireRapids"}}};

static void kernels_have_levels(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    assert_string_equal(olica_blas_kernel_of(lines[i].level), lines[i].any);
    for (int k = 0; k < 6 && lines[i].names[k]; k++)
      assert_int_equal(olica_blas_kernel_level(lines[i].names[k]), lines[i].level);
    if (i > 0) assert_true(lines[i].level > lines[i - 1].level);
  }
}

static void newer_ones_are_unknown(void **state) {
  static const char *const names[] = {"", "DiamondRapids", "Skylake", "NEOVERSEN1", "Unknown"};
  (void)state;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    assert_int_equal(olica_blas_kernel_level(names[i]), OLICA_BLAS_UNKNOWN);
  assert_null(olica_blas_kernel_of(OLICA_BLAS_UNKNOWN));
}

/* OpenBLAS itself takes nothing that the processor cannot run. */
static void this_processor_runs_its_kernel(void **state) {
  (void)state;
  assert_non_null(olica_blas_kernel_name());
  if (olica_blas_processor_level() != OLICA_BLAS_UNKNOWN)
    assert_true(olica_blas_kernel_level(olica_blas_kernel_name()) <= olica_blas_processor_level());
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(kernels_have_levels),
      cmocka_unit_test(newer_ones_are_unknown),
      cmocka_unit_test(this_processor_runs_its_kernel),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
