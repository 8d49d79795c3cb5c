#include "work.h"

#include <math.h>

#include "job.h"

static double layers(const olica_job *job, const olica_layer_shape *shapes, int count, double length) {
  double work = 0;
  for (int i = 0; i < count; i++)
    work += olica_layer_shape_work(&job->source->arch, &shapes[i], length);
  return work;
}

/* Behind the last layer nothing looks at the calibration stream. */
static double sequence_work(const olica_job *job, const olica_method_plan *method) {
  double length = (double)job->options->calibration.length;
  return method->sequence + length * layers(job, method->shapes, job->source->arch.layers - 1, length);
}

static double window_token(const olica_job *job, const olica_method_plan *method) {
  const olica_arch *arch = &job->source->arch;
  double length = job->windows.length, head = 2.0 * arch->hidden * arch->vocabulary, flops = 0;
  if (olica_job_scores(job, false)) flops += layers(job, job->source->shape, arch->layers, length) + head;
  if (olica_job_prunes(job)) flops += layers(job, method->shapes, arch->layers, length) + head;
  return flops;
}

olica_work olica_work_make(const olica_job *job, const olica_method_plan *method) {
  const olica_packs *packs = job->tasks.packs;
  olica_work work = {0};
  int models = olica_job_scores(job, false) + olica_job_scores(job, true);
  if (job->method->calibrates) work.sequence = sequence_work(job, method);
  if (job->windows.count > 0) work.window = job->windows.length * window_token(job, method);
  for (int64_t p = 0; packs && p < packs->count; p++) {
    work.tasks += packs->cost[p] * models;
    work.pack = fmax(work.pack, packs->cost[p] * models);
  }
  return work;
}

static double sequences(const olica_job *job) {
  return job->method->calibrates ? (double)job->options->calibration.samples : 0;
}

double olica_work_all(const olica_job *job, const olica_work *work) {
  return sequences(job) * work->sequence + (double)job->windows.count * work->window + work->tasks;
}

double olica_work_busiest(const olica_job *job, const olica_work *work, int ranks) {
  return ceil(sequences(job) / ranks) * work->sequence +
         ceil((double)job->windows.count / ranks) * work->window + fmax(work->tasks / ranks, work->pack);
}
