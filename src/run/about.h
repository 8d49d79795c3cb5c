/* The identity of saved statistics: {"survey": fingerprint of the dense sweeps, NAME: identity of a score of
 * the dense model, ...}, by which another run recognizes them as its own. Private to run. */
#ifndef OLICA_RUN_ABOUT_H
#define OLICA_RUN_ABOUT_H

#include "engine.h"
#include "store/survey.h"

/* The names of the wanted scores in a file, by rider; "": the file has no such score. */
typedef struct olica_about_names {
  char name[OLICA_RIDERS_MAX][64];
} olica_about_names;

/* The number of riders whose scores of the dense model are wanted: all or none. Pure. */
int olica_about_scores(const olica_engine *engine);

/* Makes the identity of this run's statistics: a new reference on rank 0; leaves *about alone elsewhere.
 * Collective. */
olica_status olica_about_make(const olica_engine *engine, json_t **about);

/* Reads the identity of a file's statistics: a new reference on rank 0, NULL elsewhere. Not collective. */
olica_status olica_about_read(const olica_engine *engine, const olica_survey_file *file, json_t **about);

/* On rank 0: refuses a file of another identity, as olica_fingerprint_compare does; finds the names of the
 * wanted scores in it. Not collective. */
olica_status olica_about_compare(const olica_engine *engine, const json_t *mine, const json_t *about,
                                 olica_about_names *known);

#endif
