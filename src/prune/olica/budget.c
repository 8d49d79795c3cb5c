#include "budget.h"

#include <math.h>
#include <stdio.h>

#include "../lowrank.h"

#define MIDDLE 0.4   /* below and above it query and key follow different rules */
#define DECIMALS 1e4 /* rounding of the sparsities in messages */

/* The part of a model that its budget depends on. */
typedef struct subject {
  const olica_prune_options *options;
  const olica_arch *arch;
  const olica_layer_shape *dense;
  int64_t parameters;
} subject;

static double numbers_of(const subject *of, olica_projection a, olica_projection b) {
  return (double)olica_layer_shape_numbers(of->arch, of->dense, a) +
         (double)olica_layer_shape_numbers(of->arch, of->dense, b);
}

/* Returns the numbers of all layers' branches: two factors each. */
static double branches(const subject *of, int rank) {
  return 2.0 * of->options->mlp_num * of->arch->hidden * rank;
}

/* Returns the numbers of the neurons that layers without a branch keep in its place: as many in each as the
 * branch has ranks. */
static double fillings(const subject *of, int rank) {
  olica_layer_shape less = *of->dense;
  less.ffn--;
  double neuron =
      (double)(olica_layer_shape_total(of->arch, of->dense) - olica_layer_shape_total(of->arch, &less));
  return neuron * (double)(of->arch->layers - of->options->mlp_num) * rank;
}

/* Computes shares and counts for a sparsity, feasible or not; `extra` numbers are removed beside those asked
 * for. */
static olica_budget share_out(const subject *of, double p, double extra) {
  const olica_arch *arch = of->arch;
  double n_qk = numbers_of(of, OLICA_Q, OLICA_K), n_vo = numbers_of(of, OLICA_V, OLICA_O);
  double m =
      numbers_of(of, OLICA_GATE, OLICA_UP) + (double)olica_layer_shape_numbers(arch, of->dense, OLICA_DOWN);
  double k = of->options->k, rho_vo = 2.0 * p / (1.0 + k), rho_qk = p <= MIDDLE ? 2.0 * p : k * rho_vo;
  double rho_ffn = (((double)of->parameters * p + extra) / arch->layers - n_vo * rho_vo - n_qk * rho_qk) / m;
  return (olica_budget){.rho_qk = rho_qk,
                        .rho_vo = rho_vo,
                        .rho_ffn = rho_ffn,
                        .q_rank = olica_lowrank_rank(rho_qk, arch->hidden, arch->heads * arch->head),
                        .k_rank = olica_lowrank_rank(rho_qk, arch->hidden, arch->kv_heads * arch->head),
                        .values_dropped = (int)floor(rho_vo * arch->head),
                        .neurons_dropped = (int)floor(rho_ffn * arch->ffn),
                        .neurons_skipped = (int)floor(of->options->skip_lowest * arch->ffn),
                        .branch = (int)floor(of->options->ratio * arch->hidden)};
}

/* If no neuron is dropped, the residual is zero and there is no branch, nor anything to make room for. */
static olica_budget compute(const subject *of, double p) {
  const olica_prune_options *options = of->options;
  olica_budget budget = share_out(of, p, 0);
  if (budget.neurons_dropped == 0) {
    budget.branch = 0;
    return budget;
  }
  bool fills = options->fill && options->mlp_num > 0 && budget.neurons_dropped > 0;
  budget = share_out(of, p,
                     (options->count_branches ? branches(of, budget.branch) : 0) +
                         (fills ? fillings(of, budget.branch) : 0));
  if (fills)
    budget.neurons_filled = budget.branch < budget.neurons_dropped ? budget.branch : budget.neurons_dropped;
  return budget;
}

static bool is_share(double rho) {
  return rho >= 0.0 && rho < 1.0;
}

static bool has_neurons(const subject *of, const olica_budget *b) {
  return (int64_t)b->neurons_dropped + b->neurons_skipped <= of->arch->ffn &&
         b->neurons_dropped < of->arch->ffn;
}

static bool can_be(const subject *of, double p) {
  const olica_budget b = compute(of, p);
  return is_share(b.rho_vo) && is_share(b.rho_qk) && is_share(b.rho_ffn) && has_neurons(of, &b);
}

/* ---- the sparsities that can be ---- */

static bool removes_something(const subject *of, double p) {
  const olica_budget b = compute(of, p);
  return olica_budget_removes(&b);
}

/* Returns the point in [from, to] where the answer changes: to within a millionth, on the side of `from`. */
static double last_like(const subject *of, bool (*asks)(const subject *of, double p), double from,
                        double to) {
  bool answer = asks(of, from);
  while (to - from > 1e-6) {
    double half = 0.5 * (from + to);
    *(asks(of, half) == answer ? &from : &to) = half;
  }
  return from;
}

/* Returns the largest feasible sparsity. All shares grow with p, so the feasible range of a rule begins at
 * its start, or is empty. */
static double most_from(const subject *of, double from, double to) {
  if (!can_be(of, from)) return from;
  if (can_be(of, to)) return to;
  double most = floor(last_like(of, can_be, from, to) * DECIMALS) / DECIMALS;
  return most > from ? most : from;
}

static double least_within(const subject *of, double from, double most) {
  if (!removes_something(of, most)) return 1.0;
  if (removes_something(of, from)) return from;
  return ceil((last_like(of, removes_something, from, most) + 1e-6) * DECIMALS) / DECIMALS;
}

static olica_sparsities sparsities(const subject *of) {
  const double behind = MIDDLE + 1.0 / DECIMALS;
  olica_sparsities found = {.middle = MIDDLE, .most = {most_from(of, 0.0, MIDDLE), MIDDLE}};
  if (can_be(of, behind)) found.most[1] = most_from(of, behind, 1.0);
  found.least = least_within(of, 0.0, found.most[0]);
  if (found.least == 1.0 && found.most[1] > MIDDLE) found.least = least_within(of, behind, found.most[1]);
  return found;
}

olica_sparsities olica_budget_sparsities(const olica_method_model *model) {
  const olica_prune_options options = olica_prune_options_of(model);
  const subject of = {&options, model->arch, &model->dense[0], model->parameters};
  return sparsities(&of);
}

const char *olica_sparsities_text(const olica_sparsities *allowed, char *text) {
  if (allowed->most[1] <= allowed->middle)
    snprintf(text, OLICA_SPARSITIES_TEXT, "0 to %.6g", allowed->most[0]);
  else if (allowed->most[0] >= allowed->middle)
    snprintf(text, OLICA_SPARSITIES_TEXT, "0 to %.6g", allowed->most[1]);
  else
    snprintf(text, OLICA_SPARSITIES_TEXT, "0 to %.6g and %.6g to %.6g", allowed->most[0],
             allowed->middle + 1.0 / DECIMALS, allowed->most[1]);
  return text;
}

/* ---- refusals ---- */

/* Returns the k nearest to the one asked for that allows the sparsity and a little more, in steps of a tenth;
 * 0: none up to 10. */
static double other_k(const subject *of) {
  enum { STEPS = 100 };
  double best = 0;
  for (int i = 1; i <= STEPS; i++) {
    olica_prune_options options = *of->options;
    const subject other = {&options, of->arch, of->dense, of->parameters};
    options.k = i / 10.0;
    if (can_be(&other, 1.002 * options.sparsity) &&
        (best == 0 || fabs(options.k - of->options->k) < fabs(best - of->options->k)))
      best = options.k;
  }
  return best;
}

static olica_status refuse(olica_env *env, const subject *of, const char *why) {
  char range[OLICA_SPARSITIES_TEXT], way[64] = "no other k up to 10 allows it";
  const olica_sparsities allowed = sparsities(of);
  double k = other_k(of);
  if (k > 0) snprintf(way, sizeof way, "k = %g would allow it", k);
  return olica_error_set(env, OLICA_ERR_CONFIG,
                         "[prune] sparsity = %g with k = %g %s; with these settings this model allows a "
                         "sparsity of %s%s; %s",
                         of->options->sparsity, of->options->k, why, olica_sparsities_text(&allowed, range),
                         of->options->count_branches ? " (count_branches = yes)" : "", way);
}

static olica_status check_share(olica_env *env, const subject *of, const char *what, double rho) {
  char why[128];
  if (is_share(rho)) return OLICA_OK;
  snprintf(why, sizeof why, "asks for a share of %.4f of %s, expected one in [0, 1)", rho, what);
  return refuse(env, of, why);
}

static olica_status check_settings(olica_env *env, const olica_prune_options *options,
                                   const olica_arch *arch) {
  if (options->mlp_num > arch->layers - 1)
    return olica_error_set(
        env, OLICA_ERR_CONFIG,
        "[prune] mlp_num = %lld, expected at most %d: the model has %d layers and the last is never "
        "calibrated",
        (long long)options->mlp_num, arch->layers - 1, arch->layers);
  if (options->ond == OLICA_OND_STANDARD && arch->head > arch->hidden)
    return olica_error_set(
        env, OLICA_ERR_CONFIG,
        "[prune] ond = standard with heads of %d and a hidden size of %d, expected heads no "
        "wider than the hidden size; use fast",
        arch->head, arch->hidden);
  return OLICA_OK;
}

olica_prune_options olica_prune_options_of(const olica_method_model *model) {
  olica_prune_options options = *(const olica_prune_options *)model->settings;
  options.sparsity = model->sparsity;
  return options;
}

olica_status olica_budget_make(olica_env *env, const olica_method_model *model, olica_budget *budget) {
  const olica_prune_options own = olica_prune_options_of(model), *options = &own;
  const subject of = {options, model->arch, &model->dense[0], model->parameters};
  char range[OLICA_SPARSITIES_TEXT];
  OLICA_TRY(check_settings(env, options, model->arch)); /* the loops below count up to mlp_num */
  *budget = compute(&of, options->sparsity);
  OLICA_TRY(check_share(env, &of, "value and output", budget->rho_vo));
  OLICA_TRY(check_share(env, &of, "query and key", budget->rho_qk));
  OLICA_TRY(check_share(env, &of, "the FFN", budget->rho_ffn));
  if (has_neurons(&of, budget)) return OLICA_OK;
  const olica_sparsities allowed = sparsities(&of);
  return olica_error_set(
      env, OLICA_ERR_CONFIG,
      "[prune] skip_lowest = %g keeps %d of %d FFN neurons while sparsity = %g drops %d: too many; with "
      "these settings this model allows a sparsity of %s, and a smaller skip_lowest a larger one",
      options->skip_lowest, budget->neurons_skipped, model->arch->ffn, options->sparsity,
      budget->neurons_dropped, olica_sparsities_text(&allowed, range));
}

bool olica_budget_removes(const olica_budget *budget) {
  return budget->q_rank > 0 || budget->k_rank > 0 || budget->values_dropped > 0 ||
         budget->neurons_dropped > 0;
}

olica_layer_shape olica_budget_shape(const olica_budget *budget, const olica_layer_shape *dense,
                                     bool calibrated) {
  olica_layer_shape shape = *dense;
  shape.rank[OLICA_Q] = budget->q_rank;
  shape.rank[OLICA_K] = budget->k_rank;
  shape.values -= budget->values_dropped;
  shape.ffn -= budget->neurons_dropped - (calibrated ? 0 : budget->neurons_filled);
  shape.branch = calibrated ? budget->branch : 0;
  return shape;
}
