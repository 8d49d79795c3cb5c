/* Resuming a run that was interrupted: how it begins with a restart file, and what becomes of the files at
 * its end. boundary.h writes them. Private to run. Collective on the setup's context, but where it says
 * otherwise. */
#ifndef OLICA_RUN_RESUME_H
#define OLICA_RUN_RESUME_H

#include "snapshot.h"

typedef struct olica_resume {
  const olica_setup *setup; /* borrowed */
  olica_snapshot snapshot;  /* what the files hold of this run */
  olica_restart *files;     /* NULL: the method writes nothing that could be resumed */
  bool writes;              /* [restart] every is not off, and there is room */
  double bytes;             /* of a file, at most */
  olica_position from;      /* where this run has begun */
  olica_position kept;      /* of the newest restart file; sweep 0: there is none of this run */
  struct {
    double began, last; /* this run; the last boundary: as olica_timer_now tells */
    double longest;     /* seconds from one boundary to the next */
    double end;         /* when the time is up; 0: it never is */
    double spent;       /* seconds for restart files, */
    double dearest;     /* and for the one that took longest */
    double saved;       /* when the last one was written */
    int layers;         /* since then */
  } time;
} olica_resume;

/* Before the streams are made: opens the files, removes them where that is asked for (--fresh), catches
 * signals. `bytes` of one file; where they do not fit on the disk beside a
 * checkpoint of `checkpoint` bytes, none are written, with a warning. */
olica_status olica_resume_open(olica_resume *resume, double bytes, double checkpoint);

/* Once the streams are there: takes up what the newest sound file holds, if there is one, also where this run
 * writes none. That it is of another run is the failure of olica_fingerprint_compare. */
olica_status olica_resume_load(olica_resume *resume);

/* Without the streams (--check), after olica_resume_open: what olica_resume_load would begin with, by
 * settings, program and model alone; *at {1, 0} where nothing was found. Fails as it would. */
olica_status olica_resume_foresee(olica_resume *resume, olica_position *at);

/* The end of a run, whatever became of it: after success the files go; after a failure they stay, and the
 * message says so. Not collective, but all ranks call it with the same status. */
void olica_resume_end(olica_resume *resume, olica_status status);

/* Does the newest restart file go on with the checkpoint's .part file? Not collective. */
bool olica_resume_needs_part(const olica_resume *resume);

void olica_resume_close(olica_resume *resume); /* not collective */

#endif
