/* [calibration] save: what sweep 1 finds out is kept in a file, and read instead of being found out again by
 * runs that differ in nothing that it depends on (doc/methods.md, "Saved statistics"). Private to run. */
#ifndef OLICA_RUN_SAVED_H
#define OLICA_RUN_SAVED_H

#include <sys/stat.h>

#include "engine.h"

typedef struct olica_saved {
  const olica_setup *setup; /* borrowed, like */
  olica_engine *engine;     /* which has what is saved */
  bool survey,
      dense;   /* what was read: the survey's statistics; all of the dense model's scores that are wanted */
  bool writes; /* at the end of sweep 1 */
  bool was_there;    /* rank 0: something lay under the name when the run began, */
  struct stat found; /* this */
  json_t *about;     /* on rank 0: what this run's are of; NULL: nothing is saved */
} olica_saved;

/* Before a long run: can it be written (olica_file_probe)? `touch`: under its lock, since another job may be
 * writing NAME.part. Not collective. */
olica_status olica_saved_probe(olica_env *env, const char *path, bool touch);

/* Once the engine is prepared, and the run continues at `from`: reads the file if there is one. One that
 * is of other data or settings, or damaged, is refused, naming what differs, unless [output] overwrite or
 * --fresh replace it; one that is no such file is refused always. Collective. */
olica_status olica_saved_open(olica_saved *saved, olica_position from);

/* Without the streams (--check): would a run read the file, by settings, program and model alone? Fails as
 * olica_saved_open would. Collective. */
olica_status olica_saved_foresee(olica_saved *saved, bool *reads);

/* At the end of sweep 1: writes the file if it was not read. Where another job is writing it, or a file has
 * come since the run began, that one stays, with a warning. Collective. */
olica_status olica_saved_write(olica_saved *saved);

/* Not collective. */
void olica_saved_close(olica_saved *saved);

#endif
