/* What a restart file holds of a run: sections of numbers, and the report so far. It holds no generator's
 * state: a draw depends on its place alone (base/random.h), and the run draws the sample again. Private to
 * run. */
#ifndef OLICA_RUN_SNAPSHOT_H
#define OLICA_RUN_SNAPSHOT_H

#include "engine.h"

typedef struct olica_snapshot {
  olica_engine *engine;   /* whose state it is; borrowed */
  json_t *fingerprint;    /* on rank 0 */
  olica_position place;   /* of the file that is written or read, as its sections have it */
  int runs;               /* that were interrupted before this one, */
  double seconds;         /* and the time they had taken */
  int64_t progress_bytes; /* of the checkpoint's progress, when the run resumes it, */
  char *progress;         /* which only its writer understands; counted; NULL: it begins anew */
} olica_snapshot;

/* The sections of a run at that place, the place itself the first of them, over the run's own memory; free
 * with olica_sections_free. Not collective: a failure is the caller's to agree on. */
olica_status olica_snapshot_sections(olica_snapshot *snapshot, olica_position at, olica_sections *sections);

/* What the report knows so far, warnings of all ranks, and how long it has taken: a new reference on rank 0,
 * NULL elsewhere. Collective. */
olica_status olica_snapshot_describe(olica_snapshot *snapshot, olica_position at, json_t **state);

/* Reads the place that a state is of; false if it makes no sense for this run. Not collective, pure. */
bool olica_snapshot_place(const olica_setup *setup, const json_t *state, olica_position *at);

/* The report, the riders, and the warnings on rank 0, take up what is described by a run that resumes at that
 * place. Not collective. */
void olica_snapshot_recall(olica_snapshot *snapshot, olica_position at, const json_t *state);

#endif
