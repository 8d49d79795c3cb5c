/* The pass over the dense model (doc/methods.md, sweep 1), in outline:
 *
 *   for every layer, from olica_olica_observe:
 *     survey_stream    pass the layer over the calibration stream, adding
 *                        the output energies of the attention, which fix the rotation of the value neurons
 *                        the sums of a ridge fit of the FFN's output on its input
 *     queue_fit        sum the fit over the ranks into the layout of the solver that will solve it
 *     solve_waiting    when a fit for every rank waits, and after the last layer:
 *                      solve all waiting fits at the same time, each on its own ranks
 *                      score = 1 - mean correlation of the fit: how far the FFN is from linear
 *   olica_olica_settle solves the fits that wait before a restart file is written */
#include "par/comm.h"
#include "state.h"

typedef struct survey_view {
  olica_fit_sums *sums;
  int d;
  double *output_energy; /* [threads x d] */
} survey_view;

static void observe_survey(void *self, const olica_view *view) {
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

/* Solves the waiting fits, each on its own ranks at the same time, and shares the scores. */
static olica_status solve_waiting(olica_state *state) {
  olica_context *context = state->job.context;
  int d = state->job.model.arch->hidden, first = state->batch_first, count = state->waiting_count;
  double damping = olica_olica_damping(state);
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

/* Places the fits of layer `index` and the next ones, as many as there are ranks. */
static olica_status begin_batch(olica_state *state, int index) {
  olica_context *context = state->job.context;
  int d = state->job.model.arch->hidden, left = state->job.model.arch->layers - index;
  state->batch_first = index;
  state->batch_count = left < context->size ? left : context->size;
  for (int i = 0; i < state->batch_count; i++) state->problems[i] = olica_fit_problem(d);
  OLICA_AGREE(context, olica_solver_place(context->env, olica_pool_settings(state->job.pool).backend,
                                          context->size, state->batch_count, state->problems, state->places));
  return OLICA_OK;
}

/* Sums all ranks' sums into a fit that waits to be solved. */
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

static size_t energy_numbers(int threads, int d) {
  return (size_t)threads * (size_t)d;
}

static olica_status create_survey(olica_state *state, survey_view *view) {
  const olica_method_job *job = &state->job;
  view->d = job->model.arch->hidden;
  OLICA_AGREE(job->context, OLICA_NEW(job->context->env, view->output_energy,
                                      energy_numbers(olica_forward_threads(job->forward), view->d)));
  return olica_fit_sums_create(job->context, job->kernel, OLICA_SIDES, view->d, job->stream->tokens,
                               olica_olica_pack(state), &view->sums);
}

/* e [d] := E_out of o_proj, summed over threads and ranks. */
static void reduce_output_energy(const olica_state *state, const survey_view *view, double *e) {
  olica_context *context = state->job.context;
  for (int t = 0; t < olica_forward_threads(state->job.forward); t++)
    for (int i = 0; i < view->d; i++) e[i] += view->output_energy[(size_t)t * (size_t)view->d + (size_t)i];
  olica_comm_sum(context, context->comm, e, (size_t)view->d);
  for (int i = 0; i < view->d; i++) e[i] /= (double)state->job.stream->sequences;
}

static olica_status survey_stream(olica_state *state, const olica_maps *maps, survey_view *view) {
  olica_context *context = state->job.context;
  const olica_onlooker onlooker = {.observer = {.observe = observe_survey, .self = view},
                                   .passed = survey_passed};
  OLICA_TRY(create_survey(state, view));
  OLICA_TRY(olica_stream_advance(state->job.stream, state->job.forward, maps, &onlooker));
  OLICA_AGREE(context, olica_fit_sums_finish(view->sums));
  reduce_output_energy(state, view, state->output_energy + (size_t)maps->index * (size_t)view->d);
  return queue_fit(state, maps->index, view->sums);
}

olica_status olica_olica_observe(void *self, int pass, const olica_maps *maps) {
  olica_state *state = self;
  (void)pass; /* there is only one */
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

olica_status olica_olica_settle(void *self) {
  const olica_state *state = self;
  return state->waiting_count > 0 ? solve_timed(self) : OLICA_OK;
}

bool olica_olica_gathers(const void *self) {
  const olica_state *state = self;
  return state->waiting_count > 0;
}

/* ---- the replay ---- */

/* A batch of fits as a rank sees it: the last layer's sums become a fit while its workspace is still held;
 * then all are solved, the packed layer beside them. */
static void replay_batch(olica_ledger *ledger, const olica_method_model *model, const olica_method_site *site,
                         int fits, const olica_placement *place, int rank) {
  int d = model->arch->hidden;
  olica_maps_hold(ledger, model->arch, &model->dense[0], site->precision);
  olica_hold work = olica_ledger_mark(ledger);
  olica_ledger_hold(ledger, energy_numbers(site->threads, d) * sizeof(double));
  olica_fit_sums_hold(ledger, site->precision, OLICA_SIDES, d, site->tokens, site->pack_rows / site->tokens);
  work = olica_ledger_since(ledger, work);
  for (int i = 0; i < fits; i++)
    olica_fit_replay_gather(ledger, &(olica_site){place[i], site->block, site->solving, site->nodes, rank},
                            d);
  olica_ledger_release(ledger, work);
  for (int i = 0; i < fits; i++) {
    const olica_site at = {place[i], site->block, site->solving, site->nodes, rank};
    if (olica_site_member(&at)) olica_fit_replay_solve(ledger, &at, d);
  }
}

/* The rank that needs most is the first of some fit's. */
static olica_status replay_fits(olica_env *env, olica_ledger *ledger, const olica_method_model *model,
                                const olica_method_site *site, int fits) {
  olica_problem *problem;
  olica_placement *place;
  OLICA_TRY(OLICA_NEW(env, problem, (size_t)fits));
  OLICA_TRY(OLICA_NEW(env, place, (size_t)fits));
  for (int i = 0; i < fits; i++) problem[i] = olica_fit_problem(model->arch->hidden);
  OLICA_TRY(olica_solver_place(env, site->backend, site->ranks, fits, problem, place));
  for (int i = 0; i < fits; i++) {
    olica_ledger one = *ledger;
    replay_batch(&one, model, site, fits, place, place[i].first);
    olica_ledger_join(ledger, &one);
  }
  olica_memory_free(env, problem);
  olica_memory_free(env, place);
  return OLICA_OK;
}

/* A batch has a fit for every rank, or for every layer that is left. */
olica_status olica_olica_replay_survey(olica_env *env, olica_ledger *ledger, const olica_method_model *model,
                                       const olica_method_site *site) {
  int layers = model->arch->layers, fits = site->ranks < layers ? site->ranks : layers;
  OLICA_TRY(replay_fits(env, ledger, model, site, fits));
  return layers % fits > 0 ? replay_fits(env, ledger, model, site, layers % fits) : OLICA_OK;
}
