#include "work.h"

#include <math.h>

#include "job.h"
#include "olica/prune/decompose.h"
#include "olica/prune/fit.h"

/* All numbers of a layer once, and the attention's two products over half of the sequence on average. */
double olica_work_layer(const olica_arch *arch, const olica_layer_shape *shape, double length) {
  return 2.0 * (double)olica_layer_shape_total(arch, shape) +
         2.0 * length * arch->heads * (arch->head + shape->values) / 2;
}

/* Of a token of the calibration: the survey's pass with its sums; the collecting pass, as far as the neurons;
 * the pruned layer's pass, in all layers but the last; the fits of calibrated layers, and what they are of.
 */
static double calibration_token(const olica_job *job, const olica_budget *budget) {
  const olica_arch *arch = &job->source->arch;
  const olica_layer_shape *dense = &job->source->shape[0];
  const olica_layer_shape cut = olica_budget_shape(budget, dense, false);
  double length = (double)job->options->calibration.length, layers = arch->layers, d = arch->hidden;
  double whole = olica_work_layer(arch, dense, length), sums = 3 * d * d;
  double collected = whole - 2.0 * (double)olica_layer_shape_numbers(arch, dense, OLICA_DOWN);
  double residual = 2 * 3 * d * budget->neurons_dropped;
  double fitted = budget->branch > 0 ? (double)job->options->prune.mlp_num : 0;
  return layers * (whole + sums + collected) + (layers - 1) * olica_work_layer(arch, &cut, length) +
         fitted * (sums + residual);
}

static double window_token(const olica_job *job, const olica_budget *budget) {
  const olica_arch *arch = &job->source->arch;
  const olica_layer_shape *dense = &job->source->shape[0];
  double length = job->windows.length, head = 2.0 * arch->hidden * arch->vocabulary, flops = 0;
  if (olica_job_scores(job, false)) flops += arch->layers * olica_work_layer(arch, dense, length) + head;
  if (!olica_job_prunes(job)) return flops;
  const olica_layer_shape cut = olica_budget_shape(budget, dense, false);
  return flops + arch->layers * olica_work_layer(arch, &cut, length) + head;
}

olica_work olica_work_make(const olica_job *job, const olica_budget *budget) {
  const olica_packs *packs = job->tasks.packs;
  olica_work work = {0};
  int models = olica_job_scores(job, false) + olica_job_scores(job, true);
  if (olica_job_prunes(job))
    work.sequence = (double)job->options->calibration.length * calibration_token(job, budget);
  if (job->windows.count > 0) work.window = job->windows.length * window_token(job, budget);
  for (int64_t p = 0; packs && p < packs->count; p++) {
    work.tasks += packs->cost[p] * models;
    work.pack = fmax(work.pack, packs->cost[p] * models);
  }
  return work;
}

static double sequences(const olica_job *job) {
  return olica_job_prunes(job) ? (double)job->options->calibration.samples : 0;
}

double olica_work_all(const olica_job *job, const olica_work *work) {
  return sequences(job) * work->sequence + (double)job->windows.count * work->window + work->tasks;
}

double olica_work_busiest(const olica_job *job, const olica_work *work, int ranks) {
  return ceil(sequences(job) / ranks) * work->sequence +
         ceil((double)job->windows.count / ranks) * work->window + fmax(work->tasks / ranks, work->pack);
}

double olica_work_solver(const olica_job *job) {
  const olica_arch *arch = &job->source->arch;
  double d = arch->hidden, n = arch->heads * arch->head;
  return arch->layers * (2.4 * d * d * d + 4 * n * n * n);
}

/* Problems side by side, each on a rank; what is large is shared by several, to about the same effect. */
static double step_seconds(int count, const olica_problem *problem, int ranks) {
  double sum = 0;
  for (int i = 0; i < count; i++) sum += olica_solver_seconds(&problem[i], 1);
  return sum / (ranks < count ? ranks : count ? count : 1);
}

double olica_work_solver_seconds(const olica_job *job, const olica_budget *budget, int ranks) {
  const olica_arch *arch = &job->source->arch;
  const olica_problem fit = olica_fit_problem(arch->hidden);
  int calibrated = budget->branch > 0 ? (int)job->options->prune.mlp_num : 0;
  int side_by_side = ranks < arch->layers ? ranks : arch->layers;
  double seconds = arch->layers * olica_solver_seconds(&fit, 1) / side_by_side;
  for (int with = 0; with < 2; with++) {
    const olica_layer_shape shape = olica_budget_shape(budget, &job->source->shape[0], with);
    olica_problem problem[OLICA_DECOMPOSE_MOST];
    int count = olica_decompose_problems(arch, &shape, problem);
    seconds += (with ? calibrated : arch->layers - calibrated) * step_seconds(count, problem, ranks);
  }
  return seconds;
}
