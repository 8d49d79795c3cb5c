/* What a run writes is nothing that it reads, and no two of its outputs are the same file: asked before
 * anything is written, a report of the failure included. */
#ifndef OLICA_RUN_OUTPUTS_H
#define OLICA_RUN_OUTPUTS_H

#include "config/options.h"
#include "par/context.h"

/* An output whose name is a symbolic link is written where that leads, whatever writes it and however: its
 * path becomes the target's, the same on all ranks, and so NAME.part, NAME.lock and the restart files lie
 * beside the target; a checkpoint's link to no file stays, and so is refused, unless overwrite = yes. Says
 * so, and warns of other hard links, which keep the old content. A name that ends in a slash is
 * OLICA_ERR_CONFIG, links in a circle OLICA_ERR_IO. `make`: the directory of --output is made. Collective:
 * rank 0 looks. */
olica_status olica_outputs_follow(olica_context *context, olica_options *options, bool make);

/* Compares places in directories, not names: "./out/x", "out/x" and a link to it are one. An output that is
 * an input, or another output (also as NAME.part or a restart file, which are written beside it), is
 * OLICA_ERR_CONFIG, naming both settings. Collective: rank 0 looks. */
olica_status olica_outputs_check(olica_context *context, const olica_options *options);

/* Both of the report alone: a run that is refused for other outputs' sake has a report if it may. */
olica_status olica_outputs_check_report(olica_context *context, olica_options *options);

#endif
