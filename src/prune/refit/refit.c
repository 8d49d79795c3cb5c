/* Refit: fewer FFN neurons, and a down matrix that is fitted again so that those left make up for those gone.
 * The attention stays as it is, and no tensor is added. In outline:
 *
 *   plan      budget.c      numbers of neurons that the sparsity leaves
 *             plan.c        shapes, memory and work
 *   cut       cut.c         layer by layer, on the stream of what was cut before, or on the dense one:
 *             down.c          the refit of the down matrix
 *
 * This file holds the settings and the state. */
#include "../methods.h"
#include "par/comm.h"
#include "state.h"

#define NAMES(function_, ...)                                                                                \
  static const char *function_(int i) {                                                                      \
    static const char *const names[] = {__VA_ARGS__};                                                        \
    return i >= 0 && (size_t)i < sizeof names / sizeof *names ? names[i] : NULL;                             \
  }

NAMES(shape_name, "uniform")
NAMES(allocation_name, "uniform")
NAMES(select_name, "olica")
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
  SETTING(shape, CHOICE, "uniform", RESULT, "uniform: one FFN width in all layers", .choice = shape_name),
  SETTING(allocation, CHOICE, "uniform", RESULT, "how the layers share what goes", .choice = allocation_name),
  SETTING(select, CHOICE, "olica", RESULT, "which neurons stay; olica: by the norms of their weights, weighted by energies",
          .choice = select_name),
  SETTING(statistics, CHOICE, "pruned", RESULT, "stream that a layer is cut by: of what was pruned before, or the dense model's",
          .choice = statistics_name),
  SETTING(damping, REAL, "0.1", RESULT, "ridge of the down matrix's fit / mean of the Gram's diagonal", IN(0, 1e6), .open = "(]"),
  SETTING(skip_lowest, REAL, "0.01", RESULT, "share of an FFN's least important neurons that is kept", IN(0, 1), .open = "[)"),
  SETTING(align, CHOICE, "1", RESULT, "the FFN's width stays a multiple of it", .choice = olica_refit_align_name),
  OLICA_SETTINGS_END
};
// clang-format on

static const olica_fact facts[] = {
    [OLICA_FACT_DOWN_CHANGE] = {"down_change", "||W' - W|| / ||W|| of the kept columns of down, Frobenius"},
    [OLICA_FACT_SILENT] = {"silent_channels", "inputs of the layer's maps without energy", .whole = true},
};

static olica_status create_state(const olica_method_job *job, olica_refit_state **out) {
  olica_refit_state *state;
  OLICA_TRY(OLICA_NEW(job->context->env, state, 1));
  state->job = *job;
  state->options = olica_refit_options_of(&job->model);
  *out = state;
  return olica_refit_budget_make(job->context->env, &job->model, &state->budget);
}

static olica_status create(const olica_method_job *job, void **out) {
  olica_refit_state *state = NULL;
  OLICA_AGREE(job->context, create_state(job, &state));
  *out = state;
  return OLICA_OK;
}

static void destroy(void *self) {
  olica_refit_state *state = self;
  olica_memory_free(state->job.context->env, state);
}

const olica_method olica_method_refit = {
    .name = "refit",
    .about = "drops FFN neurons and fits the down matrix again; opens in stock tools",
    .settings = settings,
    .settings_bytes = sizeof(olica_refit_options),
    .calibrates = true,
    .facts = facts,
    .fact_count = sizeof facts / sizeof *facts,
    .plan = olica_refit_plan,
    .explain = olica_refit_explain,
    .advise = olica_refit_advise,
    .create = create,
    .destroy = destroy,
    .cut = olica_refit_cut,
};
