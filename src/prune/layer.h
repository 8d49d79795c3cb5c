/* Creation of the pruned layer, for the methods. Private to prune. */
#ifndef OLICA_PRUNE_LAYER_H
#define OLICA_PRUNE_LAYER_H

#include "prune/method.h"

/* Runs `call` under a timer; returns from the calling function if it fails. */
#define OLICA_TIMED(env, name, call)                                                                         \
  do {                                                                                                       \
    olica_timer_start(&(env)->timers, (name));                                                               \
    olica_status timed_status_ = (call);                                                                     \
    olica_timer_stop(&(env)->timers);                                                                        \
    if (timed_status_ != OLICA_OK) return timed_status_;                                                     \
  } while (0)

/* Creates a layer of that shape in the node's memory (job->pruned). Collective on the context. */
olica_status olica_pruned_create(const olica_method_job *job, const olica_layer_shape *shape,
                                 olica_layer **pruned);

/* Copies a linear map and its bias unchanged. The node's first rank copies; the caller fences. */
void olica_pruned_copy(const olica_context *context, const olica_linear *from, olica_linear *to);

/* Rounds the layer to the output format. Collective on the context. */
olica_status olica_pruned_round(const olica_method_job *job, olica_layer *pruned);

#endif
