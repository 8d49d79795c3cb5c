/* The setup of a run: all that is fixed once the model is open. Private to run. */
#ifndef OLICA_RUN_SETUP_H
#define OLICA_RUN_SETUP_H

#include "config/options.h"
#include "model/source.h"
#include "prune/method.h"

typedef struct olica_setup {
  olica_context *context;
  const olica_options *options;
  olica_source *source;
  const olica_method *method; /* never NULL; its operations are NULL for "none" */
  olica_dtype dtype;          /* of the checkpoint */
  olica_dtype precision;      /* of the products: OLICA_FP32 or OLICA_BF16 */
} olica_setup;

/* Opens the model of a setup that has context and options, and chooses method, dtype and precision. Refuses
 * to prune a pruned model. Collective. The engine closes `source`. */
olica_status olica_setup_open(olica_setup *setup);

static inline bool olica_setup_prunes(const olica_setup *setup) {
  return olica_method_prunes(setup->method);
}

/* Returns the model as the method sees it, with the method's own settings. Pure. */
olica_method_model olica_setup_model(const olica_setup *setup);

/* Where a run continues: layer `layer` of sweep `sweep`. {1, 0} is its beginning. */
typedef struct olica_position {
  int sweep, layer;
} olica_position;

/* Passes of the method over the dense model, with its settings. Pure. */
int olica_setup_passes(const olica_setup *setup);

/* Returns the number of the last sweep over the layers, which prunes. Sweeps are counted from 1; before it
 * comes one over the dense model for each pass of the method, at least one; the first also scores the dense
 * model. Pure. */
int olica_setup_last_sweep(const olica_setup *setup);

/* Returns whether the dense (the pruned) model is evaluated. Pure. */
bool olica_setup_scores(const olica_setup *setup, bool pruned);

/* Returns how many rows of sequences of so many tokens pass a layer together, the same on all ranks. Pure. */
int olica_setup_pack_rows(const olica_setup *setup, int tokens);

/* Refuses a length of sequences beyond the model's context. Not collective. */
olica_status olica_setup_check_length(const olica_setup *setup, const char *section, int64_t length);

/* Returns bytes in MiB. */
static inline double olica_mib(double bytes) {
  return bytes / 1048576.0;
}

#endif
