#include "work.h"

#include <math.h>

#include "job.h"

static double layers(const olica_job *job, const olica_layer_shape *shapes, int count, double length) {
  double work = 0;
  for (int i = 0; i < count; i++) work += olica_layer_shape_work(&job->source->arch, &shapes[i], length);
  return work;
}

/* Behind the last layer nothing looks at the calibration stream. */
static double sequence_work(const olica_job *job, const olica_method_plan *method) {
  double length = (double)job->options->calibration.length;
  return method->sequence + length * layers(job, method->shapes, job->source->arch.layers - 1, length);
}

olica_work olica_work_make(const olica_job *job, const olica_method_plan *method,
                           const olica_rider_plan *riders) {
  olica_work work = {.riders = riders->work, .busiest = riders->busiest};
  if (job->method->calibrates) work.sequence = sequence_work(job, method);
  return work;
}

static double sequences(const olica_job *job) {
  return job->method->calibrates ? (double)job->options->calibration.samples : 0;
}

double olica_work_all(const olica_job *job, const olica_work *work) {
  return sequences(job) * work->sequence + work->riders;
}

double olica_work_busiest(const olica_job *job, const olica_work *work, int ranks) {
  return ceil(sequences(job) / ranks) * work->sequence + work->busiest;
}
