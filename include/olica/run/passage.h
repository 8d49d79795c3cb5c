/* Passages: what each layer took in each sweep, by this rank's timers. Nothing here is collective. */
#ifndef OLICA_RUN_PASSAGE_H
#define OLICA_RUN_PASSAGE_H

#include <jansson.h>

#include "olica/base/env.h"

typedef enum olica_sweep { OLICA_SWEEP_SURVEY, OLICA_SWEEP_PRUNE, OLICA_SWEEPS } olica_sweep;

typedef struct olica_passage {
  double wall; /* seconds; 0: the layer has not passed */
  double seconds[OLICA_TIMERS_MAX];
} olica_passage;

typedef struct olica_passages {
  const olica_timers *timers; /* borrowed: the environment's */
  int layers;
  olica_passage start;                /* clock and timers when the layer under way began */
  olica_passage *sweep[OLICA_SWEEPS]; /* [L] each */
} olica_passages;

/* Room for L layers, counted; free with olica_passages_destroy. */
olica_status olica_passages_create(olica_env *env, int layers, olica_passages *passages);
void olica_passages_destroy(olica_env *env, olica_passages *passages);

/* A layer begins, and ends. No timer is running at either. */
void olica_passages_begin(olica_passages *passages);
void olica_passages_end(olica_passages *passages, olica_sweep sweep, int layer);

/* [{"layer": 0, "sweep": "survey", "wall_s": 1.2, "read_s": 0.1, ...}, ...]: of every timer that ran, in the
 * order in which layers passed. A new reference, NULL when there is no memory. */
json_t *olica_passages_json(const olica_passages *passages);

#endif
