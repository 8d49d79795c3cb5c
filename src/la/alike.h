/* Ranks of one job whose kernels differ, because their processors or their settings do: last bits then depend
 * on which rank does what. */
#ifndef OLICA_LA_ALIKE_H
#define OLICA_LA_ALIKE_H

#include "la/kernel.h"
#include "par/context.h"

/* The kernel of a rank, and its host. */
typedef struct olica_card {
  char kernel[OLICA_KERNEL_TEXT], host[64];
} olica_card;

/* Gathers the kernels of all ranks on rank 0, by name. The caller frees `all` [ranks]. Collective on the
 * context. OLICA_ERR_MEMORY. */
olica_status olica_alike_gather(olica_context *context, const char *kernel, olica_card **all);

/* Returns the first rank whose kernel differs from rank 0's; 0: none does. Pure. */
int olica_alike_other(const olica_card *all, int ranks);

/* Warns on rank 0 if the ranks' kernels of the products differ, and names the setting that makes them alike.
 * Collective on the context. OLICA_ERR_MEMORY. */
olica_status olica_alike_tell(olica_context *context, const olica_kernel *kernel);

#endif
