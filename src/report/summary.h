/* The summary of a comparison: a row for the dense model, and one for each pair of method and sparsity, taken
 * from the pairs' reports. It is a JSON file, a CSV file beside it, a gnuplot script that draws it, and the
 * closing table. While pairs are missing its status is "running": a comparison that was interrupted finds
 * there what is done. Not collective: rank 0's. */
#ifndef OLICA_REPORT_SUMMARY_H
#define OLICA_REPORT_SUMMARY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/env.h"
#include "config/pairs.h"

typedef struct olica_summary {
  const char *path; /* of the JSON file; "": none is written. Borrowed */
  json_t *root;
} olica_summary;

/* Begins a summary, or takes up the unfinished one at `path` with its rows (*resumed). One that is complete,
 * and a file that is none, is OLICA_ERR_CONFIG unless `replace`. `fresh`: takes nothing up. */
olica_status olica_summary_begin(olica_env *env, const char *path, const char *config, bool replace,
                                 bool fresh, olica_summary *summary, bool *resumed);
void olica_summary_free(olica_summary *summary);

/* Returns true if the row of that pair is of a job that ended well, with that identity (NULL: any). Pure. */
bool olica_summary_has(const olica_summary *summary, const olica_pair *pair, const char *identity);

/* Returns true if the dense model's figures are there. Pure. */
bool olica_summary_has_dense(const olica_summary *summary);

/* Adds the row of a pair, or replaces it, from its report (NULL: there is none) and its status and message;
 * `name`: the report's file; `identity`: a text that differs where other settings or inputs would
 * give other figures. */
olica_status olica_summary_add(olica_env *env, olica_summary *summary, const olica_pair *pair,
                               const char *name, const char *identity, const json_t *report,
                               olica_status status, const char *message);

/* Puts the rows in the order of the pairs. */
void olica_summary_order(olica_summary *summary, const olica_pairs *pairs);

/* Sets the status: "running", "stopped", "failed", "ok". */
void olica_summary_end(olica_summary *summary, const char *status);

/* Writes the JSON and the CSV file and the script, each whole or not at all. */
olica_status olica_summary_write(olica_env *env, const olica_summary *summary);

/* Prints the table. */
void olica_summary_table(const olica_summary *summary, FILE *to);

#endif
