/* Collectives in chunks (so that no count passes 2^31 and no single call grows past what the network likes),
 * and agreement on errors. All functions are collective on the communicator they are given; calls,
 * seconds and bytes are booked on the running timers (but not of a rank alone). MPI's own errors abort the
 * job. */
#ifndef OLICA_PAR_COMM_H
#define OLICA_PAR_COMM_H

#include <stddef.h>
#include <stdint.h>

#include "olica/par/context.h"

/* Copies `bytes` bytes at data from `root` to everyone. */
void olica_comm_bcast(olica_context *context, MPI_Comm comm, void *data, size_t bytes, int root);

/* Of `items` items of `bytes` bytes at data every rank holds its block (olica_partition_block); afterwards
 * every rank holds all. */
void olica_comm_gather(olica_context *context, MPI_Comm comm, void *data, size_t bytes, int64_t items);

/* data[i] becomes the sum (the maximum) over all ranks, on every rank. In place. */
void olica_comm_sum(olica_context *context, MPI_Comm comm, double *data, size_t count);
void olica_comm_max(olica_context *context, MPI_Comm comm, double *data, size_t count);

/* sum[i] on rank `root` becomes the sum over ranks of data[i]; sum is not touched elsewhere (NULL allowed)
 * and may not overlap data. */
void olica_comm_sum_to(olica_context *context, MPI_Comm comm, const double *data, double *sum, size_t count,
                       int root);

/* Turns a private failure into everybody's: if `status` is a failure on any rank, every rank returns the code
 * of the lowest failing rank, with that rank's message in its environment. Call it before the next collective
 * after anything that can fail on one rank alone. */
olica_status olica_comm_agree(olica_context *context, MPI_Comm comm, olica_status status);

/* OLICA_AGREE(context, call): agreement on the job's communicator, failure handed up. (The second return is
 * never taken; it tells static analysis that a failure of this rank's own does not go on.) */
#define OLICA_AGREE(context, call)                                                                           \
  do {                                                                                                       \
    olica_status olica_mine_ = (call);                                                                       \
    OLICA_TRY(olica_comm_agree((context), (context)->comm, olica_mine_));                                    \
    if (olica_mine_ != OLICA_OK) return olica_mine_;                                                         \
  } while (0)

#endif
