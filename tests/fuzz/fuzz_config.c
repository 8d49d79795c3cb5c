/* Any bytes as a config.json: refused with a message, or an architecture whose numbers fit each other. */
#include <math.h>

#include "fuzz.h"
#include "model/arch.h"

static void look_at(const olica_arch *arch) {
  FUZZ_EXPECT(arch->family && arch->layers > 0 && arch->hidden > 0 && arch->ffn > 0 && arch->vocabulary > 0);
  FUZZ_EXPECT(arch->heads > 0 && arch->kv_heads > 0 && arch->heads % arch->kv_heads == 0);
  FUZZ_EXPECT(arch->head > 0 && arch->head % 2 == 0 && arch->context > 0);
  FUZZ_EXPECT(isfinite(arch->eps) && arch->eps >= 0 && arch->ropes > 0 && arch->ropes <= OLICA_ROPES);
  for (int i = 0; i < arch->ropes; i++)
    FUZZ_EXPECT(isfinite(arch->rope[i].theta) && arch->rope[i].theta >= 1);
  for (int i = 0; i < arch->layers; i++) {
    const olica_arch_layer *layer = &arch->layer[i];
    FUZZ_EXPECT(layer->heads > 0 && layer->heads <= arch->heads && layer->kv_heads > 0 &&
                layer->kv_heads <= arch->kv_heads && layer->heads % layer->kv_heads == 0 &&
                layer->heads / layer->kv_heads <= arch->group);
    FUZZ_EXPECT(layer->ffn > 0 && layer->ffn <= arch->ffn && layer->window >= 0);
    FUZZ_EXPECT(layer->rope >= OLICA_ROPE_NONE && layer->rope < arch->ropes);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  olica_env *env = fuzz_env();
  olica_arch arch;
  olica_status status = olica_arch_parse(env, "config.json", (const char *)data, size, &arch);
  if (status == OLICA_OK) {
    look_at(&arch);
    olica_arch_free(env, &arch);
  } else
    fuzz_expect_message(env, status);
  FUZZ_EXPECT(env->memory.now == 0);
  olica_env_destroy(env);
  return 0;
}
