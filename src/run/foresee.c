#include "foresee.h"

#include <stdio.h>
#include <unistd.h>

#include "io/lock.h"
#include "par/comm.h"
#include "rates.h"

/* ---- outputs ---- */

static void tell_file(const char *what, const char *path, const char *then) {
  if (path && *path && access(path, F_OK) == 0) printf("found        %s %s: %s\n", what, path, then);
}

static void tell_files(const olica_job *job) {
  const olica_options *o = job->setup.options;
  if (olica_setup_prunes(&job->setup)) tell_file("checkpoint", o->output.checkpoint, "would be replaced");
  tell_file("report", o->output.report, "would be replaced");
  tell_file("log-likelihoods", o->predictions, "would be replaced");
}

/* Rank 0: fails if another job is writing the checkpoint. */
static olica_status look_at_lock(const olica_job *job) {
  const char *path = job->setup.options->output.checkpoint;
  if (!olica_lock_held(job->setup.context->env, path)) return OLICA_OK;
  return olica_error_set(job->setup.context->env, OLICA_ERR_IO,
                         "%s: another job is writing it (it holds %s.lock), expected one at a time", path,
                         path);
}

static olica_status look_at_restart(olica_job *job, const olica_plan *plan) {
  bool root = job->setup.context->rank == 0;
  olica_position at;
  if (job->setup.options->fresh) {
    if (root) printf("restart      --fresh: restart files of an earlier run would be removed\n");
    return OLICA_OK;
  }
  OLICA_TRY(olica_resume_open(&job->resume, plan->restart, plan->checkpoint));
  OLICA_TRY(olica_resume_foresee(&job->resume, &at));
  if (root && (at.sweep > 1 || at.layer > 0))
    printf("found        %s.%d: would go on from layer %d of sweep %d (layers from 0)\n",
           job->resume.files->name, job->resume.files->found, at.layer, at.sweep);
  return OLICA_OK;
}

static olica_status look_at_statistics(olica_job *job) {
  const char *path = job->setup.options->calibration.save;
  bool reads;
  OLICA_TRY(olica_saved_foresee(&job->saved, &reads));
  if (job->setup.context->rank == 0)
    tell_file("statistics", path, reads ? "would be read" : "would be replaced");
  return OLICA_OK;
}

olica_status olica_foresee_outputs(olica_job *job, const olica_plan *plan) {
  bool root = job->setup.context->rank == 0;
  if (root) tell_files(job);
  if (!olica_setup_prunes(&job->setup)) return OLICA_OK;
  OLICA_AGREE(job->setup.context, root ? look_at_lock(job) : OLICA_OK);
  OLICA_TRY(look_at_restart(job, plan));
  OLICA_TRY(look_at_statistics(job));
  if (root) fflush(stdout);
  return OLICA_OK;
}

/* ---- time ---- */

/* Returns the sum of the time that this check has taken (start, texts, tasks), of the work at the measured
 * rate, of the solvers by their model, and of reading the weights at one rank's rate, once for each sweep
 * that does not keep them. */
static double expected_seconds(const olica_job *job, const olica_plan *plan, int ranks,
                               const olica_rates *rates, double before) {
  double rate = job->setup.precision == OLICA_BF16 ? rates->bf16 : rates->fp32;
  double bytes = (double)job->setup.source->parameters * (double)olica_number_size(job->setup.source->dtype);
  int sweeps =
      olica_setup_prunes(&job->setup) && !plan->source.keep ? olica_setup_last_sweep(&job->setup) : 1;
  return before + olica_work_busiest(&plan->work, ranks) / rate + plan->solving +
         sweeps * bytes / rates->reading;
}

/* Prints a rate in GFLOP/s. */
static void print_rate(const char *name, double rate) {
  double giga = rate / 1e9;
  printf("%s %.*f", name, giga < 1 ? 3 : giga < 10 ? 1 : 0, giga);
}

static const char *verdict(const olica_rates *rates) {
  if (olica_rates_prefer_fp32(rates)) return "fp32 is faster here";
  return olica_rates_prefer_bf16(rates) ? "bf16 is faster here" : "both are about as fast here";
}

static void print_rates(const olica_rates *rates) {
  print_rate("products     fp32", rates->fp32);
  printf(" GFLOP/s a rank, ");
  if (rates->bf16 == 0) {
    printf("bf16 not on this processor\n");
    return;
  }
  print_rate("bf16", rates->bf16);
  printf(": %s\n", verdict(rates));
}

static void print_seconds(double seconds, char text[32]) {
  if (seconds < 9.95)
    snprintf(text, 32, "%.1f s", seconds);
  else if (seconds < 600)
    snprintf(text, 32, "%.0f s", seconds);
  else if (seconds < 36000)
    snprintf(text, 32, "%.0f min", seconds / 60);
  else
    snprintf(text, 32, "%.1f h", seconds / 3600);
}

static void warn_of_time(const olica_job *job, double seconds, int ranks_per_node) {
  const olica_context *context = job->setup.context;
  double walltime = (double)job->setup.options->run.walltime;
  if (walltime > 0 && seconds > walltime)
    olica_log_warn(
        context->env,
        "[run] walltime = %.0f s is less than the expected %.0f s: the job would stop in between, with "
        "a restart file, and has to be started again",
        walltime, seconds);
  if (ranks_per_node * context->threads > context->node_cores)
    olica_log_warn(
        context->env,
        "%d ranks x %d threads on a node are more than the %d cores of this one: they wait for each "
        "other, and the time is not what is expected",
        ranks_per_node, context->threads, context->node_cores);
}

olica_status olica_foresee_time(const olica_job *job, const olica_plan *plan, int ranks, int ranks_per_node) {
  const olica_timers *timers = &job->setup.context->env->timers;
  double before = olica_timer_now() - timers->started;
  olica_rates rates;
  char text[32];
  OLICA_TRY(olica_rates_measure(&job->setup, 0.2, true, &rates));
  if (job->setup.context->rank != 0) return OLICA_OK;
  double seconds = expected_seconds(job, plan, ranks, &rates, before);
  print_seconds(seconds, text);
  print_rates(&rates);
  printf("time         about %s on %d rank%s like this one; files at %.1f GB/s, writing not counted%s\n",
         text, ranks, olica_log_plural(ranks), rates.reading / 1e9,
         ranks == job->setup.context->size ? "" : "; measured with other ranks than these");
  if (job->setup.precision == OLICA_BF16 && olica_rates_prefer_fp32(&rates))
    olica_log_warn(job->setup.context->env,
                   "[compute] precision = bf16: fp32 is faster on this processor, and more precise");
  warn_of_time(job, seconds, ranks_per_node);
  fflush(stdout);
  return OLICA_OK;
}
