#include "advice.h"

#include <stdio.h>

/* The Gram matrices of the fits have the hidden size; their rank is at most the number of tokens. */
static void advise_tokens(const olica_job *job) {
  const olica_options *o = job->options;
  double tokens = (double)o->calibration.samples * (double)o->calibration.length;
  int hidden = job->source->arch.hidden;
  if (tokens >= hidden) return;
  olica_log_warn(
      job->context->env,
      "[calibration] %.0f tokens are fewer than the hidden size, %d: the statistics are rank-deficient "
      "and the fits rest on their damping; more samples help",
      tokens, hidden);
}

static void advise_idle(const olica_job *job, int ranks, int64_t count, const char *what) {
  if (count == 0 || count >= ranks) return;
  olica_log_warn(job->context->env, "%lld of %d ranks have no %s: there are %lld", (long long)(ranks - count),
                 ranks, what, (long long)count);
}

void olica_advise(const olica_job *job, const olica_plan *plan, int ranks) {
  if (job->context->rank != 0) return;
  if (olica_job_prunes(job)) {
    const olica_method_model model = olica_job_model(job);
    olica_method_advise(job->method, job->context->env, &model, plan->removed);
  }
  if (job->method->calibrates) {
    advise_tokens(job);
    advise_idle(job, ranks, job->options->calibration.samples, "calibration sequence");
  }
  advise_idle(job, ranks, olica_job_windows(job), "window of the evaluation");
  advise_idle(job, ranks, job->tasks.packs ? job->tasks.packs->count : 0, "pack of the tasks");
}
