/* The shapes and the work of Olica. Its memory is replayed beside the functions that allocate it. */
#include "../decompose.h"
#include "state.h"

/* Operations per sequence: the survey's pass with its sums; the collecting pass, up to the neurons; the fits
 * of calibrated layers, and their residuals. */
static double sequence_work(const olica_method_model *model, const olica_method_site *site,
                            const olica_budget *budget) {
  const olica_arch *arch = model->arch;
  double d = arch->hidden, sums = 3 * d * d, residual = 2 * 3 * d * budget->neurons_dropped;
  double whole = olica_layer_shape_work(arch, &model->dense[0], site->tokens);
  double collected = whole - 2.0 * (double)olica_layer_shape_numbers(arch, &model->dense[0], OLICA_DOWN);
  double fitted = budget->branch > 0 ? (double)olica_prune_options_of(model).mlp_num : 0;
  return site->tokens * (arch->layers * (whole + sums + collected) + fitted * (sums + residual));
}

/* Problems side by side, each on one rank; large ones are shared by several ranks, at about the same
 * efficiency. */
static double step_seconds(int count, const olica_problem *problem, int ranks) {
  double sum = 0;
  for (int i = 0; i < count; i++) sum += olica_solver_seconds(&problem[i], 1);
  return sum / (ranks < count ? ranks : count ? count : 1);
}

static double solver_seconds(const olica_method_model *model, const olica_budget *budget, int ranks) {
  const olica_arch *arch = model->arch;
  const olica_problem fit = olica_fit_problem(arch->hidden);
  int calibrated = budget->branch > 0 ? (int)olica_prune_options_of(model).mlp_num : 0;
  int side_by_side = ranks < arch->layers ? ranks : arch->layers;
  double seconds = arch->layers * olica_solver_seconds(&fit, 1) / side_by_side;
  for (int with = 0; with < 2; with++) {
    const olica_layer_shape shape = olica_budget_shape(budget, &model->dense[0], with);
    olica_problem problem[OLICA_DECOMPOSE_MOST];
    int count = olica_decompose_problems(arch, &shape, problem);
    seconds += (with ? calibrated : arch->layers - calibrated) * step_seconds(count, problem, ranks);
  }
  return seconds;
}

static void plan_work(const olica_method_model *model, const olica_method_site *site,
                      const olica_budget *budget, olica_method_plan *plan) {
  double d = model->arch->hidden, n = model->arch->heads * model->arch->head;
  plan->sequence = sequence_work(model, site, budget);
  plan->solver_work = model->arch->layers * (2.4 * d * d * d + 4 * n * n * n);
  plan->solver_seconds = solver_seconds(model, budget, site->ranks);
}

olica_status olica_olica_plan(olica_env *env, const olica_method_model *model, const olica_method_site *site,
                              olica_method_plan *plan) {
  const olica_arch *arch = model->arch;
  const olica_layer_shape *dense = model->dense;
  int64_t calibrated = olica_prune_options_of(model).mlp_num;
  olica_budget budget;
  OLICA_TRY(olica_budget_make(env, model, &budget));
  for (int i = 0; i < arch->layers; i++)
    plan->shapes[i] = olica_budget_shape(&budget, &dense[i], i < calibrated);
  plan->largest = olica_budget_shape(&budget, &dense[0], calibrated > 0);
  plan->largest.ffn = plan->shapes[arch->layers - 1].ffn; /* never calibrated; filled it is wider */
  plan->arrays = 8.0 * arch->layers * (arch->hidden + 1);
  olica_ledger_hold(&plan->create, (size_t)plan->arrays);
  OLICA_TRY(olica_olica_replay_survey(env, &plan->observe, model, site));
  OLICA_TRY(olica_olica_replay_cut(env, &plan->cut, model, site, &budget, &plan->largest));
  plan_work(model, site, &budget, plan);
  return OLICA_OK;
}
