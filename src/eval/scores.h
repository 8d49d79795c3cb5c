/* From log-likelihoods to answers and accuracies. Pure functions. */
#ifndef OLICA_EVAL_SCORES_H
#define OLICA_EVAL_SCORES_H

#include "eval/questions.h"

/* The score of a task, or the mean of several. */
typedef struct olica_score {
  double acc, acc_norm; /* shares of right answers: by log-likelihood, and by that of a character */
  double acc_stderr, acc_norm_stderr; /* sqrt(p (1 - p) / n) */
} olica_score;

/* Returns the choice of largest log-likelihood, per character if `by_length`; of equals the first.
 * log_likelihood [choices of all questions]. */
int olica_scores_answer(const olica_questions *questions, const olica_question *question,
                        const double *log_likelihood, bool by_length);

/* Returns the score of a task, by its number. */
olica_score olica_scores_task(const olica_questions *questions, int task, const double *log_likelihood);

/* Return the accuracy that counts for a task, acc or acc_norm, and its standard error. */
double olica_scores_counted(const olica_task *task, const olica_score *score, double *error);

#endif
