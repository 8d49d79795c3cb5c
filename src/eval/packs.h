/* Questions in packs: a few whole questions that pass the model as one block of rows, about OLICA_PACK_ROWS
 * of them, so that products are large however short a question is; nothing is padded. Packs follow from the
 * questions alone, so that every number of ranks computes the same products; whole packs are dealt to the
 * ranks by their cost. Pure, except for their memory; not collective. */
#ifndef OLICA_EVAL_PACKS_H
#define OLICA_EVAL_PACKS_H

#include "eval/questions.h"
#include "model/forward.h"

enum { OLICA_PACK_ROWS = 512 };

typedef struct olica_pack_sizes {
  int64_t rows, scored;      /* that pass the model; of them predict something */
  int64_t segments, targets; /* of olica_segment; predicted tokens, of all choices */
} olica_pack_sizes;

typedef struct olica_packs {
  olica_env *env;
  const olica_questions *questions; /* borrowed */
  int64_t count;
  int64_t *first; /* [count + 1] pack p has the questions order[first[p]] .. order[first[p + 1] - 1] */
  int64_t *order; /* [questions] their numbers, those of most rows first */
  olica_pack_sizes *size;     /* [count] */
  double *cost;               /* [count] floating-point operations */
  int most_rows, most_scored; /* of a pack */
} olica_packs;

/* Makes packs: questions join a pack while they fit, a longer one has its own. OLICA_ERR_MEMORY. */
olica_status olica_packs_make(olica_env *env, const olica_arch *arch, const olica_questions *questions,
                              olica_packs **packs);
void olica_packs_free(olica_packs *packs); /* NULL allowed */

/* Deals the packs: owner[pack], 0 <= owner < ranks. The costliest first, each to the rank with the least so
 * far. OLICA_ERR_MEMORY. */
olica_status olica_packs_deal(const olica_packs *packs, int ranks, int *owner);

/* Returns the sums of the sizes of a rank's packs, and their number. */
olica_pack_sizes olica_packs_own(const olica_packs *packs, const int *owner, int rank, int64_t *count);

#endif
