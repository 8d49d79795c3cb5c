/* index.html: reports as tables, and the pictures, in one file that needs nothing else. Private to plot. */
#ifndef OLICA_PLOT_PAGE_H
#define OLICA_PLOT_PAGE_H

#include <stdbool.h>
#include <stdio.h>

#include "reports.h"

/* The first line of a page of ours, without its end. */
#define OLICA_PAGE_MARK "<!DOCTYPE html><!-- olica_mpi --plot -->"

void olica_page_begin(FILE *to, const olica_plot_reports *reports);
/* A paragraph that says what does not fit together, or is missing. */
void olica_page_warn(FILE *to, const char *text);
/* The tables of a report: its job, warnings, settings. alone: it is the page's only one. */
void olica_page_report(FILE *to, const olica_plot_report *report, bool alone);
/* A picture by its SVG of `bytes` bytes, NULL: it is not drawn, the page names its script. `of`: the report's
 * label, NULL: all. */
void olica_page_picture(FILE *to, const char *name, const char *title, const char *about, const char *of,
                        const char *svg, size_t bytes);
void olica_page_end(FILE *to);

#endif
