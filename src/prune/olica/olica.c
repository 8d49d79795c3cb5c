/* Olica (arXiv 2506.08436): low-rank query and key, orthogonal value neurons, fewer neurons, and a linear
 * calibration of the most linear FFNs. In outline:
 *
 *   plan      budget.c      shares, ranks and numbers of neurons that the sparsity leaves
 *             plan.c        shapes, memory and work
 *             explain.c     prints and warns
 *   observe   survey.c      dense model, layer by layer: output energies of the attention,
 *                           linearity of the FFN
 *   shapes    here          the mlp_num most linear FFNs get a branch; the last layer never does
 *   cut       cut.c         pruned stream, layer by layer:
 *             rotate.c        value and output: orthogonal value neurons, ordered by energy
 *             lowrank.c       query and key: weighted low-rank factors
 *             calibrate.c     the branch that compensates for the dropped FFN neurons
 *             decompose.c     runs query, key and branch at the same time
 *
 * This file holds the settings, the state and the choice of the calibrated layers. */
#include <math.h>
#include <string.h>

#include "../methods.h"
#include "par/comm.h"
#include "state.h"

static const char *ond_name(int i) {
  static const char *const names[] = {"fast", "standard"};
  return i >= 0 && i < 2 ? names[i] : NULL;
}

#define SETTING(key_, kind_, fallback_, affects_, about_, ...)                                               \
  {                                                                                                          \
    .section = "prune", .key = #key_, .kind = OLICA_KIND_##kind_, .fallback = (fallback_),                   \
    .affects = OLICA_AFFECTS_##affects_, .about = (about_), .at = offsetof(olica_prune_options, key_),       \
    ##__VA_ARGS__                                                                                            \
  }
#define IN(low_, high_) .low = (low_), .high = (high_)

// clang-format off
static const olica_setting settings[] = {
  SETTING(k, REAL, "3", RESULT, "ratio of the sparsity of query/key to that of value/output", IN(0, 1e6), .open = "(]"),
  SETTING(mlp_num, INTEGER, "6", RESULT, "layers that get a linear calibration branch", IN(0, 1e6), .unit = "layers"),
  SETTING(ratio, REAL, "0.03", RESULT, "rank of the branch / hidden size", IN(0, 1)),
  SETTING(percdamp, REAL, "0.5", SURVEY, "ridge of the linear fits / mean of the Gram's diagonal", IN(0, 1e6), .open = "(]"),
  SETTING(skip_lowest, REAL, "0.01", RESULT, "share of an FFN's least important neurons that is kept", IN(0, 1), .open = "[)"),
  SETTING(ond, CHOICE, "fast", SURVEY, "orthogonal neuron decomposition of value/output; standard: of the whole product, dear",
          .choice = ond_name),
  SETTING(count_branches, BOOL, "no", RESULT, "the branches count in the sparsity: the FFN loses more, to make room for them"),
  SETTING(fill, BOOL, "no", RESULT, "layers without a branch keep FFN neurons in its place, for which all lose more: no zeros in hf exports"),
  OLICA_SETTINGS_END
};
// clang-format on

static const olica_fact facts[] = {
    [OLICA_FACT_Q_ERROR] = {"q_error", "||b a - W|| / ||W|| of query, Frobenius norms, unweighted",
                            .whole = false},
    [OLICA_FACT_K_ERROR] = {"k_error", "the same of key", .whole = false},
    [OLICA_FACT_SILENT] = {"silent_channels", "inputs of the layer's maps without energy", .whole = true},
    [OLICA_FACT_Q_ENERGY] = {"q_energy", "share of query's energy that its rank keeps", .whole = false},
    [OLICA_FACT_K_ENERGY] = {"k_energy", "the same of key", .whole = false},
};

static const olica_curve curves[] = {
    [OLICA_CURVE_IMPORTANCE] = {"ffn_importance", "of the FFN's neurons, rising"},
    [OLICA_CURVE_Q] = {"q_spectrum", "eigenvalues of query's energy that its rank keeps, falling"},
    [OLICA_CURVE_K] = {"k_spectrum", "the same of key"},
};

static olica_status create_state(const olica_method_job *job, olica_state **out) {
  olica_env *env = job->context->env;
  const olica_method_model *model = &job->model;
  size_t layers = (size_t)model->arch->layers, ranks = (size_t)job->context->size;
  olica_state *state;
  OLICA_TRY(OLICA_NEW(env, state, 1));
  state->job = *job;
  state->options = olica_prune_options_of(model);
  OLICA_TRY(olica_budget_make(env, model, &state->budget));
  OLICA_TRY(OLICA_NEW(env, state->output_energy, layers * (size_t)model->arch->hidden));
  OLICA_TRY(OLICA_NEW(env, state->score, layers));
  OLICA_TRY(OLICA_NEW(env, state->calibrated, layers));
  OLICA_TRY(OLICA_NEW(env, state->chosen, layers));
  OLICA_TRY(OLICA_NEW(env, state->places, ranks));
  OLICA_TRY(OLICA_NEW(env, state->waiting, ranks));
  OLICA_TRY(OLICA_NEW(env, state->problems, ranks));
  *out = state;
  return OLICA_OK;
}

static olica_status create(const olica_method_job *job, void **out) {
  olica_state *state = NULL;
  OLICA_AGREE(job->context, create_state(job, &state));
  *out = state;
  return OLICA_OK;
}

static void destroy(void *self) {
  olica_state *state = self;
  olica_env *env = state->job.context->env;
  olica_memory_free(env, state->output_energy);
  olica_memory_free(env, state->score);
  olica_memory_free(env, state->calibrated);
  olica_memory_free(env, state->chosen);
  olica_memory_free(env, state->places);
  olica_memory_free(env, state->problems);
  olica_memory_free(env, state->waiting);
  olica_memory_free(env, state);
}

static int arrays(void *self, olica_array array[OLICA_ARRAYS]) {
  olica_state *state = self;
  const int64_t layers = state->job.model.arch->layers, d = state->job.model.arch->hidden;
  array[0] = (olica_array){"output_energy", 2, {layers, d}, 0, state->output_energy};
  array[1] = (olica_array){"score", 1, {layers}, -INFINITY, state->score};
  return 2;
}

/* Marks the most linear FFNs; of equal ones the first; never the last layer. */
static void choose_calibrated(olica_state *state) {
  int layers = state->job.model.arch->layers;
  memset(state->calibrated, 0, (size_t)layers * sizeof *state->calibrated);
  for (int64_t n = 0; n < state->options.mlp_num; n++) {
    int best = -1;
    for (int i = 0; i < layers - 1; i++)
      if (!state->calibrated[i] && (best < 0 || state->score[i] < state->score[best])) best = i;
    state->calibrated[best] = 1;
  }
}

static olica_status shapes(void *self, olica_layer_shape *shape) {
  olica_state *state = self;
  olica_context *context = state->job.context;
  int layers = state->job.model.arch->layers;
  choose_calibrated(state);
  /* Rank 0 decides, since the last bits of the sums may differ. */
  olica_comm_bcast(context, context->comm, state->calibrated, (size_t)layers * sizeof *state->calibrated, 0);
  for (int i = 0, n = 0; i < layers; i++) {
    shape[i] = olica_budget_shape(&state->budget, &state->job.model.dense[i], state->calibrated[i]);
    if (state->calibrated[i]) state->chosen[n++] = i;
  }
  return OLICA_OK;
}

static int findings(void *self, olica_finding finding[OLICA_FINDINGS]) {
  olica_state *state = self;
  finding[0] =
      (olica_finding){"linearity_score", OLICA_FINDING_NUMBERS, state->job.model.arch->layers, state->score};
  finding[1] =
      (olica_finding){"calibrated_layers", OLICA_FINDING_LAYERS, (int)state->options.mlp_num, state->chosen};
  return 2;
}

const olica_method olica_method_olica = {
    .name = "olica",
    .about = "low-rank query/key, orthogonal value/output neurons, calibrated FFN (arXiv 2506.08436)",
    .settings = settings,
    .settings_bytes = sizeof(olica_prune_options),
    .calibrates = true,
    .passes = 1,
    .facts = facts,
    .fact_count = sizeof facts / sizeof *facts,
    .curves = curves,
    .curve_count = sizeof curves / sizeof *curves,
    .plan = olica_olica_plan,
    .explain = olica_budget_explain,
    .advise = olica_budget_advise,
    .create = create,
    .destroy = destroy,
    .observe = olica_olica_observe,
    .settle = olica_olica_settle,
    .gathers = olica_olica_gathers,
    .arrays = arrays,
    .shapes = shapes,
    .findings = findings,
    .cut = olica_olica_cut,
};
