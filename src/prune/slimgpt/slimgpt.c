/* SlimGPT (Ling et al. 2024, "SlimGPT: Layer-wise Structured Pruning for Large Language Models";
 * doc/methods.md, "SlimGPT"). Optimal Brain Surgeon removes heads, by the inputs of o, and FFN neurons, by
 * those of down, layer by layer on the stream of what was cut before, a share that grows with the logarithm
 * of the depth:
 *
 *     plan      this file   share of every layer; heads and neurons that it comes to
 *     cut       this file   pass, remove heads; pass with the new o, remove neurons; copy what stays
 *               obs.c       the removal, and what it costs */
#include <math.h>

#include "../heads.h"
#include "../layer.h"
#include "../methods.h"
#include "../select.h"
#include "obs.h"
#include "par/comm.h"

#define FIRST 0.25 /* share of the first layer / that of the last */

/* ---- the budget ---- */

/* Share of layer i relative to the last one's. */
static double weight_of(int i, int layers) {
  return layers > 1 ? FIRST + (1 - FIRST) * log(1 + i) / log(layers) : 1;
}

/* Share of the last layer at that sparsity. */
static double last_share(const olica_method_model *model, double sparsity) {
  const olica_arch *arch = model->arch;
  double layer = (double)olica_heads_numbers(model) * arch->kv_heads +
                 (double)olica_heads_neuron_numbers(model) * arch->ffn;
  double weights = 0;
  for (int i = 0; i < arch->layers; i++) weights += weight_of(i, arch->layers);
  return (double)model->parameters * sparsity / (layer * weights);
}

static int within(double x, int most) {
  return x < 0 ? 0 : x > most ? most : (int)x;
}

/* The heads are rounded, and the neurons make up for that, from layer to layer: in sum at most a neuron less
 * than asked for goes. False: a layer would have no head or no neuron left. shapes NULL: only asks. */
static bool share_out(const olica_method_model *model, double sparsity, olica_layer_shape *shapes) {
  const olica_arch *arch = model->arch;
  double head = (double)olica_heads_numbers(model), neuron = (double)olica_heads_neuron_numbers(model);
  double layer = head * arch->kv_heads + neuron * arch->ffn, last = last_share(model, sparsity), owed = 0;
  for (int i = 0; i < arch->layers; i++) {
    double share = last * weight_of(i, arch->layers);
    owed += share * layer;
    int heads = within(fmin(floor(share * arch->kv_heads + 0.5), floor(owed / head)), arch->kv_heads - 1);
    owed -= heads * head;
    int neurons = within(floor(owed / neuron + 1e-9), arch->ffn - 1);
    owed -= neurons * neuron;
    if (!shapes) continue;
    shapes[i] = model->dense[i];
    shapes[i].kv_heads -= heads;
    shapes[i].ffn -= neurons;
  }
  return last < 1 && owed < neuron;
}

static bool can_be(const void *model, double sparsity) {
  return share_out(model, sparsity, NULL);
}

static olica_status make_shapes(olica_env *env, const olica_method_model *model, olica_layer_shape *shapes) {
  if (share_out(model, model->sparsity, shapes)) return OLICA_OK;
  return olica_error_set(
      env, OLICA_ERR_CONFIG,
      "[prune] sparsity = %g asks slimgpt for a share of %.4f of the last layer, which leaves "
      "it no head or no FFN neuron; expected a sparsity of at most %.4f",
      model->sparsity, last_share(model, model->sparsity), olica_heads_most(can_be, model));
}

/* ---- the plan ---- */

/* Replays a pass and the removal behind it. */
static void replay_units(olica_ledger *ledger, const olica_method_model *model, const olica_method_site *site,
                         int n, int each, int gone) {
  olica_hold sums =
      olica_fit_sums_hold(ledger, site->precision, 1, n, site->tokens, site->pack_rows / site->tokens);
  olica_collected_hold work =
      olica_collect_replay(ledger, model, site, &model->dense[0], (olica_collect_wish){0});
  olica_ledger_release(ledger, work.energies);
  olica_slimgpt_replay_remove(ledger, site, model->arch->hidden, n, each, gone, sums);
}

/* Replays the cut, and the pass of the pruned layer after it. */
static void replay_cut(olica_ledger *ledger, const olica_method_model *model, const olica_method_site *site,
                       const olica_layer_shape *shape) {
  const olica_arch *arch = model->arch;
  int each = arch->heads / arch->kv_heads * arch->head, heads = arch->kv_heads - shape->kv_heads;
  olica_hold lists = olica_select_hold_lists(ledger, arch, shape);
  if (heads > 0) replay_units(ledger, model, site, each * arch->kv_heads, each, heads);
  replay_units(ledger, model, site, arch->ffn, 1, arch->ffn - shape->ffn);
  olica_ledger_release(ledger, olica_maps_hold(ledger, arch, shape, site->precision));
  olica_ledger_release(ledger, lists);
}

static void add_work(const olica_method_model *model, const olica_method_site *site,
                     const olica_layer_shape *shape, olica_method_plan *plan) {
  const olica_arch *arch = model->arch;
  int d = arch->hidden, each = arch->heads / arch->kv_heads * arch->head, n = each * arch->kv_heads;
  int heads = arch->kv_heads - shape->kv_heads, neurons = arch->ffn - shape->ffn;
  const olica_problem problems[] = {{.order = n, .columns = heads ? n : 0},
                                    {.order = arch->ffn, .columns = neurons ? arch->ffn : 0}};
  double pass = olica_layer_shape_work(arch, &model->dense[0], site->tokens);
  plan->sequence += (2 * pass + (double)n * n + (double)arch->ffn * arch->ffn) * site->tokens;
  plan->solver_work +=
      olica_slimgpt_remove_work(d, n, heads * each) + olica_slimgpt_remove_work(d, arch->ffn, neurons);
  for (int i = 0; i < 2; i++) plan->solver_seconds += olica_solver_seconds(&problems[i], 1);
}

static olica_status plan(olica_env *env, const olica_method_model *model, const olica_method_site *site,
                         olica_method_plan *plan) {
  const olica_arch *arch = model->arch;
  OLICA_TRY(make_shapes(env, model, plan->shapes));
  plan->largest = plan->shapes[0];
  for (int i = 0; i < arch->layers; i++) {
    const olica_layer_shape *shape = &plan->shapes[i];
    if (shape->kv_heads > plan->largest.kv_heads) plan->largest.kv_heads = shape->kv_heads;
    if (shape->ffn > plan->largest.ffn) plan->largest.ffn = shape->ffn;
    replay_cut(&plan->cut, model, site, shape);
    add_work(model, site, shape, plan);
  }
  return OLICA_OK;
}

static void explain(olica_env *env, const olica_method_model *model, FILE *to) {
  const olica_arch *arch = model->arch;
  olica_layer_shape *shapes;
  if (OLICA_NEW(env, shapes, (size_t)arch->layers) != OLICA_OK) return;
  if (make_shapes(env, model, shapes) == OLICA_OK) {
    const olica_layer_shape *first = &shapes[0], *last = &shapes[arch->layers - 1];
    double share = last_share(model, model->sparsity);
    fprintf(to,
            "budget       share removed of attention and FFN: %.4f in the first layer, %.4f in the last\n",
            share * weight_of(0, arch->layers), share);
    fprintf(to, "a layer      %d to %d of %d key/value heads, %d to %d of %d FFN neurons\n", first->kv_heads,
            last->kv_heads, arch->kv_heads, first->ffn, last->ffn, arch->ffn);
  }
  olica_memory_free(env, shapes);
}

/* ---- the cut ---- */

/* Passes the layer as it is now, and gives the Gram of the inputs of o or of down. */
static olica_status collect(const olica_method_job *job, int index, const olica_layer *layer, int n,
                            bool values, olica_fit_sums **sums) {
  olica_collected work = {0};
  int silent, pack = olica_forward_rows(job->forward) / job->stream->tokens;
  OLICA_TRY(olica_fit_sums_create(job->context, job->kernel, 1, n, job->stream->tokens, pack, sums));
  const olica_collect_wish wish = {.gram = values ? NULL : *sums, .values = values ? *sums : NULL};
  OLICA_TRY(olica_collect(job, index, layer, wish, &work, &silent));
  olica_collect_free(job, &work);
  return OLICA_OK;
}

static olica_status remove_units(const olica_method_job *job, int index, olica_layer *layer, bool values,
                                 int each, int gone, int32_t *kept) {
  olica_linear *map = &layer->linear[values ? OLICA_O : OLICA_DOWN];
  olica_env *env = job->context->env;
  olica_fit_sums *sums = NULL;
  OLICA_TIMED(env, "collect", collect(job, index, layer, map->in, values, &sums));
  OLICA_TIMED(env, "solve", olica_slimgpt_remove(job, sums, each, gone, map, kept));
  return OLICA_OK;
}

static olica_status cut(void *self, int index, olica_layer *dense, olica_layer **out,
                        olica_cut_record *record) {
  const olica_method_job *job = self;
  const olica_arch *arch = job->model.arch;
  const olica_layer_shape *shape = &job->shapes[index];
  int heads = arch->kv_heads - shape->kv_heads, neurons = arch->ffn - shape->ffn;
  olica_layer *pruned = NULL;
  OLICA_TRY(olica_pruned_create(job, shape, &pruned));
  OLICA_AGREE(job->context, olica_select_lists(job->context->env, arch, pruned));
  if (heads > 0)
    OLICA_TRY(remove_units(job, index, dense, true, arch->heads / arch->kv_heads * arch->head, heads,
                           pruned->heads_kept));
  OLICA_TRY(remove_units(job, index, dense, false, 1, neurons, pruned->ffn_kept));
  olica_heads_copy(job->context, arch, dense, pruned);
  snprintf(record->line, sizeof record->line, "%d key/value heads, %d FFN neurons", shape->kv_heads,
           shape->ffn);
  *out = pruned;
  return olica_pruned_round(job, pruned);
}

const olica_method olica_method_slimgpt = {
    .name = "slimgpt",
    .about =
        "drops heads and FFN neurons by Optimal Brain Surgeon, more in deeper layers; updates o and down",
    .drops_heads = true,
    .calibrates = true,
    .plan = plan,
    .explain = explain,
    .cut = cut,
};
