/* Resumes an interrupted run from its restart file, and removes or keeps the files at the end. boundary.h
 * writes them. Private to run. Collective on the setup's context, unless stated otherwise. */
#ifndef OLICA_RUN_RESUME_H
#define OLICA_RUN_RESUME_H

#include "snapshot.h"

typedef struct olica_resume {
  const olica_setup *setup; /* borrowed */
  olica_snapshot snapshot;  /* the content of the files */
  olica_restart *files;     /* NULL: the run does not prune */
  bool writes;              /* [restart] every is not off, and the disk has space */
  double bytes;             /* of a file, at most */
  olica_position from;      /* where this run begins */
  olica_position kept;      /* of the newest restart file; sweep 0: there is none of this run */
  struct {
    double began, last; /* this run; the last boundary: as olica_timer_now tells */
    double longest;     /* seconds from one boundary to the next */
    double end;         /* when the walltime is up; 0: no limit */
    double spent;       /* seconds for restart files, */
    double dearest;     /* and for the one that took longest */
    double saved;       /* when the last one was written */
    int layers;         /* since then */
  } time;
} olica_resume;

/* Opens the files before the streams are made, and removes them if --fresh asks for it; releases signals if
 * the run writes none. `bytes` of one file; if they do not fit on the disk beside a checkpoint of
 * `checkpoint` bytes, the run writes none, with a warning. */
olica_status olica_resume_open(olica_resume *resume, double bytes, double checkpoint);

/* Loads the newest sound file, if there is one, once the streams exist; also if this run writes none. A file
 * of another run is the failure of olica_fingerprint_compare. */
olica_status olica_resume_load(olica_resume *resume);

/* Finds where olica_resume_load would begin, by settings, program and model alone, without the streams
 * (--check): *at, {1, 0} without a file. After olica_resume_open. Fails as the load would. */
olica_status olica_resume_foresee(olica_resume *resume, olica_position *at);

/* Ends the sweeps: after a failure adds to the message that the files are kept (ending.h removes them after
 * success). Not collective. */
void olica_resume_end(olica_resume *resume, olica_status status);

/* Returns whether the newest restart file needs the checkpoint's .part file. Not collective. */
bool olica_resume_needs_part(const olica_resume *resume);

void olica_resume_close(olica_resume *resume); /* not collective */

#endif
