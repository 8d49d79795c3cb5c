/* When the time of a run is up. Private to run. */
#ifndef OLICA_RUN_WALLTIME_H
#define OLICA_RUN_WALLTIME_H

#include "setup.h"

/* By [run] walltime or, with `auto`, SLURM_JOB_END_TIME: in seconds of olica_timer_now; 0: never. Not
 * collective; rank 0 warns of a time that it cannot read. */
double olica_walltime_end(const olica_setup *setup);

#endif
