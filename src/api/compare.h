/* Comparisons: a job for each pair of method and sparsity, one after the other, and their summary. Private to
 * api. */
#ifndef OLICA_API_COMPARE_H
#define OLICA_API_COMPARE_H

#include <jansson.h>

#include "config/pairs.h"
#include "session.h"

/* Runs the jobs of `pairs`. Each has an environment of its own and its own outputs, whose names get
 * ".METHOD.SPARSITY"; the dense model is scored once; the statistics of a method that several sparsities use
 * are saved once. Writes the summary under the name of the report, and prints its table, or gives it to
 * *answer on rank 0 (a new reference).
 *
 * A pair that fails (a sparsity that its method cannot reach) does not stop the others: its row says why, and
 * the comparison ends with its code. A failure of files or memory, and a stop, end it at once. Started again,
 * a comparison that was interrupted takes over the rows that are done, and the pair in work resumes from its
 * restart file. Collective. */
olica_status olica_compare_run(olica *o, olica_context *context, const olica_arguments *arguments,
                               const olica_session_config *config, const olica_pairs *pairs, json_t **answer);

/* --check of each pair. Collective. */
olica_status olica_compare_check(olica *o, olica_context *context, const olica_arguments *arguments,
                                 const olica_session_config *config, const olica_pairs *pairs);

#endif
