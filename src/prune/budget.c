#include "olica/prune/budget.h"

#include <math.h>

/* Rank that leaves (1 - rho) of the numbers of a [rows x d] weight; 0 where two factors would not be smaller.
 */
static int rank_for(double rho, int d, int rows) {
  double r = ceil((1.0 - rho) * d * rows / ((double)d + rows));
  return r < 1 || r * ((double)d + rows) >= (double)d * rows ? 0 : (int)r;
}

static olica_status check_share(olica_env *env, const char *what, double rho,
                                const olica_prune_options *options) {
  if (rho >= 0.0 && rho < 1.0) return OLICA_OK;
  return olica_error_set(
      env, OLICA_ERR_CONFIG,
      "[prune] sparsity = %g with k = %g asks for a share of %.4f of %s, expected one in [0, 1)",
      options->sparsity, options->k, rho, what);
}

olica_status olica_budget_make(olica_env *env, const olica_prune_options *options, const olica_arch *arch,
                               const olica_layer_shape *dense, int64_t parameters, olica_budget *budget) {
  double numbers[OLICA_PROJECTIONS];
  for (int i = 0; i < OLICA_PROJECTIONS; i++)
    numbers[i] = (double)olica_layer_shape_numbers(arch, dense, (olica_projection)i);
  double n_qk = numbers[OLICA_Q] + numbers[OLICA_K], n_vo = numbers[OLICA_V] + numbers[OLICA_O];
  double m = numbers[OLICA_GATE] + numbers[OLICA_UP] + numbers[OLICA_DOWN];
  double p = options->sparsity, rho_vo = 2.0 * p / (1.0 + options->k);
  double rho_qk = p <= 0.4 ? 2.0 * p : options->k * rho_vo;
  double rho_ffn = ((double)parameters * p / arch->layers - n_vo * rho_vo - n_qk * rho_qk) / m;
  OLICA_TRY(check_share(env, "value and output", rho_vo, options));
  OLICA_TRY(check_share(env, "query and key", rho_qk, options));
  OLICA_TRY(check_share(env, "the FFN", rho_ffn, options));
  if (options->mlp_num > arch->layers - 1)
    return olica_error_set(
        env, OLICA_ERR_CONFIG,
        "[prune] mlp_num = %d, expected at most %d: the model has %d layers and the last is never "
        "calibrated",
        options->mlp_num, arch->layers - 1, arch->layers);
  if (options->ond == OLICA_OND_STANDARD && arch->head > arch->hidden)
    return olica_error_set(
        env, OLICA_ERR_CONFIG,
        "[prune] ond = standard with heads of %d and a hidden size of %d, expected heads no "
        "wider than the hidden size; use fast",
        arch->head, arch->hidden);
  *budget = (olica_budget){.rho_qk = rho_qk,
                           .rho_vo = rho_vo,
                           .rho_ffn = rho_ffn,
                           .q_rank = rank_for(rho_qk, arch->hidden, arch->heads * arch->head),
                           .k_rank = rank_for(rho_qk, arch->hidden, arch->kv_heads * arch->head),
                           .values_dropped = (int)floor(rho_vo * arch->head),
                           .neurons_dropped = (int)floor(rho_ffn * arch->ffn),
                           .neurons_skipped = (int)floor(options->skip_lowest * arch->ffn),
                           .branch = (int)floor(options->ratio * arch->hidden)};
  if (budget->neurons_dropped == 0) budget->branch = 0; /* of a residual that is zero */
  int64_t gone = (int64_t)budget->neurons_dropped + budget->neurons_skipped;
  if (gone > arch->ffn || budget->neurons_dropped >= arch->ffn)
    return olica_error_set(
        env, OLICA_ERR_CONFIG,
        "[prune] skip_lowest = %g keeps %d of %d FFN neurons while sparsity = %g drops %d: too many",
        options->skip_lowest, budget->neurons_skipped, arch->ffn, p, budget->neurons_dropped);
  return OLICA_OK;
}

olica_layer_shape olica_budget_shape(const olica_budget *budget, const olica_layer_shape *dense,
                                     bool calibrated) {
  olica_layer_shape shape = *dense;
  shape.rank[OLICA_Q] = budget->q_rank;
  shape.rank[OLICA_K] = budget->k_rank;
  shape.values -= budget->values_dropped;
  shape.ffn -= budget->neurons_dropped;
  shape.branch = calibrated ? budget->branch : 0;
  return shape;
}
