/* The commands that need MPI, from options to report. Collective on the context; every rank returns the same
 * status, with its message in the environment. */
#ifndef OLICA_RUN_PIPELINE_H
#define OLICA_RUN_PIPELINE_H

#include "config/options.h"
#include "report/report.h"

/* Prunes and evaluates as the options say, then writes the report, of a failure too. The report's name is
 * this run's from the start to the end (report/claim.h). With answer NULL rank 0 prints the closing table;
 * else *answer is the report on rank 0, a new reference, NULL without memory. resident: bytes of memory
 * (olica_report_resident) when the libraries had started. */
olica_status olica_pipeline_run(olica_context *context, const olica_options *options, double resident,
                                json_t **answer);

/* Ends a run that was refused before its work, with `status` and the message in the environment: writes its
 * report, if that would not be written over another file of the run. Returns `status`. */
olica_status olica_pipeline_refuse(olica_context *context, olica_options *options, double resident,
                                   olica_status status);

/* --check: opens every input, makes the budget and prints the plan; writes nothing. ranks 0: those that run;
 * ranks_per_node 0: as they run, or `ranks` on one node. */
olica_status olica_pipeline_check(olica_context *context, const olica_options *options, int ranks,
                                  int ranks_per_node);

#endif
