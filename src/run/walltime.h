/* The end of a run's walltime. Private to run. */
#ifndef OLICA_RUN_WALLTIME_H
#define OLICA_RUN_WALLTIME_H

#include "setup.h"

/* Returns the end by [run] walltime or, with `auto`, by SLURM_JOB_END_TIME, in seconds of olica_timer_now; 0:
 * no end. Not collective; rank 0 warns of a time that it cannot read. */
double olica_walltime_end(const olica_setup *setup);

#endif
