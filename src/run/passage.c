#include "olica/run/passage.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

olica_status olica_passages_create(olica_env *env, int layers, olica_passages *passages) {
  *passages = (olica_passages){.timers = &env->timers};
  for (int s = 0; s < OLICA_SWEEPS; s++) OLICA_TRY(OLICA_NEW(env, passages->sweep[s], (size_t)layers));
  passages->layers = layers; /* what has failed has none: the report is written all the same */
  return OLICA_OK;
}

void olica_passages_destroy(olica_env *env, olica_passages *passages) {
  for (int s = 0; s < OLICA_SWEEPS; s++) OLICA_FREE(env, passages->sweep[s]);
}

static olica_passage look(const olica_timers *timers) {
  assert(timers->depth == 0); /* a running timer's seconds are not in it yet */
  olica_passage now = {.wall = olica_timer_now()};
  for (int t = 0; t < timers->count; t++) now.seconds[t] = timers->timer[t].seconds;
  return now;
}

void olica_passages_begin(olica_passages *passages) {
  passages->start = look(passages->timers);
}

void olica_passages_end(olica_passages *passages, olica_sweep sweep, int layer) {
  assert(layer >= 0 && layer < passages->layers);
  olica_passage now = look(passages->timers), *passage = &passages->sweep[sweep][layer];
  passage->wall = now.wall - passages->start.wall;
  for (int t = 0; t < OLICA_TIMERS_MAX; t++)
    passage->seconds[t] = now.seconds[t] - passages->start.seconds[t];
}

static void put_seconds(json_t *object, const char *name, double seconds) {
  char key[OLICA_TIMER_NAME + 2];
  snprintf(key, sizeof key, "%s_s", name);
  json_object_set_new(object, key, json_real(rint(seconds * 1e6) / 1e6));
}

static json_t *passage_json(const olica_passages *passages, olica_sweep sweep, int layer) {
  const olica_passage *passage = &passages->sweep[sweep][layer];
  json_t *object =
      json_pack("{s:i, s:s}", "layer", layer, "sweep", sweep == OLICA_SWEEP_SURVEY ? "survey" : "prune");
  if (!object) return NULL;
  put_seconds(object, "wall", passage->wall);
  for (int t = 0; t < passages->timers->count; t++)
    if (passage->seconds[t] > 0) put_seconds(object, passages->timers->timer[t].name, passage->seconds[t]);
  return object;
}

json_t *olica_passages_json(const olica_passages *passages) {
  json_t *array = json_array();
  for (int s = 0; array && s < OLICA_SWEEPS; s++)
    for (int l = 0; l < passages->layers; l++)
      if (passages->sweep[s][l].wall > 0)
        json_array_append_new(array, passage_json(passages, (olica_sweep)s, l));
  return array;
}
