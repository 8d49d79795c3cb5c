/* The memory and work of Olica: moment by moment of its pass and of its cut, each the sum of the blocks held
 * then. */
#include <math.h>

#include "../select.h"
#include "calibrate.h"
#include "decompose.h"
#include "rotate.h"
#include "state.h"

static double larger(double a, double b) {
  return a > b ? a : b;
}

/* Returns the counted bytes of a fit's sums, including a rank's share of the node's. */
static double fit_sums_bytes(const olica_method_model *model, const olica_method_site *site) {
  int d = model->arch->hidden, pack = site->pack_rows / site->tokens;
  return (double)olica_fit_sums_bytes(site->precision, OLICA_SIDES, d, site->tokens, pack) +
         olica_method_node_share(site, (double)olica_fit_sums_node_bytes(OLICA_SIDES, d));
}

/* Computes the bytes of `fits` fits that are solved together, on the rank that needs most: the last one's
 * sums become a fit while the survey's workspace, `beside`, is still held; then all are solved. */
static olica_status batch_bytes(olica_env *env, const olica_method_site *site, int d, int fits, double beside,
                                double *most) {
  double gather = 0;
  olica_problem *problem;
  olica_placement *place;
  olica_problem_bytes *bytes;
  OLICA_TRY(OLICA_NEW(env, problem, (size_t)fits));
  OLICA_TRY(OLICA_NEW(env, place, (size_t)fits));
  OLICA_TRY(OLICA_NEW(env, bytes, (size_t)fits));
  for (int i = 0; i < fits; i++) problem[i] = olica_fit_problem(d);
  OLICA_TRY(olica_solver_place(env, site->backend, site->ranks, fits, problem, place));
  for (int i = 0; i < fits; i++) {
    const olica_site at = {place[i], site->block, site->nodes};
    bytes[i] = olica_fit_bytes(&at, d);
    gather = larger(gather, olica_fit_gather_bytes(&at, d));
  }
  olica_step_bytes step = olica_solver_step_bytes(fits, place, bytes);
  *most = fits * olica_fit_vector_bytes(d) + larger(step.begun + gather + beside, step.solved);
  olica_memory_free(env, problem);
  olica_memory_free(env, place);
  olica_memory_free(env, bytes);
  return OLICA_OK;
}

/* A batch has a fit for every rank, or for every layer that is left; the packed layer is held while they are
 * gathered and solved. */
static olica_status observe_bytes(olica_env *env, const olica_method_model *model,
                                  const olica_method_site *site, double *most) {
  const olica_arch *arch = model->arch;
  int d = arch->hidden, fits = site->ranks < arch->layers ? site->ranks : arch->layers,
      rest = arch->layers % fits;
  double beside = fit_sums_bytes(model, site) + 8.0 * site->threads * d; /* energies per thread */
  double all, last = 0;
  OLICA_TRY(batch_bytes(env, site, d, fits, beside, &all));
  if (rest > 0) OLICA_TRY(batch_bytes(env, site, d, rest, beside, &last));
  *most = olica_method_packed_bytes(model, site, &model->dense[0]) + larger(all, last);
  return OLICA_OK;
}

static double dropped_bytes(const olica_method_model *model, const olica_method_site *site,
                            const olica_budget *budget) {
  return (double)olica_dropped_bytes(site->precision, budget->neurons_dropped, model->arch->hidden);
}

/* Bytes while the residual's sums are formed: the dropped neurons with their biases, and a pack's inputs and
 * neurons. */
static double residual_bytes(const olica_method_model *model, const olica_method_site *site,
                             const olica_budget *budget) {
  double d = model->arch->hidden, n = budget->neurons_dropped, rows = site->pack_rows;
  return olica_method_node_share(site, dropped_bytes(model, site, budget)) + 4 * 2 * n +
         4 * rows * 2 * (d + n);
}

/* Bytes of the FFN's inputs in calibrated layers, in the precision of the products. */
static double inputs_bytes(const olica_method_model *model, const olica_method_site *site,
                           const olica_layer_shape *cut) {
  double positions = ceil((double)site->sequences / site->ranks) * site->tokens;
  if (cut->branch == 0) return 0;
  return (double)olica_number_size(site->precision) * positions * model->arch->hidden;
}

/* The moments of a cut: the rotation; then, with the energies held, the dense layer's pass over a copy of the
 * states, the choice of neurons, the residual's sums, the decompositions; and the cut layer's pass. */
static olica_status cut_bytes(olica_env *env, const olica_method_model *model, const olica_method_site *site,
                              const olica_budget *budget, const olica_layer_shape *cut, double *most) {
  const olica_arch *arch = model->arch;
  const olica_decompose_ranks on = {site->backend, site->block, site->ranks, site->nodes};
  double inputs = inputs_bytes(model, site, cut), sums = fit_sums_bytes(model, site), decomposed;
  double energies = (double)olica_energies_bytes(arch, site->threads);
  double lists = 4.0 * (arch->kv_heads * arch->head + arch->ffn); /* lists of kept neurons */
  double copy = 4.0 * site->pack_rows * arch->hidden;
  OLICA_TRY(olica_decompose_bytes(env, &on, arch, cut, sums, &decomposed));
  *most = larger(inputs + olica_method_packed_bytes(model, site, &model->dense[0]) + copy,
                 inputs + lists + (double)olica_select_bytes(arch));
  if (inputs > 0) *most = larger(*most, inputs + lists + sums + residual_bytes(model, site, budget));
  *most = energies + larger(*most, lists + decomposed);
  *most = larger(*most, lists + olica_method_packed_bytes(model, site, cut));
  *most = larger(*most, olica_rotate_bytes(arch, olica_prune_options_of(model).ond));
  return OLICA_OK;
}

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
  OLICA_TRY(observe_bytes(env, model, site, &plan->observe));
  OLICA_TRY(cut_bytes(env, model, site, &budget, &plan->largest, &plan->cut));
  plan->stays = (double)arch->layers * arch->hidden * 8; /* output energies of the attention */
  plan->arrays = 8.0 * arch->layers * (arch->hidden + 1);
  /* A fit's sums, beside a packed layer or the neurons that a cut has dropped. */
  plan->node = (double)olica_fit_sums_node_bytes(OLICA_SIDES, arch->hidden) +
               (plan->largest.branch > 0 ? dropped_bytes(model, site, &budget) : 0);
  plan->room = (double)olica_fit_sums_room(site->precision);
  plan_work(model, site, &budget, plan);
  return OLICA_OK;
}
