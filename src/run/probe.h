/* Checks that the outputs can be written, before hours of work. Private to run. */
#ifndef OLICA_RUN_PROBE_H
#define OLICA_RUN_PROBE_H

#include "setup.h"

/* Probes every output. `bytes` of the checkpoint; `touch`: creates and removes each file; else writes
 * nothing. Collective: rank 0 looks. */
olica_status olica_probe_outputs(const olica_setup *setup, double bytes, bool touch);

#endif
