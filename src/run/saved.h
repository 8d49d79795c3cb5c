/* [calibration] save: what sweep 1 finds out is kept in a file, and read instead of being found out again by
 * runs that differ in nothing that it depends on (doc/methods.md, "Saved statistics"). Private to run. */
#ifndef OLICA_RUN_SAVED_H
#define OLICA_RUN_SAVED_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/env.h"

struct olica_job;

typedef struct olica_saved {
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

/* Once the streams are there, and a restart file has been taken up: reads the file if there is one. One that
 * is of other data or settings, or damaged, is refused, naming what differs, unless [output] overwrite or
 * --fresh replace it; one that is no such file is refused always. Collective. */
olica_status olica_saved_open(struct olica_job *job);

/* Without the streams (--check): would a run read the file, by settings, program and model alone? Fails as
 * olica_saved_open would. Collective. */
olica_status olica_saved_foresee(struct olica_job *job, bool *reads);

/* At the end of sweep 1: writes the file if it was not read. Where another job is writing it, or a file has
 * come since the run began, that one stays, with a warning. Collective. */
olica_status olica_saved_write(struct olica_job *job);

/* Not collective. */
void olica_saved_close(struct olica_job *job);

#endif
