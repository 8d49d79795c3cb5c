/* Pictures of report.json: --plot. Not collective, and it needs no MPI: one process reads the reports, writes
 * data files and scripts for gnuplot, has gnuplot draw them where it is in PATH, and writes index.html, a
 * page with all of it. */
#ifndef OLICA_PLOT_PLOT_H
#define OLICA_PLOT_PLOT_H

#include "base/env.h"

/* Draws the reports, or those that the summary of a comparison names, into `directory`, which is made if it
 * is not there, and prints what it holds. The directory has to be empty, or of an earlier call, whose
 * pictures go. Warns by name of what cannot be compared, and of a missing gnuplot. OLICA_ERR_CONFIG: the
 * directory holds something else. OLICA_ERR_INPUT: a file that is no report, named with the member that is
 * wrong. OLICA_ERR_IO: the system or gnuplot refuses. OLICA_ERR_MEMORY. */
olica_status olica_plot_run(olica_env *env, const char *directory, int count, const char *const *reports);

#endif
