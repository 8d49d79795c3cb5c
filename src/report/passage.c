#include "report/passage.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

olica_status olica_passages_create(olica_env *env, int layers, int sweeps, olica_passages *passages) {
  *passages = (olica_passages){.timers = &env->timers, .sweeps = sweeps};
  OLICA_TRY(OLICA_NEW(env, passages->passage, (size_t)layers * (size_t)sweeps));
  passages->layers = layers; /* no memory for them after a failure; the report is still written */
  return OLICA_OK;
}

void olica_passages_destroy(olica_env *env, olica_passages *passages) {
  OLICA_FREE(env, passages->passage);
}

static olica_passage look(const olica_timers *timers) {
  assert(timers->depth == 0); /* without the seconds of a running timer */
  olica_passage now = {.wall = olica_timer_now()};
  for (int t = 0; t < timers->count; t++) now.seconds[t] = timers->timer[t].seconds;
  return now;
}

void olica_passages_begin(olica_passages *passages) {
  passages->start = look(passages->timers);
}

void olica_passages_end(olica_passages *passages, int sweep, int layer) {
  assert(layer >= 0 && layer < passages->layers && sweep >= 1 && sweep <= passages->sweeps);
  olica_passage now = look(passages->timers),
                *passage = &passages->passage[(sweep - 1) * passages->layers + layer];
  passage->wall = now.wall - passages->start.wall;
  for (int t = 0; t < OLICA_TIMERS_MAX; t++)
    passage->seconds[t] = now.seconds[t] - passages->start.seconds[t];
}

static void put_seconds(json_t *object, const char *name, double seconds) {
  char key[OLICA_TIMER_NAME + 2];
  snprintf(key, sizeof key, "%s_s", name);
  json_object_set_new(object, key, json_real(rint(seconds * 1e6) / 1e6));
}

static json_t *passage_json(const olica_passages *passages, int sweep, int layer) {
  const olica_passage *passage = &passages->passage[(sweep - 1) * passages->layers + layer];
  bool prunes = sweep == passages->sweeps;
  json_t *object = json_pack("{s:i, s:s}", "layer", layer, "sweep", prunes ? "prune" : "survey");
  if (!object) return NULL;
  if (!prunes && passages->sweeps > 2) json_object_set_new(object, "pass", json_integer(sweep - 1));
  put_seconds(object, "wall", passage->wall);
  for (int t = 0; t < passages->timers->count; t++)
    if (passage->seconds[t] > 0) put_seconds(object, passages->timers->timer[t].name, passage->seconds[t]);
  return object;
}

json_t *olica_passages_json(const olica_passages *passages) {
  json_t *array = json_array();
  for (int s = 1; array && s <= passages->sweeps; s++)
    for (int l = 0; l < passages->layers; l++)
      if (passages->passage[(s - 1) * passages->layers + l].wall > 0)
        json_array_append_new(array, passage_json(passages, s, l));
  return array;
}
