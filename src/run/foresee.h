/* The second part of --check: files of earlier runs under the outputs' names, and the time that a run would
 * take, with warnings. Private to run. Collective; rank 0 prints. */
#ifndef OLICA_RUN_FORESEE_H
#define OLICA_RUN_FORESEE_H

#include "job.h"
#include "plan.h"

/* Prints the outputs that would be replaced, the restart file that would be resumed, the saved statistics
 * that would be read. After olica_probe_outputs. Changes nothing. Fails as the run would: another job holds
 * the lock, files are of another run. */
olica_status olica_foresee_outputs(olica_job *job, const olica_plan *plan);

/* Measures the machine; prints which precision is faster, and the expected time of a run on so many ranks. */
olica_status olica_foresee_time(const olica_job *job, const olica_plan *plan, int ranks, int ranks_per_node);

#endif
