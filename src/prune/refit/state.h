/* The settings and the state of refit, and the operations for its table in refit.c; their contracts are in
 * prune/method.h. Private to the method. */
#ifndef OLICA_PRUNE_REFIT_STATE_H
#define OLICA_PRUNE_REFIT_STATE_H

#include "budget.h"
#include "order.h"
#include "probe.h"
#include "prune/method.h"

typedef struct olica_refit_state {
  olica_method_job job;
  olica_refit_options options;
  olica_refit_budget budget;
  double *measure; /* [L] of the dense pass: the probes' KL, or the block influence; NULL: no pass */
  double *curve;   /* [L x (f + 1)] error of every width, NULL: nothing is measured */
  /* shape = olica, else NULL; there the probes' KL are [L x kinds]: */
  double
      *output_energy; /* [L x d] E_out of o on the dense stream, which fixes the turn of the value neurons */
  double *attention;  /* [L x olica_refit_attention_points] error of every level */
  double *findings;   /* [kinds x L] the probes' KL of each kind */
  olica_shared *turned;       /* memory of the node for a dense layer */
  olica_refit_probes *probes; /* NULL: as above */
} olica_refit_state;

/* The facts of a cut, in the order of the table. */
enum { OLICA_FACT_DOWN_CHANGE, OLICA_FACT_SILENT };

/* Returns the rule of a layer's order, with this mean of C's diagonal, when `stay` neurons are left. */
static inline olica_refit_rule olica_refit_rule_of(const olica_refit_state *state, double mean, int stay) {
  return (olica_refit_rule){state->options.select, state->budget.skipped, state->options.damping * mean,
                            stay};
}

/* Returns the largest number of sequences in a pack. */
static inline int olica_refit_pack(const olica_method_job *job) {
  return olica_forward_rows(job->forward) / job->stream->tokens;
}

olica_status olica_refit_plan(olica_env *env, const olica_method_model *model, const olica_method_site *site,
                              olica_method_plan *plan);
olica_status olica_refit_observe(void *state, int pass, const olica_maps *maps);
const olica_scorer *olica_refit_scorer(void *state, int pass);
olica_status olica_refit_cut(void *state, int index, olica_layer *dense, olica_layer **pruned,
                             olica_cut_record *record);

/* Replays the pass over a layer where widths are measured. */
olica_status olica_refit_replay_measure(olica_env *env, olica_ledger *ledger, const olica_method_model *model,
                                        const olica_method_site *site, const olica_refit_budget *budget);

/* Replays the cut of a layer to that shape on the plan's ledger. */
olica_status olica_refit_replay_cut(olica_env *env, olica_ledger *ledger, const olica_method_model *model,
                                    const olica_method_site *site, const olica_layer_shape *shape);

#endif
