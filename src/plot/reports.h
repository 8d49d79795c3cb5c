/* Reports as they are drawn: read, checked, and named. Not collective. Private to plot. */
#ifndef OLICA_PLOT_REPORTS_H
#define OLICA_PLOT_REPORTS_H

#include <jansson.h>

#include "base/env.h"

enum { OLICA_PLOT_LABEL = 64, OLICA_PLOT_REPORTS = 256 };

typedef struct olica_plot_report {
  char *path;                   /* counted */
  char label[OLICA_PLOT_LABEL]; /* another one for each report: "olica 20 %" */
  json_t *root;                 /* checked: members have the kinds that doc/report.md says */
} olica_plot_report;

typedef struct olica_plot_reports {
  int count;
  olica_plot_report report[OLICA_PLOT_REPORTS];
} olica_plot_reports;

/* Reads reports; the summary of a comparison stands for its pairs' reports. Free with olica_reports_free, of
 * a failure too. Warns of a run that has not ended well. OLICA_ERR_INPUT: the file and the member that is
 * wrong; OLICA_ERR_CONFIG: too many. */
olica_status olica_reports_read(olica_env *env, int count, const char *const *paths,
                                olica_plot_reports *reports);
void olica_reports_free(olica_env *env, olica_plot_reports *reports);

/* Return a member of a member: NAN, "" or NULL where it is not there. `section` NULL: of the root. */
double olica_reports_number(const olica_plot_report *report, const char *section, const char *key);
const char *olica_reports_text(const olica_plot_report *report, const char *section, const char *key);
const json_t *olica_reports_array(const olica_plot_report *report, const char *key);

/* Return a row's number, NAN where it is not there; number i of an array. */
double olica_reports_in(const json_t *row, const char *key);
double olica_reports_at(const json_t *array, size_t i);

/* Return the layers of the model (0: not known); the method, "none" where nothing is pruned. */
int olica_reports_layers(const olica_plot_report *report);
const char *olica_reports_method(const olica_plot_report *report);

#endif
