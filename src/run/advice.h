/* Warnings of what a run would do in vain, or without enough to go by: before it begins, in --check and in
 * the run itself. Private to run. Not collective: rank 0 warns. */
#ifndef OLICA_RUN_ADVICE_H
#define OLICA_RUN_ADVICE_H

#include "plan.h"

/* Once the riders are open and the run is planned: the sparsity, the calibration's size, ranks that have
 * nothing to do. */
void olica_advise(const olica_setup *setup, const olica_riders *riders, const olica_plan *plan, int ranks);

#endif
