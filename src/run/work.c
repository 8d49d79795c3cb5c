#include "work.h"

#include <math.h>

/* Returns the operations of a calibration sequence. Nothing reads the stream after the last layer. */
static double sequence_work(const olica_setup *setup, const olica_method_plan *method) {
  const olica_arch *arch = &setup->source->arch;
  double length = (double)setup->options->calibration.length, token = 0;
  for (int i = 0; i < arch->layers - 1; i++)
    token += olica_layer_shape_work(arch, &method->shapes[i], length);
  return method->sequence + length * token;
}

olica_work olica_work_make(const olica_setup *setup, const olica_method_plan *method,
                           const olica_rider_plan *riders) {
  olica_work work = {.riders = riders->work, .busiest = riders->busiest};
  if (!setup->method->calibrates) return work;
  work.sequences = (double)setup->options->calibration.samples;
  work.sequence = sequence_work(setup, method);
  return work;
}

double olica_work_all(const olica_work *work) {
  return work->sequences * work->sequence + work->riders;
}

double olica_work_busiest(const olica_work *work, int ranks) {
  return ceil(work->sequences / ranks) * work->sequence + work->busiest;
}
