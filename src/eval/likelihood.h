/* The running log-sum-exp of rows of logits that come in pieces, because the output matrix comes in panels of
 * rows. Not collective. */
#ifndef OLICA_EVAL_LIKELIHOOD_H
#define OLICA_EVAL_LIKELIHOOD_H

#include <stddef.h>
#include <stdint.h>

/* Empties top and sum [rows]. */
void olica_likelihood_begin(size_t rows, float *top, double *sum);

/* Adds `count` logits of a row: *top is the largest so far, *sum the sum of exp(logit - top). */
void olica_likelihood_join(const float *logits, int64_t count, float *top, double *sum);

/* Returns log p of the token with this logit, after all logits of its row. */
double olica_likelihood_log(float logit, float top, double sum);

#endif
