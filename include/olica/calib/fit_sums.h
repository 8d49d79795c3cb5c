/* Sums for a linear fit of B [N x d] on A [N x d]: AᵀA (upper triangle) and AᵀB over the sequences of a node,
 * whose ranks add to them in memory that they share; column sums of A and B, and ΣB², of every rank's own. A
 * sequence is the fixed unit: its products are summed in fp32, sequences in fp64, and the sums come out the
 * same, to the last bit, in any order of sequences. With products in bf16, A and B are what bf16 leaves of
 * them, products of two numbers are exact, and sums are as above. */
#ifndef OLICA_CALIB_FIT_SUMS_H
#define OLICA_CALIB_FIT_SUMS_H

#include "olica/calib/statistics.h"
#include "olica/par/shared.h"

typedef enum olica_side { OLICA_SIDE_A, OLICA_SIDE_B, OLICA_SIDES } olica_side;

typedef struct olica_fit_sums {
  olica_context *context;
  olica_kernel *kernel;
  int d, tokens;                    /* d, T of a sequence */
  olica_shared *shared;             /* of the node: */
  double *gram, *cross;             /* [d x d] its part */
  void *locks;                      /* one for every square of each */
  double *sum_a, *sum_b, *square_b; /* [d] */
  /* Rows that are not yet in the sums, of whole sequences. */
  int used, room;                   /* sequences */
  unsigned char *rows[OLICA_SIDES]; /* [room x T x d] in the kernel's precision */
  double *scale[OLICA_SIDES];       /* [room x d] */
  float *product;                   /* fp32: [192 x d] */
  uint16_t *turned;                 /* bf16: [room x d x T], A transposed */
} olica_fit_sums;

/* Zero sums, for packs of at most `pack` sequences. Collective on the context. OLICA_ERR_MEMORY. */
olica_status olica_fit_sums_create(olica_context *context, olica_kernel *kernel, int d, int tokens, int pack,
                                   olica_fit_sums **sums);
/* Collective on the node, behind whatever reads the node's sums; NULL allowed. */
void olica_fit_sums_destroy(olica_fit_sums *sums);

/* Counted bytes of a rank, at most, and of what the node has once. Pure. */
size_t olica_fit_sums_bytes(olica_dtype precision, int d, int tokens, int pack);
size_t olica_fit_sums_node_bytes(int d);
size_t olica_fit_sums_room(olica_dtype precision); /* of the kernel's, a thread */

/* Takes a piece of the rows of the pack that passes. By any thread; not collective. */
void olica_fit_sums_see(olica_fit_sums *sums, olica_side side, const olica_view *view);

/* The pack of so many sequences has passed: all their rows have been seen. Not collective. */
olica_status olica_fit_sums_passed(olica_fit_sums *sums, int sequences);

/* All that this rank has seen is in the sums (the node's other ranks may still add). Not collective. */
olica_status olica_fit_sums_finish(olica_fit_sums *sums);

#endif
