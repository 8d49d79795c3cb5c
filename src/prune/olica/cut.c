/* The cut of a layer (doc/methods.md, sweep 2), in outline:
 *
 *   rotate             value and output, with the dense stream's output energies       rotate.c
 *   olica_collect      pass the dense layer over a copy of the pruned stream:
 *                      energies of all inputs; in calibrated layers the FFN's inputs   ../collect.c
 *   olica_select       rank 0 chooses by importance; all ranks copy the kept ones      ../select.c
 *   collect_residual   in calibrated layers: sums of the dropped neurons' output R
 *                      on the FFN's inputs A                                           calibrate.c
 *   decompose          query, key and branch at the same time, each on its own ranks   decompose.c
 *   finish             round to the output format, measure query and key errors
 *
 * The caller then passes the pruned layer over the pruned stream. */
#include <string.h>

#include "../calibrate.h"
#include "../collect.h"
#include "../decompose.h"
#include "../layer.h"
#include "../lowrank.h"
#include "../rotate.h"
#include "../select.h"
#include "base/arena.h"
#include "par/comm.h"
#include "state.h"

/* Workspace for adding a pack's inputs and residuals to the sums, which receive them like an observer of the
 * FFN. */
typedef struct residual_work {
  olica_dropped *dropped;
  int sequences, rows;             /* of a pack */
  int d, count;                    /* dropped neurons */
  float *a, *gate, *up, *residual; /* [rows x d], [.. x count], [.. x count], [.. x d] */
  void *block;
} residual_work;

static size_t lay_out(residual_work *r, void *block) {
  olica_arena arena = {.block = block};
  size_t rows = (size_t)r->rows;
  OLICA_TAKE(&arena, r->a, rows * (size_t)r->d);
  OLICA_TAKE(&arena, r->gate, rows * (size_t)r->count);
  OLICA_TAKE(&arena, r->up, rows * (size_t)r->count);
  OLICA_TAKE(&arena, r->residual, rows * (size_t)r->d);
  return arena.used;
}

static olica_status create_residual(const olica_state *state, residual_work *r) {
  const olica_method_job *job = &state->job;
  r->sequences = olica_olica_pack(state);
  r->rows = r->sequences * job->stream->tokens;
  r->d = job->stream->hidden;
  r->count = r->dropped->count;
  return OLICA_LAY_OUT(job->context->env, "residuals of a pack", r->block, lay_out, r);
}

static void destroy_residual(olica_env *env, residual_work *r) {
  olica_dropped_destroy(r->dropped);
  olica_memory_free(env, r->block);
}

static olica_status add_residual(const residual_work *r, const olica_collected *work, int64_t first,
                                 int count, olica_fit_sums *sums) {
  size_t d = (size_t)sums->d, numbers = (size_t)count * (size_t)sums->tokens * d;
  size_t from = (size_t)first * (size_t)sums->tokens * d * olica_number_size(work->precision);
  olica_view view = {.rows = count * sums->tokens, .cols = sums->d, .stride = sums->d, .x = r->a};
  olica_number_decode(work->precision, work->ffn_input + from, r->a, numbers);
  olica_dropped_apply(r->dropped, view.rows, r->a, r->gate, r->up, r->residual);
  olica_fit_sums_see(sums, OLICA_SIDE_A, &view);
  view.x = r->residual;
  olica_fit_sums_see(sums, OLICA_SIDE_B, &view);
  return olica_fit_sums_passed(sums, count);
}

static olica_status add_residuals(const olica_state *state, const residual_work *r,
                                  const olica_collected *work, olica_fit_sums *sums) {
  const olica_stream *stream = state->job.stream;
  for (int64_t s = 0; s < stream->count; s += r->sequences) {
    int64_t left = stream->count - s;
    OLICA_TRY(add_residual(r, work, s, left < r->sequences ? (int)left : r->sequences, sums));
  }
  return olica_fit_sums_finish(sums);
}

/* Creates and fills the sums for the fit of the cut's residual on the FFN's inputs. */
static olica_status collect_residual(const olica_state *state, const olica_layer *dense,
                                     const olica_layer *pruned, const olica_collected *work,
                                     olica_fit_sums **sums) {
  const olica_method_job *job = &state->job;
  olica_context *context = job->context;
  residual_work r = {0};
  OLICA_TRY(olica_fit_sums_create(context, job->kernel, OLICA_SIDES, job->stream->hidden, job->stream->tokens,
                                  olica_olica_pack(state), sums));
  OLICA_TRY(olica_dropped_create(context, job->kernel, job->model.arch, dense, pruned, &r.dropped));
  OLICA_AGREE(context, create_residual(state, &r));
  OLICA_AGREE(context, add_residuals(state, &r, work, *sums));
  destroy_residual(context->env, &r);
  return OLICA_OK;
}

/* Decomposes query and key and, in calibrated layers, the branch, all at the same time. */
static olica_status decompose(olica_state *state, const olica_layer *dense, const olica_energies *energies,
                              olica_fit_sums *sums, olica_layer *pruned) {
  const olica_method_job *job = &state->job;
  const olica_stream *stream = job->stream;
  const olica_residual residual = {.sums = sums,
                                   .tokens = (double)stream->sequences * stream->tokens,
                                   .damping = olica_olica_damping(state)};
  return olica_decompose_layer(job->pool, job->context, job->model.arch, energies->attention, &residual,
                               dense, pruned);
}

static olica_status rotate(const olica_state *state, int index, olica_layer *dense) {
  const olica_method_job *job = &state->job;
  const double *energy = state->output_energy + (size_t)index * (size_t)job->model.arch->hidden;
  OLICA_TIMED(
      job->context->env, "solve.rotation",
      olica_rotate_values(job->pool, job->context, job->model.arch, state->options.ond, energy, dense));
  return OLICA_OK;
}

/* Rounds the layer and records spectra and relative errors of query and key. */
static olica_status finish(const olica_state *state, const olica_layer *dense, const olica_energies *energies,
                           olica_layer *pruned, olica_cut_record *record) {
  const olica_method_job *job = &state->job;
  double *fact = record->fact;
  if (job->context->rank == 0) {
    olica_lowrank_spectrum(energies->attention, &dense->linear[OLICA_Q], &pruned->linear[OLICA_Q],
                           record->curve[OLICA_CURVE_Q], &fact[OLICA_FACT_Q_ENERGY]);
    olica_lowrank_spectrum(energies->attention, &dense->linear[OLICA_K], &pruned->linear[OLICA_K],
                           record->curve[OLICA_CURVE_K], &fact[OLICA_FACT_K_ENERGY]);
  }
  OLICA_TRY(olica_pruned_round(job, pruned));
  OLICA_TRY(olica_lowrank_error(job->context, &dense->linear[OLICA_Q], &pruned->linear[OLICA_Q],
                                &fact[OLICA_FACT_Q_ERROR]));
  OLICA_TRY(olica_lowrank_error(job->context, &dense->linear[OLICA_K], &pruned->linear[OLICA_K],
                                &fact[OLICA_FACT_K_ERROR]));
  snprintf(record->line, sizeof record->line, "query error %.4f, key error %.4f%s", fact[OLICA_FACT_Q_ERROR],
           fact[OLICA_FACT_K_ERROR], pruned->shape.branch ? ", calibrated" : "");
  return OLICA_OK;
}

olica_status olica_olica_cut(void *self, int index, olica_layer *dense, olica_layer **out,
                             olica_cut_record *record) {
  olica_state *state = self;
  const olica_method_job *job = &state->job;
  olica_env *env = job->context->env;
  olica_collected work = {0};
  olica_fit_sums *sums = NULL;
  olica_layer *pruned = NULL;
  olica_layer_shape shape =
      olica_budget_shape(&state->budget, &job->model.dense[index], state->calibrated[index]);
  int silent;
  OLICA_TIMED(env, "solve", rotate(state, index, dense));
  OLICA_TIMED(
      env, "collect",
      olica_collect(job, index, dense, (olica_collect_wish){.ffn_input = shape.branch > 0}, &work, &silent));
  record->fact[OLICA_FACT_SILENT] = silent;
  OLICA_TRY(olica_pruned_create(job, &shape, &pruned));
  OLICA_TRY(olica_select_neurons(job->context, job->model.arch, dense, work.energies,
                                 state->budget.neurons_skipped, pruned,
                                 record->curve[OLICA_CURVE_IMPORTANCE]));
  if (shape.branch > 0) OLICA_TIMED(env, "collect", collect_residual(state, dense, pruned, &work, &sums));
  OLICA_FREE(env, work.ffn_input);
  OLICA_TIMED(env, "solve", decompose(state, dense, work.energies, sums, pruned));
  OLICA_TRY(finish(state, dense, work.energies, pruned, record));
  olica_collect_free(job, &work);
  *out = pruned;
  return OLICA_OK;
}

/* ---- the replay ---- */

static void replay_residual(olica_ledger *ledger, const olica_method_model *model,
                            const olica_method_site *site, int count) {
  int d = model->arch->hidden;
  residual_work r = {.rows = site->pack_rows, .d = d, .count = count};
  olica_hold dropped = olica_dropped_hold(ledger, model->arch, site->precision, count);
  olica_ledger_touch(ledger, lay_out(&r, NULL));
  olica_ledger_release(ledger, dropped);
}

olica_status olica_olica_replay_cut(olica_env *env, olica_ledger *ledger, const olica_method_model *model,
                                    const olica_method_site *site, const olica_budget *budget,
                                    const olica_layer_shape *shape) {
  const olica_arch *arch = model->arch;
  const olica_decompose_ranks on = {site->backend, site->solving, site->block, site->ranks, site->nodes};
  olica_hold sums = {0};
  olica_rotate_replay(ledger, arch, olica_prune_options_of(model).ond);
  olica_collected_hold work = olica_collect_replay(ledger, model, site, &model->dense[0],
                                                   (olica_collect_wish){.ffn_input = shape->branch > 0});
  olica_hold lists = olica_select_replay(ledger, arch, shape);
  if (shape->branch > 0) {
    sums = olica_fit_sums_hold(ledger, site->precision, OLICA_SIDES, arch->hidden, site->tokens,
                               site->pack_rows / site->tokens);
    replay_residual(ledger, model, site, budget->neurons_dropped);
  }
  olica_ledger_release(ledger, work.ffn_input);
  OLICA_TRY(olica_decompose_replay(env, ledger, &on, arch, shape, sums));
  olica_ledger_release(ledger, work.energies);
  olica_ledger_release(ledger, olica_maps_hold(ledger, arch, shape, site->precision));
  olica_ledger_release(ledger, lists);
  return OLICA_OK;
}
