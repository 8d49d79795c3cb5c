#include "model/arch.h"

#include <limits.h>
#include <math.h>

olica_arch_layer olica_arch_plain_layer(const olica_arch *arch) {
  return (olica_arch_layer){.heads = arch->heads, .kv_heads = arch->kv_heads, .ffn = arch->ffn};
}

float olica_arch_score_scale(const olica_arch *arch) {
  return arch->score_scale > 0 ? (float)arch->score_scale : 1.0f / sqrtf((float)arch->head);
}

int olica_arch_longest(const olica_arch *arch) {
  for (int i = 0; i < arch->ropes; i++)
    if (arch->rope[i].kind == OLICA_ROPE_DYNAMIC) return INT_MAX;
  return arch->context;
}

int olica_arch_turn(const olica_arch *arch) {
  for (int i = 0; i < arch->ropes; i++)
    if (arch->rope[i].kind == OLICA_ROPE_DYNAMIC || arch->rope[i].kind == OLICA_ROPE_LONG)
      return (int)fmin(arch->rope[i].original_context, INT_MAX);
  return 0;
}

size_t olica_arch_norm_numbers(const olica_arch *arch) {
  return (size_t)arch->hidden * (arch->block.norm_biases ? 2 : 1);
}

int olica_arch_unlike(const olica_arch *arch) {
  const olica_arch_layer *first = &arch->layer[0], *layer;
  for (int i = 1; i < arch->layers; i++) {
    layer = &arch->layer[i];
    if (layer->heads != first->heads || layer->kv_heads != first->kv_heads || layer->ffn != first->ffn)
      return i;
  }
  return arch->layers;
}

void olica_arch_free(olica_env *env, olica_arch *arch) {
  olica_memory_free(env, arch->layer);
  arch->layer = NULL;
  for (int i = 0; i < OLICA_ROPES; i++)
    for (int list = 0; list < 2; list++) {
      olica_memory_free(env, arch->rope[i].divisor[list]);
      arch->rope[i].divisor[list] = NULL;
    }
}
