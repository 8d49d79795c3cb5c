/* Magnitude pruning, the plainest baseline: removes the neurons with the smallest weights, whatever the data.
 * It needs no calibration and no pass over the dense model.
 *
 * It removes the same share
 *
 *     rho = p P / (L (n_value,output + n_FFN))
 *
 * of the value neurons of every key/value head and of the FFN's neurons, which gives the sparsity p of the
 * model's P parameters; n are the numbers of a layer's maps. The FFN makes up for the rounding of the value
 * neurons. A neuron's importance is the sum of the Euclidean norms of its rows (v; up, gate) and of its
 * columns (o, of all heads of the group; down). */
#include <math.h>

#include "calib/statistics.h"
#include "layer.h"
#include "methods.h"
#include "par/comm.h"
#include "select.h"

typedef struct budget {
  double rho;
  int values, neurons; /* dropped neurons: of each key/value head, of the FFN */
} budget;

static double numbers(const olica_method_model *model, olica_projection projection) {
  return (double)olica_layer_shape_numbers(model->arch, &model->dense[0], projection);
}

static olica_status make_budget(olica_env *env, const olica_method_model *model, budget *b) {
  const olica_arch *arch = model->arch;
  double target = model->sparsity * (double)model->parameters / arch->layers; /* to remove from a layer */
  double values = numbers(model, OLICA_V) + numbers(model, OLICA_O);
  double ffn = numbers(model, OLICA_GATE) + numbers(model, OLICA_UP) + numbers(model, OLICA_DOWN);
  *b = (budget){.rho = target / (values + ffn)};
  if (b->rho >= 1.0)
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "[prune] sparsity = %g asks magnitude for a share of %.4f of value, output and "
                           "FFN, expected less than 1: "
                           "sparsity below %.4f",
                           model->sparsity, b->rho,
                           (values + ffn) * arch->layers / (double)model->parameters);
  b->values = (int)floor(b->rho * arch->head);
  olica_layer_shape cut = model->dense[0];
  cut.values -= b->values;
  double gone =
      (double)(olica_layer_shape_total(arch, &model->dense[0]) - olica_layer_shape_total(arch, &cut));
  cut.ffn--;
  double each =
      (double)(olica_layer_shape_total(arch, &model->dense[0]) - olica_layer_shape_total(arch, &cut)) - gone;
  b->neurons = (int)floor((target - gone) / each + 1e-9);
  if (b->neurons < arch->ffn) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_CONFIG,
                         "[prune] sparsity = %g leaves the FFN none of its %d neurons, expected less",
                         model->sparsity, arch->ffn);
}

static olica_layer_shape shape_of(const budget *b, const olica_layer_shape *dense) {
  olica_layer_shape shape = *dense;
  shape.values -= b->values;
  shape.ffn -= b->neurons;
  return shape;
}

/* Replays the cut, and the pass of the pruned layer after it. */
static void replay(olica_ledger *ledger, const olica_arch *arch, const olica_layer_shape *shape,
                   olica_dtype precision) {
  olica_hold ones = olica_energies_hold(ledger, arch, 1), lists = olica_select_replay(ledger, arch, shape);
  olica_ledger_release(ledger, ones);
  olica_ledger_release(ledger, olica_maps_hold(ledger, arch, shape, precision));
  olica_ledger_release(ledger, lists);
}

static olica_status plan(olica_env *env, const olica_method_model *model, const olica_method_site *site,
                         olica_method_plan *plan) {
  budget b;
  OLICA_TRY(make_budget(env, model, &b));
  for (int i = 0; i < model->arch->layers; i++) plan->shapes[i] = shape_of(&b, &model->dense[i]);
  plan->largest = plan->shapes[0];
  replay(&plan->cut, model->arch, &plan->largest, site->precision);
  return OLICA_OK;
}

static void explain(olica_env *env, const olica_method_model *model, FILE *to) {
  const olica_arch *arch = model->arch;
  budget b;
  if (make_budget(env, model, &b) != OLICA_OK) return;
  fprintf(to, "budget       share removed of value/output and FFN: %.4f\n", b.rho);
  fprintf(to, "a layer      %d of %d value neurons a head, %d of %d FFN neurons\n", arch->head - b.values,
          arch->head, arch->ffn - b.neurons, arch->ffn);
}

/* Sets all energies to one: an importance weighted by them depends on the weights alone. */
static olica_status make_ones(olica_env *env, const olica_arch *arch, olica_energies **ones) {
  OLICA_TRY(olica_energies_create(env, arch, 1, ones));
  for (int i = 0; i < (*ones)->total; i++) (*ones)->all[i] = 1.0;
  return OLICA_OK;
}

static olica_status cut(void *self, int index, olica_layer *dense, olica_layer **out,
                        olica_cut_record *record) {
  const olica_method_job *job = self;
  const olica_layer_shape *shape = &job->shapes[index];
  olica_context *context = job->context;
  olica_energies *ones;
  olica_layer *pruned = NULL;
  OLICA_TRY(olica_pruned_create(job, shape, &pruned));
  OLICA_AGREE(context, make_ones(context->env, job->model.arch, &ones));
  olica_pruned_copy(context, &dense->linear[OLICA_Q], &pruned->linear[OLICA_Q]);
  olica_pruned_copy(context, &dense->linear[OLICA_K], &pruned->linear[OLICA_K]);
  OLICA_TRY(olica_select_neurons(context, job->model.arch, dense, ones, 0, pruned, NULL));
  olica_energies_destroy(context->env, ones);
  snprintf(record->line, sizeof record->line, "%d value neurons a head, %d FFN neurons", shape->values,
           shape->ffn);
  *out = pruned;
  return olica_pruned_round(job, pruned);
}

const olica_method olica_method_magnitude = {
    .name = "magnitude",
    .about = "drops value and FFN neurons with the smallest weights; needs no calibration",
    .plan = plan,
    .explain = explain,
    .cut = cut,
};
