/* Makes rows as their authors and the hubs publish them into rows of the table of tasks, as
 * lm-evaluation-harness prepares them. Private to eval. */
#ifndef OLICA_EVAL_PUBLISHED_H
#define OLICA_EVAL_PUBLISHED_H

#include "eval/tasks.h"

/* Each of type olica_task_prepare. A row that is neither published nor prepared, or half of each:
 * OLICA_ERR_INPUT naming the missing member. */

/* activity_label, ctx_a, ctx_b: ctx is `activity_label: ctx_a Ctx_b`; [header] and its like, and doubled
 * spaces, go, from endings too. */
olica_status olica_published_hellaswag(olica_env *env, const char *where, const json_t *row,
                                       json_t **prepared);

/* choices as {text, label} or [{text, label}], in the row or in its question {stem, choices}; answerKey, one
 * of the labels; question_stem for question. */
olica_status olica_published_letters(olica_env *env, const char *where, const json_t *row, json_t **prepared);

/* title: put in front of its passage, `title -- passage`, unless it stands there. */
olica_status olica_published_boolq(olica_env *env, const char *where, const json_t *row, json_t **prepared);

#endif
