#include "layers.h"

#include <string.h>

#include "../decompose.h"
#include "../layer.h"
#include "../rotate.h"
#include "../select.h"
#include "attention.h"
#include "base/arena.h"
#include "curve.h"
#include "down.h"
#include "par/comm.h"

/* What is known of a dense layer whose value neurons are turned. */
typedef struct known {
  const olica_refit_state *state;
  const olica_layer *dense;
  olica_collected work;
  olica_fit_sums *sums, *values;   /* Grams of the neurons, and of o's inputs; NULL: read */
  int32_t *order, *heads, *inputs; /* [f] neurons, [K x h] value neurons, both those that stay first; [H h] */
  void *block;
} known;

static size_t lay_out_of(known *k, const olica_arch *arch, void *block) {
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, k->order, arch->ffn);
  OLICA_TAKE(&arena, k->heads, arch->kv_heads * arch->head);
  OLICA_TAKE(&arena, k->inputs, arch->heads * arch->head);
  return arena.used;
}

static size_t lay_out(known *k, void *block) {
  return lay_out_of(k, k->state->job.model.arch, block);
}

static olica_status create_sums(const olica_method_job *job, int n, olica_fit_sums **sums) {
  int tokens = job->stream->tokens;
  return olica_fit_sums_create(job->context, job->kernel, 1, n, tokens,
                               olica_forward_rows(job->forward) / tokens, sums);
}

/* Passes the calibration stream through the layer; orders neurons and value neurons. `rule`: of the neurons.
 */
static olica_status learn(known *k, const olica_maps *maps, bool advance, int stay, int *silent) {
  const olica_method_job *job = &k->state->job;
  const olica_arch *arch = job->model.arch;
  olica_env *env = job->context->env;
  k->dense = maps->layer;
  OLICA_AGREE(job->context, OLICA_LAY_OUT(env, "orders of neurons", k->block, lay_out, k));
  OLICA_TRY(create_sums(job, arch->ffn, &k->sums));
  OLICA_TRY(create_sums(job, arch->heads * arch->head, &k->values));
  const olica_collect_wish wish = {.advance = advance, .gram = k->sums, .values = k->values};
  OLICA_TIMED(env, "collect", olica_collect_packed(job, maps, wish, &k->work, silent));
  const olica_refit_rule rule =
      olica_refit_rule_of(k->state, olica_refit_mean_diagonal(job, k->work.energies), stay);
  OLICA_TIMED(env, "solve", olica_refit_order(job, k->dense, k->work.energies, k->sums, &rule, k->order));
  return olica_refit_value_order(job, k->dense, k->work.energies, k->heads);
}

static void forget(known *k) {
  const olica_method_job *job = &k->state->job;
  olica_fit_sums_destroy(k->sums);
  olica_fit_sums_destroy(k->values);
  olica_collect_free(job, &k->work);
  olica_memory_free(job->context->env, k->block);
}

/* ---- a smaller layer ---- */

static void list_values(const known *k, olica_layer *pruned) {
  const olica_arch *arch = k->state->job.model.arch;
  int h = arch->head, n = pruned->shape.values;
  for (int j = 0; j < arch->kv_heads; j++) {
    olica_refit_first(k->heads + j * h, n, pruned->values_kept + j * n);
  }
}

/* Query and key whole, or in their ranks. */
static olica_status make_query(const known *k, olica_layer *pruned) {
  const olica_method_job *job = &k->state->job;
  return olica_decompose_layer(job->pool, job->context, job->model.arch, k->work.energies->attention, NULL,
                               k->dense, pruned);
}

static olica_status refit_output(known *k, olica_layer *pruned) {
  const olica_method_job *job = &k->state->job;
  const olica_arch *arch = job->model.arch;
  olica_fit_sums *sums = k->values;
  double change, delta = k->state->options.damping * olica_refit_mean_values(job, k->work.energies);
  if (pruned->shape.values == arch->head) return OLICA_OK;
  k->values = NULL;
  olica_refit_value_inputs(arch, k->heads, pruned->shape.values, true, k->inputs);
  return olica_refit_map(job, "refit of the attention's output", &k->dense->linear[OLICA_O], k->inputs, sums,
                         delta, &pruned->linear[OLICA_O], &change);
}

static olica_status refit_down(known *k, olica_layer *pruned, double *change) {
  const olica_method_job *job = &k->state->job;
  olica_fit_sums *sums = k->sums;
  double delta = k->state->options.damping * olica_refit_mean_diagonal(job, k->work.energies);
  *change = 0;
  if (pruned->shape.ffn == job->model.arch->ffn) return OLICA_OK;
  k->sums = NULL;
  return olica_refit_down(job, k->dense, sums, delta, pruned, change);
}

/* Makes the layer of that shape; what is refitted uses up its Gram. */
static olica_status make(known *k, const olica_layer_shape *shape, olica_layer **out, double *change) {
  const olica_method_job *job = &k->state->job;
  olica_context *context = job->context;
  olica_layer *pruned;
  OLICA_TRY(olica_pruned_create(job, shape, out));
  pruned = *out;
  OLICA_AGREE(context, olica_select_lists(context->env, job->model.arch, pruned));
  list_values(k, pruned);
  olica_refit_first(k->order, shape->ffn, pruned->ffn_kept);
  OLICA_TRY(make_query(k, pruned));
  olica_select_copy(context, job->model.arch, k->dense, pruned);
  OLICA_TRY(refit_output(k, pruned));
  return refit_down(k, pruned, change);
}

/* ---- the survey ---- */

/* A copy of the dense layer, its value neurons turned. */
static olica_status turn(const olica_refit_state *state, const olica_layer *dense, const double *energy,
                         olica_layer **turned) {
  const olica_method_job *job = &state->job;
  olica_context *context = job->context;
  const olica_arch *arch = job->model.arch;
  OLICA_AGREE(context, olica_layer_create(context->env, arch, &dense->shape, state->turned->data, turned));
  for (int p = 0; p < OLICA_PROJECTIONS; p++)
    olica_pruned_copy(context, &dense->linear[p], &(*turned)->linear[p]);
  if (olica_shared_leads(context)) olica_select_norms(arch, dense, *turned);
  olica_shared_fence(context);
  return olica_rotate_values(job->pool, context, arch, OLICA_OND_FAST, energy, *turned);
}

static olica_status curves(const known *k, int index) {
  const olica_refit_state *state = k->state;
  const olica_method_job *job = &state->job;
  const olica_arch *arch = job->model.arch;
  OLICA_TRY(olica_refit_curve(job, &k->dense->linear[OLICA_DOWN], k->sums, k->order,
                              olica_refit_mean_diagonal(job, k->work.energies),
                              state->curve + (size_t)index * ((size_t)arch->ffn + 1)));
  return olica_refit_attention_curve(job, k->dense, k->work.energies, k->values, k->heads,
                                     state->attention +
                                         (size_t)index * (size_t)olica_refit_attention_points(arch));
}

/* The variant of a kind: the layer with that module alone at its half. */
static olica_status probe(known *k, int index, olica_refit_kind kind) {
  const olica_refit_state *state = k->state;
  const olica_method_job *job = &state->job;
  olica_context *context = job->context;
  olica_layer_shape shape = job->model.dense[index];
  olica_layer *half;
  olica_maps *cut;
  double change;
  olica_refit_set_level(job->model.arch, kind, state->budget.halves[kind], &shape);
  OLICA_TIMED(context->env, "solve", make(k, &shape, &half, &change));
  OLICA_TRY(olica_maps_create(context, job->kernel, job->model.arch, half, index, &cut));
  OLICA_TRY(olica_refit_probes_pass(state->probes, kind, cut));
  olica_maps_destroy(cut);
  olica_layer_destroy(context->env, half);
  return OLICA_OK;
}

olica_status olica_refit_survey_modules(const olica_refit_state *state, const olica_maps *dense) {
  const olica_method_job *job = &state->job;
  olica_context *context = job->context;
  int index = dense->index, silent;
  double *energy = state->output_energy + (size_t)index * (size_t)job->model.arch->hidden;
  known k = {.state = state};
  olica_layer *turned;
  olica_maps *maps;
  OLICA_TRY(olica_refit_output_energy(job, dense, energy));
  OLICA_TIMED(context->env, "solve", turn(state, dense->layer, energy, &turned));
  OLICA_TRY(olica_maps_create(context, job->kernel, job->model.arch, turned, index, &maps));
  OLICA_TRY(learn(&k, maps, true, 1, &silent));
  olica_maps_destroy(maps);
  OLICA_TIMED(context->env, "solve", curves(&k, index));
  OLICA_TRY(olica_refit_probes_join(state->probes, dense));
  for (int kind = 0; kind < OLICA_REFIT_KINDS; kind++) OLICA_TRY(probe(&k, index, (olica_refit_kind)kind));
  forget(&k);
  olica_layer_destroy(context->env, turned);
  return OLICA_OK;
}

/* ---- the cut ---- */

olica_status olica_refit_cut_modules(const olica_refit_state *state, int index, olica_layer *dense,
                                     olica_layer **out, olica_cut_record *record) {
  const olica_method_job *job = &state->job;
  olica_context *context = job->context;
  const olica_layer_shape *shape = &job->shapes[index];
  const double *energy = state->output_energy + (size_t)index * (size_t)job->model.arch->hidden;
  bool advance = state->options.statistics == OLICA_REFIT_DENSE;
  known k = {.state = state};
  olica_maps *maps;
  int silent;
  if (shape->values < job->model.arch->head)
    OLICA_TIMED(context->env, "solve",
                olica_rotate_values(job->pool, context, job->model.arch, OLICA_OND_FAST, energy, dense));
  OLICA_TRY(olica_maps_create(context, job->kernel, job->model.arch, dense, index, &maps));
  OLICA_TRY(learn(&k, maps, advance, shape->ffn, &silent));
  olica_maps_destroy(maps);
  OLICA_TIMED(context->env, "solve", make(&k, shape, out, &record->fact[OLICA_FACT_DOWN_CHANGE]));
  forget(&k);
  record->fact[OLICA_FACT_SILENT] = silent;
  record->advanced = advance;
  snprintf(record->line, sizeof record->line, "%d FFN neurons, %d value neurons a head, ranks %d and %d",
           shape->ffn, shape->values, shape->rank[OLICA_Q], shape->rank[OLICA_K]);
  return olica_pruned_round(job, *out);
}

/* ---- the replay ---- */

static olica_hold hold_sums(olica_ledger *ledger, const olica_method_site *site, int n) {
  return olica_fit_sums_hold(ledger, site->precision, 1, n, site->tokens, site->pack_rows / site->tokens);
}

/* Holds the maps, which it returns, and what the layer's pass sums up: the Grams of the neurons and of the
 * values, and the energies. */
static olica_hold hold_known(olica_ledger *ledger, const olica_method_model *model,
                             const olica_method_site *site, olica_hold sums[2]) {
  const olica_arch *arch = model->arch;
  known k;
  olica_hold maps = olica_maps_hold(ledger, arch, &model->dense[0], site->precision);
  olica_ledger_hold(ledger, lay_out_of(&k, arch, NULL));
  sums[0] = hold_sums(ledger, site, arch->ffn);
  sums[1] = hold_sums(ledger, site, arch->heads * arch->head);
  olica_energies_hold(ledger, arch, site->threads);
  return maps;
}

/* Replays make; the Grams that it uses up go. */
static olica_status replay_make(olica_env *env, olica_ledger *ledger, const olica_method_model *model,
                                const olica_method_site *site, const olica_layer_shape *shape,
                                const olica_hold sums[2]) {
  const olica_arch *arch = model->arch;
  const olica_decompose_ranks on = {site->backend, site->solving, site->block, site->ranks, site->nodes};
  int d = arch->hidden, h = arch->head;
  OLICA_TRY(olica_decompose_replay(env, ledger, &on, arch, shape, (olica_hold){0}));
  if (shape->values < h)
    OLICA_TRY(
        olica_refit_map_replay(env, ledger, site, d, arch->heads * h, arch->heads * shape->values, sums[1]));
  if (shape->ffn < arch->ffn)
    OLICA_TRY(olica_refit_map_replay(env, ledger, site, d, arch->ffn, shape->ffn, sums[0]));
  return OLICA_OK;
}

olica_status olica_refit_replay_survey_modules(olica_env *env, olica_ledger *ledger,
                                               const olica_method_model *model, const olica_method_site *site,
                                               const olica_refit_budget *budget) {
  const olica_arch *arch = model->arch;
  int probes = olica_refit_probe_count(model, site->sequences);
  olica_hold before = olica_ledger_mark(ledger);
  olica_maps_hold(ledger, arch, &model->dense[0], site->precision);
  olica_refit_replay_output_energy(ledger, site, arch->hidden);
  olica_rotate_replay(ledger, arch, OLICA_OND_FAST);
  olica_hold sums[2], maps = hold_known(ledger, model, site, sums);
  OLICA_TRY(olica_refit_replay_order(env, ledger, model, site));
  olica_refit_replay_value_order(ledger, arch);
  olica_ledger_release(ledger, maps);
  OLICA_TRY(olica_refit_replay_curve(env, ledger, site, arch->hidden, arch->ffn));
  OLICA_TRY(olica_refit_replay_attention_curve(env, ledger, site, arch));
  olica_ledger_release(ledger, olica_refit_probes_replay_gather(ledger, model, site, probes));
  for (int kind = 0; kind < OLICA_REFIT_KINDS; kind++) {
    olica_layer_shape shape = model->dense[0];
    olica_refit_set_level(arch, (olica_refit_kind)kind, budget->halves[kind], &shape);
    olica_hold lists = olica_select_hold_lists(ledger, arch, &shape);
    OLICA_TRY(replay_make(env, ledger, model, site, &shape, sums));
    olica_ledger_release(ledger, olica_maps_hold(ledger, arch, &shape, site->precision));
    olica_ledger_release(ledger, lists);
  }
  olica_ledger_rewind(ledger, before);
  olica_refit_probes_replay_output(ledger, model, site, probes, OLICA_REFIT_KINDS * arch->layers);
  return OLICA_OK;
}

olica_status olica_refit_replay_cut_modules(olica_env *env, olica_ledger *ledger,
                                            const olica_method_model *model, const olica_method_site *site,
                                            const olica_layer_shape *shape) {
  const olica_arch *arch = model->arch;
  olica_hold before = olica_ledger_mark(ledger);
  olica_rotate_replay(ledger, arch, OLICA_OND_FAST);
  olica_hold sums[2], maps = hold_known(ledger, model, site, sums);
  if (olica_refit_options_of(model).statistics == OLICA_REFIT_PRUNED)
    olica_stream_replay_copy(ledger, arch->hidden, site->pack_rows);
  OLICA_TRY(olica_refit_replay_order(env, ledger, model, site));
  olica_refit_replay_value_order(ledger, arch);
  olica_ledger_release(ledger, maps);
  olica_select_hold_lists(ledger, arch, shape);
  OLICA_TRY(replay_make(env, ledger, model, site, shape, sums));
  olica_maps_hold(ledger, arch, shape, site->precision);
  olica_ledger_rewind(ledger, before);
  return OLICA_OK;
}
