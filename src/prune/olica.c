/* The Olica method, composed of the parts of this room. Survey: how linear is every FFN, and the output
 * energies that fix the rotation of value neurons. Cut: rotate, collect, decompose query and key, select
 * neurons, calibrate. */
#include <string.h>

#include "methods.h"
#include "olica/par/comm.h"
#include "olica/par/shared.h"
#include "olica/prune/calibrate.h"
#include "olica/prune/decompose.h"
#include "olica/prune/lowrank.h"
#include "olica/prune/rotate.h"
#include "olica/prune/select.h"

typedef struct olica_state {
  olica_method_job job;
  olica_budget budget;
  olica_shared *memory;  /* the node's pruned layer */
  double *output_energy; /* [L x d] E_out of o_proj on the dense stream */
  double *score;         /* [L] 1 - mean correlation of the FFN's linear fit */
  int *calibrated;       /* [L] */
  /* Fits of the survey wait until their batch, one for every rank, is complete; then all are solved at once.
   */
  olica_placement *places; /* [ranks] of the batch, */
  olica_problem *problems; /* [ranks] and what they ask */
  olica_fit **waiting;     /* [ranks] */
  int batch_first, batch_count, waiting_count;
} olica_state;

static olica_status create_state(const olica_method_job *job, olica_state **out) {
  olica_env *env = job->context->env;
  size_t layers = (size_t)job->arch->layers, ranks = (size_t)job->context->size;
  olica_state *state;
  OLICA_TRY(OLICA_NEW(env, state, 1));
  state->job = *job;
  OLICA_TRY(olica_budget_make(env, &job->options, job->arch, job->dense, job->parameters, &state->budget));
  OLICA_TRY(OLICA_NEW(env, state->output_energy, layers * (size_t)job->arch->hidden));
  OLICA_TRY(OLICA_NEW(env, state->score, layers));
  OLICA_TRY(OLICA_NEW(env, state->calibrated, layers));
  OLICA_TRY(OLICA_NEW(env, state->places, ranks));
  OLICA_TRY(OLICA_NEW(env, state->waiting, ranks));
  OLICA_TRY(OLICA_NEW(env, state->problems, ranks));
  *out = state;
  return OLICA_OK;
}

static olica_status create(const olica_method_job *job, void **out) {
  olica_state *state = NULL;
  OLICA_AGREE(job->context, create_state(job, &state));
  /* With a branch a layer is largest. */
  olica_layer_shape shape = olica_budget_shape(&state->budget, job->dense, job->options.mlp_num > 0);
  OLICA_TRY(olica_shared_create(job->context, "the pruned layer", olica_layer_bytes(job->arch, &shape),
                                &state->memory));
  *out = state;
  return OLICA_OK;
}

static void destroy(void *self) {
  olica_state *state = self;
  if (!state) return;
  olica_env *env = state->job.context->env;
  olica_shared_destroy(state->memory);
  olica_memory_free(env, state->output_energy);
  olica_memory_free(env, state->score);
  olica_memory_free(env, state->calibrated);
  olica_memory_free(env, state->places);
  olica_memory_free(env, state->problems);
  olica_memory_free(env, state->waiting);
  olica_memory_free(env, state);
}

/* ---- sweep 1 ---- */

typedef struct survey_view {
  olica_fit_sums *sums;
  int d;
  double *output_energy; /* [threads x d] */
} survey_view;

static void see_survey(void *self, const olica_view *view) {
  survey_view *survey = self;
  if (view->tap == OLICA_TAP_ATTENTION_OUTPUT)
    olica_statistics_add_energy(survey->output_energy + (size_t)view->thread * (size_t)survey->d + view->col,
                                view->x, view->rows, view->cols, view->stride);
  if (view->tap == OLICA_TAP_FFN_INPUT) olica_fit_sums_see(survey->sums, OLICA_SIDE_A, view);
  if (view->tap == OLICA_TAP_FFN_OUTPUT) olica_fit_sums_see(survey->sums, OLICA_SIDE_B, view);
}

static olica_status survey_passed(void *self, int sequences) {
  survey_view *survey = self;
  return olica_fit_sums_passed(survey->sums, sequences);
}

/* Solves what waits, every fit on its own ranks at the same time, and shares the scores. */
static olica_status solve_waiting(olica_state *state) {
  olica_context *context = state->job.context;
  int d = state->job.arch->hidden, first = state->batch_first, count = state->waiting_count;
  double damping =
      olica_fit_damping(state->job.options.percdamp, state->job.stream->sequences, state->job.stream->tokens);
  olica_status status = OLICA_OK;
  for (int i = 0; i < count; i++) {
    olica_fit *fit = state->waiting[i];
    if (!olica_solver_member(fit->solver)) continue;
    olica_status one = olica_fit_solve(fit, damping);
    if (status == OLICA_OK) status = one;
    double sum = 0.0;
    for (int j = 0; j < d; j++) sum += fit->correlation[j];
    if (context->rank == state->places[i].first) state->score[first + i] = 1.0 - sum / d;
  }
  OLICA_AGREE(context, status);
  olica_comm_sum(context, context->comm, state->score + first, (size_t)count);
  for (int i = 0; i < count; i++) olica_fit_destroy(state->waiting[i]);
  state->waiting_count = state->batch_count = 0;
  return OLICA_OK;
}

/* The fits of layer `index` and the next ones, as many as there are ranks, get their places. */
static olica_status begin_batch(olica_state *state, int index) {
  olica_context *context = state->job.context;
  int d = state->job.arch->hidden, left = state->job.arch->layers - index;
  state->batch_first = index;
  state->batch_count = left < context->size ? left : context->size;
  for (int i = 0; i < state->batch_count; i++) state->problems[i] = olica_fit_problem(d);
  OLICA_AGREE(context, olica_solver_place(context->env, olica_pool_settings(state->job.pool).backend,
                                          context->size, state->batch_count, state->problems, state->places));
  return OLICA_OK;
}

/* The sums of all ranks become a fit that waits for its turn. */
static olica_status queue_fit(olica_state *state, int index, const olica_fit_sums *sums) {
  olica_context *context = state->job.context;
  const olica_stream *stream = state->job.stream;
  olica_solver *solver;
  if (state->batch_count == 0) OLICA_TRY(begin_batch(state, index));
  OLICA_TRY(olica_pool_solver(state->job.pool, state->places[state->waiting_count], &solver));
  OLICA_TRY(olica_fit_gather(context, solver, sums, (double)stream->sequences * stream->tokens,
                             &state->waiting[state->waiting_count]));
  state->waiting_count++;
  return OLICA_OK;
}

static olica_status solve_timed(olica_state *state) {
  olica_context *context = state->job.context;
  olica_timer_start(&context->env->timers, "solve");
  olica_timer_start(&context->env->timers, "solve.linearity");
  olica_status status = solve_waiting(state);
  olica_timer_stop(&context->env->timers);
  olica_timer_stop(&context->env->timers);
  return status;
}

/* Sequences that pass together, at most. */
static int pack_of(const olica_state *state) {
  return olica_forward_rows(state->job.forward) / state->job.stream->tokens;
}

static olica_status create_survey(olica_state *state, survey_view *view) {
  const olica_method_job *job = &state->job;
  view->d = job->arch->hidden;
  OLICA_AGREE(job->context, OLICA_NEW(job->context->env, view->output_energy,
                                      (size_t)olica_forward_threads(job->forward) * (size_t)view->d));
  return olica_fit_sums_create(job->context, job->kernel, view->d, job->stream->tokens, pack_of(state),
                               &view->sums);
}

/* e [d] := E_out of o_proj, of all threads and ranks. */
static void reduce_output_energy(const olica_state *state, const survey_view *view, double *e) {
  olica_context *context = state->job.context;
  for (int t = 0; t < olica_forward_threads(state->job.forward); t++)
    for (int i = 0; i < view->d; i++) e[i] += view->output_energy[(size_t)t * (size_t)view->d + (size_t)i];
  olica_comm_sum(context, context->comm, e, (size_t)view->d);
  for (int i = 0; i < view->d; i++) e[i] /= (double)state->job.stream->sequences;
}

static olica_status survey_stream(olica_state *state, const olica_maps *maps, survey_view *view) {
  olica_context *context = state->job.context;
  const olica_onlooker onlooker = {.observer = {.see = see_survey, .self = view}, .passed = survey_passed};
  OLICA_TRY(create_survey(state, view));
  OLICA_TRY(olica_stream_advance(state->job.stream, state->job.forward, maps, &onlooker));
  OLICA_AGREE(context, olica_fit_sums_finish(view->sums));
  reduce_output_energy(state, view, state->output_energy + (size_t)maps->index * (size_t)view->d);
  return queue_fit(state, maps->index, view->sums);
}

static olica_status survey(void *self, const olica_maps *maps) {
  olica_state *state = self;
  olica_context *context = state->job.context;
  survey_view view = {0};
  olica_timer_start(&context->env->timers, "survey");
  OLICA_TRY(survey_stream(state, maps, &view));
  olica_fit_sums_destroy(view.sums);
  olica_memory_free(context->env, view.output_energy);
  if (state->waiting_count == state->batch_count) OLICA_TRY(solve_timed(state));
  olica_timer_stop(&context->env->timers);
  return OLICA_OK;
}

static olica_status settle(void *self) {
  return solve_timed(self);
}

static int memory(void *self, olica_method_memory list[OLICA_METHOD_MEMORIES]) {
  olica_state *state = self;
  size_t layers = (size_t)state->job.arch->layers, d = (size_t)state->job.arch->hidden;
  list[0] = (olica_method_memory){"output_energy", state->output_energy, layers * d * sizeof(double)};
  list[1] = (olica_method_memory){"score", state->score, layers * sizeof(double)};
  return 2;
}

static olica_status choose(void *self, olica_layer_shape *shapes, double *scores, int *calibrated) {
  olica_state *state = self;
  int layers = state->job.arch->layers;
  memset(state->calibrated, 0, (size_t)layers * sizeof *state->calibrated);
  for (int n = 0; n < state->job.options.mlp_num; n++) {
    int best = -1; /* the lowest score not yet taken, the last layer never */
    for (int i = 0; i < layers - 1; i++)
      if (!state->calibrated[i] && (best < 0 || state->score[i] < state->score[best])) best = i;
    state->calibrated[best] = 1;
  }
  /* One rank's word counts, should sums differ in the last bit. */
  olica_comm_bcast(state->job.context, state->job.context->comm, state->calibrated,
                   (size_t)layers * sizeof *state->calibrated, 0);
  for (int i = 0; i < layers; i++)
    shapes[i] = olica_budget_shape(&state->budget, state->job.dense, state->calibrated[i]);
  memcpy(scores, state->score, (size_t)layers * sizeof *scores);
  memcpy(calibrated, state->calibrated, (size_t)layers * sizeof *calibrated);
  return OLICA_OK;
}

/* ---- sweep 2 ---- */

/* What the cut of one layer works with. The FFN's inputs are kept as the products read them. */
typedef struct cut_work {
  olica_energies *energies;
  unsigned char *ffn_input; /* [count x T x d] in the kernel's precision, in calibrated layers; else NULL */
  olica_dtype precision;
  int tokens;  /* of a sequence */
  size_t seen; /* rows of the packs that have passed */
} cut_work;

static void keep_input(const cut_work *work, const olica_view *view) {
  size_t size = olica_number_size(work->precision), row = work->seen + (size_t)view->row;
  for (int t = 0; t < view->rows; t++)
    olica_number_encode(work->precision, view->x + (size_t)t * (size_t)view->stride,
                        work->ffn_input + (row + (size_t)t) * (size_t)view->cols * size, (size_t)view->cols);
}

static void see_collect(void *self, const olica_view *view) {
  const cut_work *work = self;
  olica_energies_see(work->energies, view);
  if (view->tap == OLICA_TAP_FFN_INPUT && work->ffn_input) keep_input(work, view);
}

static olica_status allocate_work(olica_state *state, bool calibrated, cut_work *work) {
  const olica_method_job *job = &state->job;
  olica_env *env = job->context->env;
  size_t numbers = (size_t)job->stream->count * (size_t)job->stream->tokens * (size_t)job->stream->hidden;
  work->precision = olica_kernel_precision(job->kernel);
  OLICA_TRY(olica_energies_create(env, job->arch, olica_forward_threads(job->forward), &work->energies));
  return calibrated ? OLICA_NEW(env, work->ffn_input, numbers * olica_number_size(work->precision))
                    : OLICA_OK;
}

static olica_status collect_passed(void *self, int sequences) {
  cut_work *work = self;
  work->seen += (size_t)sequences * (size_t)work->tokens;
  return OLICA_OK;
}

/* One pass of the uncut layer over the pruned stream, as far as its neurons: all energies, and the FFN's
 * inputs. The stream stays where it is. */
static olica_status collect(olica_state *state, int index, const olica_layer *dense, cut_work *work) {
  const olica_method_job *job = &state->job;
  const olica_onlooker onlooker = {.observer = {.see = see_collect, .self = work, .to_neurons = true},
                                   .passed = collect_passed,
                                   .stays = true};
  olica_maps *maps = NULL;
  work->tokens = job->stream->tokens;
  OLICA_TRY(olica_maps_create(job->context, job->kernel, job->arch, dense, index, &maps));
  OLICA_TRY(olica_stream_advance(job->stream, job->forward, maps, &onlooker));
  olica_maps_destroy(maps);
  olica_energies_reduce(work->energies, job->context, 1.0 / (double)job->stream->sequences);
  return OLICA_OK;
}

static olica_status allocate_kept(const olica_state *state, olica_layer *pruned) {
  olica_env *env = state->job.context->env;
  OLICA_TRY(OLICA_NEW(env, pruned->values_kept, (size_t)state->job.arch->kv_heads * pruned->shape.values));
  return OLICA_NEW(env, pruned->ffn_kept, (size_t)pruned->shape.ffn);
}

/* The kept lists, decided by rank 0 so that a tie in the last bit falls the same way everywhere. */
static olica_status select_neurons(olica_state *state, const olica_layer *dense,
                                   const olica_energies *energies, olica_layer *pruned) {
  olica_env *env = state->job.context->env;
  const olica_arch *arch = state->job.arch;
  const olica_budget *budget = &state->budget;
  int h = arch->head, n = pruned->shape.values, values = arch->kv_heads * h;
  double *importance;
  OLICA_TRY(OLICA_NEW(env, importance, (size_t)(values > arch->ffn ? values : arch->ffn)));
  OLICA_TRY(olica_select_value_importance(env, arch, dense, energies, importance));
  for (int j = 0; j < arch->kv_heads; j++)
    OLICA_TRY(olica_select_kept(env, importance + j * h, h, 0, budget->values_dropped,
                                pruned->values_kept + j * n));
  OLICA_TRY(olica_select_neuron_importance(env, arch, dense, energies, importance));
  OLICA_TRY(olica_select_kept(env, importance, arch->ffn, budget->neurons_skipped, budget->neurons_dropped,
                              pruned->ffn_kept));
  olica_memory_free(env, importance);
  return OLICA_OK;
}

static olica_status cut_neurons(olica_state *state, const olica_layer *dense, const olica_energies *energies,
                                olica_layer *pruned) {
  olica_context *context = state->job.context;
  const olica_arch *arch = state->job.arch;
  OLICA_AGREE(context, allocate_kept(state, pruned));
  OLICA_AGREE(context, context->rank == 0 ? select_neurons(state, dense, energies, pruned) : OLICA_OK);
  olica_comm_bcast(context, context->comm, pruned->values_kept,
                   (size_t)arch->kv_heads * pruned->shape.values * sizeof *pruned->values_kept, 0);
  olica_comm_bcast(context, context->comm, pruned->ffn_kept,
                   (size_t)pruned->shape.ffn * sizeof *pruned->ffn_kept, 0);
  olica_select_copy(context, arch, dense, pruned);
  return OLICA_OK;
}

/* One pack's inputs and residual go into the sums; `sums` takes them as if they passed the FFN. */
typedef struct residual_work {
  olica_dropped *dropped;
  int sequences;                   /* of a pack */
  float *a, *gate, *up, *residual; /* [sequences x T x d], [.. x count], [.. x count], [.. x d] */
} residual_work;

static olica_status create_residual(const olica_state *state, residual_work *r) {
  const olica_method_job *job = &state->job;
  olica_env *env = job->context->env;
  r->sequences = pack_of(state);
  size_t rows = (size_t)r->sequences * (size_t)job->stream->tokens, d = (size_t)job->stream->hidden;
  OLICA_TRY(OLICA_NEW(env, r->a, rows * d));
  OLICA_TRY(OLICA_NEW(env, r->gate, rows * (size_t)r->dropped->count));
  OLICA_TRY(OLICA_NEW(env, r->up, rows * (size_t)r->dropped->count));
  return OLICA_NEW(env, r->residual, rows * d);
}

static void destroy_residual(olica_env *env, residual_work *r) {
  olica_dropped_destroy(r->dropped);
  olica_memory_free(env, r->a);
  olica_memory_free(env, r->gate);
  olica_memory_free(env, r->up);
  olica_memory_free(env, r->residual);
}

static olica_status add_residual(const residual_work *r, const cut_work *work, int64_t first, int count,
                                 olica_fit_sums *sums) {
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

static olica_status add_residuals(const olica_state *state, const residual_work *r, const cut_work *work,
                                  olica_fit_sums *sums) {
  const olica_stream *stream = state->job.stream;
  for (int64_t s = 0; s < stream->count; s += r->sequences) {
    int64_t left = stream->count - s;
    OLICA_TRY(add_residual(r, work, s, left < r->sequences ? (int)left : r->sequences, sums));
  }
  return olica_fit_sums_finish(sums);
}

/* Sums of the fit of the cut's residual on the FFN's inputs. */
static olica_status collect_residual(const olica_state *state, const olica_layer *dense,
                                     const olica_layer *pruned, const cut_work *work, olica_fit_sums **sums) {
  const olica_method_job *job = &state->job;
  olica_context *context = job->context;
  residual_work r = {0};
  OLICA_TRY(olica_fit_sums_create(context, job->kernel, job->stream->hidden, job->stream->tokens,
                                  pack_of(state), sums));
  OLICA_TRY(olica_dropped_create(context, job->kernel, dense, pruned, job->stream->hidden, &r.dropped));
  OLICA_AGREE(context, create_residual(state, &r));
  OLICA_AGREE(context, add_residuals(state, &r, work, *sums));
  destroy_residual(context->env, &r);
  return OLICA_OK;
}

/* Query, key, and in calibrated layers the branch, all at once. */
static olica_status decompose(olica_state *state, const olica_layer *dense, const olica_energies *energies,
                              olica_fit_sums *sums, olica_layer *pruned) {
  const olica_method_job *job = &state->job;
  const olica_stream *stream = job->stream;
  const olica_residual residual = {
      .sums = sums,
      .tokens = (double)stream->sequences * stream->tokens,
      .damping = olica_fit_damping(job->options.percdamp, stream->sequences, stream->tokens)};
  return olica_decompose_layer(job->pool, job->context, job->arch, energies->attention, &residual, dense,
                               pruned);
}

#define PHASE(env, name, call)                                                                               \
  do {                                                                                                       \
    olica_timer_start(&(env)->timers, (name));                                                               \
    olica_status phase_status_ = (call);                                                                     \
    olica_timer_stop(&(env)->timers);                                                                        \
    if (phase_status_ != OLICA_OK) return phase_status_;                                                     \
  } while (0)

static olica_status rotate(olica_state *state, int index, olica_layer *dense) {
  const olica_method_job *job = &state->job;
  olica_timer_start(&job->context->env->timers, "solve.rotation");
  olica_status status = olica_rotate_values(job->pool, job->context, job->arch, job->options.ond,
                                            state->output_energy + (size_t)index * job->arch->hidden, dense);
  olica_timer_stop(&job->context->env->timers);
  return status;
}

static olica_status collect_timed(olica_state *state, int index, const olica_layer *dense, cut_work *work) {
  olica_context *context = state->job.context;
  OLICA_AGREE(context, allocate_work(state, state->calibrated[index] && state->budget.branch > 0, work));
  return collect(state, index, dense, work);
}

static olica_status finish_layer(olica_state *state, const olica_layer *dense, olica_layer *pruned,
                                 olica_cut_record *record) {
  const olica_method_job *job = &state->job;
  OLICA_AGREE(job->context, olica_layer_round(job->context, pruned, job->arch, job->dtype));
  OLICA_TRY(
      olica_lowrank_error(job->context, &dense->linear[OLICA_Q], &pruned->linear[OLICA_Q], &record->q_error));
  return olica_lowrank_error(job->context, &dense->linear[OLICA_K], &pruned->linear[OLICA_K],
                             &record->k_error);
}

/* All ranks have the same energies: one of them warns. */
static void note_silent(const olica_context *context, const olica_energies *energies,
                        olica_cut_record *record) {
  record->silent_channels = olica_energies_silent(energies);
  if (context->rank == 0)
    olica_log_warn_times(context->env, record->silent_channels,
                         "channels have no energy on the calibration data: what they feed is cut without it");
}

static olica_status cut(void *self, int index, olica_layer *dense, olica_layer **out,
                        olica_cut_record *record) {
  olica_state *state = self;
  const olica_method_job *job = &state->job;
  olica_context *context = job->context;
  olica_env *env = context->env;
  cut_work work = {0};
  olica_fit_sums *sums = NULL;
  olica_layer *pruned = NULL;
  olica_layer_shape shape = olica_budget_shape(&state->budget, job->dense, state->calibrated[index]);
  PHASE(env, "solve", rotate(state, index, dense));
  PHASE(env, "collect", collect_timed(state, index, dense, &work));
  note_silent(context, work.energies, record);
  OLICA_AGREE(context, olica_layer_create(env, job->arch, &shape, state->memory->data, &pruned));
  OLICA_TRY(cut_neurons(state, dense, work.energies, pruned));
  if (shape.branch > 0) PHASE(env, "collect", collect_residual(state, dense, pruned, &work, &sums));
  OLICA_FREE(env, work.ffn_input);
  PHASE(env, "solve", decompose(state, dense, work.energies, sums, pruned));
  OLICA_TRY(finish_layer(state, dense, pruned, record));
  olica_energies_destroy(env, work.energies);
  *out = pruned;
  return OLICA_OK;
}

const olica_method olica_method_olica = {
    .name = "olica",
    .about = "low-rank query/key, orthogonal value/output neurons, calibrated FFN (arXiv 2506.08436)",
    .create = create,
    .destroy = destroy,
    .survey = survey,
    .settle = settle,
    .memory = memory,
    .choose = choose,
    .cut = cut,
};
