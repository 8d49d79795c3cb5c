/* The steps of a run, in their order. */
#include "run/pipeline.h"

#include <stdio.h>
#include <sys/stat.h>

#include "advice.h"
#include "config/fields.h"
#include "config/value.h"
#include "ending.h"
#include "exports.h"
#include "io/lock.h"
#include "job.h"
#include "la/product.h"
#include "metadata.h"
#include "par/comm.h"
#include "probe.h"
#include "rates.h"
#include "report/claim.h"
#include "run/outputs.h"
#include "sweep.h"

/* Plans the run, and refuses it before its work if it lacks the memory or cannot write its outputs. */
static olica_status check_needs(olica_job *job, olica_plan *plan) {
  olica_context *context = job->setup.context;
  const olica_layout layout = {context->size, context->nodes, context->peer_groups};
  OLICA_AGREE(context, olica_plan_make(&job->setup, &job->inputs, &job->riders, layout, plan));
  plan->source.output = olica_setup_prunes(&job->setup) ? job->setup.dtype : OLICA_FP32;
  job->report->estimate = plan->memory;
  job->setup.context->env->memory.limit = (size_t)job->setup.options->compute.memory;
  OLICA_TRY(olica_plan_check(&job->setup, layout, plan));
  OLICA_AGREE(job->setup.context, olica_plan_check_node(&job->setup, plan));
  OLICA_AGREE(job->setup.context,
              olica_product_reserve(job->setup.context->env, job->setup.context->threads));
  olica_advise(&job->setup, &job->riders, plan, context->size);
  OLICA_TRY(olica_rates_warn(&job->setup));
  OLICA_TRY(olica_ending_look(&job->setup, true, &job->resume.snapshot.ending));
  OLICA_TRY(olica_probe_outputs(&job->setup, plan->checkpoint, true, job->resume.snapshot.ending.waits));
  bool locks = context->rank == 0 && olica_setup_prunes(&job->setup);
  OLICA_AGREE(context, locks
                           ? olica_lock_take(context->env, job->setup.options->output.checkpoint, &job->lock)
                           : OLICA_OK);
  return olica_resume_open(&job->resume, plan->restart, plan->checkpoint);
}

static void describe_run(olica_job *job) {
  olica_report *report = job->report;
  const olica_context *context = job->setup.context;
  snprintf(report->run.precision, sizeof report->run.precision, "%s",
           olica_number_name(job->setup.precision));
  snprintf(report->run.kernel, sizeof report->run.kernel, "%s", olica_kernel_name(job->engine.kernel));
  report->dense = job->setup.source->parameters;
  olica_report_model(report, &job->setup.source->arch,
                     job->setup.source->is_checkpoint ? "checkpoint" : "huggingface");
  olica_log_line(context->env,
                 "%s: %s, %d layer%s, hidden %d, %d/%d heads of %d, FFN %d, vocabulary %d, %.1f M parameters",
                 job->setup.options->model.path, job->setup.source->arch.family->name,
                 job->setup.source->arch.layers, olica_log_plural(job->setup.source->arch.layers),
                 job->setup.source->arch.hidden, job->setup.source->arch.heads,
                 job->setup.source->arch.kv_heads, job->setup.source->arch.head, job->setup.source->arch.ffn,
                 job->setup.source->arch.vocabulary, (double)job->setup.source->parameters / 1e6);
  olica_log_line(context->env,
                 "%d rank%s on %d node%s, %d thread%s each; products in %s by %s; about %.0f MiB a rank",
                 context->size, olica_log_plural(context->size), context->nodes,
                 olica_log_plural(context->nodes), context->threads, olica_log_plural(context->threads),
                 report->run.precision, report->run.kernel, olica_mib(report->estimate));
  for (int i = 0; i < job->inputs.sources.count; i++)
    olica_log_line(context->env, "calibration: %lld sequence%s from %s, %lld of its %lld rows tried",
                   (long long)job->inputs.drawn[i].drawn, olica_log_plural(job->inputs.drawn[i].drawn),
                   job->inputs.sources.source[i].path, (long long)job->inputs.drawn[i].tried,
                   (long long)job->inputs.drawn[i].rows);
  if (context->node_rank == 0 && context->threads * context->node_size > context->node_cores)
    olica_log_warn(context->env, "ranks x threads on a node are more than its cores");
}

static olica_status choose_shapes(olica_job *job) {
  olica_report *report = job->report;
  const olica_arch *arch = &job->setup.source->arch;
  OLICA_TRY(olica_method_shapes(job->setup.method, job->setup.context->env, arch, job->engine.pruned->bytes,
                                job->engine.state, job->engine.shapes));
  OLICA_AGREE(job->setup.context,
              olica_report_choice(job->setup.context->env, report, job->engine.shapes, job->engine.state));
  report->pruned = report->dense;
  for (int i = 0; i < arch->layers; i++)
    report->pruned += olica_layer_shape_total(arch, &job->engine.shapes[i]) -
                      olica_layer_shape_total(arch, &job->setup.source->shape[i]);
  report->sparsity_reached = 1.0 - (double)report->pruned / (double)report->dense;
  return OLICA_OK;
}

/* Returns the size of a file; 0: unknown. */
static double file_bytes(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 ? (double)info.st_size : 0;
}

static olica_status prune(olica_job *job) {
  olica_env *env = job->setup.context->env;
  olica_timer_start(&env->timers, "survey");
  OLICA_TRY(choose_shapes(job));
  olica_timer_stop(&env->timers);
  olica_timer_start(&env->timers, "write");
  OLICA_TRY(olica_metadata_create_checkpoint(&job->engine, &job->resume));
  olica_timer_stop(&env->timers);
  OLICA_TRY(olica_sweep_prune(job));
  /* Before the checkpoint gets its name, so that a run that cannot write them can be resumed. */
  OLICA_TRY(olica_riders_write(&job->riders));
  olica_timer_start(&env->timers, "write");
  olica_checkpoint *checkpoint = job->engine.checkpoint;
  job->engine.checkpoint = NULL; /* finish frees it, on failure too */
  double inputs = env->bytes_read;
  bool keep = olica_resume_needs_part(&job->resume);
  OLICA_TRY(olica_checkpoint_finish(checkpoint, keep, &job->report->mine.bytes_written));
  env->bytes_read = inputs; /* verification does not count as input */
  olica_timer_stop(&env->timers);
  job->report->checkpoint = job->setup.options->output.checkpoint;
  job->report->checkpoint_bytes = file_bytes(job->report->checkpoint);
  return OLICA_OK;
}

/* Records the solvers in the report, and logs the eigenproblems of each back end, if there were any. */
static olica_status record_solvers(olica_job *job) {
  enum { MOST = 4096 };
  olica_report *report = job->report;
  olica_env *env = job->setup.context->env;
  OLICA_AGREE(job->setup.context, OLICA_NEW(env, report->solvers, MOST));
  report->solvers_count = olica_pool_records(job->engine.pool, report->solvers, MOST);
  long problems[OLICA_BACKENDS] = {0}, all = 0, mixed = 0, again = 0;
  for (int i = 0; i < report->solvers_count; i++) {
    problems[report->solvers[i].place.backend] += report->solvers[i].problems;
    all += report->solvers[i].problems;
    mixed += report->solvers[i].mixed;
    again += report->solvers[i].again;
  }
  if (all == 0) return OLICA_OK;
  olica_log_line(env, "eigenproblems: %ld by lapack, %ld by scalapack, %ld by slepc ([solver] eigen = %s)",
                 problems[OLICA_BACKEND_LAPACK], problems[OLICA_BACKEND_SCALAPACK],
                 problems[OLICA_BACKEND_SLEPC], olica_backend_name(job->setup.options->solver.eigen));
  if (mixed + again > 0)
    olica_log_line(env,
                   "subspaces: %ld in mixed precision, %ld again in double after a check failed ([solver] "
                   "precision = %s)",
                   mixed, again, olica_solver_precision_name(job->setup.options->solver.precision));
  return OLICA_OK;
}

static void fill_report(olica_job *job) {
  olica_report *report = job->report;
  if (job->engine.stream) report->mine.sequences = job->engine.stream->count;
  if (job->engine.pool) report->mine.eigenproblems = olica_pool_eigenproblems(job->engine.pool);
  report->mine.bytes_read = job->setup.context->env->bytes_read;
}

static olica_status run(olica_job *job, olica_context *context, const olica_options *options,
                        olica_report *report) {
  olica_env *env = context->env;
  olica_plan plan;
  olica_timer_start(&env->timers, "read");
  OLICA_TRY(olica_job_open(job, context, options, report));
  OLICA_AGREE(job->setup.context,
              olica_report_layers(env, job->report, &job->setup.source->arch, job->setup.method,
                                  olica_setup_last_sweep(&job->setup)));
  OLICA_TRY(check_needs(job, &plan));
  OLICA_TRY(olica_engine_prepare(&job->engine, &plan));
  OLICA_TRY(olica_resume_load(&job->resume));
  OLICA_TRY(olica_ending_settle(&job->setup, plan.checkpoint, true, &job->resume.snapshot.ending));
  OLICA_TRY(olica_saved_open(&job->saved, job->resume.from));
  describe_run(job);
  olica_timer_stop(&env->timers);
  OLICA_TRY(olica_sweep_dense(job));
  if (!olica_setup_prunes(&job->setup)) return olica_riders_write(&job->riders);
  OLICA_TRY(prune(job));
  return record_solvers(job);
}

/* *lock: on the checkpoint's name, which the caller releases. */
static olica_status run_reported(olica_context *context, const olica_options *options, olica_report *report,
                                 int *lock) {
  olica_job job;
  olica_status status = run(&job, context, options, report);
  *lock = job.lock;
  if (status != OLICA_OK) olica_source_settle(job.setup.source);
  fill_report(&job);
  olica_resume_end(&job.resume, status);
  if (olica_resume_needs_part(&job.resume))
    olica_checkpoint_leave(job.engine.checkpoint);
  else
    olica_checkpoint_abandon(job.engine.checkpoint);
  /* After a failure the environment frees the memory: closing grids and solvers is collective. */
  if (status == OLICA_OK) olica_job_close(&job);
  return status == OLICA_OK && olica_method_prunes(olica_method_at(options->prune.method))
             ? olica_exports_write(context, options, report, job.resume.snapshot.ending.agreed)
             : status;
}

/* Logs the warnings that rank 0 does not have itself. */
static void say_warnings(olica_env *env, const olica_report *report) {
  for (int i = 0; i < report->warnings_count; i++) olica_log_pass_on(env, report->warnings[i].text);
}

/* Prints the table. A failure is one of the run only if no report is written. */
static olica_status print_table(olica_env *env, const olica_options *options, const olica_report *report) {
  olica_report_table(report, stdout);
  if (fflush(stdout) == 0 && !ferror(stdout)) return OLICA_OK;
  if (*options->output.report) {
    olica_log_warn(env, "standard output: cannot write the closing table to it");
    return OLICA_OK;
  }
  return olica_error_set(
      env, OLICA_ERR_IO,
      "standard output: cannot write the closing table to it, and [output] report is empty");
}

/* Rank 0 writes the report and prints the table. */
static olica_status tell(olica_env *env, const olica_options *options, const olica_report *report,
                         olica_claim *claim, json_t **answer) {
  olica_status written = olica_claim_end(env, options, report, claim), printed = OLICA_OK;
  char text[OLICA_ERROR_TEXT];
  snprintf(text, sizeof text, "%s", env->error.text);
  say_warnings(env, report);
  if (answer)
    *answer = olica_report_json(report);
  else if (report->status == OLICA_OK || report->status == OLICA_STOPPED)
    printed = print_table(env, options, report);
  return written == OLICA_OK ? printed : olica_error_set(env, written, "%s", text);
}

/* Gathers and writes the report. If the run failed or stopped, a failure to write it is only a warning. */
static olica_status end_report(olica_context *context, const olica_options *options, olica_report *report,
                               olica_claim *claim, olica_status status, json_t **answer) {
  olica_env *env = context->env;
  olica_report_end(env, report, status);
  olica_status written = olica_report_gather(context, context->comm, report);
  if (context->rank == 0) {
    olica_status told = tell(env, options, report, claim, answer);
    if (told != OLICA_OK) written = told;
  }
  if (written != OLICA_OK && status != OLICA_OK) olica_log_warn(env, "%s", env->error.text);
  written = olica_comm_agree(context, context->comm, written);
  return status == OLICA_OK ? written : olica_error_set(env, status, "%s", report->message);
}

/* Warns of paths that the report, which is UTF-8, has to escape. */
static void warn_of_names(olica_env *env, const olica_options *o) {
  const char *const names[] = {
      o->command_line,       o->config,           o->model.path,        o->model.tokenizer,
      o->calibration.tokens, o->calibration.text, o->calibration.save,  o->evaluate.tokens,
      o->evaluate.text,      o->evaluate.tasks,   o->output.checkpoint, o->output.report,
      o->restart.path};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i] && !olica_value_is_text(names[i])) {
      olica_log_warn(env, "a path is not UTF-8: the report has \\xNN in place of each byte that is none");
      return;
    }
}

static olica_status create_report(olica_context *context, const olica_options *options, double resident,
                                  olica_report **out) {
  olica_report *report;
  OLICA_AGREE(context, olica_report_create(context->env, &report));
  *out = report;
  report->job_ranks = context->size;
  report->nodes = context->nodes;
  snprintf(report->mine.host, sizeof report->mine.host, "%s", context->host);
  report->mine.resident_start = resident;
  report->settings = olica_options_json(options);
  report->sparsity_requested = options->prune.sparsity;
  report->evaluates_only = options->prune.method == OLICA_METHOD_NONE;
  report->run.command_line = options->command_line;
  report->run.config = options->config;
  if (context->rank == 0) warn_of_names(context->env, options);
  return OLICA_OK;
}

static olica_status run_claimed(olica_context *context, const olica_options *options, olica_report *report,
                                olica_claim *claim, int *lock) {
  OLICA_AGREE(context,
              context->rank == 0 ? olica_claim_begin(context->env, options, report, claim) : OLICA_OK);
  return run_reported(context, options, report, lock);
}

olica_status olica_pipeline_run(olica_context *context, const olica_options *options, double resident,
                                json_t **answer) {
  olica_report *report;
  olica_claim claim = {.lock = -1};
  int lock = -1;
  OLICA_TRY(create_report(context, options, resident, &report));
  olica_status status = run_claimed(context, options, report, &claim, &lock);
  status = end_report(context, options, report, &claim, status, answer);
  if (olica_method_prunes(olica_method_at(options->prune.method)))
    status = olica_ending_close(context, options, status, lock);
  olica_report_destroy(context->env, report);
  return status;
}

olica_status olica_pipeline_refuse(olica_context *context, olica_options *options, double resident,
                                   olica_status status) {
  olica_report *report;
  olica_claim claim = {.lock = -1};
  char text[OLICA_ERROR_TEXT];
  snprintf(text, sizeof text, "%s", context->env->error.text);
  bool safe = olica_outputs_check_report(context, options) == OLICA_OK;
  olica_error_set(context->env, status, "%s", text);
  if (!safe) {
    olica_log_line(context->env, "no report is written: its name is that of another file");
    return status;
  }
  OLICA_TRY(create_report(context, options, resident, &report));
  status = end_report(context, options, report, &claim, status, NULL);
  olica_report_destroy(context->env, report);
  return status;
}
