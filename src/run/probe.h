/* Checks that the outputs can be written, before hours of work. Private to run. */
#ifndef OLICA_RUN_PROBE_H
#define OLICA_RUN_PROBE_H

#include "setup.h"

/* Probes every output. `bytes` of the checkpoint; `touch`: creates and removes each file; else writes
 * nothing; `own`: a checkpoint and exports that are there may be the run's own (ending.h), and are not
 * refused yet. Collective: rank 0 looks. */
olica_status olica_probe_outputs(const olica_setup *setup, double bytes, bool touch, bool own);

#endif
