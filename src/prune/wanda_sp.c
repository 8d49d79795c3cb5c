/* Wanda-sp, the structured form of Wanda that the FLAP paper compares itself with (doc/methods.md,
 * "Wanda-sp"): the same share of the key/value heads and FFN neurons of every layer goes, those whose columns
 * of o and down have the smallest sum of |W_ij| ||x_j||. The inputs x are those of the layer on the stream of
 * what was cut before. No weight changes. */
#include <math.h>

#include "collect.h"
#include "heads.h"
#include "layer.h"
#include "methods.h"
#include "par/comm.h"

static size_t importances(const olica_arch *arch) {
  return (size_t)arch->kv_heads + (size_t)arch->ffn;
}

static olica_status make_budget(olica_env *env, const olica_method_model *model, olica_heads_budget *b) {
  return olica_heads_budget_make(env, model, "wanda-sp", (double)model->parameters * model->sparsity, b);
}

/* Replays the cut, and the pass of the pruned layer after it. */
static void replay(olica_ledger *ledger, const olica_method_model *model, const olica_method_site *site,
                   const olica_layer_shape *shape) {
  const olica_arch *arch = model->arch;
  olica_collected_hold work =
      olica_collect_replay(ledger, model, site, &model->dense[0], (olica_collect_wish){0});
  olica_hold importance = olica_ledger_hold(ledger, importances(arch) * sizeof(double));
  olica_hold lists = olica_heads_replay_keep(ledger, arch, shape);
  olica_ledger_release(ledger, importance);
  olica_ledger_release(ledger, work.energies);
  olica_ledger_release(ledger, olica_maps_hold(ledger, arch, shape, site->precision));
  olica_ledger_release(ledger, lists);
}

static olica_status plan(olica_env *env, const olica_method_model *model, const olica_method_site *site,
                         olica_method_plan *plan) {
  const olica_arch *arch = model->arch;
  olica_heads_budget b;
  OLICA_TRY(make_budget(env, model, &b));
  for (int i = 0; i < arch->layers; i++) {
    plan->shapes[i] = model->dense[i];
    plan->shapes[i].kv_heads -= b.heads;
    plan->shapes[i].ffn -= b.neurons;
    plan->sequence += olica_layer_shape_work(arch, &model->dense[i], site->tokens) * site->tokens;
  }
  plan->largest = plan->shapes[0];
  replay(&plan->cut, model, site, &plan->largest);
  return OLICA_OK;
}

static void explain(olica_env *env, const olica_method_model *model, FILE *to) {
  olica_heads_budget b;
  if (make_budget(env, model, &b) == OLICA_OK) olica_heads_explain(model, &b, to);
}

/* unit[i] := sum over its `each` input channels j of sum_r |W_rj| sqrt(energy_j). */
static void rate(const olica_linear *map, const double *energy, int each, double *unit) {
  for (int i = 0; i < map->in / each; i++) unit[i] = 0;
  for (int r = 0; r < map->out; r++) {
    const float *row = map->weight + (size_t)r * (size_t)map->in;
    for (int j = 0; j < map->in; j++) unit[j / each] += fabs((double)row[j]) * sqrt(energy[j]);
  }
}

static olica_status choose(const olica_method_job *job, const olica_layer *dense,
                           const olica_energies *energies, olica_layer *pruned) {
  const olica_arch *arch = job->model.arch;
  olica_context *context = job->context;
  double *head = NULL, *neuron;
  OLICA_AGREE(context, OLICA_NEW(context->env, head, importances(arch)));
  neuron = head + arch->kv_heads;
  if (context->rank == 0) {
    rate(&dense->linear[OLICA_O], energies->value, arch->heads / arch->kv_heads * arch->head, head);
    rate(&dense->linear[OLICA_DOWN], energies->neuron, 1, neuron);
  }
  OLICA_TRY(olica_heads_keep(context, arch, dense, head, neuron, pruned));
  olica_memory_free(context->env, head);
  return OLICA_OK;
}

static olica_status cut(void *self, int index, olica_layer *dense, olica_layer **out,
                        olica_cut_record *record) {
  const olica_method_job *job = self;
  const olica_layer_shape *shape = &job->shapes[index];
  olica_collected work = {0};
  olica_layer *pruned = NULL;
  int silent;
  OLICA_TIMED(job->context->env, "collect",
              olica_collect(job, index, dense, (olica_collect_wish){0}, &work, &silent));
  OLICA_TRY(olica_pruned_create(job, shape, &pruned));
  OLICA_TRY(choose(job, dense, work.energies, pruned));
  olica_collect_free(job, &work);
  snprintf(record->line, sizeof record->line, "%d key/value heads, %d FFN neurons", shape->kv_heads,
           shape->ffn);
  *out = pruned;
  return olica_pruned_round(job, pruned);
}

const olica_method olica_method_wanda_sp = {
    .name = "wanda-sp",
    .about = "drops the heads and FFN neurons with the smallest weights times inputs, the same share of "
             "every layer",
    .drops_heads = true,
    .calibrates = true,
    .plan = plan,
    .explain = explain,
    .cut = cut,
};
