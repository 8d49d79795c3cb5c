/* Collectives in chunks (so that no count reaches 2^31 and no call is too large for the network), and
 * agreement on errors. All functions are collective on the given communicator. Calls, seconds and bytes are
 * added to the running timers, except on a communicator of one rank. Errors inside MPI abort the job. */
#ifndef OLICA_PAR_COMM_H
#define OLICA_PAR_COMM_H

#include <stddef.h>
#include <stdint.h>

#include "par/context.h"

/* Copies `bytes` bytes at data from `root` to all ranks. */
void olica_comm_bcast(olica_context *context, MPI_Comm comm, void *data, size_t bytes, int root);

/* Allgather of `items` items of `bytes` bytes at data: each rank holds its block (olica_partition_block)
 * before, all ranks hold all items after. */
void olica_comm_gather(olica_context *context, MPI_Comm comm, void *data, size_t bytes, int64_t items);

/* Replaces data[i] by its sum (maximum) over all ranks, on every rank. In place. */
void olica_comm_sum(olica_context *context, MPI_Comm comm, double *data, size_t count);
void olica_comm_max(olica_context *context, MPI_Comm comm, double *data, size_t count);

/* Reduces data[i] over the ranks into sum[i] on `root`; sum is not touched on other ranks (NULL allowed) and
 * may not overlap data. */
void olica_comm_sum_to(olica_context *context, MPI_Comm comm, const double *data, double *sum, size_t count,
                       int root);

/* Agrees on a failure: if `status` is a failure on any rank, every rank returns the code of the lowest
 * failing rank, with that rank's message in its environment. Call it before the next collective, after
 * anything that can fail on one rank alone. */
olica_status olica_comm_agree(olica_context *context, MPI_Comm comm, olica_status status);

/* OLICA_AGREE(context, call): agrees on the job's communicator and returns from the calling function on
 * failure. (The second return is never taken; it shows static analysis that this rank's own failure ends
 * here.) */
#define OLICA_AGREE(context, call)                                                                           \
  do {                                                                                                       \
    olica_status olica_mine_ = (call);                                                                       \
    OLICA_TRY(olica_comm_agree((context), (context)->comm, olica_mine_));                                    \
    if (olica_mine_ != OLICA_OK) return olica_mine_;                                                         \
  } while (0)

/* Gives every rank rank 0's text: `mine` from malloc, which is freed (elsewhere NULL), as a counted string
 * *text of *bytes characters, the caller's. NULL on rank 0 is OLICA_ERR_MEMORY, for which `what` names it.
 * Collective. */
olica_status olica_comm_share_text(olica_context *context, char *mine, const char *what, char **text,
                                   size_t *bytes);

#endif
