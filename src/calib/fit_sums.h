/* Sums for a linear fit of B [N x d] on A [N x d] over the sequences of a node: AᵀA (upper triangle) and AᵀB,
 * in memory shared by the node's ranks; and the column sums of A and B and ΣB², private to each rank. The
 * products of a sequence are summed in fp32, the sequences in fp64, and the result is the same, to the last
 * bit, in any order of the sequences (calib/statistics.h). With products in bf16, A and B are first rounded
 * to bf16; products of two such numbers are exact, and the sums are formed as above. */
#ifndef OLICA_CALIB_FIT_SUMS_H
#define OLICA_CALIB_FIT_SUMS_H

#include "base/ledger.h"
#include "calib/statistics.h"
#include "par/shared.h"

typedef enum olica_side { OLICA_SIDE_A, OLICA_SIDE_B, OLICA_SIDES } olica_side;

typedef struct olica_fit_sums {
  olica_context *context;
  olica_kernel *kernel;
  int sides;                        /* 2; 1: A alone, for AᵀA: nothing of B exists */
  olica_dtype precision;            /* the kernel's */
  size_t size;                      /* bytes of its numbers */
  int d, tokens;                    /* d, T of a sequence */
  olica_shared *shared;             /* of the node, where its ranks' threads add: */
  double *gram, *cross;             /* [d x d] this node's sums */
  void *locks;                      /* a lock for each square of each matrix */
  void *block;                      /* of the rank's arrays: */
  double *sum_a, *sum_b, *square_b; /* [d] */
  /* Rows of whole sequences that are not yet added to AᵀA and AᵀB. */
  int used, room;             /* sequences */
  char *rows[OLICA_SIDES];    /* [room x T x d] in the kernel's precision */
  double *scale[OLICA_SIDES]; /* [room x d] */
  char *turned;               /* [room x d x T], A transposed, likewise */
} olica_fit_sums;

/* Creates zero sums of both `sides`, OLICA_SIDES, or of 1, A alone, for packs of at most `pack` sequences.
 * Collective on the context. OLICA_ERR_MEMORY. */
olica_status olica_fit_sums_create(olica_context *context, olica_kernel *kernel, int sides, int d, int tokens,
                                   int pack, olica_fit_sums **sums);
/* Frees the sums; call it after the last reading of the node's sums. NULL allowed. Collective on the node. */
void olica_fit_sums_destroy(olica_fit_sums *sums);

/* Holds on a ledger what olica_fit_sums_create allocates. */
olica_hold olica_fit_sums_hold(olica_ledger *ledger, olica_dtype precision, int sides, int d, int tokens,
                               int pack);

/* Stores some rows or columns of the current pack, as an observer of A or B. Any thread may call it; not
 * collective. */
void olica_fit_sums_see(olica_fit_sums *sums, olica_side side, const olica_view *view);

/* Ends a pack of `sequences` sequences, all of whose rows were stored. Not collective. */
olica_status olica_fit_sums_passed(olica_fit_sums *sums, int sequences);

/* Adds all stored rows of this rank to the sums (other ranks of the node may still be adding). Not
 * collective. */
olica_status olica_fit_sums_finish(olica_fit_sums *sums);

#endif
