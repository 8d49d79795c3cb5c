/* How far some work of many steps is, and how long it will still take. On a terminal that is one line,
 * rewritten with every step; elsewhere (a batch job's log) a line of the log a step. Only the rank that
 * speaks shows it, and nobody who is quiet. Not collective, nothing fails. */
#ifndef OLICA_BASE_PROGRESS_H
#define OLICA_BASE_PROGRESS_H

#include "olica/base/env.h"

typedef struct olica_progress {
  const char *what; /* and its unit: "survey layer" */
  int steps, first; /* `first` of them were done before */
  double since;
} olica_progress;

/* Begins now, with steps - first > 0 to go. */
olica_progress olica_progress_begin(const char *what, int steps, int first);

/* `done` of them are done: the log says the last one's number, from 0, and how many: "survey layer 6 (7 of
 * 30)". `detail` is said in the log, not beside the bar; "": nothing. */
void olica_progress_step(olica_env *env, const olica_progress *progress, int done, const char *detail);

/* Takes the bar away. */
void olica_progress_end(olica_env *env);

#endif
