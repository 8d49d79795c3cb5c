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

/* The sums of a row. */
typedef struct olica_divergence {
  double top_p, top_q; /* the largest of z and of y so far */
  double sum_p, sum_q; /* of exp(z - top_p), of exp(y - top_q) */
  double weighted;     /* of exp(z - top_p) (z - y) */
} olica_divergence;

/* Empties the sums of d [rows]. */
void olica_divergence_begin(size_t rows, olica_divergence *d);

/* Adds `count` logits of both models, of the same tokens, to a row's sums. */
void olica_divergence_join(const float *z, const float *y, int64_t count, olica_divergence *d);

/* Returns the divergence of a row in nats, after all its logits. */
double olica_divergence_value(const olica_divergence *d);

#endif
