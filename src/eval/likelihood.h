/* The running log-sum-exp of rows of logits that come in pieces, because the output matrix comes in panels of
 * rows. Not collective. */
#ifndef OLICA_EVAL_LIKELIHOOD_H
#define OLICA_EVAL_LIKELIHOOD_H

#include <stddef.h>
#include <stdint.h>

/* Begins anew: top and sum [rows]. */
void olica_likelihood_begin(size_t rows, float *top, double *sum);

/* `count` logits of one row join: *top is the largest so far, *sum that of exp(logit - top). */
void olica_likelihood_join(const float *logits, int64_t count, float *top, double *sum);

/* log p of a token with this logit, once all have joined. */
double olica_likelihood_log(float logit, float top, double sum);

#endif
