/* The state of Olica from layer to layer, and the operations for its table in olica.c; their contracts are in
 * olica/prune/method.h. Private to the method. */
#ifndef OLICA_PRUNE_OLICA_STATE_H
#define OLICA_PRUNE_OLICA_STATE_H

#include "../fit.h"
#include "budget.h"
#include "prune/method.h"

typedef struct olica_state {
  olica_method_job job;
  olica_prune_options options;
  olica_budget budget;
  double *output_energy; /* [L x d] E_out of o_proj on the dense stream */
  double *score;         /* [L] 1 - mean correlation of the FFN's linear fit */
  int *calibrated;       /* [L] 0 or 1 */
  double *chosen;        /* [mlp_num] the calibrated layers, ascending */
  /* Fits wait until their batch, one for every rank, is complete; then all are solved at the same time. */
  olica_placement *places; /* [ranks] placements of the batch, */
  olica_problem *problems; /* [ranks] and its problems */
  olica_fit **waiting;     /* [ranks] */
  int batch_first, batch_count, waiting_count;
} olica_state;

/* The facts of a cut, in the order of the table. */
enum { OLICA_FACT_Q_ERROR, OLICA_FACT_K_ERROR, OLICA_FACT_SILENT, OLICA_FACT_Q_ENERGY, OLICA_FACT_K_ENERGY };

/* The curves, too. */
enum { OLICA_CURVE_IMPORTANCE, OLICA_CURVE_Q, OLICA_CURVE_K };

/* Returns the largest number of sequences in a pack. */
static inline int olica_olica_pack(const olica_state *state) {
  return olica_forward_rows(state->job.forward) / state->job.stream->tokens;
}

/* Returns the damping of the fits for a calibration set of S sequences of T tokens: percdamp /
 * ((S/128)(T/128)). */
static inline double olica_olica_damping(const olica_state *state) {
  const olica_stream *stream = state->job.stream;
  return state->options.percdamp / (((double)stream->sequences / 128.0) * ((double)stream->tokens / 128.0));
}

olica_status olica_olica_plan(olica_env *env, const olica_method_model *model, const olica_method_site *site,
                              olica_method_plan *plan);
/* Replay the survey of a layer, and the cut of one to that shape, on the plan's ledgers. */
olica_status olica_olica_replay_survey(olica_env *env, olica_ledger *ledger, const olica_method_model *model,
                                       const olica_method_site *site);
olica_status olica_olica_replay_cut(olica_env *env, olica_ledger *ledger, const olica_method_model *model,
                                    const olica_method_site *site, const olica_budget *budget,
                                    const olica_layer_shape *shape);
olica_status olica_olica_observe(void *state, int pass, const olica_maps *maps);
olica_status olica_olica_settle(void *state);
bool olica_olica_gathers(const void *state);
olica_status olica_olica_cut(void *state, int index, olica_layer *dense, olica_layer **pruned,
                             olica_cut_record *record);

#endif
