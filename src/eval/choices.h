/* Scoring of multiple-choice questions: packs pass the layers in the sweeps, like the windows of a
 * perplexity; at the end every choice has its log-likelihood. */
#ifndef OLICA_EVAL_CHOICES_H
#define OLICA_EVAL_CHOICES_H

#include "eval/packs.h"

/* A pack of this rank: its elements of the arrays. */
typedef struct olica_own_pack {
  int64_t row, segment, scored, target; /* the first */
  int rows, segments, scored_rows, targets;
  int64_t first_row; /* among the rows of all packs of all ranks */
} olica_own_pack;

/* A token that a choice predicts. */
typedef struct olica_target {
  int64_t choice; /* in olica_questions.choice */
  int64_t scored; /* among the rows that predict something */
  int32_t id;
  float logit;
} olica_target;

typedef struct olica_choices {
  olica_context *context;
  olica_kernel *kernel;
  const olica_arch *arch;
  olica_forward *forward;
  int64_t choices, all_rows;   /* of all ranks */
  int panel_rows, most_scored; /* scored rows of any pack */
  olica_pack_sizes own;
  int64_t packs;
  void *block;            /* of all arrays: */
  olica_own_pack *pack;   /* [packs] of this rank */
  int32_t *ids;           /* [own.rows] */
  float *x;               /* [own.rows x d] states; from begin on [own.scored x d], of those that predict */
  olica_segment *segment; /* [own.segments], rows counted from the pack's first */
  int64_t *scored;        /* [own.scored] rows that predict, ascending */
  olica_target *target;   /* [own.targets], those of a choice one after the other */
  float *logits;          /* [most scored rows of a pack x panel_rows] */
  float *top;             /* [own.scored] running log-sum-exp */
  double *sum;            /* [own.scored] */
  double seconds;         /* spent here since embed began */
} olica_choices;

/* Holds on a ledger what olica_choices_create allocates on the rank, of so many, that needs most.
 * OLICA_ERR_MEMORY for its own lists. Not collective. */
olica_status olica_choices_hold(olica_ledger *ledger, const olica_arch *arch, const olica_packs *packs,
                                olica_dtype precision, int ranks, int threads, int panel_rows);

/* Takes this rank's packs; questions and packs are no longer needed for them afterwards. `panel_rows`: the
 * largest number of rows a panel will have. Collective on the context. */
olica_status olica_choices_create(olica_context *context, olica_kernel *kernel, const olica_arch *arch,
                                  const olica_packs *packs, int panel_rows, olica_choices **choices);
void olica_choices_destroy(olica_choices *choices); /* not collective; NULL allowed */

/* Pass the packs through the model, like a stream: rows [first, first + count) of the embedding; one layer
 * (collective on the context, agrees on failures); the final norm; the output matrix in packed panels, each
 * row once. Not collective, except for the layer. */
void olica_choices_embed(olica_choices *choices, int64_t first, int64_t count, const float *rows);
olica_status olica_choices_advance(olica_choices *choices, const olica_maps *maps);
void olica_choices_begin(olica_choices *choices, const float *gains);
void olica_choices_add(olica_choices *choices, int64_t first, int64_t count, olica_packed *rows);

/* Gathers the log-likelihoods [choices] of all ranks' choices on every rank, and the slowest rank's time.
 * OLICA_ERR_NUMERIC if one is not finite. Collective on the context. */
olica_status olica_choices_finish(olica_choices *choices, double *log_likelihood, double *seconds);

#endif
