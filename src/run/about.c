#include "about.h"

#include <stdio.h>
#include <string.h>

#include "fingerprint.h"

int olica_about_scores(const olica_engine *engine) {
  return olica_setup_scores(engine->setup, false) ? engine->riders->count : 0;
}

/* Adds the identity of each score of the dense model, from the fingerprint of the whole run. */
static void put_dense(const olica_engine *engine, json_t *about, const json_t *run) {
  for (int i = 0; i < olica_about_scores(engine); i++) {
    const olica_rider *rider = &engine->riders->rider[i];
    const char *key;
    olica_array array;
    json_t *of = rider->ops->score(rider->self, json_object_get(run, "tokens"), &key, &array);
    json_object_set_new(about, key, of);
  }
}

olica_status olica_about_make(const olica_engine *engine, json_t **about) {
  json_t *survey, *run;
  OLICA_TRY(olica_fingerprint_make(engine, OLICA_FINGERPRINT_STATISTICS, &survey));
  OLICA_TRY(olica_fingerprint_make(engine, OLICA_FINGERPRINT_RUN, &run));
  if (engine->setup->context->rank == 0) {
    *about = json_pack("{s:o}", "survey", survey);
    put_dense(engine, *about, run);
    json_decref(run);
  }
  return OLICA_OK;
}

olica_status olica_about_read(const olica_engine *engine, const olica_survey_file *file, json_t **about) {
  *about = NULL;
  if (engine->setup->context->rank != 0) return OLICA_OK;
  *about = json_loads(file->about, JSON_REJECT_DUPLICATES, NULL);
  if (json_is_object(json_object_get(*about, "survey"))) return OLICA_OK;
  json_decref(*about);
  return olica_error_set(engine->setup->context->env, OLICA_ERR_INPUT,
                         "%s: does not say what its statistics are of",
                         engine->setup->options->calibration.save);
}

/* Finds the name of a score in a file. It may have another one there: texts are distinguished by their
 * tokens, not by their names. */
static void find_score(const json_t *about, const char *key, const json_t *of, const char *name,
                       char found[64]) {
  const char *its;
  json_t *value;
  *found = '\0';
  json_object_foreach((json_t *)about, its, value) {
    if (strcmp(its, "survey") == 0 || !json_equal(value, of)) continue;
    snprintf(found, 64, "%s", strcmp(its, key) == 0 ? name : its);
    if (strcmp(its, key) == 0) return;
  }
}

olica_status olica_about_compare(const olica_engine *engine, const json_t *mine, const json_t *about,
                                 olica_about_names *known) {
  *known = (olica_about_names){0};
  if (engine->setup->context->rank != 0) return OLICA_OK;
  for (int i = 0; i < olica_about_scores(engine); i++) {
    const olica_rider *rider = &engine->riders->rider[i];
    const char *key;
    olica_array array;
    json_decref(rider->ops->score(rider->self, NULL, &key, &array));
    find_score(about, key, json_object_get(mine, key), array.name, known->name[i]);
  }
  return olica_fingerprint_compare(engine->setup->context->env, engine->setup->options->calibration.save,
                                   json_object_get(about, "survey"), json_object_get(mine, "survey"));
}
