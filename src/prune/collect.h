/* One pass of a dense layer over the pruned stream, which is not advanced: collects the energies of the
 * inputs of its linear maps and, on request, the FFN's inputs themselves. Private to prune. */
#ifndef OLICA_PRUNE_COLLECT_H
#define OLICA_PRUNE_COLLECT_H

#include "calib/statistics.h"
#include "prune/method.h"

typedef struct olica_collected {
  olica_energies *energies; /* sums over all ranks, divided by the number of sequences */
  unsigned char *ffn_input; /* [count x T x d] for this rank's sequences, in the kernel's precision; NULL: not
                               requested. The caller may free it first */
  olica_dtype precision;    /* of ffn_input */
  int tokens;               /* T */
  size_t seen;              /* rows collected so far */
} olica_collected;

/* Collects over layer `index`. Returns the number of channels without energy, and warns of them. Collective
 * on the context. OLICA_ERR_MEMORY. Free with olica_collect_free. */
olica_status olica_collect(const olica_method_job *job, int index, const olica_layer *dense, bool ffn_input,
                           olica_collected *collected, int *silent);
void olica_collect_free(const olica_method_job *job, olica_collected *collected);

#endif
