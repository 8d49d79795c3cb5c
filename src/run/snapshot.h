/* The content of a restart file: sections of numbers, and the report so far. It has no state of a generator:
 * a draw depends on its place alone (base/random.h), and the run draws the sample again. Private to run. */
#ifndef OLICA_RUN_SNAPSHOT_H
#define OLICA_RUN_SNAPSHOT_H

#include "ending.h"
#include "engine.h"

typedef struct olica_snapshot {
  olica_engine *engine;   /* owner of the state; borrowed */
  json_t *fingerprint;    /* on rank 0 */
  olica_position place;   /* of the file that is written or read, as its section "place" says */
  olica_ending ending;    /* whether outputs that are there are of this run */
  int runs;               /* interrupted runs before this one, */
  double seconds;         /* and the seconds that they took */
  int64_t progress_bytes; /* of the checkpoint's progress, when the run resumes it, */
  char *progress;         /* which only its writer understands; counted; NULL: it begins anew */
} olica_snapshot;

/* Lists the sections of a run at that place, the place itself first, in the run's own memory; free with
 * olica_sections_free. Not collective: the caller agrees on failures. */
olica_status olica_snapshot_sections(olica_snapshot *snapshot, olica_position at, olica_sections *sections);

/* Describes the report so far, the warnings of all ranks, and the time taken: a new reference on rank 0, NULL
 * elsewhere. Collective. */
olica_status olica_snapshot_describe(olica_snapshot *snapshot, olica_position at, json_t **state);

/* Reads the place that a state is of; false if it makes no sense for this run. Not collective, pure. */
bool olica_snapshot_place(const olica_setup *setup, const json_t *state, olica_position *at);

/* Restores the report, the riders, and the warnings on rank 0 from the description, in a run that resumes at
 * that place. Not collective. */
void olica_snapshot_recall(olica_snapshot *snapshot, olica_position at, const json_t *state);

#endif
