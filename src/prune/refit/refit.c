/* Refit: fewer FFN neurons, and a down matrix that is fitted again so that those left make up for those gone.
 * The attention stays as it is, and no tensor is added. In outline:
 *
 *   plan      budget.c      numbers of neurons that the sparsity leaves
 *             plan.c        shapes, memory and work
 *   observe   survey.c      dense model, layer by layer, where widths go by layer:
 *             curve.c         error of every width of a layer
 *             probe.c         what the model loses by half of a layer
 *             influence.c     or one number a layer, without probes
 *             layers.c        shape = olica: the same for all kinds of module, with attention.c
 *   shapes    here          the widths of least loss, by allocate.c, or modules.c
 *   cut       cut.c         layer by layer, on the stream of what was cut before, or on the dense one:
 *             down.c          the refit of the down matrix
 *             layers.c        shape = olica: of all kinds of module
 *
 * This file holds the settings, the state and the choice of the widths. */
#include <string.h>

#include "../methods.h"
#include "layers.h"
#include "par/comm.h"

#define NAMES(function_, ...)                                                                                \
  static const char *function_(int i) {                                                                      \
    static const char *const names[] = {__VA_ARGS__};                                                        \
    return i >= 0 && (size_t)i < sizeof names / sizeof *names ? names[i] : NULL;                             \
  }

NAMES(shape_name, "layerwise", "uniform", "olica")
NAMES(allocation_name, "measured", "influence", "uniform")
NAMES(select_name, "olica", "obs")
NAMES(statistics_name, "pruned", "dense")

#define SETTING(key_, kind_, fallback_, affects_, about_, ...)                                               \
  {                                                                                                          \
    .section = "prune", .key = #key_, .kind = OLICA_KIND_##kind_, .fallback = (fallback_),                   \
    .affects = OLICA_AFFECTS_##affects_, .about = (about_), .at = offsetof(olica_refit_options, key_),       \
    ##__VA_ARGS__                                                                                            \
  }
#define IN(low_, high_) .low = (low_), .high = (high_)

// clang-format off
static const olica_setting settings[] = {
  SETTING(shape, CHOICE, "layerwise", SURVEY, "layerwise: FFN widths by layer; uniform: one in all layers; olica: also ranks of query and key, and value neurons, by layer",
          .choice = shape_name),
  SETTING(allocation, CHOICE, "measured", SURVEY, "by what widths go by layer; measured: error curves and probes; influence: one number a layer",
          .choice = allocation_name),
  SETTING(probes, INTEGER, "0", SURVEY, "sequences of the probes of allocation = measured; 0: 8, or all if there are fewer", IN(0, 4096), .unit = "sequences"),
  SETTING(cap, REAL, "0", RESULT, "share of a layer's neurons that may go, at most, of widths by layer; 0: by the sparsity", IN(0, 1), .open = "[)"),
  SETTING(select, CHOICE, "olica", SURVEY, "which neurons stay; olica: by the norms of their weights, weighted by energies; obs: Optimal Brain Surgeon",
          .choice = select_name),
  SETTING(statistics, CHOICE, "pruned", RESULT, "stream that a layer is cut by: of what was pruned before, or the dense model's",
          .choice = statistics_name),
  SETTING(damping, REAL, "0", SURVEY, "ridge of the down matrix's fit / mean of the Gram's diagonal; 0: 0.1, more of few tokens where widths go by layer", IN(0, 1e6)),
  SETTING(skip_lowest, REAL, "0.01", SURVEY, "share of an FFN's least important neurons that is kept, of select = olica", IN(0, 1), .open = "[)"),
  SETTING(align, CHOICE, "1", RESULT, "the FFN's width stays a multiple of it", .choice = olica_refit_align_name),
  OLICA_SETTINGS_END
};
// clang-format on

static const olica_fact facts[] = {
    [OLICA_FACT_DOWN_CHANGE] = {"down_change", "||W' - W|| / ||W|| of the kept columns of down, Frobenius",
                                .whole = false},
    [OLICA_FACT_SILENT] = {"silent_channels", "inputs of the layer's maps without energy", .whole = true},
};

static bool is_olica(const olica_refit_state *state) {
  return state->options.shape == OLICA_REFIT_OLICA;
}

static size_t kinds_of(const olica_refit_state *state) {
  return is_olica(state) ? OLICA_REFIT_KINDS : 1;
}

static olica_status create_modules(olica_refit_state *state) {
  const olica_arch *arch = state->job.model.arch;
  olica_env *env = state->job.context->env;
  size_t layers = (size_t)arch->layers;
  OLICA_TRY(OLICA_NEW(env, state->output_energy, layers * (size_t)arch->hidden));
  OLICA_TRY(OLICA_NEW(env, state->attention, layers * (size_t)olica_refit_attention_points(arch)));
  return OLICA_NEW(env, state->findings, layers * OLICA_REFIT_KINDS);
}

static olica_status create_state(const olica_method_job *job, olica_refit_state **out) {
  olica_env *env = job->context->env;
  size_t layers = (size_t)job->model.arch->layers;
  olica_refit_state *state;
  OLICA_TRY(OLICA_NEW(env, state, 1));
  state->job = *job;
  state->options = olica_refit_options_of(&job->model);
  state->options.damping = olica_refit_damping(&job->model, job->stream->sequences * job->stream->tokens);
  *out = state;
  OLICA_TRY(olica_refit_budget_make(env, &job->model, &state->budget));
  if (olica_refit_passes(&state->options) == 0) return OLICA_OK;
  if (is_olica(state)) OLICA_TRY(create_modules(state));
  OLICA_TRY(OLICA_NEW(env, state->measure, layers * kinds_of(state)));
  if (state->options.allocation != OLICA_REFIT_MEASURED) return OLICA_OK;
  return OLICA_NEW(env, state->curve, layers * ((size_t)job->model.arch->ffn + 1));
}

static olica_status create(const olica_method_job *job, void **out) {
  olica_refit_state *state = NULL;
  OLICA_AGREE(job->context, create_state(job, &state));
  *out = state;
  olica_log_line(job->context->env, "refit with a damping of %.4g", state->options.damping);
  if (!state->curve) return OLICA_OK;
  if (is_olica(state))
    OLICA_TRY(olica_shared_create(job->context, "a layer with turned value neurons",
                                  olica_layer_bytes(job->model.arch, &job->model.dense[0]), &state->turned));
  return olica_refit_probes_create(&state->job, olica_refit_probe_count(&job->model, job->stream->sequences),
                                   (int)kinds_of(state), &state->probes);
}

static void destroy(void *self) {
  olica_refit_state *state = self;
  olica_env *env = state->job.context->env;
  olica_refit_probes_destroy(state->probes);
  olica_memory_free(env, state->measure);
  olica_memory_free(env, state->curve);
  olica_memory_free(env, state->output_energy);
  olica_memory_free(env, state->attention);
  olica_memory_free(env, state->findings);
  olica_shared_destroy(state->turned);
  olica_memory_free(env, state);
}

static int arrays(void *self, olica_array array[OLICA_ARRAYS]) {
  const olica_refit_state *state = self;
  const int64_t layers = state->job.model.arch->layers, f = state->job.model.arch->ffn;
  if (!state->measure) return 0;
  if (is_olica(state)) {
    array[0] = (olica_array){"probe_kl", 2, {layers, OLICA_REFIT_KINDS}, 0, state->measure};
    array[1] = (olica_array){"error_curve", 2, {layers, f + 1}, 0, state->curve};
    array[2] = (olica_array){"attention_curve",
                             2,
                             {layers, olica_refit_attention_points(state->job.model.arch)},
                             0,
                             state->attention};
    array[3] =
        (olica_array){"output_energy", 2, {layers, state->job.model.arch->hidden}, 0, state->output_energy};
    return 4;
  }
  array[0] = (olica_array){state->curve ? "probe_kl" : "block_influence", 1, {layers}, 0, state->measure};
  if (!state->curve) return 1;
  array[1] = (olica_array){"error_curve", 2, {layers, f + 1}, 0, state->curve};
  return 2;
}

static int streams(void *self, olica_own_stream stream[OLICA_OWN_STREAMS]) {
  const olica_refit_state *state = self;
  if (!state->probes) return 0;
  stream[0] = (olica_own_stream){"probes", state->probes->dense};
  stream[1] = (olica_own_stream){"probes_cut", state->probes->cut};
  return 2;
}

static olica_status allocate(const olica_refit_state *state, int *width) {
  olica_env *env = state->job.context->env;
  const olica_refit_shares *shares = &state->budget.shares;
  double *weight;
  if (state->curve)
    return olica_refit_by_loss(env, shares, state->curve, state->budget.half, state->measure, width);
  OLICA_TRY(OLICA_NEW(env, weight, (size_t)shares->layers));
  olica_refit_influence_weights(state->measure, shares->layers, weight);
  olica_refit_by_weight(shares, weight, width);
  olica_memory_free(env, weight);
  return OLICA_OK;
}

/* Rank 0 decides. */
static olica_status module_shapes(const olica_refit_state *state, olica_layer_shape *shape) {
  olica_context *context = state->job.context;
  const olica_refit_budget *b = &state->budget;
  size_t layers = (size_t)state->job.model.arch->layers;
  olica_refit_measured measured = {state->curve, state->attention, state->measure, {0}};
  memcpy(measured.half, b->halves, sizeof measured.half);
  for (size_t i = 0; i < layers; i++) shape[i] = state->job.model.dense[i];
  OLICA_AGREE(context, context->rank == 0
                           ? olica_refit_by_modules(context->env, &b->modules, &measured, shape)
                           : OLICA_OK);
  olica_comm_bcast(context, context->comm, shape, layers * sizeof *shape, 0);
  for (size_t i = 0; i < layers; i++)
    for (size_t k = 0; k < OLICA_REFIT_KINDS; k++)
      state->findings[k * layers + i] = state->measure[i * OLICA_REFIT_KINDS + k];
  return OLICA_OK;
}

/* Rank 0 decides. Without a pass the plan's widths stay. */
static olica_status shapes(void *self, olica_layer_shape *shape) {
  const olica_refit_state *state = self;
  olica_context *context = state->job.context;
  int layers = state->job.model.arch->layers, *width;
  if (!state->measure) return OLICA_OK;
  if (is_olica(state)) return module_shapes(state, shape);
  OLICA_AGREE(context, OLICA_NEW(context->env, width, (size_t)layers));
  OLICA_AGREE(context, context->rank == 0 ? allocate(state, width) : OLICA_OK);
  olica_comm_bcast(context, context->comm, width, (size_t)layers * sizeof *width, 0);
  for (int i = 0; i < layers; i++) shape[i].ffn = width[i];
  olica_memory_free(context->env, width);
  return OLICA_OK;
}

static int findings(void *self, olica_finding finding[OLICA_FINDINGS]) {
  const olica_refit_state *state = self;
  int layers = state->job.model.arch->layers;
  if (!state->measure) return 0;
  if (is_olica(state)) {
    static const char *const names[] = {"probe_kl", "probe_kl_values", "probe_kl_query"};
    for (int k = 0; k < OLICA_REFIT_KINDS; k++)
      finding[k] = (olica_finding){names[k], OLICA_FINDING_NUMBERS, layers, state->findings + k * layers};
    return OLICA_REFIT_KINDS;
  }
  if (state->curve)
    finding[0] = (olica_finding){"probe_kl", OLICA_FINDING_NUMBERS, layers, state->measure};
  else
    finding[0] = (olica_finding){"block_influence", OLICA_FINDING_NUMBERS, layers, state->measure};
  return 1;
}

const olica_method olica_method_refit = {
    .name = "refit",
    .about = "drops FFN neurons and fits the down matrix again; opens in stock tools",
    .settings = settings,
    .settings_bytes = sizeof(olica_refit_options),
    .calibrates = true,
    .passes = 1,
    .passes_of = olica_refit_passes,
    .facts = facts,
    .fact_count = sizeof facts / sizeof *facts,
    .plan = olica_refit_plan,
    .explain = olica_refit_explain,
    .advise = olica_refit_advise,
    .create = create,
    .destroy = destroy,
    .observe = olica_refit_observe,
    .arrays = arrays,
    .streams = streams,
    .scorer = olica_refit_scorer,
    .shapes = shapes,
    .findings = findings,
    .cut = olica_refit_cut,
};
