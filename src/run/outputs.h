/* Checks that no output of a run is one of its inputs, or the same file as another output, before anything is
 * written, a report of the failure included. */
#ifndef OLICA_RUN_OUTPUTS_H
#define OLICA_RUN_OUTPUTS_H

#include "config/options.h"
#include "par/context.h"

/* Replaces the path of each output that is a symbolic link by the link's target, the same on all ranks, so
 * that NAME.part, NAME.lock and the restart files lie beside the target. A checkpoint's link to no file
 * stays, and is refused later, unless overwrite = yes. Logs each target, and warns of other hard links, which
 * keep the old content. A name that ends in a slash is OLICA_ERR_CONFIG, links in a circle OLICA_ERR_IO.
 * `make`: also makes the directory of --output. Collective: rank 0 looks. */
olica_status olica_outputs_follow(olica_context *context, olica_options *options, bool make);

/* Refuses an output that is an input or another output, also as NAME.part or a restart file, which are
 * written beside it: OLICA_ERR_CONFIG, naming both settings. Compares places in directories, not names:
 * "./out/x", "out/x" and a link to it are one. Collective: rank 0 looks. */
olica_status olica_outputs_check(olica_context *context, const olica_options *options);

/* Does both for the report alone, so that a run that is refused for another output can still write its
 * report. */
olica_status olica_outputs_check_report(olica_context *context, olica_options *options);

#endif
