/* How much a run has to compute, from the sizes alone: for the plan and the expected time. Private to run.
 * Not collective, pure. */
#ifndef OLICA_RUN_WORK_H
#define OLICA_RUN_WORK_H

#include "olica/prune/method.h"

struct olica_job;

/* Floating-point operations of products, a multiply-add counted as two. */
typedef struct olica_work {
  double sequence; /* of a calibration sequence, through both sweeps */
  double window;   /* of a window of the evaluation, through all models that it scores */
  double tasks;    /* of all packs of the tasks, and */
  double pack;     /* of the largest */
} olica_work;

/* `method` is read only where the job prunes. */
olica_work olica_work_make(const struct olica_job *job, const olica_method_plan *method);

/* Operations of all ranks, and of the rank that has most of so many. */
double olica_work_all(const struct olica_job *job, const olica_work *work);
double olica_work_busiest(const struct olica_job *job, const olica_work *work, int ranks);

#endif
