/* The Kullback-Leibler divergence of one model's next-token distribution from another's, over rows of logits
 * that come in pieces, because the output matrix comes in panels of rows. All sums are in double. With logits
 * z of the first model and y of the second
 *
 *     KL(p || q) = sum_v p_v (log p_v - log q_v) = sum_v p_v (z_v - y_v) - logsumexp(z) + logsumexp(y)
 *
 * of which the three sums are kept, each relative to the largest logit so far. Not collective, pure. */
#ifndef OLICA_CALIB_DIVERGENCE_H
#define OLICA_CALIB_DIVERGENCE_H

#include <stddef.h>
#include <stdint.h>

/* Of one row. */
typedef struct olica_divergence {
  double top_p, top_q; /* the largest of z and of y so far */
  double sum_p, sum_q; /* of exp(z - top_p), of exp(y - top_q) */
  double weighted;     /* of exp(z - top_p) (z - y) */
} olica_divergence;

/* Begins anew: d [rows]. */
void olica_divergence_begin(size_t rows, olica_divergence *d);

/* `count` logits of both models join, of the same tokens. */
void olica_divergence_join(const float *z, const float *y, int64_t count, olica_divergence *d);

/* In nats, once all have joined. */
double olica_divergence_value(const olica_divergence *d);

#endif
