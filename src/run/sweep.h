/* The sweeps over the layers. The streams of calibration and evaluation pass every layer while it is in
 * memory, so that a sweep reads every weight once. Private to run. Collective. */
#ifndef OLICA_RUN_SWEEP_H
#define OLICA_RUN_SWEEP_H

#include "job.h"

/* The sweeps over the dense model from where the run resumes: the method's passes, and the dense scores. */
olica_status olica_sweep_dense(olica_job *job);

/* The sweep that prunes and writes the layers; it ends with the pruned model's scores. */
olica_status olica_sweep_prune(olica_job *job);

#endif
