/* A text (or ids) whose perplexity is measured: a rider of the sweeps. Private to run. */
#ifndef OLICA_RUN_TEXT_H
#define OLICA_RUN_TEXT_H

#include "eval/perplexity.h"
#include "eval/text_files.h"
#include "rider.h"

typedef struct olica_text {
  const olica_setup *setup;
  olica_report *report;
  int number;                       /* among the report's */
  const char *name;                 /* "": it is alone */
  char score[OLICA_TEXT_NAME + 16]; /* "perplexity.NAME": of its score in saved statistics */
  bool compares;                    /* the pruned model's distributions with the dense one's */
  olica_ids *ids;                   /* until its windows have been taken */
  olica_windows windows;
  olica_perplexity *perplexity; /* from when it is prepared */
  olica_forward *forward;       /* as above; borrowed */
} olica_text;

/* Tokenizes the file, or opens the ids of [evaluate] tokens (path NULL). Collective. */
olica_status olica_text_open(olica_text *text, const olica_inputs *inputs, const char *path);

/* Makes its streams and its entry in the report. Collective. */
olica_status olica_text_prepare(olica_text *text);
void olica_text_close(olica_text *text); /* not collective */

extern const olica_rider_ops olica_text_ops;

#endif
