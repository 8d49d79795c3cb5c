/* What saved statistics are of: {"survey": the fingerprint of the dense sweeps, NAME: what a score of the
 * dense model is of, ...}, so that another run can tell whether they are its own. Private to run. */
#ifndef OLICA_RUN_ABOUT_H
#define OLICA_RUN_ABOUT_H

#include "engine.h"
#include "store/survey.h"

/* The names that the wanted scores have in a file, by rider; "": it has none that is of the same. */
typedef struct olica_about_names {
  char name[OLICA_RIDERS_MAX][64];
} olica_about_names;

/* The number of riders whose scores of the dense model are wanted: all or none. Pure. */
int olica_about_scores(const olica_engine *engine);

/* What this run's are of: a new reference on rank 0, *about is left alone elsewhere. Collective. */
olica_status olica_about_make(const olica_engine *engine, json_t **about);

/* What a file's are of, as it says: a new reference on rank 0, NULL elsewhere. Not collective. */
olica_status olica_about_read(const olica_engine *engine, const olica_survey_file *file, json_t **about);

/* On rank 0: refuses a file about something else, as olica_fingerprint_compare does; finds the names of the
 * wanted scores in it. Not collective. */
olica_status olica_about_compare(const olica_engine *engine, const json_t *mine, const json_t *about,
                                 olica_about_names *known);

#endif
