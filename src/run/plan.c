/* What a run needs: the same arithmetic serves --check, the memory limit and the report's estimate. Every
 * term names the allocation it stands for. */
#include <math.h>

#include "job.h"
#include "olica/par/comm.h"
#include "olica/par/node_memory.h"
#include "olica/par/shared.h"
#include "olica/prune/calibrate.h"
#include "olica/prune/decompose.h"
#include "olica/prune/rotate.h"
#include "olica/prune/select.h"

enum { SMALL = 256 << 10 }; /* vectors and objects that are not worth a term */

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

/* A rank's share of what its node has once. */
static double node_share(double bytes, olica_layout layout) {
  return (double)olica_shared_counted((size_t)bytes, layout.node_ranks);
}

/* Of a tied table the raw rows that stay with the ranks that have read them. */
static double table_bytes(const olica_job *job, olica_layout layout) {
  const olica_source *source = job->source;
  double numbers = (double)source->panel_rows * source->arch.hidden;
  double raw = ceil(numbers / layout.node_ranks) * (double)olica_number_size(source->dtype);
  return source->arch.tied ? share(source->panels, layout.nodes) * raw : 0;
}

/* What the node has once: a table's panel and the layers in work. */
static double panel_bytes(const olica_job *job) {
  return 4.0 * job->source->panel_rows * job->source->arch.hidden;
}

/* The rank that needs most for a layer's decompositions: they are begun together, while the sums of the
 * branch's fit are there too, and solved in turn. */
static olica_status decompose_bytes(const olica_job *job, olica_layout layout, const olica_layer_shape *shape,
                                    double sums, double *most) {
  const olica_options *o = job->options;
  const olica_decompose_ranks on = {o->solver.eigen, (int)o->solver.block, layout.ranks, layout.nodes};
  return olica_decompose_bytes(job->context->env, &on, &job->source->arch, shape, sums, most);
}

/* A rank's share of a layer packed for the products, while blocks pass it. */
static double packed_bytes(const olica_job *job, olica_layout layout, const olica_layer_shape *shape) {
  return node_share((double)olica_maps_bytes(&job->source->arch, shape, job->precision), layout);
}

/* What the kernel has for itself, and the rooms of its threads. */
static double kernel_bytes(const olica_job *job) {
  const olica_arch *arch = &job->source->arch;
  double most = larger(larger(arch->hidden, arch->heads * arch->head), arch->ffn);
  double room = larger((double)olica_packed_room(job->precision, (int)most),
                       (double)olica_forward_room(arch, job->precision));
  if (olica_job_prunes(job)) room = larger(room, (double)olica_fit_sums_room(job->precision));
  return (double)olica_kernel_bytes(job->precision, job->context->most_threads) +
         job->context->most_threads * room;
}

static double packed_panel_bytes(const olica_job *job, olica_layout layout) {
  return node_share(
      (double)olica_packed_bytes(job->precision, job->source->panel_rows, job->source->arch.hidden), layout);
}

/* Bytes of so many fits that wait for each other, on the rank that needs most: the last one's sums become a
 * fit while all that the survey of a layer works in, `beside`, is still there; then all are solved. */
static olica_status batch_bytes(const olica_job *job, olica_layout layout, int fits, double beside,
                                double *most) {
  const olica_options *o = job->options;
  int d = job->source->arch.hidden;
  double gather = 0;
  olica_env *env = job->context->env;
  olica_problem *problem;
  olica_placement *place;
  olica_problem_bytes *bytes;
  OLICA_TRY(OLICA_NEW(env, problem, (size_t)fits));
  OLICA_TRY(OLICA_NEW(env, place, (size_t)fits));
  OLICA_TRY(OLICA_NEW(env, bytes, (size_t)fits));
  for (int i = 0; i < fits; i++) problem[i] = olica_fit_problem(d);
  OLICA_TRY(olica_solver_place(env, o->solver.eigen, layout.ranks, fits, problem, place));
  for (int i = 0; i < fits; i++) {
    const olica_site at = {place[i], (int)o->solver.block, layout.nodes};
    bytes[i] = olica_fit_bytes(&at, d);
    gather = larger(gather, olica_fit_gather_bytes(&at, d));
  }
  olica_step_bytes step = olica_solver_step_bytes(fits, place, bytes);
  *most = fits * olica_fit_vector_bytes(d) + larger(step.begun + gather + beside, step.solved);
  olica_memory_free(env, problem);
  olica_memory_free(env, place);
  olica_memory_free(env, bytes);
  return OLICA_OK;
}

/* The largest moment of sweep 1, beside what stays. There is a fit for every rank, or for every layer that is
 * left; the packed layer is there while they are gathered and solved. */
static olica_status survey_bytes(const olica_job *job, olica_layout layout, double packed, double sums,
                                 double *most) {
  const olica_arch *arch = &job->source->arch;
  int fits = layout.ranks < arch->layers ? layout.ranks : arch->layers, rest = arch->layers % fits;
  double energy = 8.0 * job->context->most_threads * arch->hidden; /* of the attention's output, by threads */
  double all, last = 0;
  OLICA_TRY(batch_bytes(job, layout, fits, sums + energy, &all));
  if (rest > 0) OLICA_TRY(batch_bytes(job, layout, rest, sums + energy, &last));
  *most = packed + larger(all, last);
  return OLICA_OK;
}

static double dropped_bytes(const olica_job *job, const olica_budget *budget) {
  return (double)olica_dropped_bytes(job->precision, budget->neurons_dropped, job->source->arch.hidden);
}

/* Sums of the cut's residual grow: the dropped neurons with their biases, and a pack's inputs and neurons. */
static double residual_bytes(const olica_job *job, olica_layout layout, const olica_budget *budget) {
  double d = job->source->arch.hidden, n = budget->neurons_dropped;
  double rows = olica_job_pack_rows(job, (int)job->options->calibration.length);
  return node_share(dropped_bytes(job, budget), layout) + 4 * 2 * n + 4 * rows * 2 * (d + n);
}

/* Counted bytes of a fit's sums, a rank's share of the node's among them. */
static double fit_sums_bytes(const olica_job *job, olica_layout layout) {
  int d = job->source->arch.hidden, length = (int)job->options->calibration.length;
  int pack = olica_stream_pack(job->precision, job->context->most_threads, length);
  return (double)olica_fit_sums_bytes(job->precision, d, length, pack) +
         node_share((double)olica_fit_sums_node_bytes(d), layout);
}

/* The FFN's inputs in calibrated layers, as the products read them. */
static double inputs_bytes(const olica_job *job, olica_layout layout, const olica_layer_shape *cut) {
  const olica_options *o = job->options;
  double positions = share((double)o->calibration.samples, layout.ranks) * (double)o->calibration.length;
  if (cut->branch == 0) return 0;
  return (double)olica_number_size(job->precision) * positions * job->source->arch.hidden;
}

/* The largest moment of a layer's cut, beside what stays: the rotation; then, with the energies, the uncut
 * layer's pass over a copy of the states, the choice of neurons, the sums of the residual, the
 * decompositions; and the cut layer's pass. */
static olica_status cut_bytes(const olica_job *job, olica_layout layout, const olica_budget *budget,
                              const olica_layer_shape *cut, double *most) {
  const olica_arch *arch = &job->source->arch;
  double inputs = inputs_bytes(job, layout, cut), sums = fit_sums_bytes(job, layout), decomposed;
  double energies = (double)olica_energies_bytes(arch, job->context->most_threads);
  double lists = 4.0 * (arch->kv_heads * arch->head + arch->ffn); /* of what is kept */
  double copy = 4.0 * olica_job_pack_rows(job, (int)job->options->calibration.length) * arch->hidden;
  OLICA_TRY(decompose_bytes(job, layout, cut, sums, &decomposed));
  *most = larger(inputs + packed_bytes(job, layout, &job->source->shape[0]) + copy,
                 inputs + lists + (double)olica_select_bytes(arch));
  if (inputs > 0) *most = larger(*most, inputs + lists + sums + residual_bytes(job, layout, budget));
  *most = energies + larger(*most, lists + decomposed);
  *most = larger(*most, lists + packed_bytes(job, layout, cut));
  *most = larger(*most, olica_rotate_bytes(arch, job->options->prune.ond));
  return OLICA_OK;
}

/* The parts of the work: what stays for the whole run, and the largest of its moments. */
static olica_status plan_pruning(const olica_job *job, olica_layout layout, const olica_budget *budget,
                                 olica_plan *plan) {
  const olica_arch *arch = &job->source->arch;
  const olica_layer_shape *dense = &job->source->shape[0];
  olica_layer_shape cut_shape = olica_budget_shape(budget, dense, job->options->prune.mlp_num > 0);
  double cut = (double)olica_layer_bytes(arch, &cut_shape), survey, pruning;
  double writer = (double)olica_checkpoint_writer_bytes(arch, job->dtype, layout.ranks);
  OLICA_TRY(
      survey_bytes(job, layout, packed_bytes(job, layout, dense), fit_sums_bytes(job, layout), &survey));
  OLICA_TRY(cut_bytes(job, layout, budget, &cut_shape, &pruning));
  /* Beside the layers: sums of a fit, with a layer that passes or the neurons that a cut has dropped. */
  plan->shared += cut + (double)olica_fit_sums_node_bytes(arch->hidden) +
                  (cut_shape.branch > 0 ? dropped_bytes(job, budget) : 0);
  plan->layers += node_share(cut, layout);
  plan->solver = larger(survey, larger(pruning + writer, (double)olica_checkpoint_verify_bytes()));
  plan->solver += (double)arch->layers * arch->hidden * 8; /* energies of the attention's output */
  return OLICA_OK;
}

/* What restart files take in memory: the list of a rank's pieces, and how far each dataset is. */
static double restart_bytes(const olica_job *job, int ranks) {
  double packs = job->tasks.packs ? (double)job->tasks.packs->count : 0;
  double pieces = share((double)job->options->calibration.samples, ranks) +
                  share((double)job->windows.count, ranks) + packs;
  if (!olica_job_prunes(job)) return 0;
  return pieces * sizeof(olica_restart_piece) +
         (double)job->source->arch.layers * OLICA_CHECKPOINT_LAYER_DATASETS * sizeof(olica_hdf5_progress);
}

static olica_status plan_tasks(const olica_job *job, int ranks, olica_plan *plan) {
  const olica_packs *packs = job->tasks.packs;
  if (!packs) return OLICA_OK;
  OLICA_TRY(olica_choices_bytes(&job->source->arch, packs, job->precision, ranks, job->context->most_threads,
                                job->source->panel_rows, &plan->tasks));
  plan->tasks += olica_job_tasks_bytes(job);
  return OLICA_OK;
}

static olica_status plan_method(const olica_job *job, olica_layout layout, olica_plan *plan) {
  const olica_arch *arch = &job->source->arch;
  const olica_layer_shape *dense = &job->source->shape[0];
  const olica_prune_options options = olica_job_prune_options(job->options);
  olica_env *env = job->context->env;
  olica_budget budget = {0};
  olica_layer_shape largest = *dense; /* of a pruned layer: with a branch */
  if (olica_job_prunes(job)) {
    OLICA_TRY(olica_budget_make(env, &options, arch, dense, job->source->parameters, &budget));
    largest = olica_budget_shape(&budget, dense, options.mlp_num > 0);
    OLICA_TRY(plan_pruning(job, layout, &budget, plan));
    olica_layer_shape *shapes;
    OLICA_TRY(OLICA_NEW(env, shapes, (size_t)arch->layers));
    for (int i = 0; i < arch->layers; i++)
      shapes[i] = olica_budget_shape(&budget, dense, i < options.mlp_num);
    plan->checkpoint = (double)olica_checkpoint_bytes(arch, shapes, job->dtype);
    plan->restart = olica_resume_bytes(job);
    olica_memory_free(env, shapes);
  }
  plan->solver =
      larger(plan->solver, larger(packed_bytes(job, layout, dense), packed_panel_bytes(job, layout)));
  double maps = larger((double)olica_maps_bytes(arch, dense, job->precision),
                       (double)olica_maps_bytes(arch, &largest, job->precision));
  plan->shared +=
      larger(maps, (double)olica_packed_bytes(job->precision, job->source->panel_rows, arch->hidden));
  plan->work = olica_work_make(job, &budget);
  plan->flops = olica_work_all(job, &plan->work) + (olica_job_prunes(job) ? olica_work_solver(job) : 0);
  if (olica_job_prunes(job)) plan->solving = olica_work_solver_seconds(job, &budget, layout.ranks);
  return OLICA_OK;
}

/* The plan of a run that brings layers in that way. */
static olica_status make(const olica_job *job, olica_layout layout, olica_source_options source,
                         olica_plan *plan) {
  olica_source_needs needs = olica_source_plan(job->source, layout.nodes, layout.node_ranks, source.prefetch);
  *plan = (olica_plan){.source = source, .shared = (double)needs.node + panel_bytes(job)};
  plan->layers = node_share((double)needs.node, layout);
  plan->weights = (double)needs.rank + (source.keep ? (double)needs.kept : 0);
  OLICA_TRY(plan_method(job, layout, plan));
  plan->streams = stream_bytes(job, layout.ranks);
  plan->tables = table_bytes(job, layout) + node_share(panel_bytes(job), layout);
  OLICA_TRY(plan_tasks(job, layout.ranks, plan));
  plan->other = job->text.before + kernel_bytes(job) + restart_bytes(job, layout.ranks) + SMALL;
  plan->texts = job->text.kept;
  /* Texts are closed when the streams have been made, before the first layer. */
  double work = plan->solver + plan->texts;
  plan->memory = plan->streams + plan->tasks + plan->tables + plan->layers + plan->weights + plan->other +
                 larger(work, job->text.open);
  plan->memory = larger(plan->memory, job->text.peak + table_bytes(job, layout));
  return OLICA_OK;
}

olica_status olica_plan_make(const olica_job *job, olica_layout layout, olica_plan *plan) {
  double limit = (double)job->options->compute.memory;
  olica_keep_choice keep = job->options->compute.keep_weights;
  /* Without a limit the files are left to the system's cache, which has what memory nobody else wants. */
  bool wanted = keep == OLICA_KEEP_YES || (keep == OLICA_KEEP_AUTO && limit > 0 && olica_job_prunes(job));
  OLICA_TRY(make(job, layout, (olica_source_options){.prefetch = true, .keep = wanted}, plan));
  if (limit == 0 || plan->memory <= limit) return OLICA_OK;
  bool kept = keep == OLICA_KEEP_YES; /* that is not ours to give up */
  if (wanted && !kept) OLICA_TRY(make(job, layout, (olica_source_options){.prefetch = true}, plan));
  if (plan->memory <= limit) return OLICA_OK;
  return make(job, layout, (olica_source_options){.keep = kept}, plan);
}

olica_status olica_plan_check(const olica_job *job, olica_layout layout, const olica_plan *plan) {
  double limit = (double)job->options->compute.memory;
  if (limit == 0 || plan->memory <= limit) return OLICA_OK;
  return olica_error_set(
      job->context->env, OLICA_ERR_MEMORY,
      "[compute] memory allows %.1f MiB a rank, expected at least %.1f MiB on %d ranks; more ranks "
      "need less each%s",
      olica_job_mib(limit), ceil(olica_job_mib(plan->memory) * 10) / 10, layout.ranks,
      plan->source.keep ? ", and so does keep_weights = no" : "");
}

olica_status olica_plan_check_node(const olica_job *job, const olica_plan *plan) {
  const olica_context *context = job->context;
  OLICA_TRY(olica_shared_check(context));
  double left = olica_node_memory(""), need = plan->memory * context->node_size,
         room = olica_shared_room() / context->nodes_here;
  if (context->node_size > 1 && plan->shared > room)
    return olica_error_set(
        context->env, OLICA_ERR_MEMORY,
        "memory: %s has %.0f MiB of shared memory left (%s), expected at least %.0f MiB for "
        "its layers; ranks on nodes of their own need none",
        context->host, olica_job_mib(room), olica_shared_directory(), ceil(olica_job_mib(plan->shared)));
  if (left == 0 || need <= left) return OLICA_OK;
  return olica_error_set(context->env, OLICA_ERR_MEMORY,
                         "memory: %s has %.0f MiB left, expected at least %.0f MiB for its %d ranks; more "
                         "nodes need less each",
                         context->host, olica_job_mib(left), ceil(olica_job_mib(need)), context->node_size);
}
