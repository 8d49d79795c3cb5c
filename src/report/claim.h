/* The claim on the report's name: it belongs to one run at a time, from the run's start to its end. Rank 0
 * only.
 *
 * NAME first holds this run's report with the status "running", which a killed run leaves, and in the end the
 * final one. A file that was there before: the report of a run that ended well ("ok") moves to NAME.previous
 * if [output] overwrite = yes; else it stays (the probe of the outputs refuses the run). Any other report of
 * ours is replaced. A file that is no report stays, unless overwrite = yes. A run that may not write NAME
 * writes its report beside it, as NAME.failed. */
#ifndef OLICA_REPORT_CLAIM_H
#define OLICA_REPORT_CLAIM_H

#include "config/options.h"
#include "report/report.h"

typedef struct olica_claim {
  int lock;    /* on the report's name; -1: none */
  bool theirs; /* another job has the lock */
  bool ours;   /* the report with status "running" is written */
} olica_claim;

/* Locks the name and writes the "running" report there. OLICA_ERR_IO if another job has it, OLICA_ERR_CONFIG
 * if its lock's name is taken. Any other obstacle (no such directory, a report that stays) is no failure
 * here: the probe of the outputs finds it, and names the first one. */
olica_status olica_claim_begin(olica_env *env, const olica_options *options, olica_report *report,
                               olica_claim *claim);

/* Writes the final report, under the name or beside it; logs its place if it is not the name, or why there is
 * no report; releases the name. Fails if the report could not be written. */
olica_status olica_claim_end(olica_env *env, const olica_options *options, const olica_report *report,
                             olica_claim *claim);

#endif
