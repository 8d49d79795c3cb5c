#include "la/alike.h"

#include <stdio.h>
#include <string.h>

#include "par/comm.h"

olica_status olica_alike_gather(olica_context *context, const char *kernel, olica_card **all) {
  OLICA_AGREE(context, OLICA_NEW(context->env, *all, (size_t)context->size));
  olica_card *mine = &(*all)[context->rank];
  snprintf(mine->kernel, sizeof mine->kernel, "%.63s", kernel);
  memcpy(mine->host, context->host, sizeof mine->host);
  olica_comm_gather(context, context->comm, *all, sizeof **all, context->size);
  return OLICA_OK;
}

int olica_alike_other(const olica_card *all, int ranks) {
  int other = 0;
  while (other < ranks && strcmp(all[other].kernel, all[0].kernel) == 0) other++;
  return other < ranks ? other : 0;
}

/* The last words of oneDNN's kernels, each of which runs where the later ones do, and what asks for them. */
static const struct {
  const char *kernel, *setting;
} levels[] = {{" sse41", "SSE41"},
              {" avx", "AVX"},
              {" avx2", "AVX2"},
              {" avx512_core", "AVX512_CORE"},
              {" avx512_core_bf16", "AVX512_CORE_BF16"}};

enum { LEVELS = sizeof levels / sizeof *levels };

/* Returns the setting of the best kernel that all ranks can run. */
static const char *common_setting(const olica_card *all, int ranks) {
  int least = LEVELS - 1;
  for (int r = 0; r < ranks; r++) {
    const char *word = strrchr(all[r].kernel, ' ');
    for (int i = 0; word && i < least; i++)
      if (strcmp(word, levels[i].kernel) == 0) least = i;
  }
  return levels[least].setting;
}

olica_status olica_alike_tell(olica_context *context, const olica_kernel *kernel) {
  olica_card *all;
  OLICA_TRY(olica_alike_gather(context, olica_kernel_name(kernel), &all));
  int other = context->rank == 0 ? olica_alike_other(all, context->size) : 0;
  if (other)
    olica_log_warn(
        context->env,
        "products: kernels differ (rank 0 on %.40s: %s, rank %d on %.40s: %s), so last bits depend "
        "on which rank does what; alike with mpirun -x ONEDNN_MAX_CPU_ISA=%s",
        all[0].host, all[0].kernel, other, all[other].host, all[other].kernel,
        common_setting(all, context->size));
  olica_memory_free(context->env, all);
  return OLICA_OK;
}
