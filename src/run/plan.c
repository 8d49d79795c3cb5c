/* Every term names the allocation it stands for. */
#include "plan.h"

#include <math.h>

#include "model/forward.h"
#include "par/comm.h"
#include "par/node_memory.h"
#include "par/shared.h"
#include "store/checkpoint.h"

enum { SMALL = 256 << 10 }; /* vectors and small objects */

static double share(double items, int ranks) {
  return ceil(items / ranks);
}

static double larger(double a, double b) {
  return a > b ? a : b;
}

static double forward_bytes(const olica_setup *setup, int tokens) {
  return (double)olica_forward_bytes(&setup->source->arch, olica_setup_pack_rows(setup, tokens), tokens,
                                     setup->precision, setup->context->most_threads);
}

/* Returns bytes of ids and hidden states on the busiest rank, and of the workspace of a forward pass. */
static double stream_bytes(const olica_setup *setup, int ranks) {
  const olica_options *o = setup->options;
  const olica_arch *arch = &setup->source->arch;
  double bytes = 0, d = arch->hidden;
  if (setup->method->calibrates) {
    double positions = share((double)o->calibration.samples, ranks) * (double)o->calibration.length;
    bytes += positions * (4 + 4 * d);
    bytes += forward_bytes(setup, (int)o->calibration.length);
  }
  return bytes;
}

/* Returns a rank's share of bytes that its node holds once. */
static double node_share(double bytes, olica_layout layout) {
  return (double)olica_shared_counted((size_t)bytes, layout.node_ranks);
}

/* Returns bytes of a tied table's stored rows, which stay on the ranks that have read them. */
static double table_bytes(const olica_setup *setup, olica_layout layout) {
  const olica_source *source = setup->source;
  double numbers = (double)source->panel_rows * source->arch.hidden;
  double raw = ceil(numbers / layout.node_ranks) * (double)olica_number_size(source->dtype);
  return source->arch.tied ? share(source->panels, layout.nodes) * raw : 0;
}

/* Returns bytes of a table's panel, which the node holds once. */
static double panel_bytes(const olica_setup *setup) {
  return 4.0 * setup->source->panel_rows * setup->source->arch.hidden;
}

/* Returns a rank's share of a layer packed for the products. */
static double packed_bytes(const olica_setup *setup, olica_layout layout, const olica_layer_shape *shape) {
  return node_share((double)olica_maps_bytes(&setup->source->arch, shape, setup->precision), layout);
}

/* Returns bytes of the kernel, and of its threads' workspaces. */
static double kernel_bytes(const olica_setup *setup, double method_room) {
  const olica_arch *arch = &setup->source->arch;
  double most = larger(larger(arch->hidden, arch->heads * arch->head), arch->ffn);
  double room = larger((double)olica_packed_room(setup->precision, (int)most),
                       (double)olica_forward_room(arch, setup->precision));
  room = larger(room, method_room);
  return (double)olica_kernel_bytes(setup->precision, setup->context->most_threads) +
         setup->context->most_threads * room;
}

/* Returns bytes of a packed panel of the output matrix; of two, if a rider compares the models. */
static double packed_panel_bytes(const olica_setup *setup, const olica_plan *plan) {
  double bytes =
      (double)olica_packed_bytes(setup->precision, setup->source->panel_rows, setup->source->arch.hidden);
  return plan->riders.compares ? 2 * bytes : bytes;
}

/* Returns bytes in memory for restart files: the list of a rank's pieces, and the checkpoint's progress. */
static double restart_bytes(const olica_setup *setup, int ranks, double pieces) {
  if (setup->method->calibrates) pieces += share((double)setup->options->calibration.samples, ranks);
  if (!olica_setup_prunes(setup)) return 0;
  return pieces * sizeof(olica_restart_piece) + (double)olica_checkpoint_progress_most(&setup->source->arch);
}

/* Returns the most bytes of a restart file (snapshot.c): calibration stream, riders' sections, the method's
 * arrays and facts of each layer. */
static double restart_file_bytes(const olica_setup *setup, double arrays, double riders) {
  const olica_options *o = setup->options;
  const olica_arch *arch = &setup->source->arch;
  double rows = 0;
  if (setup->method->calibrates) rows += (double)o->calibration.samples * (double)o->calibration.length;
  return 4.0 * arch->hidden * rows + riders + arrays + (64 << 10) + 1024.0 * arch->layers;
}

static olica_method_site site_of(const olica_setup *setup, olica_layout layout) {
  const olica_options *o = setup->options;
  int length = (int)o->calibration.length;
  return (olica_method_site){.ranks = layout.ranks,
                             .nodes = layout.nodes,
                             .node_ranks = layout.node_ranks,
                             .threads = setup->context->most_threads,
                             .backend = o->solver.eigen,
                             .block = (int)o->solver.block,
                             .precision = setup->precision,
                             .dtype = setup->dtype,
                             .sequences = o->calibration.samples,
                             .tokens = length,
                             .pack_rows = olica_setup_pack_rows(setup, length),
                             .panel_rows = setup->source->panel_rows};
}

/* Adds the needs of pruning: bytes for the whole run, and the peak of its moments. */
static olica_status plan_pruning(const olica_setup *setup, olica_layout layout,
                                 const olica_method_plan *method, olica_plan *plan) {
  const olica_arch *arch = &setup->source->arch;
  double largest = (double)olica_layer_bytes(arch, &method->largest);
  double writer = (double)olica_checkpoint_writer_bytes(arch, setup->dtype, layout.ranks);
  plan->shared += largest + method->node;
  plan->layers += node_share(largest, layout);
  plan->solver =
      larger(method->observe, larger(method->cut + writer, (double)olica_checkpoint_verify_bytes()));
  plan->solver += method->stays;
  plan->checkpoint = (double)olica_checkpoint_bytes(arch, method->shapes, setup->dtype);
  plan->restart = restart_file_bytes(setup, method->arrays, plan->riders.restart);
  plan->largest = method->largest;
  plan->method_room = method->room;
  for (int i = 0; i < arch->layers; i++)
    plan->removed += (double)(olica_layer_shape_total(arch, &setup->source->shape[i]) -
                              olica_layer_shape_total(arch, &method->shapes[i]));
  return OLICA_OK;
}

/* Returns the most bytes of a packed layer as read: the layers of a pruned checkpoint differ. */
static double most_maps_bytes(const olica_setup *setup) {
  const olica_arch *arch = &setup->source->arch;
  double most = 0;
  for (int i = 0; i < arch->layers; i++)
    most = larger(most, (double)olica_maps_bytes(arch, &setup->source->shape[i], setup->precision));
  return most;
}

static olica_status plan_passes(const olica_setup *setup, const olica_riders *riders, olica_layout layout,
                                olica_method_plan *method, olica_plan *plan) {
  const olica_arch *arch = &setup->source->arch;
  const olica_method_model model = olica_setup_model(setup);
  const olica_method_site site = site_of(setup, layout);
  double read = most_maps_bytes(setup), maps = read;
  if (olica_setup_prunes(setup)) OLICA_TRY(setup->method->plan(setup->context->env, &model, &site, method));
  OLICA_TRY(olica_riders_plan(riders, layout.ranks, method, &plan->riders));
  if (olica_setup_prunes(setup)) {
    OLICA_TRY(plan_pruning(setup, layout, method, plan));
    maps = larger(maps, (double)olica_maps_bytes(arch, &method->largest, setup->precision));
    plan->solver = larger(plan->solver, packed_bytes(setup, layout, &method->largest));
  }
  plan->solver = larger(
      plan->solver, larger(node_share(read, layout), node_share(packed_panel_bytes(setup, plan), layout)));
  plan->shared +=
      larger(maps, packed_panel_bytes(setup, plan)) + (plan->riders.compares ? panel_bytes(setup) : 0);
  plan->work = olica_work_make(setup, method, &plan->riders);
  plan->flops = olica_work_all(&plan->work) + method->solver_work;
  plan->solving = method->solver_seconds;
  return OLICA_OK;
}

static olica_status plan_method(const olica_setup *setup, const olica_riders *riders, olica_layout layout,
                                olica_plan *plan) {
  olica_env *env = setup->context->env;
  olica_method_plan method = {0};
  OLICA_TRY(OLICA_NEW(env, method.shapes, (size_t)setup->source->arch.layers));
  olica_status status = plan_passes(setup, riders, layout, &method, plan);
  olica_memory_free(env, method.shapes);
  return status;
}

/* Plans a run that reads layers in that way. */
static olica_status make(const olica_setup *setup, const olica_inputs *inputs, const olica_riders *riders,
                         olica_layout layout, olica_source_options source, olica_plan *plan) {
  olica_source_needs needs =
      olica_source_plan(setup->source, layout.nodes, layout.node_ranks, source.prefetch);
  *plan = (olica_plan){.source = source, .shared = (double)needs.node + panel_bytes(setup)};
  plan->layers = node_share((double)needs.node, layout);
  plan->weights = (double)needs.rank + (source.keep ? (double)needs.kept : 0);
  OLICA_TRY(plan_method(setup, riders, layout, plan));
  plan->streams = stream_bytes(setup, layout.ranks) + plan->riders.streams;
  plan->tasks = plan->riders.tasks;
  plan->tables = table_bytes(setup, layout) + node_share(panel_bytes(setup), layout);
  if (plan->riders.compares) plan->tables += node_share(panel_bytes(setup), layout);
  plan->other = inputs->text.before + kernel_bytes(setup, plan->method_room) +
                restart_bytes(setup, layout.ranks, plan->riders.pieces) + SMALL;
  plan->texts = inputs->text.kept;
  /* The texts' ids are closed before the first layer. */
  double work = plan->solver + plan->texts;
  plan->memory = plan->streams + plan->tasks + plan->tables + plan->layers + plan->weights + plan->other +
                 larger(work, inputs->text.open);
  plan->memory = larger(plan->memory, inputs->text.peak + table_bytes(setup, layout));
  return OLICA_OK;
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
