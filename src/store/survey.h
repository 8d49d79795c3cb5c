/* Saved statistics: stores the method's arrays after the dense sweeps in a file, for runs with other
 * sparsities (HDF5, doc/methods.md: "Saved statistics"). The file has checksums, gets its name when it is
 * complete, and is verified when it is read. A text in it, which only the caller understands, tells the run
 * that it is of. Collective on the context unless stated otherwise. */
#ifndef OLICA_STORE_SURVEY_H
#define OLICA_STORE_SURVEY_H

#include "io/catalog.h"
#include "prune/method.h"

#define OLICA_SURVEY_FORMAT "olica-statistics"
enum { OLICA_SURVEY_SCHEMA = 1, OLICA_SURVEY_SCORES = 33 };

/* The arrays are the same on every rank, and owned by the caller. */
typedef struct olica_survey {
  int arrays;
  olica_array array[OLICA_ARRAYS]; /* of the method */
  int scores;
  olica_array score[OLICA_SURVEY_SCORES]; /* of the dense model */
} olica_survey;

/* Writes the file, with the text `about`. An existing file is replaced only with `replace`; without it
 * nothing is saved, and *stays is set. After a failure an existing file is unchanged. The caller holds a
 * lock: one job at a time. */
olica_status olica_survey_save(olica_context *context, const char *path, const char *about,
                               const olica_survey *survey, bool replace, bool *stays);

typedef struct olica_survey_file {
  olica_context *context;
  olica_catalog *catalog;
  char *about; /* NUL-terminated */
} olica_survey_file;

/* Returns true if a file is one of saved statistics, even a truncated or damaged one (olica_hdf5_begins_as),
 * which may be replaced. Not collective. */
bool olica_survey_is_ours(const char *path);

/* Reads the index and the text of a file. A file of another kind, or a damaged one, is OLICA_ERR_INPUT. */
olica_status olica_survey_open(olica_context *context, const char *path, olica_survey_file **file);
void olica_survey_close(olica_survey_file *file); /* not collective; NULL allowed */

/* Returns true if the file has a score of that name. Not collective. */
bool olica_survey_has(const olica_survey_file *file, const char *score);

/* Fills the arrays and scores of `survey`, whose names and sizes the caller has set. OLICA_ERR_INPUT: another
 * size in the file, a wrong checksum, a number out of range, or an array that `survey` does not name. Scores
 * that it does not name are ignored. */
olica_status olica_survey_load(olica_survey_file *file, olica_survey *survey);

#endif
