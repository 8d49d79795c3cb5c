/* FLAP (An et al. 2024, "Fluctuation-based Adaptive Structured Pruning"; doc/methods.md, "FLAP"). Heads and
 * neurons whose inputs to o and down fluctuate least go, compared over all layers and both modules, and a
 * bias makes up for the mean of what has gone:
 *
 *     observe   mean and variance of every input channel of o and down, on the dense stream; the variance
 *               times ||W_:j||² is the metric
 *     shapes    the metric is standardised by layer and module; a head's score is the mean of its channels';
 *               the lowest scores of the model go, up to the budget
 *     cut       copies what stays; bias += W_:removed mean_removed */
#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "calib/statistics.h"
#include "heads.h"
#include "layer.h"
#include "methods.h"
#include "par/comm.h"
#include "select.h"

typedef struct flap {
  olica_method_job job;
  double *metric, *mean; /* [L x (H·h + f)] channels of o, then of down */
  char *gone;            /* [L x (K + f)] heads, then neurons: decided by `shapes` */
  void *block;           /* of the three */
} flap;

/* A head or a neuron of a layer. */
typedef struct unit {
  double score;
  int32_t layer, index; /* index < K: a key/value head; else neuron index - K */
} unit;

static int channels(const olica_arch *arch) {
  return arch->heads * arch->head + arch->ffn;
}

static int units(const olica_arch *arch) {
  return arch->kv_heads + arch->ffn;
}

static size_t lay_out(flap *state, void *block) {
  const olica_arch *arch = state->job.model.arch;
  olica_arena arena = {.block = block};
  size_t layers = (size_t)arch->layers;
  OLICA_TAKE(&arena, state->metric, layers * (size_t)channels(arch));
  OLICA_TAKE(&arena, state->mean, layers * (size_t)channels(arch));
  OLICA_TAKE(&arena, state->gone, layers * (size_t)units(arch));
  return arena.used;
}

/* ---- the budget ---- */

/* Parameters to remove, those of the biases that are added included. */
static double wanted(const olica_method_model *model) {
  const bool *bias = model->dense[0].bias;
  double added = (double)model->arch->hidden * (!bias[OLICA_O] + !bias[OLICA_DOWN]) * model->arch->layers;
  return (double)model->parameters * model->sparsity + (model->sparsity > 0 ? added : 0);
}

static void add_biases(const olica_method_model *model, olica_layer_shape *shape) {
  if (model->sparsity > 0) shape->bias[OLICA_O] = shape->bias[OLICA_DOWN] = true;
}

/* An even share, the neurons spread to the last one: what is decided later is within a neuron of its sum. */
static olica_status plan_shapes(olica_env *env, const olica_method_model *model, olica_method_plan *plan) {
  const olica_arch *arch = model->arch;
  olica_heads_budget b;
  OLICA_TRY(olica_heads_budget_make(env, model, "flap", wanted(model), &b));
  double even = (double)arch->layers * ((double)b.heads * (double)olica_heads_numbers(model) +
                                        (double)b.neurons * (double)olica_heads_neuron_numbers(model));
  int more = (int)floor((wanted(model) - even) / (double)olica_heads_neuron_numbers(model) + 1e-9);
  for (int i = 0; i < arch->layers; i++) {
    plan->shapes[i] = model->dense[i];
    plan->shapes[i].kv_heads -= b.heads;
    plan->shapes[i].ffn -= b.neurons + (i < more && b.neurons + 1 < arch->ffn);
    add_biases(model, &plan->shapes[i]);
  }
  plan->largest = model->dense[0];
  add_biases(model, &plan->largest);
  return OLICA_OK;
}

/* Replays the pass over a layer, and the choice of the units. */
static void replay_observe(olica_ledger *ledger, const olica_method_model *model,
                           const olica_method_site *site) {
  const olica_arch *arch = model->arch;
  olica_hold before = olica_ledger_mark(ledger);
  olica_maps_hold(ledger, arch, &model->dense[0], site->precision);
  olica_energies_hold(ledger, arch, site->threads);
  olica_energies_hold(ledger, arch, site->threads);
  olica_ledger_rewind(ledger, before);
  olica_ledger_touch(ledger, (size_t)arch->layers * (size_t)units(arch) * sizeof(unit));
}

/* Replays the cut, and the pass of the pruned layer after it. */
static void replay_cut(olica_ledger *ledger, const olica_arch *arch, const olica_layer_shape *shape,
                       olica_dtype precision) {
  olica_hold lists = olica_select_hold_lists(ledger, arch, shape);
  olica_ledger_release(ledger, olica_maps_hold(ledger, arch, shape, precision));
  olica_ledger_release(ledger, lists);
}

static olica_status plan(olica_env *env, const olica_method_model *model, const olica_method_site *site,
                         olica_method_plan *plan) {
  const olica_arch *arch = model->arch;
  OLICA_TRY(plan_shapes(env, model, plan));
  plan->arrays = 2.0 * arch->layers * channels(arch) * (double)sizeof(double);
  olica_ledger_hold(&plan->create, lay_out(&(flap){.job.model = *model}, NULL));
  replay_observe(&plan->observe, model, site);
  replay_cut(&plan->cut, arch, &plan->largest, site->precision);
  for (int i = 0; i < arch->layers; i++)
    plan->sequence += (olica_layer_shape_work(arch, &model->dense[i], site->tokens) -
                       olica_layer_shape_work(arch, &plan->shapes[i], site->tokens)) *
                      site->tokens; /* no cut looks at the pruned stream */
  return OLICA_OK;
}

static void explain(olica_env *env, const olica_method_model *model, FILE *to) {
  olica_heads_budget b;
  if (olica_heads_budget_make(env, model, "flap", wanted(model), &b) != OLICA_OK) return;
  fprintf(to, "budget       share removed of attention and FFN: %.4f, the added biases made up for\n",
          b.share);
  fprintf(to,
          "a layer      as the statistics decide, down to 1 of %d key/value heads and 1 of %d FFN neurons\n",
          model->arch->kv_heads, model->arch->ffn);
}

/* ---- the state ---- */

static olica_status create_state(const olica_method_job *job, flap **out) {
  olica_env *env = job->context->env;
  flap *state;
  OLICA_TRY(OLICA_NEW(env, state, 1));
  state->job = *job;
  *out = state;
  return OLICA_LAY_OUT(env, "flap's statistics", state->block, lay_out, state);
}

static olica_status create(const olica_method_job *job, void **out) {
  flap *state = NULL;
  OLICA_AGREE(job->context, create_state(job, &state));
  *out = state;
  return OLICA_OK;
}

static void destroy(void *self) {
  flap *state = self;
  olica_env *env = state->job.context->env;
  olica_memory_free(env, state->block);
  olica_memory_free(env, state);
}

static int arrays(void *self, olica_array array[OLICA_ARRAYS]) {
  const flap *state = self;
  const olica_arch *arch = state->job.model.arch;
  array[0] = (olica_array){"fluctuation", 2, {arch->layers, channels(arch)}, 0, state->metric};
  array[1] = (olica_array){"mean_input", 2, {arch->layers, channels(arch)}, -INFINITY, state->mean};
  return 2;
}

/* ---- the pass ---- */

typedef struct moments {
  olica_energies *squares, *sums;
} moments;

static void add_rows(void *self, const olica_view *view) {
  const moments *m = self;
  if (view->tap != OLICA_TAP_VALUES && view->tap != OLICA_TAP_FFN_NEURONS) return;
  olica_energies_see(m->squares, view);
  olica_energies_see_sum(m->sums, view);
}

/* metric[j] := var_j ||W_:j||², mean[j], of the inputs of a map of n channels. */
static void measure(const olica_linear *map, const double *square, const double *sum, double tokens,
                    double *metric, double *mean) {
  for (int j = 0; j < map->in; j++) metric[j] = 0;
  olica_statistics_add_squares(metric, map->weight, map->out, map->in, map->in);
  for (int j = 0; j < map->in; j++) {
    double variance = (square[j] - sum[j] * sum[j] / tokens) / (tokens - 1);
    metric[j] *= variance > 0 ? variance : 0;
    mean[j] = sum[j] / tokens;
  }
}

static olica_status create_moments(const olica_method_job *job, moments *m) {
  int threads = olica_forward_threads(job->forward);
  OLICA_TRY(olica_energies_create(job->context->env, job->model.arch, threads, &m->squares));
  return olica_energies_create(job->context->env, job->model.arch, threads, &m->sums);
}

static olica_status observe(void *self, int pass, const olica_maps *maps) {
  flap *state = self;
  const olica_method_job *job = &state->job;
  const olica_linear *linear = maps->layer->linear;
  moments m = {0};
  (void)pass;
  OLICA_AGREE(job->context, create_moments(job, &m));
  const olica_onlooker onlooker = {.observer = {.observe = add_rows, .self = &m}};
  OLICA_TRY(olica_stream_advance(job->stream, job->forward, maps, &onlooker));
  olica_energies_reduce(m.squares, job->context, 1);
  olica_energies_reduce(m.sums, job->context, 1);
  size_t at = (size_t)maps->index * (size_t)channels(job->model.arch), neurons = at + (size_t)m.sums->values;
  double tokens = (double)job->stream->sequences * job->stream->tokens;
  measure(&linear[OLICA_O], m.squares->value, m.sums->value, tokens, state->metric + at, state->mean + at);
  measure(&linear[OLICA_DOWN], m.squares->neuron, m.sums->neuron, tokens, state->metric + neurons,
          state->mean + neurons);
  olica_energies_destroy(job->context->env, m.squares);
  olica_energies_destroy(job->context->env, m.sums);
  return OLICA_OK;
}

/* ---- the choice ---- */

/* score[i] := the mean over unit i's `each` channels of (metric - E metric) / sd metric; 0 where all are
 * alike. */
static void standardise(const double *metric, int n, int each, int layer, int first, unit *score) {
  double mean = 0, square = 0;
  for (int j = 0; j < n; j++) mean += metric[j] / n;
  for (int j = 0; j < n; j++) square += (metric[j] - mean) * (metric[j] - mean) / n;
  for (int i = 0; i < n / each; i++) {
    double sum = 0;
    for (int j = i * each; j < (i + 1) * each; j++) sum += metric[j] - mean;
    score[i] = (unit){square > 0 ? sum / each / sqrt(square) : 0, layer, first + i};
  }
}

static int compare(const void *left, const void *right) {
  const unit *a = left, *b = right;
  if (a->score != b->score) return a->score < b->score ? -1 : 1;
  return a->layer != b->layer ? a->layer - b->layer : a->index - b->index;
}

static void score(const flap *state, unit *all) {
  const olica_arch *arch = state->job.model.arch;
  int width = arch->heads * arch->head, heads = arch->kv_heads;
  for (int l = 0; l < arch->layers; l++, all += units(arch)) {
    const double *metric = state->metric + (size_t)l * (size_t)channels(arch);
    standardise(metric, width, width / heads, l, 0, all);
    standardise(metric + width, arch->ffn, 1, l, heads, all + heads);
  }
}

/* The lowest scores go. A unit that the rest of the budget does not hold stays, and so does a layer's last.
 */
static void remove_lowest(flap *state, const unit *all, size_t count, olica_layer_shape *shapes) {
  const olica_method_model *model = &state->job.model;
  double rest = wanted(model), head = (double)olica_heads_numbers(model),
         neuron = (double)olica_heads_neuron_numbers(model);
  for (size_t i = 0; i < count; i++) {
    bool is_head = all[i].index < model->arch->kv_heads;
    int *left = is_head ? &shapes[all[i].layer].kv_heads : &shapes[all[i].layer].ffn;
    double numbers = is_head ? head : neuron;
    if (numbers > rest || *left == 1) continue;
    state->gone[(size_t)all[i].layer * (size_t)units(model->arch) + (size_t)all[i].index] = 1;
    rest -= numbers;
    --*left;
  }
}

static olica_status shapes(void *self, olica_layer_shape *shapes) {
  flap *state = self;
  olica_context *context = state->job.context;
  const olica_method_model *model = &state->job.model;
  size_t count = (size_t)model->arch->layers * (size_t)units(model->arch);
  unit *all = NULL;
  OLICA_AGREE(context, OLICA_NEW(context->env, all, count));
  score(state, all);
  qsort(all, count, sizeof *all, compare);
  for (size_t i = 0; i < count; i++) state->gone[i] = 0;
  for (int l = 0; l < model->arch->layers; l++) {
    shapes[l] = model->dense[l];
    add_biases(model, &shapes[l]);
  }
  remove_lowest(state, all, count, shapes);
  olica_memory_free(context->env, all);
  return OLICA_OK;
}

/* ---- the cut ---- */

static void list(const char *gone, int n, int32_t *kept) {
  for (int i = 0, at = 0; i < n; i++)
    if (!gone[i] && kept) kept[at++] = i;
}

/* bias[r] += sum over the channels of units that have gone of W[r, j] mean[j]. */
static void compensate(const olica_linear *dense, const double *mean, const char *gone, int each,
                       float *bias) {
  for (int r = 0; bias && r < dense->out; r++) {
    const float *row = dense->weight + (size_t)r * (size_t)dense->in;
    double sum = 0;
    for (int j = 0; j < dense->in; j++)
      if (gone[j / each]) sum += row[j] * mean[j];
    bias[r] = (float)(bias[r] + sum);
  }
}

static olica_status cut(void *self, int index, olica_layer *dense, olica_layer **out,
                        olica_cut_record *record) {
  const flap *state = self;
  const olica_method_job *job = &state->job;
  const olica_arch *arch = job->model.arch;
  const olica_layer_shape *shape = &job->shapes[index];
  int width = arch->heads * arch->head;
  const char *gone = state->gone + (size_t)index * (size_t)units(arch);
  const double *mean = state->mean + (size_t)index * (size_t)channels(arch);
  olica_layer *pruned = NULL;
  OLICA_TRY(olica_pruned_create(job, shape, &pruned));
  OLICA_AGREE(job->context, olica_select_lists(job->context->env, arch, pruned));
  list(gone, arch->kv_heads, pruned->heads_kept);
  list(gone + arch->kv_heads, arch->ffn, pruned->ffn_kept);
  olica_heads_copy(job->context, arch, dense, pruned);
  if (olica_shared_leads(job->context)) {
    compensate(&dense->linear[OLICA_O], mean, gone, width / arch->kv_heads, pruned->linear[OLICA_O].bias);
    compensate(&dense->linear[OLICA_DOWN], mean + width, gone + arch->kv_heads, 1,
               pruned->linear[OLICA_DOWN].bias);
  }
  olica_shared_fence(job->context);
  record->advanced = true; /* nobody looks at the stream any more */
  snprintf(record->line, sizeof record->line, "%d key/value heads, %d FFN neurons", shape->kv_heads,
           shape->ffn);
  *out = pruned;
  return olica_pruned_round(job, pruned);
}

const olica_method olica_method_flap = {
    .name = "flap",
    .about =
        "drops heads and FFN neurons whose inputs fluctuate least, over all layers; biases make up for it",
    .drops_heads = true,
    .calibrates = true,
    .passes = 1,
    .plan = plan,
    .explain = explain,
    .create = create,
    .destroy = destroy,
    .observe = observe,
    .arrays = arrays,
    .shapes = shapes,
    .cut = cut,
};
