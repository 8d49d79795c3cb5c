/* The pass over the dense model (doc/methods.md, "Refit"), layer by layer:
 *
 *   allocation = measured
 *     collect   energies and the Gram of the FFN's neurons; the stream advances      ../collect.c
 *     curve     the error of every width, from one Cholesky factor                   curve.c
 *     probe     half of the layer's neurons, fitted again, as a layer                down.c
 *               that its variant passes, while the others pass the dense one         probe.c
 *   allocation = influence
 *     1 - cos of every token's state before and behind the layer                     influence.c */
#include "../layer.h"
#include "../select.h"
#include "curve.h"
#include "down.h"
#include "influence.h"
#include "layers.h"
#include "order.h"
#include "par/comm.h"

static olica_status collect(const olica_refit_state *state, const olica_maps *maps, olica_collected *work,
                            olica_fit_sums **sums) {
  const olica_method_job *job = &state->job;
  int silent;
  OLICA_TRY(olica_fit_sums_create(job->context, job->kernel, 1, job->model.arch->ffn, job->stream->tokens,
                                  olica_refit_pack(job), sums));
  return olica_collect_packed(job, maps, (olica_collect_wish){.advance = true, .gram = *sums}, work, &silent);
}

/* The layer cut to half, fitted again; its sums go. */
static olica_status make_half(const olica_refit_state *state, const olica_layer *dense, const int32_t *order,
                              double mean, olica_fit_sums *sums, olica_layer **half) {
  const olica_method_job *job = &state->job;
  olica_layer_shape shape = dense->shape;
  double change;
  shape.ffn = state->budget.half;
  OLICA_TRY(olica_pruned_create(job, &shape, half));
  OLICA_TRY(olica_refit_keep(job, dense, order, *half));
  return olica_refit_down(job, dense, sums, state->options.damping * mean, *half, &change);
}

static olica_status probe(const olica_refit_state *state, const olica_maps *maps, const olica_layer *half) {
  const olica_method_job *job = &state->job;
  olica_maps *cut;
  OLICA_TRY(olica_refit_probes_join(state->probes, maps));
  OLICA_TRY(olica_maps_create(job->context, job->kernel, job->model.arch, half, maps->index, &cut));
  OLICA_TRY(olica_refit_probes_pass(state->probes, 0, cut));
  olica_maps_destroy(cut);
  return OLICA_OK;
}

static olica_status measure(const olica_refit_state *state, const olica_maps *maps) {
  const olica_method_job *job = &state->job;
  olica_context *context = job->context;
  const olica_layer *dense = maps->layer;
  size_t f = (size_t)job->model.arch->ffn;
  double *curve = state->curve + (size_t)maps->index * (f + 1);
  olica_collected work = {0};
  olica_fit_sums *sums;
  olica_layer *half;
  int32_t *order;
  OLICA_TRY(collect(state, maps, &work, &sums));
  double mean = olica_refit_mean_diagonal(job, work.energies);
  OLICA_AGREE(context, OLICA_NEW(context->env, order, f));
  const olica_refit_rule rule = olica_refit_rule_of(state, mean, 1);
  OLICA_TIMED(context->env, "solve", olica_refit_order(job, dense, work.energies, sums, &rule, order));
  OLICA_TIMED(context->env, "solve",
              olica_refit_curve(job, &dense->linear[OLICA_DOWN], sums, order, mean, curve));
  OLICA_TIMED(context->env, "solve", make_half(state, dense, order, mean, sums, &half));
  olica_memory_free(context->env, order);
  olica_collect_free(job, &work);
  OLICA_TRY(probe(state, maps, half));
  olica_layer_destroy(context->env, half);
  return OLICA_OK;
}

olica_status olica_refit_observe(void *self, int pass, const olica_maps *maps) {
  const olica_refit_state *state = self;
  (void)pass; /* there is only one */
  OLICA_TIMED(state->job.context->env, "survey",
              state->turned   ? olica_refit_survey_modules(state, maps)
              : state->probes ? measure(state, maps)
                              : olica_refit_influence(&state->job, maps, &state->measure[maps->index]));
  return OLICA_OK;
}

/* ---- the dense model's output ---- */

static olica_status begin(void *self, const float *gains) {
  const olica_refit_state *state = self;
  return olica_refit_probes_begin(state->probes, gains);
}

static void add(void *self, int64_t first, int64_t count, olica_packed *rows) {
  const olica_refit_state *state = self;
  (void)first;
  olica_refit_probes_add(state->probes, count, rows);
}

static olica_status finish(void *self) {
  const olica_refit_state *state = self;
  return olica_refit_probes_finish(state->probes, state->measure);
}

const olica_scorer *olica_refit_scorer(void *self, int pass) {
  static const olica_scorer scorer = {begin, add, finish};
  const olica_refit_state *state = self;
  (void)pass;
  return state->probes ? &scorer : NULL;
}

/* ---- the replay ---- */

/* Replays measure, and the look at the output at the end of the pass. */
olica_status olica_refit_replay_measure(olica_env *env, olica_ledger *ledger, const olica_method_model *model,
                                        const olica_method_site *site, const olica_refit_budget *budget) {
  const olica_arch *arch = model->arch;
  int probes = olica_refit_probe_count(model, site->sequences);
  olica_layer_shape half = model->dense[0];
  half.ffn = budget->half;
  olica_hold before = olica_ledger_mark(ledger);
  olica_maps_hold(ledger, arch, &model->dense[0], site->precision);
  olica_hold sums = olica_fit_sums_hold(ledger, site->precision, 1, arch->ffn, site->tokens,
                                        site->pack_rows / site->tokens);
  olica_hold energies = olica_energies_hold(ledger, arch, site->threads);
  olica_hold order = olica_ledger_hold(ledger, (size_t)arch->ffn * sizeof(int32_t));
  OLICA_TRY(olica_refit_replay_order(env, ledger, model, site));
  OLICA_TRY(olica_refit_replay_curve(env, ledger, site, arch->hidden, arch->ffn));
  olica_select_hold_lists(ledger, arch, &half);
  OLICA_TRY(olica_refit_map_replay(env, ledger, site, arch->hidden, arch->ffn, half.ffn, sums));
  olica_ledger_release(ledger, order);
  olica_ledger_release(ledger, energies);
  olica_ledger_release(ledger, olica_refit_probes_replay_gather(ledger, model, site, probes));
  olica_maps_hold(ledger, arch, &half, site->precision);
  olica_ledger_rewind(ledger, before);
  olica_refit_probes_replay_output(ledger, model, site, probes, arch->layers);
  return OLICA_OK;
}
