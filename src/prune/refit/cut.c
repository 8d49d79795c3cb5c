/* The cut of a layer (doc/methods.md, "Refit"):
 *
 *   collect   pass the dense layer over the calibration stream: energies of all inputs, and the Gram of
 *             the FFN's neurons. Statistics of the pruned stream: a copy of its states passes. Of the dense
 *             one: the stream itself does, and stays dense          ../collect.c
 *   keep      rank 0 orders the neurons by importance; all ranks copy the kept ones   order.c
 *   refit     the down matrix makes up for the dropped neurons      down.c */
#include "../layer.h"
#include "down.h"
#include "order.h"
#include "par/comm.h"
#include "state.h"

static olica_status collect(const olica_refit_state *state, int index, const olica_layer *dense,
                            olica_collected *work, olica_fit_sums **sums, int *silent) {
  const olica_method_job *job = &state->job;
  OLICA_TRY(olica_fit_sums_create(job->context, job->kernel, 1, dense->shape.ffn, job->stream->tokens,
                                  olica_refit_pack(job), sums));
  const olica_collect_wish wish = {.advance = state->options.statistics == OLICA_REFIT_DENSE, .gram = *sums};
  return olica_collect(job, index, dense, wish, work, silent);
}

/* The ridge is lambda times the mean of C's diagonal, over kept and dropped neurons alike. */
static olica_status refit(const olica_refit_state *state, const olica_layer *dense,
                          const olica_energies *energies, olica_fit_sums *sums, olica_layer *pruned,
                          olica_cut_record *record) {
  double *change = &record->fact[OLICA_FACT_DOWN_CHANGE];
  double delta = state->options.damping * olica_refit_mean_diagonal(&state->job, energies);
  OLICA_TIMED(state->job.context->env, "solve",
              olica_refit_down(&state->job, dense, sums, delta, pruned, change));
  snprintf(record->line, sizeof record->line, "%d FFN neurons, down changed by %.4f", pruned->shape.ffn,
           *change);
  return OLICA_OK;
}

static olica_status keep(const olica_refit_state *state, const olica_layer *dense,
                         const olica_energies *energies, olica_layer *pruned) {
  const olica_method_job *job = &state->job;
  olica_context *context = job->context;
  int32_t *order;
  OLICA_AGREE(context, OLICA_NEW(context->env, order, (size_t)job->model.arch->ffn));
  OLICA_TRY(olica_refit_order(job, dense, energies, state->budget.skipped, order));
  OLICA_TRY(olica_refit_keep(job, dense, order, pruned));
  olica_memory_free(context->env, order);
  return OLICA_OK;
}

olica_status olica_refit_cut(void *self, int index, olica_layer *dense, olica_layer **out,
                             olica_cut_record *record) {
  const olica_refit_state *state = self;
  const olica_method_job *job = &state->job;
  olica_context *context = job->context;
  olica_collected work = {0};
  olica_fit_sums *sums = NULL;
  olica_layer *pruned = NULL;
  int silent;
  OLICA_TIMED(context->env, "collect", collect(state, index, dense, &work, &sums, &silent));
  record->fact[OLICA_FACT_SILENT] = silent;
  record->advanced = state->options.statistics == OLICA_REFIT_DENSE;
  OLICA_TRY(olica_pruned_create(job, &job->shapes[index], &pruned));
  OLICA_TRY(keep(state, dense, work.energies, pruned));
  OLICA_TRY(refit(state, dense, work.energies, sums, pruned, record));
  olica_collect_free(job, &work);
  *out = pruned;
  return olica_pruned_round(job, pruned);
}
