/* Progress of a task of many steps, and its remaining time. On a terminal it is one line, redrawn at every
 * step; elsewhere (a batch job's log) it is one log line a step. Only rank 0 shows it, unless quiet. Not
 * collective; never fails. */
#ifndef OLICA_BASE_PROGRESS_H
#define OLICA_BASE_PROGRESS_H

#include "base/env.h"

typedef struct olica_progress {
  const char *what; /* the task and its unit: "survey layer" */
  int steps, first; /* `first` steps were done earlier */
  double since;
} olica_progress;

/* Starts the clock; steps - first > 0 steps remain. */
olica_progress olica_progress_begin(const char *what, int steps, int first);

/* Reports that `done` steps are complete: the log gets the number of the last one, counted from 0, and the
 * total: "survey layer 6 (7 of 30)". `detail` goes to the log only; "": none. */
void olica_progress_step(olica_env *env, const olica_progress *progress, int done, const char *detail);

/* Removes the bar. */
void olica_progress_end(olica_env *env);

#endif
