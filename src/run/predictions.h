/* The file of --predictions: a line of JSON for every question, in the order of the tasks and their files.
 * Private to run. */
#ifndef OLICA_RUN_PREDICTIONS_H
#define OLICA_RUN_PREDICTIONS_H

#include "eval/questions.h"
#include "report/report.h"
#include "setup.h"

/* Writes the file: of each question the log-likelihoods [choices] of the dense and of the pruned model (NULL:
 * it was not asked), and the answers that follow. Not collective. */
olica_status olica_predictions_write(const olica_setup *setup, const olica_report *report,
                                     const olica_task_files *files, const olica_questions *questions,
                                     double *const likelihood[2]);

#endif
