/* What --check tells beyond the plan: what earlier runs have left under the outputs' names, how long a run
 * would take, and what of that is worth a warning. Private to run. Collective; rank 0 prints. */
#ifndef OLICA_RUN_FORESEE_H
#define OLICA_RUN_FORESEE_H

#include "job.h"
#include "plan.h"

/* After olica_job_probe_outputs: outputs that would be replaced, restart files that would be gone on with,
 * saved statistics that would be read. Changes nothing. Fails as the run would: a lock that another job
 * holds, files of another run. */
olica_status olica_foresee_outputs(olica_job *job, const olica_plan *plan);

/* Measures the machine and prints what is faster here, and the expected time of a run on so many ranks. */
olica_status olica_foresee_time(const olica_job *job, const olica_plan *plan, int ranks, int ranks_per_node);

#endif
