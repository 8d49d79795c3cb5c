/* Shared by methods that remove whole attention heads and FFN neurons. The unit of the attention is a
 * key/value head with all query heads that use it: their rows of q, k and v and their columns of o. Private
 * to prune. */
#ifndef OLICA_PRUNE_HEADS_H
#define OLICA_PRUNE_HEADS_H

#include "prune/method.h"

/* Parameters of a unit of a dense layer, biases included. Pure. */
int64_t olica_heads_numbers(const olica_method_model *model);
int64_t olica_heads_neuron_numbers(const olica_method_model *model);

/* Heads and neurons that every layer loses at an even share. */
typedef struct olica_heads_budget {
  double share;       /* of the parameters of attention and FFN, before rounding */
  int heads, neurons; /* key/value heads; FFN neurons, which make up for the rounding of the heads */
} olica_heads_budget;

/* The share s = wanted / (L (n_attention + n_FFN)), floor(s K) heads, and the neurons for the rest of
 * `wanted` parameters of the model. OLICA_ERR_CONFIG, naming `method`, if a layer would have no head or no
 * neuron left.
 */
olica_status olica_heads_budget_make(olica_env *env, const olica_method_model *model, const char *method,
                                     double wanted, olica_heads_budget *budget);

/* Returns the largest sparsity of four digits that can be: a rounding may forbid one below it, too. Pure. */
double olica_heads_most(bool (*can_be)(const void *self, double sparsity), const void *self);

/* Prints such a budget, for --check. */
void olica_heads_explain(const olica_method_model *model, const olica_heads_budget *budget, FILE *to);

/* Fills the pruned layer, whose shape says how many heads and neurons stay, from the dense one: the most
 * important ones by importance [K] and [f], of equal ones those of higher index. Both are read on rank 0
 * alone. Makes the lists, the same on all ranks. Collective on the context. OLICA_ERR_MEMORY. */
olica_status olica_heads_keep(olica_context *context, const olica_arch *arch, const olica_layer *dense,
                              const double *head, const double *neuron, olica_layer *pruned);

/* The same for lists that the caller has made (olica_select_lists), the same on all ranks: values_kept is
 * filled here. Collective on the node. */
void olica_heads_copy(const olica_context *context, const olica_arch *arch, const olica_layer *dense,
                      olica_layer *pruned);

/* Replays olica_heads_keep on a ledger; holds the lists. */
olica_hold olica_heads_replay_keep(olica_ledger *ledger, const olica_arch *arch,
                                   const olica_layer_shape *shape);

#endif
