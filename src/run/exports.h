/* The exports of a job ([output] export), and the command --export. Collective on the context, unless stated
 * otherwise. */
#ifndef OLICA_RUN_EXPORTS_H
#define OLICA_RUN_EXPORTS_H

#include "config/options.h"
#include "export/types.h"
#include "report/report.h"

/* Takes the job's list apart; *list is empty where nothing is exported. Not collective. */
olica_status olica_exports_list(olica_env *env, const olica_options *options, olica_export_list *list);

/* Writes the job's exports from its finished checkpoint; `report` is rank 0's, for the model card; `own`:
 * exports that are there are of this run, which was interrupted, and are replaced. */
olica_status olica_exports_write(olica_context *context, const olica_options *options,
                                 const olica_report *report, bool own);

/* Writes the exports `given` of a finished checkpoint: of the options only [output] export_dtype, shard,
 * overwrite and [model] path count, and [output] report, which is read if it is the checkpoint's own. */
olica_status olica_exports_command(olica_context *context, const olica_options *options, const char *given,
                                   const char *checkpoint);

#endif
