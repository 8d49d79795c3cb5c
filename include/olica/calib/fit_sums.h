/* Sums for a linear fit of B [N x d] on A [N x d] over this rank's sequences: AᵀA (upper triangle), AᵀB,
 * column sums of A and B, and ΣB². A sequence is the fixed unit: its products are summed in fp32, sequences
 * in fp64, and the sums come out the same, to the last bit, in any order of sequences. With products in bf16,
 * A and B are what bf16 leaves of them, products of two numbers are exact, and sums are as above. */
#ifndef OLICA_CALIB_FIT_SUMS_H
#define OLICA_CALIB_FIT_SUMS_H

#include "olica/calib/statistics.h"

typedef enum olica_side { OLICA_SIDE_A, OLICA_SIDE_B, OLICA_SIDES } olica_side;

typedef struct olica_fit_sums {
  olica_kernel *kernel;
  int d, tokens;                    /* d, T of a sequence */
  double *gram, *cross;             /* [d x d] this rank's part */
  double *sum_a, *sum_b, *square_b; /* [d] */
  /* Rows that are not yet in the sums, of whole sequences. */
  int used, room;                   /* sequences */
  unsigned char *rows[OLICA_SIDES]; /* [room x T x d] in the kernel's precision */
  double *scale[OLICA_SIDES];       /* [room x d] */
  float *product;                   /* fp32: [d x d] */
  uint16_t *turned;                 /* bf16: [room x d x T], A transposed */
} olica_fit_sums;

/* Zero sums, for packs of at most `pack` sequences. Creation is not collective. */
olica_status olica_fit_sums_create(olica_kernel *kernel, int d, int tokens, int pack, olica_fit_sums **sums);
void olica_fit_sums_destroy(olica_fit_sums *sums); /* NULL allowed */

/* Counted bytes, at most. Pure. */
size_t olica_fit_sums_bytes(olica_dtype precision, int d, int tokens, int pack);

/* Takes a piece of the rows of the pack that passes. By any thread. */
void olica_fit_sums_see(olica_fit_sums *sums, olica_side side, const olica_view *view);

/* The pack of so many sequences has passed: all their rows have been seen. Not collective. */
olica_status olica_fit_sums_passed(olica_fit_sums *sums, int sequences);

/* All that was seen is in the sums. Not collective. */
olica_status olica_fit_sums_finish(olica_fit_sums *sums);

#endif
