/* The report's name belongs to one run at a time, from its start to its end. Rank 0's.
 *
 * From the start on NAME holds this run's report: first one with the status "running", which a killed run
 * leaves, at last the final one. What lay there goes as [output] overwrite says: the report of a run that
 * ended well ("ok") stays without it (the run is refused by the probe of its outputs) and is moved to
 * NAME.previous with it; anything else that is a report of ours is replaced; what is none stays without
 * `overwrite`. A run that may not write under NAME leaves its report beside it, as NAME.failed. */
#ifndef OLICA_REPORT_CLAIM_H
#define OLICA_REPORT_CLAIM_H

#include "config/options.h"
#include "report/report.h"

typedef struct olica_claim {
  int lock;    /* on the report's name; -1: none */
  bool theirs; /* another job is writing it */
  bool ours;   /* "running" lies there */
} olica_claim;

/* Locks the name and puts the "running" report there. OLICA_ERR_IO where another job has it, OLICA_ERR_CONFIG
 * where its lock's name is taken. What else stands against it (no such directory, a report that stays) is no
 * failure here: the probe of the outputs finds it, and names what comes first. */
olica_status olica_claim_begin(olica_env *env, const olica_options *options, olica_report *report,
                               olica_claim *claim);

/* Writes the final report, under the name or beside it, says in the log where it is if not under the name, or
 * why there is none, and lets go of the name. The failure is that of a report that could not be written. */
olica_status olica_claim_end(olica_env *env, const olica_options *options, const olica_report *report,
                             olica_claim *claim);

#endif
