/* The place of a run's restart files, and the files of an earlier run there. Private to run. Collective on
 * the context, unless stated otherwise. */
#ifndef OLICA_RUN_RESTART_FILES_H
#define OLICA_RUN_RESTART_FILES_H

#include "setup.h"
#include "store/restart.h"

/* Makes the name with which the names of all restart files of a run that prunes begin, in counted memory of
 * the caller. */
olica_status olica_restart_files_name(olica_context *context, const olica_options *options, char **name);

/* Tells whether a run with these options finds restart files of its own; `removes`: they go. */
olica_status olica_restart_files_look(olica_context *context, const olica_options *options, bool removes,
                                      bool *there);

/* Checks that [restart] path is a directory; `touch`: creates and removes a file there. */
olica_status olica_restart_files_probe(const olica_setup *setup, bool touch);

/* Opens the files of a run that prunes, removes them if --fresh asks for it, and refuses files that cannot be
 * read. *writes: the run writes some; not if [restart] every = off, nor, with a warning, if files of `bytes`
 * bytes do not fit on the disk beside a checkpoint of `checkpoint` bytes. */
olica_status olica_restart_files_open(const olica_setup *setup, double bytes, double checkpoint, bool *writes,
                                      olica_restart **files);

/* Adds the way out to the message of a refusal. Not collective. Returns `status`. */
olica_status olica_restart_files_refuse(olica_env *env, olica_status status);

#endif
