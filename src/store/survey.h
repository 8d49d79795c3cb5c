/* What sweep 1 has found out, kept in a file for runs with other sparsities (HDF5, doc/methods.md: "Saved
 * statistics"): written collectively, with checksums, under its name only when whole; verified before it is
 * believed. What it is of stands in a text that only the writer understands. Collective on the context, but
 * where it says otherwise. */
#ifndef OLICA_STORE_SURVEY_H
#define OLICA_STORE_SURVEY_H

#include "io/hdf5.h"
#include "prune/method.h"

#define OLICA_SURVEY_FORMAT "olica-statistics"
enum { OLICA_SURVEY_SCHEMA = 1, OLICA_SURVEY_SCORES = 33 };

/* The same on every rank; the arrays are the caller's. */
typedef struct olica_survey {
  int arrays;
  olica_array array[OLICA_ARRAYS]; /* of the method */
  int scores;
  olica_array score[OLICA_SURVEY_SCORES]; /* of the dense model */
} olica_survey;

/* Writes it, with `about` (a text); with `replace` in place of a file that is there. Without, such a file
 * stays: then nothing is saved, and *stays. A failure leaves what was there. One job at a time: the caller
 * has a lock. */
olica_status olica_survey_save(olica_context *context, const char *path, const char *about,
                               const olica_survey *survey, bool replace, bool *stays);

typedef struct olica_survey_file {
  olica_context *context;
  olica_catalog *catalog;
  char *about; /* NUL-terminated */
} olica_survey_file;

/* Whether a file is one of these, be it that it cannot be read any more (olica_hdf5_begins_as): its loss is
 * no loss. Not collective. */
bool olica_survey_is_ours(const char *path);

/* Reads the index and the text of a file. One that is no such file, or is damaged, is OLICA_ERR_INPUT. */
olica_status olica_survey_open(olica_context *context, const char *path, olica_survey_file **file);
void olica_survey_close(olica_survey_file *file); /* not collective; NULL allowed */

/* Has it a score of that name? Not collective. */
bool olica_survey_has(const olica_survey_file *file, const char *score);

/* Fills the arrays and scores of `survey`, whose names and sizes are the caller's: other sizes in the file
 * are OLICA_ERR_INPUT, as are wrong checksums, numbers that cannot be, and arrays that `survey` does not
 * name. Scores that it does not name are left alone. */
olica_status olica_survey_load(olica_survey_file *file, olica_survey *survey);

#endif
