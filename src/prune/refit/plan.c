/* The memory and work of refit: moment by moment of its cut, each the sum of the blocks held then. */
#include <math.h>

#include "../select.h"
#include "down.h"
#include "state.h"

/* Counted bytes of the Gram's sums, including a rank's share of the node's. */
static double sums_bytes(const olica_method_model *model, const olica_method_site *site) {
  int f = model->arch->ffn, pack = site->pack_rows / site->tokens;
  return (double)olica_fit_sums_bytes(site->precision, 1, f, site->tokens, pack) +
         olica_method_node_share(site, (double)olica_fit_sums_node_bytes(1, f));
}

/* The moments of a cut: the dense layer's pass, the choice of neurons, the refit, and the cut layer's pass.
 */
static olica_status cut_bytes(olica_env *env, const olica_method_model *model, const olica_method_site *site,
                              const olica_layer_shape *cut, double *most) {
  const olica_arch *arch = model->arch;
  bool stays = olica_refit_options_of(model).statistics == OLICA_REFIT_PRUNED;
  double sums = sums_bytes(model, site), energies = (double)olica_energies_bytes(arch, site->threads), refit;
  double lists = (double)sizeof(int32_t) * (arch->kv_heads * cut->values + cut->ffn);
  double copy = stays ? (double)sizeof(float) * site->pack_rows * arch->hidden : 0;
  OLICA_TRY(olica_refit_down_bytes(env, site, arch, cut->ffn, sums, &refit));
  double pass = sums + olica_method_packed_bytes(model, site, &model->dense[0]) + copy;
  double choice = sums + lists + (double)olica_select_bytes(arch);
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

olica_status olica_refit_plan(olica_env *env, const olica_method_model *model, const olica_method_site *site,
                              olica_method_plan *plan) {
  const olica_arch *arch = model->arch;
  olica_refit_budget budget;
  OLICA_TRY(olica_refit_budget_make(env, model, &budget));
  for (int i = 0; i < arch->layers; i++) {
    plan->shapes[i] = model->dense[i];
    plan->shapes[i].ffn -= budget.dropped;
  }
  plan->largest = plan->shapes[0];
  OLICA_TRY(cut_bytes(env, model, site, &plan->largest, &plan->cut));
  plan->node = (double)olica_fit_sums_node_bytes(1, arch->ffn);
  plan->room = (double)olica_fit_sums_room(site->precision);
  plan_work(model, site, plan);
  return OLICA_OK;
}
