#include "advice.h"

#include <stdio.h>

/* Of a share above this one little is left that could carry anything. */
#define MOST_OF_IT 0.9

/* A branch takes part in the layers that are chosen for it, if it has a rank. */
static void advise_branches(const olica_job *job, const olica_budget *budget) {
  const olica_options *o = job->options;
  int hidden = job->source->arch.hidden;
  if (o->prune.mlp_num == 0 || o->prune.ratio <= 0 || budget->branch > 0) return;
  if (budget->neurons_dropped == 0)
    olica_log_warn(
        job->context->env,
        "[prune] mlp_num = %lld: sparsity = %g takes no FFN neuron, so that no layer is calibrated",
        (long long)o->prune.mlp_num, o->prune.sparsity);
  else
    olica_log_warn(job->context->env,
                   "[prune] ratio = %g of a hidden size of %d gives branches of rank 0: no layer is "
                   "calibrated; from %.6g on they have a rank",
                   o->prune.ratio, hidden, 1.0 / hidden);
}

static void advise_budget(const olica_job *job) {
  const olica_prune_options options = olica_job_prune_options(job->options);
  const olica_arch *arch = &job->source->arch;
  const olica_layer_shape *dense = &job->source->shape[0];
  olica_env *env = job->context->env;
  olica_budget b;
  if (olica_budget_make(env, &options, arch, dense, job->source->parameters, &b) != OLICA_OK) {
    olica_error_clear(env); /* whoever makes the plan is refused the same, and says it */
    return;
  }
  if (!olica_budget_removes(&b)) {
    olica_sparsities allowed = olica_budget_sparsities(&options, arch, dense, job->source->parameters);
    olica_log_warn(env,
                   "[prune] sparsity = %g removes nothing: the least that takes a rank or a neuron is %.4g",
                   options.sparsity, allowed.least);
    return;
  }
  advise_branches(job, &b);
  if (b.rho_qk > MOST_OF_IT || b.rho_vo > MOST_OF_IT || b.rho_ffn > MOST_OF_IT)
    olica_log_warn(
        env,
        "[prune] sparsity = %g with k = %g leaves little of a part of every layer: query rank %d of "
        "%d, %d of %d value neurons a head, %d of %d FFN neurons",
        options.sparsity, options.k, b.q_rank ? b.q_rank : arch->heads * arch->head, arch->heads * arch->head,
        arch->head - b.values_dropped, arch->head, arch->ffn - b.neurons_dropped, arch->ffn);
}

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

void olica_advise(const olica_job *job, int ranks) {
  if (job->context->rank != 0) return;
  if (olica_job_prunes(job)) {
    advise_budget(job);
    advise_tokens(job);
    advise_idle(job, ranks, job->options->calibration.samples, "calibration sequence");
  }
  advise_idle(job, ranks, job->windows.count, "window of the evaluation");
  advise_idle(job, ranks, job->tasks.packs ? job->tasks.packs->count : 0, "pack of the tasks");
}
