/* The operations of a run, from the sizes alone, for the plan and the expected time. Private to run. Not
 * collective, pure. */
#ifndef OLICA_RUN_WORK_H
#define OLICA_RUN_WORK_H

#include "rider.h"

/* Floating-point operations of products, a multiply-add counted as two. */
typedef struct olica_work {
  double sequences, sequence; /* number of the calibration's; operations of one, through all sweeps */
  double riders, busiest;     /* of the evaluation: of all ranks; of the rank that has most */
} olica_work;

/* `method` is read only if the run prunes; `riders` are planned for the ranks in question. */
olica_work olica_work_make(const olica_setup *setup, const olica_method_plan *method,
                           const olica_rider_plan *riders);

/* Return the operations of all ranks, and of the rank that has most of so many. */
double olica_work_all(const olica_work *work);
double olica_work_busiest(const olica_work *work, int ranks);

#endif
