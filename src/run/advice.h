/* Warnings about a plan with too few tokens, idle ranks or a doubtful sparsity, before the run begins and in
 * --check. Private to run. Not collective: rank 0 warns. */
#ifndef OLICA_RUN_ADVICE_H
#define OLICA_RUN_ADVICE_H

#include "plan.h"

/* Warns once the riders are open and the run is planned. */
void olica_advise(const olica_setup *setup, const olica_riders *riders, const olica_plan *plan, int ranks);

#endif
