/* Warnings of what a run would do in vain, or without enough to go by: before it begins, in --check and in
 * the run itself. Private to run. Not collective: rank 0 warns. */
#ifndef OLICA_RUN_ADVICE_H
#define OLICA_RUN_ADVICE_H

#include "job.h"

/* Once the job is open and planned: the sparsity, the calibration's size, ranks that have nothing to do. */
void olica_advise(const olica_job *job, const olica_plan *plan, int ranks);

#endif
