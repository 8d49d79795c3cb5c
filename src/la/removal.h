/* Removal of variables from least-squares problems that share their matrix H [n x n]. With P = H^-1 and the
 * coefficients W [d x n] of d problems, the variables G leave, and the others make up for them:
 *
 *     P := P - P_:G (P_GG)^-1 P_G:,      W := W - W_:G (P_GG)^-1 P_G:,
 *
 * after which P is the inverse of H without the rows and columns of G. Both matrices are distributed; the
 * columns of G travel, [(n + d) x count], and every member subtracts from its own part. */
#ifndef OLICA_LA_REMOVAL_H
#define OLICA_LA_REMOVAL_H

#include "base/ledger.h"
#include "la/matrix.h"

typedef struct olica_removal {
  olica_matrix *inverse, *weights; /* P, of which the lower triangle alone is read and written; W. Borrowed */
  int n, d, most;                  /* most: variables that leave together, at most */
  double *columns;                 /* [(n + d) x most] of P, and of W below them */
  double *square;                  /* [most x most] the Cholesky factor of P_GG */
  double *rows, *cols;             /* [max(n, d) x most], [n x most] the member's part of `columns` */
  void *block;
} olica_removal;

/* Prepares removals of up to `most` variables at once. Not collective; OLICA_ERR_MEMORY only. */
olica_status olica_removal_begin(olica_matrix *inverse, olica_matrix *weights, int most,
                                 olica_removal *removal);
void olica_removal_end(olica_removal *removal);

/* Removes `count` variables, count <= most, the same on every member; none is removed twice. What P has in
 * their rows and columns, and W in their columns, is without meaning afterwards. Collective on the grid,
 * called by members alone. OLICA_ERR_NUMERIC, the same on every member, if P_GG is not positive definite. */
olica_status olica_removal_take(olica_removal *removal, int count, const int32_t *variable);

/* Holds on a ledger what olica_removal_begin allocates. */
olica_hold olica_removal_hold(olica_ledger *ledger, int n, int d, int most);

#endif
