/* [calibration] save: keeps the statistics of the dense sweeps in a file, which later runs read instead,
 * if they differ in nothing that the statistics depend on (doc/methods.md, "Saved statistics"). Private to
 * run. */
#ifndef OLICA_RUN_SAVED_H
#define OLICA_RUN_SAVED_H

#include <sys/stat.h>

#include "engine.h"

typedef struct olica_saved {
  const olica_setup *setup; /* borrowed */
  olica_engine *engine;     /* owner of the statistics; borrowed */
  bool survey, dense; /* read from the file: the survey's statistics; all wanted scores of the dense model */
  bool writes;        /* writes the file at the end of the dense sweeps */
  bool was_there;     /* rank 0: a file existed when the run began, */
  struct stat found;  /* and this was it */
  json_t *about;      /* on rank 0: identity of this run's statistics (about.h); NULL: nothing is saved */
} olica_saved;

/* Checks before the run that the file can be written (olica_file_probe). `touch`: under its lock, since
 * another job may be writing NAME.part. Not collective. */
olica_status olica_saved_probe(olica_env *env, const char *path, bool touch);

/* Reads the file if there is one, once the engine is prepared; the run continues at `from`. Refuses a damaged
 * file and one of other data or settings, naming the differences, unless [output] overwrite or --fresh
 * replace it; always refuses a file of another kind. Collective. */
olica_status olica_saved_open(olica_saved *saved, olica_position from);

/* *reads: a run would read the file, by settings, program and model alone, without the streams (--check).
 * Fails as olica_saved_open would. Collective. */
olica_status olica_saved_foresee(olica_saved *saved, bool *reads);

/* Writes the file at the end of the dense sweeps, unless it was read. If another job is writing it, or has
 * written one since the run began, that one stays, with a warning. Collective. */
olica_status olica_saved_write(olica_saved *saved);

/* Not collective. */
void olica_saved_close(olica_saved *saved);

#endif
