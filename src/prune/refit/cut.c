/* The cut of a layer (doc/methods.md, "Refit"):
 *
 *   collect   pass the dense layer over the calibration stream: energies of all inputs, and the Gram of
 *             the FFN's neurons. Statistics of the pruned stream: a copy of its states passes. Of the dense
 *             one: the stream itself does, and stays dense          ../collect.c
 *   keep      order the neurons by importance, or by what their removal costs; copy the kept ones   order.c,
 * obs.c refit     the down matrix makes up for the dropped neurons      down.c */
#include "../layer.h"
#include "../select.h"
#include "down.h"
#include "layers.h"
#include "order.h"
#include "par/comm.h"

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
                         const olica_energies *energies, const olica_fit_sums *sums, olica_layer *pruned) {
  const olica_method_job *job = &state->job;
  olica_context *context = job->context;
  const olica_refit_rule rule =
      olica_refit_rule_of(state, olica_refit_mean_diagonal(job, energies), pruned->shape.ffn);
  int32_t *order;
  OLICA_AGREE(context, OLICA_NEW(context->env, order, (size_t)job->model.arch->ffn));
  OLICA_TIMED(context->env, "solve", olica_refit_order(job, dense, energies, sums, &rule, order));
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
  if (state->turned) return olica_refit_cut_modules(state, index, dense, out, record);
  OLICA_TIMED(context->env, "collect", collect(state, index, dense, &work, &sums, &silent));
  record->fact[OLICA_FACT_SILENT] = silent;
  record->advanced = state->options.statistics == OLICA_REFIT_DENSE;
  OLICA_TRY(olica_pruned_create(job, &job->shapes[index], &pruned));
  OLICA_TRY(keep(state, dense, work.energies, sums, pruned));
  OLICA_TRY(refit(state, dense, work.energies, sums, pruned, record));
  olica_collect_free(job, &work);
  *out = pruned;
  return olica_pruned_round(job, pruned);
}

/* Replays the cut, and the pass of the pruned layer after it. */
olica_status olica_refit_replay_cut(olica_env *env, olica_ledger *ledger, const olica_method_model *model,
                                    const olica_method_site *site, const olica_layer_shape *shape) {
  const olica_arch *arch = model->arch;
  const olica_collect_wish wish = {.advance = olica_refit_options_of(model).statistics == OLICA_REFIT_DENSE};
  olica_hold sums = olica_fit_sums_hold(ledger, site->precision, 1, arch->ffn, site->tokens,
                                        site->pack_rows / site->tokens);
  olica_collected_hold work = olica_collect_replay(ledger, model, site, &model->dense[0], wish);
  olica_hold order = olica_ledger_hold(ledger, (size_t)arch->ffn * sizeof(int32_t));
  OLICA_TRY(olica_refit_replay_order(env, ledger, model, site));
  olica_hold lists = olica_select_hold_lists(ledger, arch, shape);
  olica_ledger_release(ledger, order);
  OLICA_TRY(olica_refit_map_replay(env, ledger, site, arch->hidden, arch->ffn, shape->ffn, sums));
  olica_ledger_release(ledger, work.energies);
  olica_ledger_release(ledger, olica_maps_hold(ledger, arch, shape, site->precision));
  olica_ledger_release(ledger, lists);
  return OLICA_OK;
}
