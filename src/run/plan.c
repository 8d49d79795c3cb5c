/* What a run needs: the same arithmetic serves --check, the memory limit and the report's estimate. Every
 * term names the allocation it stands for. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "job.h"
#include "olica/par/comm.h"
#include "olica/par/node_memory.h"
#include "olica/par/partition.h"
#include "olica/prune/calibrate.h"
#include "olica/run/pipeline.h"

enum {
  PIECE = 8 << 20,        /* raw bytes of a tensor on their way (model/source.c) */
  WRITE_ROUND = 16 << 20, /* a collective write of all ranks, */
  WRITE_RANK = 128 << 10  /* and the least of one rank (io/hdf5_write.c) */
};

static double share(double items, int ranks) {
  return ceil(items / ranks);
}

static double larger(double a, double b) {
  return a > b ? a : b;
}

static double forward_bytes(const olica_job *job, int tokens) {
  return (double)olica_forward_bytes(&job->source->arch, olica_job_pack_rows(job, tokens), tokens,
                                     job->precision, job->context->most_threads);
}

/* Ids and hidden states of the busiest rank, and the scratch of a sequence. */
static double stream_bytes(const olica_job *job, int ranks) {
  const olica_options *o = job->options;
  const olica_arch *arch = &job->source->arch;
  double bytes = 0, d = arch->hidden;
  if (olica_job_prunes(job)) {
    double positions = share((double)o->calibration.samples, ranks) * (double)o->calibration.length;
    bytes += positions * (4 + 4 * d);
    bytes += forward_bytes(job, (int)o->calibration.length);
  }
  if (job->windows.count > 0) {
    double positions = share((double)job->windows.count, ranks) * job->windows.length;
    bytes += positions * (4 + 4 * d + 4 + 4 + 8) + 4.0 * job->windows.length * job->source->panel_rows;
    if (!olica_job_prunes(job) || job->windows.length != o->calibration.length)
      bytes += forward_bytes(job, job->windows.length);
  }
  return bytes;
}

/* Panel of a table, and of a tied one the raw rows that stay with the rank that has read them. */
static double table_bytes(const olica_job *job, int ranks) {
  const olica_source *source = job->source;
  double row = source->arch.hidden, size = (double)olica_number_size(source->dtype);
  double rows = source->panel_rows, panels = source->panels;
  return rows * row * 4 + (source->arch.tied ? share(panels, ranks) * rows * row * size : 0);
}

/* Matrices of one problem on the rank that holds most of them: LAPACK's are whole, a grid's are shared. */
static double group_of(const olica_job *job, int ranks, int n) {
  olica_placement place;
  olica_solver_place(job->options->solver.eigen, ranks, 1, &n, &place);
  return place.count;
}

static double lowrank_bytes(const olica_job *job, int ranks, const olica_budget *budget) {
  const olica_arch *arch = &job->source->arch;
  double d = arch->hidden, worst = 0;
  int order[2] = {arch->heads * arch->head, arch->kv_heads * arch->head},
      rank[2] = {budget->q_rank, budget->k_rank};
  olica_placement place[2];
  olica_solver_place(job->options->solver.eigen, ranks, 2, order, place);
  for (int i = 0; i < 2; i++) {
    double n = order[i], r = rank[i];
    double own = r > 0 ? 8 * (n * d + n * n + n * r + r * d + larger(n * r, 26 * n)) / place[i].count : 0;
    bool same_rank = i == 1 && place[0].first == place[1].first;
    worst = same_rank ? worst + own : larger(worst, own);
  }
  return worst;
}

/* A layer packed for the products, while blocks pass it. */
static double packed_bytes(const olica_job *job, const olica_layer_shape *shape) {
  return (double)olica_maps_bytes(&job->source->arch, shape, job->precision);
}

/* What the kernel has for itself, and a panel packed at a sweep's end, when no layer is there. */
static double kernel_bytes(const olica_job *job) {
  const olica_arch *arch = &job->source->arch;
  double most = larger(larger(arch->hidden, arch->heads * arch->head), arch->ffn);
  return (double)olica_kernel_bytes(job->precision, job->context->most_threads) +
         job->context->most_threads * larger((double)olica_packed_room(job->precision, (int)most),
                                             (double)olica_forward_room(arch, job->precision));
}

static double packed_panel_bytes(const olica_job *job) {
  return (double)olica_packed_bytes(job->precision, job->source->panel_rows, job->source->arch.hidden);
}

/* The decomposition of value/output: on every rank all rotations and a head's columns, on a head's owner its
 * problem. */
static double rotate_bytes(const olica_arch *arch) {
  double h = arch->head, d = arch->hidden, g = (double)arch->heads / arch->kv_heads;
  return 4 * (arch->kv_heads * h * h + h * d) + 8 * (h * d * g + 2 * h * h + larger(h * h, 26 * h));
}

/* The largest moment of sweep 1, beside what stays: a layer passes while sums grow, sums become a fit, fits
 * are solved. There is a fit for every rank, each on its own or all on all. */
static double survey_bytes(double dense, double packed, double square, double sums) {
  double waiting = 8 * 2 * square;
  return dense + waiting + larger(sums + larger(PIECE, packed), 8 * square);
}

/* The largest moment of the linear calibration, beside both layers and the FFN's inputs. */
static double calibrate_bytes(const olica_job *job, int ranks, const olica_budget *budget, double sums) {
  double d = job->source->arch.hidden, square = d * d, group = group_of(job, ranks, job->source->arch.hidden);
  double rows = olica_job_pack_rows(job, (int)job->options->calibration.length), n = budget->neurons_dropped;
  double dropped =
      (double)olica_dropped_bytes(job->precision, budget->neurons_dropped, (int)d) + 4 * rows * 2 * (d + n);
  double gathered = 8 * 2 * square / group;
  double solved = 8 * (3 * square + square + 2 * budget->branch * d) / group;
  return larger(larger(sums + dropped, sums + gathered + PIECE), solved);
}

/* The parts of the work: what stays for the whole run, and the largest of its moments. */
static double prune_bytes(const olica_job *job, int ranks, const olica_budget *budget, olica_plan *plan) {
  const olica_arch *arch = &job->source->arch;
  const olica_options *o = job->options;
  bool branches = o->prune.mlp_num > 0 && budget->branch > 0;
  olica_layer_shape shape = job->source->shape[0], cut_shape = olica_budget_shape(budget, &shape, branches);
  int length = (int)o->calibration.length;
  double d = arch->hidden, square = d * d;
  double sums =
      (double)olica_fit_sums_bytes(job->precision, arch->hidden, length,
                                   olica_stream_pack(job->precision, job->context->most_threads, length));
  double dense = 4.0 * (double)olica_layer_shape_total(arch, &shape), packed = packed_bytes(job, &shape);
  double cut = 4.0 * (double)olica_layer_shape_total(arch, &cut_shape);
  double positions = share((double)o->calibration.samples, ranks) * (double)o->calibration.length;
  double inputs = branches ? (double)olica_number_size(job->precision) * positions * d : 0;
  double both = dense + cut + inputs, copy = 4.0 * olica_job_pack_rows(job, length) * d;
  double pruning = dense + larger(larger(PIECE, rotate_bytes(arch)), packed + inputs + copy);
  pruning = larger(pruning, both + lowrank_bytes(job, ranks, budget));
  if (branches) pruning = larger(pruning, both + calibrate_bytes(job, ranks, budget, sums));
  double staging =
      larger((double)WRITE_ROUND / ranks, WRITE_RANK); /* from the checkpoint's beginning to its end */
  double worst = larger(survey_bytes(dense, packed, square, sums), pruning + staging);
  double kept = (double)arch->layers * d * 8;
  plan->layers = dense + cut;
  plan->solver = worst - plan->layers + kept;
  return worst + kept;
}

/* Multiply-adds of one token through a layer, twice. */
static double layer_flops(const olica_arch *arch, const olica_layer_shape *shape, double length) {
  return 2.0 * (double)olica_layer_shape_total(arch, shape) +
         2.0 * length * arch->heads * (arch->head + shape->values) / 2;
}

static void plan_flops(const olica_job *job, const olica_budget *budget, olica_plan *plan) {
  const olica_arch *arch = &job->source->arch;
  const olica_options *o = job->options;
  const olica_layer_shape *dense = &job->source->shape[0];
  double layers = arch->layers, d = arch->hidden, head = 2.0 * d * arch->vocabulary;
  double windows = (double)job->windows.count * job->windows.length;
  bool prunes = olica_job_prunes(job);
  if (!prunes || o->evaluate.dense)
    plan->flops += windows * (layers * layer_flops(arch, dense, job->windows.length) + head);
  if (!prunes) return;
  olica_layer_shape cut = olica_budget_shape(budget, dense, false);
  double tokens = (double)o->calibration.samples * (double)o->calibration.length,
         n = arch->heads * arch->head;
  double dense_flops = layer_flops(arch, dense, (double)o->calibration.length);
  double cut_flops = layer_flops(arch, &cut, (double)o->calibration.length), fit = 3 * d * d;
  plan->flops += tokens * (layers * (2 * dense_flops + cut_flops + fit) + (double)o->prune.mlp_num * fit);
  plan->flops += layers * (2.4 * d * d * d + 4 * n * n * n) + windows * (layers * cut_flops + head);
}

static olica_status plan_tasks(const olica_job *job, int ranks, olica_plan *plan) {
  const olica_packs *packs = job->tasks.packs;
  if (!packs) return OLICA_OK;
  OLICA_TRY(olica_choices_bytes(&job->source->arch, packs, job->precision, ranks, job->context->most_threads,
                                job->source->panel_rows, &plan->tasks));
  plan->tasks += olica_job_tasks_bytes(job);
  for (int64_t p = 0; p < packs->count; p++)
    plan->flops += packs->cost[p] * (olica_job_scores(job, false) + olica_job_scores(job, true));
  return OLICA_OK;
}

olica_status olica_plan_make(const olica_job *job, int ranks, olica_plan *plan) {
  const olica_source *source = job->source;
  const olica_arch *arch = &source->arch;
  olica_env *env = job->context->env;
  olica_budget budget = {0};
  *plan = (olica_plan){0};
  double work = 4.0 * (double)olica_layer_shape_total(arch, &source->shape[0]) +
                larger(PIECE, packed_bytes(job, &source->shape[0]));
  if (olica_job_prunes(job)) {
    olica_prune_options options = {.sparsity = job->options->prune.sparsity,
                                   .k = job->options->prune.k,
                                   .mlp_num = (int)job->options->prune.mlp_num,
                                   .ratio = job->options->prune.ratio,
                                   .skip_lowest = job->options->prune.skip_lowest};
    OLICA_TRY(olica_budget_make(env, &options, arch, &source->shape[0], source->parameters, &budget));
    work = prune_bytes(job, ranks, &budget, plan);
    olica_layer_shape *shapes;
    OLICA_TRY(OLICA_NEW(env, shapes, (size_t)arch->layers));
    for (int i = 0; i < arch->layers; i++)
      shapes[i] = olica_budget_shape(&budget, &source->shape[0], i < job->options->prune.mlp_num);
    plan->checkpoint = (double)olica_checkpoint_bytes(arch, shapes, job->dtype);
    olica_memory_free(env, shapes);
  } else {
    plan->layers = work;
  }
  plan->streams = stream_bytes(job, ranks);
  plan->tables = table_bytes(job, ranks);
  OLICA_TRY(plan_tasks(job, ranks, plan));
  plan->other = (double)source->catalog->count * sizeof(olica_tensor) + kernel_bytes(job);
  work = larger(work, packed_panel_bytes(job));
  plan->texts = job->text.kept;
  plan->memory =
      plan->streams + plan->tasks + plan->tables + plan->other + larger(work + plan->texts, job->text.open);
  plan->memory = larger(plan->memory, job->text.peak);
  plan_flops(job, &budget, plan);
  return OLICA_OK;
}

static double mib(double bytes) {
  return bytes / 1048576.0;
}

olica_status olica_plan_check(const olica_job *job, int ranks, const olica_plan *plan) {
  double limit = (double)job->options->compute.memory;
  if (limit == 0 || plan->memory <= limit) return OLICA_OK;
  return olica_error_set(
      job->context->env, OLICA_ERR_MEMORY,
      "[compute] memory allows %.1f MiB a rank, expected at least %.1f MiB on %d ranks; more ranks "
      "need less each",
      mib(limit), ceil(mib(plan->memory) * 10) / 10, ranks);
}

olica_status olica_plan_check_node(const olica_job *job, const olica_plan *plan) {
  const olica_context *context = job->context;
  double left = olica_node_memory(""), need = plan->memory * context->node_size;
  if (left == 0 || need <= left) return OLICA_OK;
  return olica_error_set(context->env, OLICA_ERR_MEMORY,
                         "memory: %s has %.0f MiB left, expected at least %.0f MiB for its %d ranks; more "
                         "nodes need less each",
                         context->host, mib(left), ceil(mib(need)), context->node_size);
}

/* What the texts gave. */
static void print_texts(const olica_job *job, const olica_ids *evaluation) {
  for (int i = 0; i < job->sources.count; i++)
    printf("text         %s:%s: %lld of %lld rows tried, %lld sequences\n",
           olica_sources_kind(job->sources.source[i].kind), job->sources.source[i].path,
           (long long)job->drawn[i].tried, (long long)job->drawn[i].rows, (long long)job->drawn[i].drawn);
  if (evaluation)
    printf("evaluation   %lld windows of %d tokens, of %lld in %s\n", (long long)job->windows.count,
           job->windows.length, (long long)(evaluation->rows * evaluation->cols), evaluation->name);
}

static void print_tasks(const olica_job *job) {
  const olica_job_tasks *tasks = &job->tasks;
  double rows = 0;
  if (!tasks->packs) return;
  for (int64_t p = 0; p < tasks->packs->count; p++) rows += (double)tasks->packs->size[p].rows;
  printf("tasks        %d with %lld questions of %lld choices: %.0f tokens in %lld packs of at most %d\n",
         tasks->files.count, (long long)tasks->questions->count, (long long)tasks->questions->choices, rows,
         (long long)tasks->packs->count, tasks->packs->most_rows);
}

static void print_plan(const olica_job *job, const olica_inputs *inputs, const olica_plan *plan, int ranks,
                       int ranks_per_node) {
  const olica_arch *arch = &job->source->arch;
  const olica_options *o = job->options;
  int rows, cols, nodes = (ranks + ranks_per_node - 1) / ranks_per_node;
  printf("model        %s: %s, %d layers, hidden %d, %d/%d heads of %d, FFN %d, vocabulary %d%s\n",
         o->model.path, arch->family->name, arch->layers, arch->hidden, arch->heads, arch->kv_heads,
         arch->head, arch->ffn, arch->vocabulary, arch->tied ? ", tied" : "");
  printf("parameters   %lld stored as %s\n", (long long)job->source->parameters,
         olica_number_name(job->source->dtype));
  printf("ranks        %d on %d nodes (%d on each), %d threads each, products in %s\n", ranks, nodes,
         ranks_per_node, job->context->threads, olica_number_name(job->precision));
  if (olica_job_prunes(job)) {
    olica_grid_shape(ranks, &rows, &cols);
    printf("calibration  %lld sequences of %lld tokens, at most %.0f on a rank\n",
           (long long)o->calibration.samples, (long long)o->calibration.length,
           share((double)o->calibration.samples, ranks));
    printf("solver       %s, process grid of all ranks %d x %d, blocks of %lld\n",
           olica_backend_name(o->solver.eigen), rows, cols, (long long)o->solver.block);
    printf("checkpoint   %s, %.1f MiB of %s\n", o->output.checkpoint, mib(plan->checkpoint),
           olica_number_name(job->dtype));
  }
  print_texts(job, inputs->evaluation);
  print_tasks(job);
  printf("memory       %.1f MiB a rank (counted), %.1f MiB a node; streams %.1f, tasks %.1f, layers %.1f, "
         "statistics and solver %.1f, tables %.1f, texts %.1f\n",
         mib(plan->memory), mib(plan->memory) * ranks_per_node, mib(plan->streams), mib(plan->tasks),
         mib(plan->layers), mib(plan->solver), mib(plan->tables), mib(plan->texts));
  printf("work         %.3g floating-point operations\n", plan->flops);
}

static void print_budget(const olica_job *job) {
  const olica_options *o = job->options;
  const olica_prune_options options = {.sparsity = o->prune.sparsity,
                                       .k = o->prune.k,
                                       .mlp_num = (int)o->prune.mlp_num,
                                       .ratio = o->prune.ratio,
                                       .skip_lowest = o->prune.skip_lowest};
  const olica_arch *arch = &job->source->arch;
  olica_budget b;
  if (olica_budget_make(job->context->env, &options, arch, &job->source->shape[0], job->source->parameters,
                        &b))
    return;
  printf("budget       shares that go: query/key %.4f, value/output %.4f, FFN %.4f\n", b.rho_qk, b.rho_vo,
         b.rho_ffn);
  printf("a layer      query rank %d of %d, key rank %d of %d%s, %d of %d value neurons a head, %d of %d FFN "
         "neurons\n",
         b.q_rank, arch->heads * arch->head, b.k_rank, arch->kv_heads * arch->head,
         b.q_rank ? "" : " (0: whole)", arch->head - b.values_dropped, arch->head,
         arch->ffn - b.neurons_dropped, arch->ffn);
  printf("calibrated   %d layers, branches of rank %d\n", options.mlp_num, b.branch);
}

olica_status olica_pipeline_check(olica_context *context, const olica_options *options, int ranks,
                                  int ranks_per_node) {
  olica_job job = {.context = context, .options = options};
  olica_inputs inputs = {0};
  olica_plan plan;
  if (ranks == 0) ranks = context->size;
  if (ranks_per_node == 0) ranks_per_node = ranks < context->node_size ? ranks : context->node_size;
  OLICA_TRY(olica_job_open(&job, &inputs));
  OLICA_AGREE(context, olica_plan_make(&job, ranks, &plan));
  if (context->rank == 0) print_plan(&job, &inputs, &plan, ranks, ranks_per_node);
  if (context->rank == 0 && olica_job_prunes(&job)) print_budget(&job);
  if (context->rank == 0) fflush(stdout);
  OLICA_TRY(olica_plan_check(&job, ranks, &plan));
  if (ranks == context->size) OLICA_AGREE(context, olica_plan_check_node(&job, &plan));
  OLICA_TRY(olica_job_check_ids(&job, &inputs));
  OLICA_TRY(olica_job_probe_outputs(&job, plan.checkpoint, false));
  olica_ids_close(context, inputs.calibration);
  olica_ids_close(context, inputs.evaluation);
  olica_source_close(job.source);
  return OLICA_OK;
}
