/* The budget: the numbers of neurons and the ranks that a sparsity leaves in every layer (doc/methods.md,
 * "The budget"). Pure. Private to prune/olica. */
#ifndef OLICA_PRUNE_BUDGET_H
#define OLICA_PRUNE_BUDGET_H

#include <stdio.h>

#include "../rotate.h"
#include "prune/method.h"

/* The method's settings, and the sparsity. */
typedef struct olica_prune_options {
  double sparsity;    /* p, of all parameters of the model; filled by olica_prune_options_of */
  double k;           /* ratio of query/key to value/output sparsity */
  int64_t mlp_num;    /* layers that get a linear calibration */
  double ratio;       /* rank of the calibration / d */
  double percdamp;    /* damping of the ridge fits */
  double skip_lowest; /* share of the least important FFN neurons that is kept */
  olica_ond_choice ond;
  bool count_branches; /* the branches' numbers count in the sparsity: the FFN loses more */
  bool fill;           /* layers without a branch keep neurons in its place, for which all layers lose more */
} olica_prune_options;

typedef struct olica_budget {
  double rho_qk, rho_vo, rho_ffn; /* shares removed */
  int q_rank, k_rank;             /* 0: left unfactored */
  int values_dropped;             /* value neurons of each key/value head */
  int neurons_dropped;            /* neurons of the FFN */
  int neurons_skipped;            /* least important neurons that are kept nevertheless */
  int branch;                     /* rank of a calibration branch; 0 if no neuron is dropped */
  int neurons_filled;             /* of those dropped, how many a layer without a branch keeps */
} olica_budget;

olica_prune_options olica_prune_options_of(const olica_method_model *model);

/* Computes the budget from the parameters of the whole model and the shape of its first layer: all are alike.
 * OLICA_ERR_CONFIG, naming the setting, if it is infeasible. */
olica_status olica_budget_make(olica_env *env, const olica_method_model *model, olica_budget *budget);

/* explain prints the budget, for --check; advise warns of settings without effect (explain.c). */
void olica_budget_explain(olica_env *env, const olica_method_model *model, FILE *to);
void olica_budget_advise(olica_env *env, const olica_method_model *model);

/* The sparsities that the other settings allow: [0, most[0]], and (middle, most[1]] if most[1] > middle;
 * above `middle` query and key follow another rule. `least`: the smallest that removes anything; larger than
 * both if none does. Rounded to four decimals, inwards. Pure. */
typedef struct olica_sparsities {
  double middle, most[2], least;
} olica_sparsities;
olica_sparsities olica_budget_sparsities(const olica_method_model *model);

/* Formats the sparsities for messages: "0 to 0.6666". Fills and returns `text` [OLICA_SPARSITIES_TEXT]. */
enum { OLICA_SPARSITIES_TEXT = 64 };
const char *olica_sparsities_text(const olica_sparsities *allowed, char *text);

/* Returns true if a budget removes anything. Pure. */
bool olica_budget_removes(const olica_budget *budget);

/* Returns the shape of a pruned layer, with or without a branch. */
olica_layer_shape olica_budget_shape(const olica_budget *budget, const olica_layer_shape *dense,
                                     bool calibrated);

#endif
