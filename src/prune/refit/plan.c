/* The memory and work of refit: moment by moment of its pass and of its cut, each the sum of the blocks held
 * then. */
#include <math.h>

#include "curve.h"
#include "down.h"
#include "influence.h"
#include "order.h"
#include "state.h"

/* Counted bytes of the Gram's sums, including a rank's share of the node's. */
static double sums_bytes(const olica_method_model *model, const olica_method_site *site) {
  int f = model->arch->ffn, pack = site->pack_rows / site->tokens;
  return (double)olica_fit_sums_bytes(site->precision, 1, f, site->tokens, pack) +
         olica_method_node_share(site, (double)olica_fit_sums_node_bytes(1, f));
}

static double lists_bytes(const olica_arch *arch, const olica_layer_shape *shape) {
  return (double)sizeof(int32_t) * (arch->kv_heads * shape->values + shape->ffn);
}

/* The moments of a cut: the dense layer's pass, the choice of neurons, the refit, and the cut layer's pass.
 */
static olica_status cut_bytes(olica_env *env, const olica_method_model *model, const olica_method_site *site,
                              const olica_layer_shape *cut, double *most) {
  const olica_arch *arch = model->arch;
  bool stays = olica_refit_options_of(model).statistics == OLICA_REFIT_PRUNED;
  double sums = sums_bytes(model, site), energies = (double)olica_energies_bytes(arch, site->threads), refit;
  double lists = lists_bytes(arch, cut);
  double copy = stays ? (double)sizeof(float) * site->pack_rows * arch->hidden : 0;
  OLICA_TRY(olica_refit_down_bytes(env, site, arch, cut->ffn, sums, &refit));
  double pass = sums + olica_method_packed_bytes(model, site, &model->dense[0]) + copy;
  double choice = sums + lists + olica_refit_order_bytes(arch);
  *most = energies + fmax(pass, fmax(choice, lists + refit));
  *most = fmax(*most, lists + olica_method_packed_bytes(model, site, cut));
  return OLICA_OK;
}

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

static void plan_work(const olica_method_model *model, const olica_method_site *site,
                      olica_method_plan *plan) {
  for (int i = 0; i < model->arch->layers; i++) {
    double d = model->arch->hidden, n = plan->shapes[i].ffn, gone = model->arch->ffn - n;
    const olica_problem problem = olica_refit_down_problem(model->arch->hidden, plan->shapes[i].ffn);
    plan->solver_work += n * n * n / 3 + 2 * n * n * d + 2 * n * gone * d;
    plan->solver_seconds += olica_solver_seconds(&problem, 1);
  }
  plan->sequence = sequence_work(model, site, plan);
}

/* The moments of a layer's pass: its sums, with the energies; the order of its neurons; its error curve; its
 * half fitted again; and the probes' pass through both. The dense layer is packed throughout. At the end of
 * the pass the output is looked at, with a packed panel. */
static olica_status measure_bytes(olica_env *env, const olica_method_model *model,
                                  const olica_method_site *site, const olica_refit_budget *budget,
                                  const olica_refit_probes_bytes *probes, double *most) {
  const olica_arch *arch = model->arch;
  double sums = sums_bytes(model, site), energies = (double)olica_energies_bytes(arch, site->threads);
  double order = (double)sizeof(int32_t) * arch->ffn, curve, refit;
  olica_layer_shape half = model->dense[0];
  half.ffn = budget->half;
  double lists = lists_bytes(arch, &half);
  OLICA_TRY(olica_refit_curve_bytes(env, site, arch, &curve));
  OLICA_TRY(olica_refit_down_bytes(env, site, arch, half.ffn, sums, &refit));
  double measured = fmax(sums + fmax(olica_refit_order_bytes(arch), order + curve), order + lists + refit);
  double probed = lists + olica_method_packed_bytes(model, site, &half) + probes->gathered;
  double panel = (double)olica_packed_bytes(site->precision, site->panel_rows, arch->hidden);
  *most = olica_method_packed_bytes(model, site, &model->dense[0]) + fmax(energies + measured, probed);
  *most = fmax(*most, olica_method_node_share(site, panel) + probes->scored);
  return OLICA_OK;
}

static olica_status observe_bytes(olica_env *env, const olica_method_model *model,
                                  const olica_method_site *site, const olica_refit_budget *budget,
                                  olica_method_plan *plan) {
  const olica_arch *arch = model->arch;
  const olica_refit_options options = olica_refit_options_of(model);
  if (olica_refit_passes(model->settings) == 0) return OLICA_OK;
  double layers = arch->layers, states = (double)sizeof(float) * site->tokens * arch->hidden;
  plan->arrays = sizeof(double) * layers;
  if (options.allocation == OLICA_REFIT_INFLUENCE) {
    plan->stays = plan->arrays;
    plan->observe =
        olica_method_packed_bytes(model, site, &model->dense[0]) + olica_refit_influence_bytes(model, site);
    return OLICA_OK;
  }
  const olica_refit_probes_bytes probes = olica_refit_probes_need(model, site, (int)options.probes);
  plan->arrays += sizeof(double) * layers * (arch->ffn + 1);
  plan->stays = plan->arrays + probes.streams;
  plan->arrays += states * (double)options.probes * (layers + 1);
  return measure_bytes(env, model, site, budget, &probes, &plan->observe);
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
  double pairs =
      (double)options.probes * arch->layers * (arch->layers + 1) / 2; /* layers that variants pass */
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
  OLICA_TRY(fill_shapes(env, model, &budget, plan));
  const olica_layer_shape widest = widest_cut(model, &budget, plan);
  OLICA_TRY(cut_bytes(env, model, site, &widest, &plan->cut));
  OLICA_TRY(observe_bytes(env, model, site, &budget, plan));
  plan->node = (double)olica_fit_sums_node_bytes(1, model->arch->ffn);
  if (plan->observe > 0)
    plan->node += (double)olica_maps_bytes(model->arch, &model->dense[0], site->precision);
  plan->room = (double)olica_fit_sums_room(site->precision);
  plan_work(model, site, plan);
  count_probes(model, site, plan, &plan->sequence);
  return OLICA_OK;
}
