/* The pruned layer under a method's hands. Private to prune. */
#ifndef OLICA_PRUNE_LAYER_H
#define OLICA_PRUNE_LAYER_H

#include "olica/prune/method.h"

/* Runs `call` under a timer and returns its failure. */
#define OLICA_TIMED(env, name, call)                                                                         \
  do {                                                                                                       \
    olica_timer_start(&(env)->timers, (name));                                                               \
    olica_status timed_status_ = (call);                                                                     \
    olica_timer_stop(&(env)->timers);                                                                        \
    if (timed_status_ != OLICA_OK) return timed_status_;                                                     \
  } while (0)

/* A layer of that shape in the node's memory for it. Collective on the context. */
olica_status olica_pruned_create(const olica_method_job *job, const olica_layer_shape *shape,
                                 olica_layer **pruned);

/* Copies a linear map, its bias with it, that stays as it is. The node's first rank does; the caller fences.
 */
void olica_pruned_copy(const olica_context *context, const olica_linear *from, olica_linear *to);

/* Rounds the layer to what is written. Collective on the context. */
olica_status olica_pruned_round(const olica_method_job *job, olica_layer *pruned);

#endif
