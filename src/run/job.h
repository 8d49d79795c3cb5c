/* A run: its parts, put together. Private to run. Collective on the setup's context, unless stated
 * otherwise. */
#ifndef OLICA_RUN_JOB_H
#define OLICA_RUN_JOB_H

#include "engine.h"
#include "resume.h"
#include "saved.h"

typedef struct olica_job {
  olica_setup setup;
  olica_inputs inputs;
  olica_riders riders;
  olica_engine engine;
  olica_resume resume;
  olica_saved saved;
  olica_report *report; /* NULL: there is none */
  int lock;             /* on the checkpoint's name, rank 0's; -1: none */
} olica_job;

/* Opens the model, the calibration's ids and the evaluation, and checks them against each other; makes no
 * streams. The parts point to each other: a job must not move. The report must outlive it. */
olica_status olica_job_open(olica_job *job, olica_context *context, const olica_options *options,
                            olica_report *report);

/* Reads all the ids that a run would use, spread over the ranks, and keeps none. */
olica_status olica_job_check_ids(const olica_job *job);

void olica_job_close(olica_job *job); /* not collective */

#endif
