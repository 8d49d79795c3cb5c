/* --check: does all that a run does before its first layer, and prints what the run would need. */
#include <math.h>
#include <stdio.h>

#include "advice.h"
#include "foresee.h"
#include "par/comm.h"
#include "probe.h"
#include "run/pipeline.h"

/* Prints how many sequences each calibration text gave. */
static void print_texts(const olica_job *job) {
  for (int i = 0; i < job->inputs.sources.count; i++)
    printf("text         %s:%s: %lld of %lld rows tried, %lld sequence%s\n",
           olica_sources_kind(job->inputs.sources.source[i].kind), job->inputs.sources.source[i].path,
           (long long)job->inputs.drawn[i].tried, (long long)job->inputs.drawn[i].rows,
           (long long)job->inputs.drawn[i].drawn, olica_log_plural(job->inputs.drawn[i].drawn));
}

static void print_memory(const olica_plan *plan, int ranks_per_node) {
  printf("memory       %.1f MiB a rank (counted), %.1f MiB a node; streams %.1f, tasks %.1f, layers %.1f, "
         "stored weights %.1f, statistics and solver %.1f, tables %.1f, texts %.1f\n",
         olica_mib(plan->memory), olica_mib(plan->memory) * ranks_per_node, olica_mib(plan->streams),
         olica_mib(plan->tasks), olica_mib(plan->layers), olica_mib(plan->weights), olica_mib(plan->solver),
         olica_mib(plan->tables), olica_mib(plan->texts));
  printf("layers       once a node: %.1f MiB of shared memory%s; the next one is %s; %s between sweeps\n",
         olica_mib(plan->shared), ranks_per_node > 1 ? " (/dev/shm)" : "",
         plan->source.prefetch ? "fetched ahead" : "not fetched ahead",
         plan->source.keep ? "kept as stored" : "not kept");
}

static void print_plan(const olica_job *job, const olica_plan *plan, int ranks, int ranks_per_node) {
  const olica_arch *arch = &job->setup.source->arch;
  const olica_options *o = job->setup.options;
  int rows, cols, nodes = (ranks + ranks_per_node - 1) / ranks_per_node;
  printf("model        %s: %s, %d layers, hidden %d, %d/%d heads of %d, FFN %d, vocabulary %d%s\n",
         o->model.path, arch->family->name, arch->layers, arch->hidden, arch->heads, arch->kv_heads,
         arch->head, arch->ffn, arch->vocabulary, arch->tied ? ", tied" : "");
  printf("parameters   %lld stored as %s\n", (long long)job->setup.source->parameters,
         olica_number_name(job->setup.source->dtype));
  printf("ranks        %d on %d node%s (%d on each), %d thread%s each, products in %s\n", ranks, nodes,
         olica_log_plural(nodes), ranks_per_node, job->setup.context->threads,
         olica_log_plural(job->setup.context->threads), olica_number_name(job->setup.precision));
  if (olica_setup_prunes(&job->setup)) {
    olica_grid_shape(ranks, &rows, &cols);
    if (job->setup.method->calibrates)
      printf("calibration  %lld sequence%s of %lld tokens, at most %.0f on a rank\n",
             (long long)o->calibration.samples, olica_log_plural(o->calibration.samples),
             (long long)o->calibration.length, ceil((double)o->calibration.samples / ranks));
    printf("solver       %s, precision %s, process grid of all ranks %d x %d, blocks of %lld\n",
           olica_backend_name(o->solver.eigen), olica_solver_precision_name(o->solver.precision), rows, cols,
           (long long)o->solver.block);
    printf("checkpoint   %s, %.1f MiB of %s\n", o->output.checkpoint, olica_mib(plan->checkpoint),
           olica_number_name(job->setup.dtype));
    if (olica_options_restarts(o))
      printf("restart      %lld file%s of %.1f MiB %s%s\n", (long long)o->restart.keep,
             olica_log_plural(o->restart.keep), olica_mib(plan->restart),
             *o->restart.path ? "in " : "beside the checkpoint", o->restart.path);
  }
  if (olica_setup_prunes(&job->setup) && *o->output.export) printf("export       %s\n", o->output.export);
  if (olica_setup_prunes(&job->setup) && *o->calibration.save)
    printf("statistics   %s\n", o->calibration.save);
  print_texts(job);
  olica_riders_print(&job->riders);
  print_memory(plan, ranks_per_node);
  printf("work         %.3g floating-point operations\n", plan->flops);
}

/* Rank 0: prints the plan and its warnings. */
static void explain(const olica_job *job, const olica_plan *plan, int ranks, int ranks_per_node) {
  const olica_method_model model = olica_setup_model(&job->setup);
  print_plan(job, plan, ranks, ranks_per_node);
  olica_method_explain(job->setup.method, job->setup.context->env, &model, plan->removed, &plan->largest,
                       stdout);
  olica_advise(&job->setup, &job->riders, plan, ranks);
  fflush(stdout);
}

/* Fills the nodes one after the other; the last may have fewer ranks. */
static olica_layout lay_out(int ranks, int ranks_per_node) {
  int nodes = (ranks + ranks_per_node - 1) / ranks_per_node, last = ranks - (nodes - 1) * ranks_per_node;
  return (olica_layout){.ranks = ranks, .nodes = nodes, .node_ranks = last};
}

olica_status olica_pipeline_check(olica_context *context, const olica_options *options, int ranks,
                                  int ranks_per_node) {
  olica_job job;
  olica_plan plan;
  if (ranks_per_node == 0) ranks_per_node = ranks ? ranks : context->node_size;
  if (ranks == 0) ranks = context->size;
  if (ranks_per_node > ranks) ranks_per_node = ranks;
  const olica_layout layout = lay_out(ranks, ranks_per_node);
  OLICA_TRY(olica_job_open(&job, context, options, NULL));
  OLICA_AGREE(context, olica_plan_make(&job.setup, &job.inputs, &job.riders, layout, &plan));
  if (context->rank == 0) explain(&job, &plan, ranks, ranks_per_node);
  OLICA_TRY(olica_plan_check(&job.setup, layout, &plan));
  if (ranks == context->size) OLICA_AGREE(context, olica_plan_check_node(&job.setup, &plan));
  OLICA_TRY(olica_job_check_ids(&job));
  OLICA_TRY(olica_ending_look(&job.setup, false, &job.resume.snapshot.ending));
  OLICA_TRY(olica_probe_outputs(&job.setup, plan.checkpoint, false, job.resume.snapshot.ending.waits));
  OLICA_TRY(olica_foresee_outputs(&job, &plan));
  OLICA_TRY(olica_foresee_time(&job, &plan, ranks, ranks_per_node));
  olica_job_close(&job);
  return OLICA_OK;
}
