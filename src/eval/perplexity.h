/* Perplexity of token ids: exp of the mean negative log-likelihood of the predicted tokens of windows, spread
 * over the ranks. The windows are a stream that passes the layers in the sweeps; the output matrix comes in
 * panels of rows, so that no rank has all of it, or a whole row of logits. */
#ifndef OLICA_EVAL_PERPLEXITY_H
#define OLICA_EVAL_PERPLEXITY_H

#include "calib/divergence.h"
#include "calib/stream.h"
#include "io/ids.h"

/* The cut of ids into windows. */
typedef struct olica_windows {
  int length;    /* T */
  int stride;    /* tokens from one window's beginning to the next: length: no overlap */
  int64_t count; /* the rest of the ids is dropped */
} olica_windows;

/* Cuts `tokens` ids into windows, at most `limit` (0: all). In the first every token but the first is
 * predicted, in an overlapping later one only the `stride` last. OLICA_ERR_INPUT naming `file` if there is
 * not one, or fewer than `limit`. Pure. */
olica_status olica_windows_plan(olica_env *env, const char *file, int64_t tokens, int length, int stride,
                                int64_t limit, olica_windows *windows);

/* Returns the predicted tokens of all windows. Pure. */
int64_t olica_windows_scored_all(const olica_windows *windows);

typedef struct olica_perplexity {
  olica_context *context;
  const olica_arch *arch;
  olica_windows windows;
  olica_stream *stream; /* the windows of this rank: embed and advance it like any other */
  size_t positions;     /* count x T */
  int panel_rows;
  void *block;         /* of the next four: */
  float *logits;       /* [T x panel rows] */
  float *top, *target; /* [count x T] largest logit so far, logit of the token that comes */
  double *sum;         /* [count x T] sum of exp(logit - top) */
  struct {
    void *block;
    float *states; /* [count x T x d] the first model's, behind its final norm; NULL: none is compared */
    float *logits; /* [T x panel rows] */
    olica_divergence *each; /* [count x T] */
  } first;
} olica_perplexity;

/* Reads this rank's windows. `panel_rows`: the largest number of rows a panel will have. Collective on the
 * context. */
olica_status olica_perplexity_create(olica_context *context, const olica_arch *arch, const olica_ids *ids,
                                     const olica_windows *windows, int panel_rows,
                                     olica_perplexity **perplexity);
void olica_perplexity_destroy(olica_perplexity *perplexity); /* NULL allowed */

/* Holds on a ledger what that allocates on the rank, of so many, that has most windows; `compares`: with
 * olica_perplexity_compare. */
void olica_perplexity_hold(olica_ledger *ledger, const olica_arch *arch, const olica_windows *windows,
                           int ranks, int panel_rows, bool compares);

/* Allocates the memory for two models, whose distributions are compared. OLICA_ERR_MEMORY may occur on one
 * rank alone, and the caller agrees on it. */
olica_status olica_perplexity_compare(olica_perplexity *perplexity);

/* After the last layer: applies the final norm (gains [d]) and starts over. Not collective. */
void olica_perplexity_begin(olica_perplexity *perplexity, const float *gains);

/* Adds the logits of rows [first, first + count) of the output matrix, packed [count x d], each row once. Not
 * collective. */
void olica_perplexity_add(olica_perplexity *perplexity, int64_t first, int64_t count, olica_packed *rows);

/* For the comparison of two models: `keep`, after olica_perplexity_begin of the first, keeps its states;
 * `add_both`, in place of olica_perplexity_add of the second, also takes the same rows of the first one's
 * output matrix. Not collective. */
void olica_perplexity_keep(olica_perplexity *perplexity);
void olica_perplexity_add_both(olica_perplexity *perplexity, int64_t first, int64_t count, olica_packed *rows,
                               olica_packed *first_rows);

/* Returns the mean over the predicted tokens of all ranks of KL(first || second), in nats. OLICA_ERR_NUMERIC
 * if it is not finite. Collective on the context. */
olica_status olica_perplexity_divergence(olica_perplexity *perplexity, double *value);

/* Returns the perplexity over all ranks. OLICA_ERR_NUMERIC if it is not finite. Collective on the context. */
olica_status olica_perplexity_finish(olica_perplexity *perplexity, double *value);

#endif
