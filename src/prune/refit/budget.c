#include "budget.h"

#include <math.h>
#include <string.h>

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

int olica_refit_probe_count(const olica_method_model *model, int64_t sequences) {
  enum { USUAL = 8 };
  int64_t asked = olica_refit_options_of(model).probes;
  if (asked > 0) return (int)asked;
  return sequences < USUAL ? (int)sequences : USUAL;
}

double olica_refit_damping(const olica_method_model *model, int64_t tokens) {
  const olica_refit_options options = olica_refit_options_of(model);
  if (options.damping > 0) return options.damping;
  if (options.shape != OLICA_REFIT_LAYERWISE || options.select != OLICA_REFIT_BY_ENERGY) return 0.1;
  return fmin(1, fmax(0.1, 3.0 * model->arch->ffn / (double)tokens));
}

/* Parameters of a layer's FFN neuron: rows of gate, if there is one, and up with their biases, a column of
 * down. */
static int64_t neuron_numbers(const olica_method_model *model) {
  olica_layer_shape cut = model->dense[0];
  cut.ffn--;
  return olica_layer_shape_total(model->arch, &model->dense[0]) - olica_layer_shape_total(model->arch, &cut);
}

static bool is_layerwise(const olica_refit_options *options) {
  return options->shape == OLICA_REFIT_LAYERWISE;
}

int olica_refit_passes(const void *settings) {
  const olica_refit_options *options = settings;
  return options->shape == OLICA_REFIT_OLICA ||
         (is_layerwise(options) && options->allocation != OLICA_REFIT_EVEN);
}

/* Neurons that go from `layers` layers together before rounding to `align`. */
static double wanted(const olica_method_model *model, int layers) {
  return floor((double)model->parameters * model->sparsity * layers /
               ((double)model->arch->layers * (double)neuron_numbers(model)));
}

/* The largest sparsity that leaves every layer `left` neurons. */
static double most(const olica_method_model *model, int left) {
  double share = (double)model->arch->layers * (double)neuron_numbers(model) * (model->arch->ffn - left) /
                 (double)model->parameters;
  return floor(share * 1e4) / 1e4;
}

/* Neurons that every layer keeps, whatever the sparsity. */
static int least_left(const olica_refit_budget *b) {
  return b->skipped > 1 ? b->skipped : 1;
}

/* The cap is half of a layer's neurons up to a sparsity of 0.2 and 0.65 of them at 0.33, on that line beyond,
 * to at most 0.95. Where the FFNs hold less of the model it is an eighth of the way from their mean share to
 * all. */
static double cap_of(const olica_refit_options *options, double sparsity, double share) {
  if (options->cap > 0) return options->cap;
  double line = fmin(0.95, 0.5 + 0.15 * fmax(0, sparsity - 0.2) / 0.13);
  return fmax(line, share + (1 - share) / 8);
}

static int skipped_of(const olica_refit_options *options, int f) {
  return options->select == OLICA_REFIT_BY_ENERGY ? (int)floor(options->skip_lowest * f) : 0;
}

static int round_up(double n, int align) {
  return (int)ceil(n / align - 1e-9) * align;
}

static olica_refit_shares shares_of(const olica_method_model *model, const olica_refit_budget *b, int align) {
  int f = model->arch->ffn, least = round_up(fmax((1 - b->cap) * f, least_left(b)), align);
  return (olica_refit_shares){.layers = model->arch->layers,
                              .full = f,
                              .align = align,
                              .least = least,
                              .total = (int64_t)wanted(model, model->arch->layers)};
}

static olica_status refuse(olica_env *env, const olica_method_model *model, const olica_refit_budget *b) {
  const olica_refit_options options = olica_refit_options_of(model);
  return olica_error_set(
      env, OLICA_ERR_CONFIG,
      "[prune] sparsity = %g asks refit for %.0f of the %d FFN neurons of a layer, with %d that stay "
      "(skip_lowest = %g); expected a sparsity of at most %.4f: refit leaves the attention whole",
      model->sparsity, wanted(model, 1), model->arch->ffn, least_left(b),
      options.select == OLICA_REFIT_BY_ENERGY ? options.skip_lowest : 0, most(model, least_left(b)));
}

/* Widths that differ must be able to lose what is asked for, but for less than a step. */
static olica_status check_shares(olica_env *env, const olica_method_model *model,
                                 const olica_refit_budget *b) {
  const olica_refit_shares *s = &b->shares;
  int64_t can = olica_refit_most(s);
  if (s->total < can + s->align) return OLICA_OK;
  return olica_error_set(
      env, OLICA_ERR_CONFIG,
      "[prune] cap = %.4g with align = %d lets a layer lose %lld of %d FFN neurons at most, while sparsity = "
      "%g asks for %.1f of each; expected a larger cap, a smaller align, or a sparsity of at most %.4f",
      b->cap, s->align, (long long)(can / s->layers), s->full, model->sparsity, (double)s->total / s->layers,
      most(model, s->full - (int)(can / s->layers)));
}

/* Numbers of all kinds of module of the model. */
static double module_numbers(const olica_refit_modules *m) {
  double all = 0;
  for (int k = 0; k < OLICA_REFIT_KINDS; k++)
    all += (double)olica_refit_level_numbers(m, (olica_refit_kind)k,
                                             olica_refit_levels(m->arch, (olica_refit_kind)k));
  return all * m->arch->layers;
}

/* The largest sparsity that leaves every module its least level. */
static double most_of_modules(const olica_method_model *model, const olica_refit_budget *b) {
  olica_refit_modules all = b->modules;
  const int least[OLICA_REFIT_KINDS] = {round_up(least_left(b), all.align), 1, 1};
  memcpy(all.least, least, sizeof least);
  return floor((double)olica_refit_modules_most(&all) / (double)model->parameters * 1e4) / 1e4;
}

static olica_status refuse_modules(olica_env *env, const olica_method_model *model,
                                   const olica_refit_budget *b) {
  return olica_error_set(
      env, OLICA_ERR_CONFIG,
      "[prune] sparsity = %g asks refit for %.0f numbers, while cap = %.4g with align = %d "
      "lets query, key, value, output and FFN lose %.0f; expected a larger cap, a smaller "
      "align, or a sparsity of at most %.4f",
      model->sparsity, (double)b->modules.total, b->cap, b->modules.align,
      (double)olica_refit_modules_most(&b->modules), most_of_modules(model, b));
}

/* The budget of shape = olica, whose widths are measured always. */
static olica_status make_modules(olica_env *env, const olica_method_model *model,
                                 const olica_refit_options *options, olica_refit_budget *b) {
  const olica_arch *arch = model->arch;
  olica_refit_modules *m = &b->modules;
  if (options->allocation != OLICA_REFIT_MEASURED)
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "[prune] shape = olica with another allocation than measured, expected allocation "
                           "= measured: only errors and probes compare attention and FFN");
  *m = (olica_refit_modules){.arch = arch,
                             .dense = &model->dense[0],
                             .align = olica_refit_align(options->align),
                             .total = (int64_t)((double)model->parameters * model->sparsity)};
  b->share = (double)m->total / module_numbers(m);
  b->cap = cap_of(options, model->sparsity, b->share);
  for (int k = 0; k < OLICA_REFIT_KINDS; k++) {
    int levels = olica_refit_levels(arch, (olica_refit_kind)k);
    m->least[k] = round_up(fmax((1 - b->cap) * levels, 1), 1);
    b->halves[k] = levels > 1 ? levels / 2 : 1;
  }
  m->least[OLICA_REFIT_FFN] = round_up(fmax((1 - b->cap) * arch->ffn, least_left(b)), m->align);
  b->halves[OLICA_REFIT_FFN] = b->half;
  int64_t neuron = b->neuron * m->align;
  return m->total < olica_refit_modules_most(m) + neuron ? OLICA_OK : refuse_modules(env, model, b);
}

olica_status olica_refit_budget_make(olica_env *env, const olica_method_model *model, olica_refit_budget *b) {
  const olica_refit_options options = olica_refit_options_of(model);
  int f = model->arch->ffn, align = olica_refit_align(options.align);
  double gone = wanted(model, 1);
  *b = (olica_refit_budget){.share = wanted(model, model->arch->layers) / model->arch->layers / f,
                            .neuron = neuron_numbers(model),
                            .skipped = skipped_of(&options, f)};
  b->half = f / 2 > least_left(b) ? f / 2 : least_left(b);
  if (options.shape == OLICA_REFIT_OLICA) return make_modules(env, model, &options, b);
  if (gone + least_left(b) > f) return refuse(env, model, b);
  int kept = round_up(f - gone, align);
  b->dropped = kept < f ? f - kept : 0;
  b->cap = cap_of(&options, model->sparsity, b->share);
  b->shares = shares_of(model, b, align);
  return is_layerwise(&options) ? check_shares(env, model, b) : OLICA_OK;
}

/* Neurons that go from all layers, about. */
static double removed(const olica_method_model *model, const olica_refit_budget *b) {
  const olica_refit_options options = olica_refit_options_of(model);
  if (!is_layerwise(&options)) return (double)b->dropped * model->arch->layers;
  double all = (double)b->shares.total, most_of_all = (double)olica_refit_most(&b->shares);
  return fmin(most_of_all, floor(all / b->shares.align) * b->shares.align);
}

static void explain_layer(const olica_method_model *model, const olica_refit_budget *b, FILE *to) {
  const olica_refit_options options = olica_refit_options_of(model);
  int f = model->arch->ffn;
  if (!is_layerwise(&options))
    fprintf(to, "a layer      %d of %d FFN neurons; the attention stays whole\n", f - b->dropped, f);
  else
    fprintf(to, "a layer      %d to %d of %d FFN neurons, %.0f in the mean; the attention stays whole\n",
            b->shares.least, f, f, f - removed(model, b) / model->arch->layers);
}

static void explain_modules(const olica_method_model *model, const olica_refit_budget *b, FILE *to) {
  const olica_arch *arch = model->arch;
  const olica_refit_modules *m = &b->modules;
  fprintf(to,
          "budget       share removed of query, key, value, output and FFN together: %.4f; of all "
          "parameters: %.4f\n",
          b->share, (double)m->total / (double)model->parameters);
  fprintf(to,
          "a layer      %d to %d of %d FFN neurons; %d to %d of %d value neurons of a head; query and key "
          "whole, or in ranks "
          "that leave %.2f of their numbers or more\n",
          m->least[OLICA_REFIT_FFN], arch->ffn, arch->ffn, m->least[OLICA_REFIT_VALUES], arch->head,
          arch->head, 1 - olica_refit_query_share(m->least[OLICA_REFIT_QUERY]));
  fprintf(to, "allowed      a sparsity of 0 to %.4f\n", most_of_modules(model, b));
}

void olica_refit_explain(olica_env *env, const olica_method_model *model, FILE *to) {
  const olica_arch *arch = model->arch;
  olica_refit_budget b;
  if (olica_refit_budget_make(env, model, &b) != OLICA_OK) return;
  if (olica_refit_options_of(model).shape == OLICA_REFIT_OLICA) {
    explain_modules(model, &b, to);
    return;
  }
  double gone = removed(model, &b);
  fprintf(to, "budget       share removed of the FFN: %.4f; of all parameters: %.4f\n",
          gone / arch->layers / arch->ffn, gone * (double)b.neuron / (double)model->parameters);
  explain_layer(model, &b, to);
  fprintf(to, "allowed      a sparsity of 0 to %.4f: refit removes FFN neurons alone\n",
          most(model, least_left(&b)));
}

void olica_refit_advise(olica_env *env, const olica_method_model *model) {
  const olica_refit_options options = olica_refit_options_of(model);
  olica_refit_budget b;
  if (olica_refit_budget_make(env, model, &b) != OLICA_OK) {
    olica_error_clear(env); /* the plan fails for the same reason and reports it */
    return;
  }
  if (options.shape == OLICA_REFIT_OLICA) {
    if (b.modules.total < b.neuron * b.modules.align)
      olica_log_warn(env, "[prune] sparsity = %g removes next to nothing", model->sparsity);
    return;
  }
  double all = wanted(model, model->arch->layers), gone = removed(model, &b);
  if (gone <= 0)
    olica_log_warn(env, "[prune] sparsity = %g removes nothing%s", model->sparsity,
                   all > 0 ? ": align is larger than the neurons that would go" : "");
  else if (gone < NEARLY * (all - model->arch->layers))
    olica_log_warn(env,
                   "[prune] align = %d: %.0f FFN neurons of all layers go where sparsity = %g asks for %.0f; "
                   "widths stay multiples of align",
                   olica_refit_align(options.align), gone, model->sparsity, all);
}
