/* The speed of this machine at a run's own work, measured in a fraction of a second: for the time that
 * --check expects, and for the warning that bf16 is slower. No result depends on it. Private to run. */
#ifndef OLICA_RUN_RATES_H
#define OLICA_RUN_RATES_H

#include "setup.h"

/* Of the slowest rank, while all measure at once. */
typedef struct olica_rates {
  double fp32, bf16; /* operations a second of a rank; bf16 0: some rank's processor has none */
  double reading;    /* bytes a second of a rank that reads the model's files; 0: not asked for */
} olica_rates;

/* Measures for about `seconds` in each precision, on each rank's threads: sequences as long as the
 * calibration's (or the windows') pass a layer of the model's proportions, of at most OLICA_RATES_NUMBERS
 * numbers. Uses an environment of its own, so that the run's timers and counted memory do not change.
 * `reads`: also measures reading. Collective; OLICA_ERR_MEMORY, on all ranks. */
enum { OLICA_RATES_NUMBERS = 16 << 20 };
olica_status olica_rates_measure(const olica_setup *setup, double seconds, bool reads, olica_rates *rates);

/* Return whether that precision is faster by more than the measurement's noise. Pure. */
bool olica_rates_prefer_fp32(const olica_rates *rates);
bool olica_rates_prefer_bf16(const olica_rates *rates);

/* Warns if a run in bf16 would be faster in fp32. Collective; takes 0.2 s, in bf16 only. */
olica_status olica_rates_warn(const olica_setup *setup);

#endif
