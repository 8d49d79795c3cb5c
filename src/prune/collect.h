/* One pass of a dense layer over the calibration stream: collects the energies of the inputs of its linear
 * maps and, on request, the FFN's inputs themselves, and the Gram of its neurons. Private to prune. */
#ifndef OLICA_PRUNE_COLLECT_H
#define OLICA_PRUNE_COLLECT_H

#include "calib/fit_sums.h"
#include "calib/statistics.h"
#include "prune/method.h"

/* Collected on request, beside the energies. */
typedef struct olica_collect_wish {
  bool ffn_input;         /* the FFN's inputs */
  bool advance;           /* the stream passes the layer; otherwise a copy of its states does */
  olica_fit_sums *gram;   /* of one side and the FFN's width: its neurons are added; NULL: they are not */
  olica_fit_sums *values; /* likewise of the width of the inputs of o */
} olica_collect_wish;

typedef struct olica_collected {
  olica_energies *energies; /* sums over all ranks, divided by the number of sequences */
  unsigned char *ffn_input; /* [count x T x d] for this rank's sequences, in the kernel's precision; NULL: not
                               requested. The caller may free it first */
  olica_dtype precision;    /* of ffn_input */
  olica_fit_sums *gram, *values; /* the wish's */
  int tokens;                    /* T */
  size_t seen;                   /* rows collected so far */
} olica_collected;

/* Collects over layer `index`. Returns the number of channels without energy, and warns of them. Collective
 * on the context. OLICA_ERR_MEMORY. Free with olica_collect_free. */
olica_status olica_collect(const olica_method_job *job, int index, const olica_layer *dense,
                           olica_collect_wish wish, olica_collected *collected, int *silent);
/* The same over a layer that is packed already. */
olica_status olica_collect_packed(const olica_method_job *job, const olica_maps *maps,
                                  olica_collect_wish wish, olica_collected *collected, int *silent);

/* Replays olica_collect on a ledger, for a dense layer of that shape; the wish's Gram is the caller's. What
 * it then holds is freed in two steps. */
typedef struct olica_collected_hold {
  olica_hold energies, ffn_input;
} olica_collected_hold;
olica_collected_hold olica_collect_replay(olica_ledger *ledger, const olica_method_model *model,
                                          const olica_method_site *site, const olica_layer_shape *dense,
                                          olica_collect_wish wish);

void olica_collect_free(const olica_method_job *job, olica_collected *collected);

#endif
