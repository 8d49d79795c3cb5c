/* Any bytes as a config.json: refused with a message, or an architecture whose numbers fit each other. */
#include <math.h>

#include "fuzz.h"
#include "model/arch.h"

static void look_at(const olica_arch *arch) {
  FUZZ_EXPECT(arch->family && arch->layers > 0 && arch->hidden > 0 && arch->ffn > 0 && arch->vocabulary > 0);
  FUZZ_EXPECT(arch->heads > 0 && arch->kv_heads > 0 && arch->heads % arch->kv_heads == 0);
  FUZZ_EXPECT(arch->head > 0 && arch->head % 2 == 0 && arch->context > 0 && arch->window >= 0);
  FUZZ_EXPECT(isfinite(arch->eps) && arch->eps >= 0 && isfinite(arch->rope.theta) && arch->rope.theta >= 1);
  for (int p = 0; p < OLICA_PROJECTIONS; p++) {
    int out, in;
    olica_arch_shape(arch, (olica_projection)p, &out, &in);
    FUZZ_EXPECT(out > 0 && in > 0);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  olica_env *env = fuzz_env();
  olica_arch arch;
  olica_status status = olica_arch_parse(env, "config.json", (const char *)data, size, &arch);
  if (status == OLICA_OK)
    look_at(&arch);
  else
    fuzz_expect_message(env, status);
  FUZZ_EXPECT(env->memory.now == 0);
  olica_env_destroy(env);
  return 0;
}
