/* The plan replays a run on a ledger (base/ledger.h), in the order in which it allocates and frees:
 *
 *     open      catalog and options; a tied table's rows; the texts, until the streams have their ids
 *     prepare   the kernel, streams and forwards, the method's state, panels, the layers in work
 *     sweeps    a dense pass: a packed layer, what the method observes, packed panels of the output matrix
 *               the cut of a layer, with the checkpoint's writer
 *               the verification of the checkpoint
 *
 * A line for each thing that is held; its size comes from the module that allocates it. */
#include "plan.h"

#include <math.h>

#include "model/forward.h"
#include "par/node_memory.h"
#include "par/partition.h"
#include "par/shared.h"
#include "store/checkpoint.h"

enum { SMALL = 256 << 10 }; /* vectors and objects that are not worth a line */

/* The replay of a run. */
typedef struct replay {
  const olica_setup *setup;
  const olica_inputs *inputs;
  const olica_method_plan *method; /* shapes and ledgers are empty if nothing is pruned */
  olica_layout layout;
  olica_source_needs source;
  olica_plan *plan;
  olica_ledger ledger;
} replay;

/* Holds bytes of a rank, or of its node, and adds them to a part of the plan. */
static void hold(replay *r, double *part, size_t bytes) {
  *part += (double)olica_ledger_hold(&r->ledger, bytes).rank;
}

static void hold_node(replay *r, double *part, size_t bytes) {
  *part += (double)olica_ledger_hold_node(&r->ledger, bytes).rank;
}

/* ---- open ---- */

/* Returns what the texts hold until the streams have it. */
static olica_hold replay_open(replay *r) {
  size_t before = (size_t)r->inputs->text.before, peak = (size_t)r->inputs->text.peak;
  hold(r, &r->plan->other, before);
  hold(r, &r->plan->tables, r->source.table);
  if (peak > before) olica_ledger_touch(&r->ledger, peak - before);
  return olica_ledger_hold(&r->ledger, (size_t)r->inputs->text.open);
}

/* ---- prepare ---- */

static void replay_calibration(replay *r) {
  const olica_options *o = r->setup->options;
  int hidden = r->setup->source->arch.hidden, length = (int)o->calibration.length;
  olica_hold before = olica_ledger_mark(&r->ledger);
  olica_stream_hold(&r->ledger, hidden, o->calibration.samples, length, r->layout.ranks);
  olica_forward_hold(&r->ledger, &r->setup->source->arch, olica_setup_pack_rows(r->setup, length), length,
                     r->setup->precision, r->setup->context->most_threads);
  r->plan->streams += (double)olica_ledger_since(&r->ledger, before).rank;
}

static void replay_riders(replay *r) {
  const olica_rider_plan *riders = &r->plan->riders;
  r->plan->streams += (double)olica_ledger_replay(&r->ledger, &riders->streams).rank;
  r->plan->tasks += (double)olica_ledger_replay(&r->ledger, &riders->tasks).rank;
}

/* The workspaces of its threads grow to the largest that anybody reserves. */
static void replay_kernel(replay *r) {
  const olica_arch *arch = &r->setup->source->arch;
  const olica_ledger *others[] = {&r->method->create, &r->method->observe, &r->method->cut};
  int queries = arch->heads * arch->head, inputs[] = {arch->hidden, queries, arch->ffn};
  for (int i = 0; i < 3; i++) {
    olica_ledger_reserve(&r->ledger, others[i]->workspace);
    olica_packed_reserve(&r->ledger, r->setup->precision, inputs[i]);
  }
  r->plan->other += (double)olica_kernel_hold(&r->ledger, r->setup->context->most_threads).rank;
}

/* The list of a rank's pieces, and how far each dataset is. */
static void replay_restart(replay *r) {
  double pieces = r->plan->riders.pieces;
  int64_t sequences = r->setup->options->calibration.samples;
  if (r->setup->method->calibrates)
    pieces += (double)olica_partition_block(sequences, r->layout.ranks, 0).count;
  hold(r, &r->plan->other, (size_t)pieces * sizeof(olica_restart_piece));
  hold(r, &r->plan->other, (size_t)olica_checkpoint_progress_most(&r->setup->source->arch));
}

static void replay_prepare(replay *r) {
  const olica_source *source = r->setup->source;
  olica_plan *plan = r->plan;
  size_t panel = (size_t)source->panel_rows * (size_t)source->arch.hidden * sizeof(float);
  if (r->setup->method->calibrates) replay_calibration(r);
  replay_riders(r);
  replay_kernel(r);
  if (olica_setup_prunes(r->setup)) {
    hold_node(r, &plan->layers, olica_layer_bytes(&source->arch, &r->method->largest));
    plan->solver += (double)olica_ledger_replay(&r->ledger, &r->method->create).rank;
    replay_restart(r);
  }
  hold_node(r, &plan->tables, panel);
  if (plan->riders.compares) hold_node(r, &plan->tables, panel);
  hold_node(r, &plan->layers, r->source.node);
  hold(r, &plan->weights, r->source.rank);
  hold(r, &plan->other, SMALL);
}

/* ---- sweeps ---- */

/* Packed panels of the output matrix: two, where the dense model's is compared with the pruned one's. */
static void replay_panels(const replay *r, olica_ledger *ledger) {
  const olica_source *source = r->setup->source;
  size_t bytes = olica_packed_measure(r->setup->precision, source->panel_rows, source->arch.hidden);
  olica_hold before = olica_ledger_mark(ledger);
  olica_ledger_hold_node(ledger, bytes);
  if (r->plan->riders.compares) olica_ledger_hold_node(ledger, bytes);
  olica_ledger_rewind(ledger, before);
}

/* Layers are packed as they are read: those of a pruned checkpoint differ. */
static void replay_dense(const replay *r, olica_ledger *ledger) {
  const olica_source *source = r->setup->source;
  for (int i = 0; i < source->arch.layers; i++)
    olica_ledger_release(ledger,
                         olica_maps_hold(ledger, &source->arch, &source->shape[i], r->setup->precision));
  olica_ledger_replay(ledger, &r->method->observe);
  replay_panels(r, ledger);
}

static void replay_prune(const replay *r, olica_ledger *ledger) {
  const olica_arch *arch = &r->setup->source->arch;
  olica_hold writer = olica_ledger_hold(
      ledger, (size_t)olica_checkpoint_writer_bytes(arch, r->setup->dtype, r->layout.ranks));
  olica_ledger_replay(ledger, &r->method->cut);
  olica_ledger_release(ledger, olica_maps_hold(ledger, arch, &r->method->largest, r->setup->precision));
  replay_panels(r, ledger);
  olica_ledger_release(ledger, writer);
  olica_ledger_touch(ledger, (size_t)olica_checkpoint_verify_bytes());
}

static void replay_sweeps(replay *r) {
  olica_ledger work = olica_ledger_empty(&r->ledger);
  if (r->plan->source.keep) hold(r, &r->plan->weights, r->source.kept);
  replay_dense(r, &work);
  if (olica_setup_prunes(r->setup)) replay_prune(r, &work);
  olica_ledger_replay(&r->ledger, &work);
  r->plan->solver += (double)work.peak;
}

/* Texts are closed when the streams have been made, but for the tokenizer's files. */
static void replay_run(replay *r) {
  olica_hold texts = replay_open(r);
  replay_prepare(r);
  olica_ledger_release(&r->ledger, texts);
  hold(r, &r->plan->texts, (size_t)r->inputs->text.kept);
  replay_sweeps(r);
  r->plan->memory = (double)r->ledger.peak;
  r->plan->shared = (double)r->ledger.node_peak;
}

/* ---- the plan ---- */

/* Returns the most bytes of a restart file (snapshot.c): calibration stream, riders' sections, the method's
 * arrays, facts and curves of each layer. */
static double restart_file_bytes(const olica_setup *setup, double arrays, double riders) {
  const olica_options *o = setup->options;
  const olica_arch *arch = &setup->source->arch;
  double rows = 0;
  if (setup->method->calibrates) rows += (double)o->calibration.samples * (double)o->calibration.length;
  return 4.0 * arch->hidden * rows + riders + arrays + (64 << 10) + 2560.0 * arch->layers;
}

static olica_method_site site_of(const olica_setup *setup, olica_layout layout) {
  const olica_options *o = setup->options;
  int length = (int)o->calibration.length;
  return (olica_method_site){.ranks = layout.ranks,
                             .nodes = layout.nodes,
                             .node_ranks = layout.node_ranks,
                             .threads = setup->context->most_threads,
                             .backend = o->solver.eigen,
                             .solving = o->solver.precision,
                             .block = (int)o->solver.block,
                             .precision = setup->precision,
                             .dtype = setup->dtype,
                             .sequences = o->calibration.samples,
                             .tokens = length,
                             .pack_rows = olica_setup_pack_rows(setup, length),
                             .panel_rows = setup->source->panel_rows};
}

/* Shapes and bytes after pruning. */
static void plan_pruning(const olica_setup *setup, const olica_method_plan *method, olica_plan *plan) {
  const olica_arch *arch = &setup->source->arch;
  plan->checkpoint = (double)olica_checkpoint_bytes(arch, method->shapes, setup->dtype);
  plan->restart = restart_file_bytes(setup, method->arrays, plan->riders.restart);
  plan->largest = method->largest;
  for (int i = 0; i < arch->layers; i++)
    plan->removed += (double)(olica_layer_shape_total(arch, &setup->source->shape[i]) -
                              olica_layer_shape_total(arch, &method->shapes[i]));
}

static olica_status fill(replay *r, const olica_riders *riders, olica_method_plan *method) {
  const olica_setup *setup = r->setup;
  const olica_method_model model = olica_setup_model(setup);
  const olica_method_site site = site_of(setup, r->layout);
  method->create = method->observe = method->cut = r->ledger;
  if (olica_setup_prunes(setup)) OLICA_TRY(setup->method->plan(setup->context->env, &model, &site, method));
  OLICA_TRY(olica_riders_plan(riders, r->layout.ranks, method, &r->plan->riders));
  if (olica_setup_prunes(setup)) plan_pruning(setup, method, r->plan);
  r->plan->work = olica_work_make(setup, method, &r->plan->riders);
  r->plan->flops = olica_work_all(&r->plan->work) + method->solver_work;
  r->plan->solving = method->solver_seconds;
  replay_run(r);
  return OLICA_OK;
}

/* The plan of a run that reads layers in that way. */
static olica_status make(const olica_setup *setup, const olica_inputs *inputs, const olica_riders *riders,
                         olica_layout layout, olica_source_options source, olica_plan *plan) {
  olica_env *env = setup->context->env;
  olica_method_plan method = {0};
  replay r = {.setup = setup,
              .inputs = inputs,
              .method = &method,
              .layout = layout,
              .source = olica_source_plan(setup->source, layout.nodes, layout.node_ranks, source.prefetch),
              .plan = plan,
              .ledger = {.node_ranks = layout.node_ranks}};
  *plan = (olica_plan){.source = source};
  OLICA_TRY(OLICA_NEW(env, method.shapes, (size_t)setup->source->arch.layers));
  olica_status status = fill(&r, riders, &method);
  olica_memory_free(env, method.shapes);
  return status;
}

olica_status olica_plan_make(const olica_setup *setup, const olica_inputs *inputs, const olica_riders *riders,
                             olica_layout layout, olica_plan *plan) {
  double limit = (double)setup->options->compute.memory;
  olica_keep_choice keep = setup->options->compute.keep_weights;
  /* Without a limit the files stay in the system's cache, which uses free memory. */
  bool wanted = keep == OLICA_KEEP_YES || (keep == OLICA_KEEP_AUTO && limit > 0 && olica_setup_prunes(setup));
  OLICA_TRY(
      make(setup, inputs, riders, layout, (olica_source_options){.prefetch = true, .keep = wanted}, plan));
  if (limit == 0 || plan->memory <= limit) return OLICA_OK;
  bool kept = keep == OLICA_KEEP_YES; /* the user asked for it */
  if (wanted && !kept)
    OLICA_TRY(make(setup, inputs, riders, layout, (olica_source_options){.prefetch = true}, plan));
  if (plan->memory <= limit) return OLICA_OK;
  return make(setup, inputs, riders, layout, (olica_source_options){.keep = kept}, plan);
}

olica_status olica_plan_shapes(const olica_setup *setup, olica_layer_shape *shapes) {
  const olica_context *context = setup->context;
  const olica_method_model model = olica_setup_model(setup);
  const olica_method_site site =
      site_of(setup, (olica_layout){context->size, context->nodes, context->peer_groups});
  olica_method_plan method = {.shapes = shapes};
  return setup->method->plan(context->env, &model, &site, &method);
}

olica_status olica_plan_check(const olica_setup *setup, olica_layout layout, const olica_plan *plan) {
  double limit = (double)setup->options->compute.memory;
  if (limit == 0 || plan->memory <= limit) return OLICA_OK;
  return olica_error_set(
      setup->context->env, OLICA_ERR_MEMORY,
      "[compute] memory allows %.1f MiB a rank, expected at least %.1f MiB on %d ranks; more ranks "
      "need less each%s",
      olica_mib(limit), ceil(olica_mib(plan->memory) * 10) / 10, layout.ranks,
      plan->source.keep ? ", and so does keep_weights = no" : "");
}

olica_status olica_plan_check_node(const olica_setup *setup, const olica_plan *plan) {
  const olica_context *context = setup->context;
  OLICA_TRY(olica_shared_check(context));
  double left = olica_node_memory(""), need = plan->memory * context->node_size,
         room = olica_shared_room() / context->nodes_here;
  if (context->node_size > 1 && plan->shared > room)
    return olica_error_set(
        context->env, OLICA_ERR_MEMORY,
        "memory: %s has %.0f MiB of shared memory left (%s), expected at least %.0f MiB for "
        "its layers; ranks on nodes of their own need none",
        context->host, olica_mib(room), olica_shared_directory(), ceil(olica_mib(plan->shared)));
  if (left == 0 || need <= left) return OLICA_OK;
  return olica_error_set(context->env, OLICA_ERR_MEMORY,
                         "memory: %s has %.0f MiB left, expected at least %.0f MiB for its %d ranks; more "
                         "nodes need less each",
                         context->host, olica_mib(left), ceil(olica_mib(need)), context->node_size);
}
