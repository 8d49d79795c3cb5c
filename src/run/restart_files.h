/* Where the restart files of a run lie, and what an earlier run has left there. Private to run. Collective on
 * the context, but where it says otherwise. */
#ifndef OLICA_RUN_RESTART_FILES_H
#define OLICA_RUN_RESTART_FILES_H

#include "setup.h"
#include "store/restart.h"

/* The name that those of all restart files of a run that prunes begin with: counted, the caller's. */
olica_status olica_restart_files_name(olica_context *context, const olica_options *options, char **name);

/* [restart] path is a directory; `touch`: in which a file can be made, which is there for a moment. */
olica_status olica_restart_files_probe(const olica_setup *setup, bool touch);

/* Opens the files of a run that prunes, removes them if --fresh asks for it, and refuses files that cannot be
 * read. *writes: the run writes some; not if [restart] every = off, nor, with a warning, if files of `bytes`
 * bytes do not fit on the disk beside a checkpoint of `checkpoint` bytes. */
olica_status olica_restart_files_open(const olica_setup *setup, double bytes, double checkpoint, bool *writes,
                                      olica_restart **files);

/* Adds the way out to the message of a refusal. Not collective. Returns `status`. */
olica_status olica_restart_files_refuse(olica_env *env, olica_status status);

#endif
