/* The shapes and the work of refit. Its memory is replayed beside the functions that allocate it. */
#include "down.h"
#include "influence.h"
#include "layers.h"
#include "obs.h"
#include "order.h"

/* Operations per sequence: the dense layers' passes, up to the neurons or, where the stream stays dense,
 * instead of the pruned layers' passes; and the sums. */
static double sequence_work(const olica_method_model *model, const olica_method_site *site,
                            const olica_method_plan *plan) {
  const olica_arch *arch = model->arch;
  bool dense = olica_refit_options_of(model).statistics == OLICA_REFIT_DENSE;
  double whole = olica_layer_shape_work(arch, &model->dense[0], site->tokens), all = 0;
  double last = 2.0 * (double)olica_layer_shape_numbers(arch, &model->dense[0], OLICA_DOWN);
  for (int i = 0; i < arch->layers; i++) {
    all += (double)arch->ffn * arch->ffn + whole;
    all -= dense ? olica_layer_shape_work(arch, &plan->shapes[i], site->tokens) : last;
  }
  return all * site->tokens;
}

/* Each layer's order, and where widths are measured one more. */
static void plan_orders(const olica_method_model *model, olica_method_plan *plan) {
  const olica_refit_options options = olica_refit_options_of(model);
  const olica_arch *arch = model->arch;
  const olica_problem inverse = {.order = arch->ffn, .columns = arch->ffn};
  bool twice = olica_refit_passes(&options) && options.allocation == OLICA_REFIT_MEASURED;
  for (int i = 0; i < arch->layers; i++) {
    plan->solver_work += olica_refit_obs_work(arch, plan->shapes[i].ffn);
    if (twice) plan->solver_work += olica_refit_obs_work(arch, 1);
    plan->solver_seconds += (twice ? 2 : 1) * olica_solver_seconds(&inverse, 1);
  }
}

static void plan_work(const olica_method_model *model, const olica_method_site *site,
                      olica_method_plan *plan) {
  for (int i = 0; i < model->arch->layers; i++) {
    double d = model->arch->hidden, n = plan->shapes[i].ffn, gone = model->arch->ffn - n;
    const olica_problem problem = olica_refit_problem(model->arch->hidden, model->arch->ffn);
    plan->solver_work += n * n * n / 3 + 2 * n * n * d + 2 * n * gone * d;
    plan->solver_seconds += olica_solver_seconds(&problem, 1);
  }
  if (olica_refit_options_of(model).select == OLICA_REFIT_BY_OBS) plan_orders(model, plan);
  plan->sequence = sequence_work(model, site, plan);
}

/* The pass, where the settings need one: arrays and own streams, and the moments. */
static olica_status replay_survey(olica_env *env, const olica_method_model *model,
                                  const olica_method_site *site, const olica_refit_budget *budget,
                                  olica_method_plan *plan) {
  const olica_arch *arch = model->arch;
  const olica_refit_options options = olica_refit_options_of(model);
  if (olica_refit_passes(model->settings) == 0) return OLICA_OK;
  double layers = arch->layers, states = (double)sizeof(float) * site->tokens * arch->hidden;
  bool measured = options.allocation == OLICA_REFIT_MEASURED;
  plan->arrays = sizeof(double) * layers * (measured ? arch->ffn + 2 : 1);
  olica_ledger_hold(&plan->create, (size_t)plan->arrays);
  if (!measured) {
    olica_refit_replay_influence(&plan->observe, model, site);
    return OLICA_OK;
  }
  int probes = olica_refit_probe_count(model, site->sequences);
  olica_refit_probes_hold(&plan->create, model, site, probes, arch->layers);
  plan->arrays += states * probes * (layers + 1);
  return olica_refit_replay_measure(env, &plan->observe, model, site, budget);
}

/* shape = olica: modules as alike as steps allow; every layer may need as much as a dense one. */
static olica_status fill_module_shapes(olica_env *env, const olica_method_model *model,
                                       const olica_refit_budget *budget, olica_method_plan *plan) {
  for (int i = 0; i < model->arch->layers; i++) plan->shapes[i] = model->dense[i];
  plan->largest = model->dense[0];
  return olica_refit_by_modules(env, &budget->modules, NULL, plan->shapes);
}

static olica_status replay_modules(olica_env *env, const olica_method_model *model,
                                   const olica_method_site *site, const olica_refit_budget *budget,
                                   olica_method_plan *plan) {
  const olica_arch *arch = model->arch;
  int probes = olica_refit_probe_count(model, site->sequences);
  double states = (double)sizeof(float) * site->tokens * arch->hidden;
  double numbers = arch->ffn + 1 + olica_refit_attention_points(arch) + arch->hidden + OLICA_REFIT_KINDS;
  olica_layer_shape widest = model->dense[0];
  plan->arrays = sizeof(double) * arch->layers * numbers;
  olica_ledger_hold(&plan->create, (size_t)plan->arrays);
  olica_ledger_hold(&plan->create, sizeof(double) * (size_t)arch->layers * OLICA_REFIT_KINDS);
  olica_ledger_hold_node(&plan->create, olica_layer_bytes(arch, &model->dense[0]));
  olica_refit_probes_hold(&plan->create, model, site, probes, OLICA_REFIT_KINDS * arch->layers);
  plan->arrays += states * probes * (OLICA_REFIT_KINDS * arch->layers + 1.0);
  for (int k = 0; k < OLICA_REFIT_KINDS; k++) {
    int levels = olica_refit_levels(arch, (olica_refit_kind)k);
    if (levels > 1) olica_refit_set_level(arch, (olica_refit_kind)k, levels - 1, &widest);
  }
  OLICA_TRY(olica_refit_replay_cut_modules(env, &plan->cut, model, site, &widest));
  return olica_refit_replay_survey_modules(env, &plan->observe, model, site, budget);
}

static olica_status fill_shapes(olica_env *env, const olica_method_model *model,
                                const olica_refit_budget *budget, olica_method_plan *plan) {
  const olica_arch *arch = model->arch;
  bool layerwise = olica_refit_options_of(model).shape == OLICA_REFIT_LAYERWISE;
  int *width;
  OLICA_TRY(OLICA_NEW(env, width, (size_t)arch->layers));
  OLICA_TRY(olica_refit_even(env, &budget->shares, width));
  for (int i = 0; i < arch->layers; i++) {
    plan->shapes[i] = model->dense[i];
    plan->shapes[i].ffn = layerwise ? width[i] : arch->ffn - budget->dropped;
  }
  olica_memory_free(env, width);
  plan->largest = layerwise ? model->dense[0] : plan->shapes[0];
  return OLICA_OK;
}

/* The cut that needs most is that of the widest layer which loses neurons. Where a pass decides it may be one
 * neuron, or what the others cannot lose. */
static olica_layer_shape widest_cut(const olica_method_model *model, const olica_refit_budget *budget,
                                    const olica_method_plan *plan) {
  const olica_refit_shares *s = &budget->shares;
  int f = model->arch->ffn;
  int64_t loses = s->total - (int64_t)(s->layers - 1) * (s->full - s->least);
  olica_layer_shape widest = plan->shapes[0];
  for (int i = 1; i < model->arch->layers; i++)
    if (plan->shapes[i].ffn > widest.ffn) widest = plan->shapes[i];
  if (olica_refit_passes(model->settings) > 0 && f > 1) widest.ffn = f - (loses > 1 ? (int)loses : 1);
  return widest;
}

static void count_probes(const olica_method_model *model, const olica_method_site *site,
                         const olica_method_plan *plan, double *work) {
  (void)plan;
  const olica_refit_options options = olica_refit_options_of(model);
  const olica_arch *arch = model->arch;
  double whole = site->tokens * olica_layer_shape_work(arch, &model->dense[0], site->tokens);
  double gram = site->tokens * (double)arch->ffn * arch->ffn;
  if (olica_refit_passes(model->settings) == 0) return;
  *work += arch->layers * whole;
  if (options.allocation != OLICA_REFIT_MEASURED) return;
  double kinds = options.shape == OLICA_REFIT_OLICA ? OLICA_REFIT_KINDS : 1;
  double pairs = kinds * olica_refit_probe_count(model, site->sequences) * arch->layers * (arch->layers + 1) /
                 2; /* layers that variants pass */
  *work += arch->layers * gram + pairs * whole / (double)site->sequences;
}

olica_status olica_refit_plan(olica_env *env, const olica_method_model *model, const olica_method_site *site,
                              olica_method_plan *plan) {
  const olica_refit_options options = olica_refit_options_of(model);
  olica_refit_budget budget;
  OLICA_TRY(olica_refit_budget_make(env, model, &budget));
  if (olica_refit_passes(&options) && options.allocation == OLICA_REFIT_MEASURED &&
      options.probes > site->sequences)
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "[prune] probes = %lld, expected at most [calibration] samples = %lld",
                           (long long)options.probes, (long long)site->sequences);
  if (options.shape == OLICA_REFIT_OLICA) {
    OLICA_TRY(fill_module_shapes(env, model, &budget, plan));
    OLICA_TRY(replay_modules(env, model, site, &budget, plan));
  } else {
    OLICA_TRY(fill_shapes(env, model, &budget, plan));
    const olica_layer_shape widest = widest_cut(model, &budget, plan);
    OLICA_TRY(olica_refit_replay_cut(env, &plan->cut, model, site, &widest));
    OLICA_TRY(replay_survey(env, model, site, &budget, plan));
  }
  plan_work(model, site, plan);
  count_probes(model, site, plan, &plan->sequence);
  return OLICA_OK;
}
