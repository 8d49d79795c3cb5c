/* The ending of a run: from the moment its checkpoint has its name to the report. Exports are written in
 * between, which may take minutes. Restart files stay until the report is written, so that a run that is
 * killed in its ending resumes: it takes the checkpoint back as NAME.part, and replaces exports that it has
 * written. Private to run. Collective on the setup's context, unless stated otherwise. */
#ifndef OLICA_RUN_ENDING_H
#define OLICA_RUN_ENDING_H

#include <jansson.h>

#include "setup.h"

enum { OLICA_JOB_TEXT = 17 };

typedef struct olica_ending {
  bool waits;  /* outputs have their final names, and there are restart files that may be of their run */
  bool agreed; /* the restart file that was loaded says that its run found these names free */
  bool free;   /* this run found them free, or they are its own */
  char job[OLICA_JOB_TEXT]; /* on rank 0: marks this run, its restart files and its checkpoint */
} olica_ending;

/* Looks whether outputs have their final names, and whether an unfinished run may have given them. Without
 * overwrite = yes and --fresh. Where the run has ended well, and was killed before it removed its restart
 * files, `cleans` removes them. */
olica_status olica_ending_look(const olica_setup *setup, bool cleans, olica_ending *ending);

/* Adds to a restart file's state what a later run needs to judge the outputs. Not collective. */
void olica_ending_describe(const olica_ending *ending, const olica_options *options, json_t *state);

/* Compares the state of the restart file that is taken up: sets ending->agreed. Not collective, pure. */
void olica_ending_compare(olica_ending *ending, const olica_options *options, const json_t *state);

/* After the restart file is loaded. Outputs of its run: gives the checkpoint its name NAME.part again, unless
 * `touch` is false (--check). A checkpoint without the run's mark, and outputs that its restart file does not
 * know, are refused as olica_probe_outputs does, with `bytes` of the checkpoint. */
olica_status olica_ending_settle(const olica_setup *setup, double bytes, bool touch, olica_ending *ending);

/* Ends a run whose report is written: after success removes its restart files; releases the lock of the
 * checkpoint, which rank 0 has (else -1). */
olica_status olica_ending_close(olica_context *context, const olica_options *options, olica_status status,
                                int lock);

#endif
