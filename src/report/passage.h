/* Passages: the time of each layer in each sweep, by this rank's timers. Not collective. */
#ifndef OLICA_REPORT_PASSAGE_H
#define OLICA_REPORT_PASSAGE_H

#include <jansson.h>

#include "base/env.h"

typedef struct olica_passage {
  double wall; /* seconds; 0: the layer has not passed */
  double seconds[OLICA_TIMERS_MAX];
} olica_passage;

typedef struct olica_passages {
  const olica_timers *timers; /* borrowed: the environment's */
  int layers, sweeps;         /* L; the last sweep prunes, those before pass over the dense model */
  olica_passage start;        /* clock and timers when the layer under way began */
  olica_passage *passage;     /* [sweeps x L] */
} olica_passages;

/* Makes counted memory for L layers and so many sweeps; free with olica_passages_destroy. */
olica_status olica_passages_create(olica_env *env, int layers, int sweeps, olica_passages *passages);
void olica_passages_destroy(olica_env *env, olica_passages *passages);

/* Note the beginning and the end of a layer in sweep 1, 2, ... No timer may be running. */
void olica_passages_begin(olica_passages *passages);
void olica_passages_end(olica_passages *passages, int sweep, int layer);

/* Returns [{"layer": 0, "sweep": "survey", "wall_s": 1.2, "read_s": 0.1, ...}, ...], with every timer that
 * ran, in the order in which layers passed. A new reference, NULL without memory. */
json_t *olica_passages_json(const olica_passages *passages);

#endif
