/* The settings of refit, and its budget: how many neurons a sparsity takes from the FFNs (doc/methods.md,
 * "Refit"). Pure. Private to the method. */
#ifndef OLICA_PRUNE_REFIT_BUDGET_H
#define OLICA_PRUNE_REFIT_BUDGET_H

#include <stdio.h>

#include "allocate.h"
#include "modules.h"
#include "prune/method.h"

typedef enum olica_refit_shape {
  OLICA_REFIT_LAYERWISE,
  OLICA_REFIT_UNIFORM,
  OLICA_REFIT_OLICA
} olica_refit_shape;
typedef enum olica_refit_allocation {
  OLICA_REFIT_MEASURED,
  OLICA_REFIT_INFLUENCE,
  OLICA_REFIT_EVEN
} olica_refit_allocation;
typedef enum olica_refit_select { OLICA_REFIT_BY_ENERGY, OLICA_REFIT_BY_OBS } olica_refit_select;
typedef enum olica_refit_statistics { OLICA_REFIT_PRUNED, OLICA_REFIT_DENSE } olica_refit_statistics;

typedef struct olica_refit_options {
  olica_refit_shape shape;
  olica_refit_allocation allocation;
  olica_refit_select select;
  olica_refit_statistics statistics;
  int align;          /* position in the list of widths: olica_refit_align */
  double cap;         /* share of a layer's neurons that may go, at most; 0: by the sparsity */
  int64_t probes;     /* sequences of the probes; 0: olica_refit_probe_count */
  double damping;     /* lambda; 0: olica_refit_damping */
  double skip_lowest; /* share of the least important neurons that is kept, of OLICA_REFIT_BY_ENERGY */
} olica_refit_options;

typedef struct olica_refit_budget {
  double share;   /* of all FFN neurons (shape = olica: of all modules) that goes, before rounding */
  int64_t neuron; /* parameters of a neuron */
  int dropped;    /* neurons of each layer, where all have one width */
  double cap;     /* share of a layer's neurons that may go, where widths differ, */
  olica_refit_shares shares;     /* and what the layers share then */
  int half;                      /* neurons that a probed layer keeps */
  olica_refit_modules modules;   /* shape = olica: what the layers share then, */
  int halves[OLICA_REFIT_KINDS]; /* and the levels of the probes */
  int skipped;                   /* least important neurons of a layer that are kept nevertheless */
} olica_refit_budget;

olica_refit_options olica_refit_options_of(const olica_method_model *model);

/* Returns how many of so many sequences are probes: as asked for, or 8, or all if there are fewer. Pure. */
int olica_refit_probe_count(const olica_method_model *model, int64_t sequences);

/* Returns lambda of a calibration of so many tokens: as asked for, or 0.1; where widths go by layer and
 * neurons by energy, 3 f / tokens, within 0.1 and 1. Pure. */
double olica_refit_damping(const olica_method_model *model, int64_t tokens);

/* Passes over the dense model that the settings need. */
int olica_refit_passes(const void *settings);

/* The setting `align` by its position, and its name; 0 and NULL past the last. */
int olica_refit_align(int i);
const char *olica_refit_align_name(int i);

/* Computes the budget from the parameters of the whole model and the shape of its first layer: all are alike.
 * OLICA_ERR_CONFIG, naming the setting, if the FFNs cannot lose that much. */
olica_status olica_refit_budget_make(olica_env *env, const olica_method_model *model,
                                     olica_refit_budget *budget);

/* explain prints the budget, for --check; advise warns of settings without effect. */
void olica_refit_explain(olica_env *env, const olica_method_model *model, FILE *to);
void olica_refit_advise(olica_env *env, const olica_method_model *model);

#endif
