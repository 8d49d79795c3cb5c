/* Going on with a run that was interrupted, and stopping in time: what is kept in a restart file, when one is
 * written, how a run begins with one. Private to run. Collective on the job's context, but where it says
 * otherwise. */
#ifndef OLICA_RUN_RESUME_H
#define OLICA_RUN_RESUME_H

#include "calib/stream.h"
#include "config/options.h"
#include "prune/method.h"
#include "store/restart.h"

struct olica_job;

/* The run goes on with layer `layer` of sweep `sweep`: {1, 0} is its beginning, {2, 0} the end of the survey.
 */
typedef struct olica_position {
  int sweep, layer;
} olica_position;

typedef struct olica_resume {
  olica_restart *files;   /* NULL: the method writes nothing that could be gone on with */
  bool writes;            /* [restart] every is not off, and there is room */
  double bytes;           /* of a file, at most */
  json_t *fingerprint;    /* on rank 0 */
  olica_position from;    /* where this run has begun */
  olica_position kept;    /* of the newest restart file; sweep 0: there is none of this run */
  olica_position place;   /* of the file that is written or read, as its sections have it */
  int runs;               /* that were interrupted before this one, */
  double seconds;         /* and the time they had taken */
  int64_t progress_bytes; /* of the checkpoint's progress when it is resumed, */
  char *progress;         /* which only its writer understands; counted; NULL: it begins anew */
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

/* The name that those of all restart files of a run that prunes begin with: counted, the caller's. */
olica_status olica_resume_name(olica_context *context, const olica_options *options, char **name);

/* [restart] path is a directory; `touch`: in which a file can be made, which is there for a moment. */
olica_status olica_resume_probe(const struct olica_job *job, bool touch);

/* Before the streams are made: opens the files, removes them where that is asked for (--fresh), catches
 * signals. `bytes` of one file; where they do not fit on the disk beside a
 * checkpoint of `checkpoint` bytes, none are written, with a warning. */
olica_status olica_resume_open(struct olica_job *job, double bytes, double checkpoint);

/* Once the streams are there: takes up what the newest sound file holds, if there is one, also where this run
 * writes none. That it is of another run is the failure of olica_fingerprint_compare. */
olica_status olica_resume_load(struct olica_job *job);

/* Without the streams (--check), after olica_resume_open: what olica_resume_load would begin with, by
 * settings, program and model alone; *at {1, 0} where nothing was found. Fails as it would. */
olica_status olica_resume_foresee(struct olica_job *job, olica_position *at);

/* A place where the run could be interrupted: `next` is what it would go on with. Writes a restart file where
 * it is time for one; OLICA_STOPPED where a signal or the time asks for it, after that. */
olica_status olica_resume_boundary(struct olica_job *job, olica_position next);

/* The end of a run, whatever became of it: after success the files go; after a failure they stay, and the
 * message says so. Not collective, but all ranks call it with the same status. */
void olica_resume_end(struct olica_job *job, olica_status status);

/* Does the newest restart file go on with the checkpoint's .part file? Not collective. */
bool olica_resume_needs_part(const struct olica_job *job);

void olica_resume_close(struct olica_job *job); /* not collective */

/* Bytes of a restart file, at most; `arrays` of them are the method's, `riders` those of what is evaluated.
 * Pure. */
double olica_resume_bytes(const struct olica_job *job, double arrays, double riders);

/* ---- what a restart file holds (state.c) ---- */

/* The method's arrays, the run's own, and at most two of each rider. */
enum { OLICA_RESUME_SECTIONS = OLICA_ARRAYS + 72 };

typedef struct olica_resume_state {
  int count;
  olica_restart_section section[OLICA_RESUME_SECTIONS];
  olica_restart_piece shared[OLICA_RESUME_SECTIONS]; /* the pieces of those that are shared */
} olica_resume_state;

/* The sections of a run at that place, the place itself the first of them, over the job's own memory; free
 * with olica_resume_free. Not collective: a failure is the caller's to agree on. */
olica_status olica_resume_sections(struct olica_job *job, olica_position at, olica_resume_state *state);
void olica_resume_free(struct olica_job *job, olica_resume_state *state);

/* For who has something to keep. A section that every rank has all of; one of `bytes` bytes of all ranks in
 * `count` pieces of this one, which the caller fills; one with a piece for every sequence of a stream, whose
 * numbers are x [count x T x d]. Not collective. */
void olica_resume_add_shared(olica_resume_state *state, const char *name, void *data, size_t bytes);
olica_status olica_resume_add(olica_resume_state *state, olica_env *env, const char *name, int64_t bytes,
                              int64_t count, olica_restart_piece **piece);
olica_status olica_resume_add_stream(olica_resume_state *state, const char *name, const olica_stream *stream,
                                     float *x);

/* What the report knows so far, warnings of all ranks, and how long it has taken: a new reference on rank 0,
 * NULL elsewhere. */
olica_status olica_resume_describe(struct olica_job *job, olica_position at, json_t **state);

/* Reads the place that a state is of; false if it makes no sense for this job. Not collective, pure. */
bool olica_resume_place(const struct olica_job *job, const json_t *state, olica_position *at);

/* The report, the riders, and the warnings on rank 0, take up what is described by a run that goes on at that
 * place. Not collective. */
void olica_resume_recall(struct olica_job *job, olica_position at, const json_t *state);

#endif
