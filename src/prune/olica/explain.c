/* Output of --check and warnings of the log about the budget, before a run. */
#include "budget.h"

/* Warns above this share: hardly any of the part would be left. */
#define MOST_OF_IT 0.9

/* Returns the numbers that a layer with or without a branch loses. */
static double removed(const olica_method_model *model, const olica_budget *budget, bool calibrated) {
  const olica_layer_shape *dense = &model->dense[0], cut = olica_budget_shape(budget, dense, calibrated);
  return (double)(olica_layer_shape_total(model->arch, dense) - olica_layer_shape_total(model->arch, &cut));
}

/* Prints the sparsity reached, and the sparsities allowed. */
static void print_sparsity(const olica_method_model *model, const olica_budget *budget, FILE *to) {
  const olica_prune_options options = olica_prune_options_of(model);
  const olica_arch *arch = model->arch;
  double whole = (double)model->parameters, calibrated = (double)options.mlp_num;
  double cut =
      calibrated * removed(model, budget, true) + (arch->layers - calibrated) * removed(model, budget, false);
  double branches = 2.0 * calibrated * arch->hidden * budget->branch;
  const olica_sparsities allowed = olica_budget_sparsities(model);
  char text[OLICA_SPARSITIES_TEXT];
  fprintf(to, "sparsity     %g asked for, %.4f to be reached; branches are %.4f of the parameters%s\n",
          options.sparsity, cut / whole, branches / whole, options.count_branches ? ", counted" : "");
  fprintf(to, "allowed      %s with these settings; the smallest that removes anything is %.4g\n",
          olica_sparsities_text(&allowed, text), allowed.least);
}

void olica_budget_explain(olica_env *env, const olica_method_model *model, FILE *to) {
  const olica_arch *arch = model->arch;
  int64_t calibrated = olica_prune_options_of(model).mlp_num;
  olica_budget b;
  if (olica_budget_make(env, model, &b) != OLICA_OK) return;
  fprintf(to, "budget       shares removed: query/key %.4f, value/output %.4f, FFN %.4f\n", b.rho_qk,
          b.rho_vo, b.rho_ffn);
  fprintf(
      to,
      "a layer      query rank %d of %d, key rank %d of %d%s, %d of %d value neurons a head, %d of %d FFN "
      "neurons\n",
      b.q_rank, arch->heads * arch->head, b.k_rank, arch->kv_heads * arch->head,
      b.q_rank ? "" : " (0: whole)", arch->head - b.values_dropped, arch->head, arch->ffn - b.neurons_dropped,
      arch->ffn);
  fprintf(to, "calibrated   %lld layer%s, branches of rank %d\n", (long long)calibrated,
          olica_log_plural(calibrated), b.branch);
  if (b.neurons_filled)
    fprintf(to, "filled       layers without a branch keep %d neurons more: %d\n", b.neurons_filled,
            arch->ffn - b.neurons_dropped + b.neurons_filled);
  print_sparsity(model, &b, to);
}

/* Warns if calibrated layers get no branch. */
static void advise_branches(olica_env *env, const olica_prune_options *options, int hidden,
                            const olica_budget *budget) {
  if (options->mlp_num == 0 || options->ratio <= 0 || budget->branch > 0) return;
  if (budget->neurons_dropped == 0)
    olica_log_warn(env,
                   "[prune] mlp_num = %lld: sparsity = %g removes no FFN neuron, so no layer is calibrated",
                   (long long)options->mlp_num, options->sparsity);
  else
    olica_log_warn(env,
                   "[prune] ratio = %g of a hidden size of %d gives branches of rank 0: no layer is "
                   "calibrated; from %.6g on they have a rank",
                   options->ratio, hidden, 1.0 / hidden);
}

void olica_budget_advise(olica_env *env, const olica_method_model *model) {
  const olica_prune_options options = olica_prune_options_of(model);
  const olica_arch *arch = model->arch;
  olica_budget b;
  if (olica_budget_make(env, model, &b) != OLICA_OK) {
    olica_error_clear(env); /* the plan fails for the same reason and reports it */
    return;
  }
  if (!olica_budget_removes(&b)) {
    olica_log_warn(
        env, "[prune] sparsity = %g removes nothing: the smallest that removes a rank or a neuron is %.4g",
        options.sparsity, olica_budget_sparsities(model).least);
    return;
  }
  advise_branches(env, &options, arch->hidden, &b);
  if (b.rho_qk > MOST_OF_IT || b.rho_vo > MOST_OF_IT || b.rho_ffn > MOST_OF_IT)
    olica_log_warn(
        env,
        "[prune] sparsity = %g with k = %g leaves little of a part of every layer: query rank %d of "
        "%d, %d of %d value neurons a head, %d of %d FFN neurons",
        options.sparsity, options.k, b.q_rank ? b.q_rank : arch->heads * arch->head, arch->heads * arch->head,
        arch->head - b.values_dropped, arch->head, arch->ffn - b.neurons_dropped, arch->ffn);
}
