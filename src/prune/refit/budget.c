#include "budget.h"

#include <math.h>

/* Warns where rounding to `align` leaves less than this share of what was asked for. */
#define NEARLY 0.98

static const struct {
  int width;
  const char *name;
} aligns[] = {{1, "1"}, {8, "8"}, {64, "64"}, {128, "128"}, {256, "256"}};

enum { ALIGNS = sizeof aligns / sizeof *aligns };

int olica_refit_align(int i) {
  return i >= 0 && i < ALIGNS ? aligns[i].width : 0;
}

const char *olica_refit_align_name(int i) {
  return i >= 0 && i < ALIGNS ? aligns[i].name : NULL;
}

olica_refit_options olica_refit_options_of(const olica_method_model *model) {
  return *(const olica_refit_options *)model->settings;
}

/* Parameters of a layer's FFN neuron: rows of gate and up with their biases, a column of down. */
static int64_t neuron_numbers(const olica_method_model *model) {
  const olica_layer_shape *dense = &model->dense[0];
  return 3 * (int64_t)model->arch->hidden + dense->bias[OLICA_GATE] + dense->bias[OLICA_UP];
}

/* Neurons that go from each layer before rounding to `align`. */
static double wanted(const olica_method_model *model) {
  return floor((double)model->parameters * model->sparsity /
               ((double)model->arch->layers * (double)neuron_numbers(model)));
}

/* The largest sparsity that leaves a layer a neuron, and those that are kept. */
static double most(const olica_method_model *model, int skipped) {
  int f = model->arch->ffn, left = skipped > 0 ? skipped : 1;
  double share =
      (double)model->arch->layers * (double)neuron_numbers(model) * (f - left) / (double)model->parameters;
  return floor(share * 1e4) / 1e4;
}

olica_status olica_refit_budget_make(olica_env *env, const olica_method_model *model,
                                     olica_refit_budget *budget) {
  const olica_refit_options options = olica_refit_options_of(model);
  int f = model->arch->ffn, align = olica_refit_align(options.align);
  double gone = wanted(model);
  *budget = (olica_refit_budget){
      .share = gone / f, .neuron = neuron_numbers(model), .skipped = (int)floor(options.skip_lowest * f)};
  if (gone >= f || gone + budget->skipped > f)
    return olica_error_set(
        env, OLICA_ERR_CONFIG,
        "[prune] sparsity = %g asks refit for %.0f of the %d FFN neurons of a layer, with %d that stay "
        "(skip_lowest = %g); expected a sparsity of at most %.4f: refit leaves the attention whole",
        model->sparsity, gone, f, budget->skipped, options.skip_lowest, most(model, budget->skipped));
  int kept = (f - (int)gone + align - 1) / align * align;
  budget->dropped = kept < f ? f - kept : 0;
  return OLICA_OK;
}

void olica_refit_explain(olica_env *env, const olica_method_model *model, FILE *to) {
  const olica_arch *arch = model->arch;
  olica_refit_budget b;
  if (olica_refit_budget_make(env, model, &b) != OLICA_OK) return;
  double gone = (double)b.dropped * arch->layers * (double)b.neuron;
  fprintf(to, "budget       share removed of the FFN: %.4f; of all parameters: %.4f\n",
          (double)b.dropped / arch->ffn, gone / (double)model->parameters);
  fprintf(to, "a layer      %d of %d FFN neurons; the attention stays whole\n", arch->ffn - b.dropped,
          arch->ffn);
  fprintf(to, "allowed      a sparsity of 0 to %.4f: refit removes FFN neurons alone\n",
          most(model, b.skipped));
}

void olica_refit_advise(olica_env *env, const olica_method_model *model) {
  const olica_refit_options options = olica_refit_options_of(model);
  olica_refit_budget b;
  if (olica_refit_budget_make(env, model, &b) != OLICA_OK) {
    olica_error_clear(env); /* the plan fails for the same reason and reports it */
    return;
  }
  if (b.dropped == 0)
    olica_log_warn(env, "[prune] sparsity = %g removes nothing%s", model->sparsity,
                   wanted(model) > 0 ? ": align is larger than the neurons that would go" : "");
  else if (b.dropped < NEARLY * wanted(model))
    olica_log_warn(env,
                   "[prune] align = %d: a layer loses %d neurons where sparsity = %g asks for %.0f; its "
                   "width stays a multiple of align",
                   olica_refit_align(options.align), b.dropped, model->sparsity, wanted(model));
}
