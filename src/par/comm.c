#include "par/comm.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "par/partition.h"
#include "par/watch.h"

/* One 2.6 GiB reduction took eight times as long as the same in 16 MiB pieces. */
enum { CHUNK_BYTES = 16 << 20 };

static size_t chunk(size_t left, size_t limit) {
  return left < limit ? left : limit;
}

/* Adds one MPI collective, begun at `since`, to the running timers: call, seconds, bytes. A single rank
 * communicates nothing. */
static void book(olica_context *context, MPI_Comm comm, double since, double bytes) {
  int size;
  MPI_Comm_size(comm, &size);
  if (size > 1) olica_timer_comm(&context->env->timers, since, bytes);
}

void olica_comm_bcast(olica_context *context, MPI_Comm comm, void *data, size_t bytes, int root) {
  olica_watch_enter(context, "a broadcast");
  for (size_t done = 0, n; done < bytes; done += n) {
    double since = olica_timer_now();
    n = chunk(bytes - done, CHUNK_BYTES);
    MPI_Bcast((char *)data + done, (int)n, MPI_BYTE, root, comm);
    book(context, comm, since, (double)n);
  }
  olica_watch_leave(context);
}

void olica_comm_gather(olica_context *context, MPI_Comm comm, void *data, size_t bytes, int64_t items) {
  int size;
  MPI_Comm_size(comm, &size);
  for (int root = 0; root < size; root++) {
    olica_range block = olica_partition_block(items, size, root);
    olica_comm_bcast(context, comm, (char *)data + (size_t)block.first * bytes, (size_t)block.count * bytes,
                     root);
  }
}

static void reduce_all(olica_context *context, MPI_Comm comm, double *data, size_t count, MPI_Op op) {
  olica_watch_enter(context, "an allreduce");
  for (size_t done = 0, n; done < count; done += n) {
    double since = olica_timer_now();
    n = chunk(count - done, CHUNK_BYTES / sizeof *data);
    MPI_Allreduce(MPI_IN_PLACE, data + done, (int)n, MPI_DOUBLE, op, comm);
    book(context, comm, since, (double)n * sizeof *data);
  }
  olica_watch_leave(context);
}

void olica_comm_sum(olica_context *context, MPI_Comm comm, double *data, size_t count) {
  reduce_all(context, comm, data, count, MPI_SUM);
}

void olica_comm_max(olica_context *context, MPI_Comm comm, double *data, size_t count) {
  reduce_all(context, comm, data, count, MPI_MAX);
}

void olica_comm_sum_to(olica_context *context, MPI_Comm comm, const double *data, double *sum, size_t count,
                       int root) {
  int rank;
  MPI_Comm_rank(comm, &rank);
  olica_watch_enter(context, "a reduce to one rank");
  for (size_t done = 0, n; done < count; done += n) {
    double since = olica_timer_now();
    n = chunk(count - done, CHUNK_BYTES / sizeof *data);
    MPI_Reduce(data + done, rank == root ? sum + done : NULL, (int)n, MPI_DOUBLE, MPI_SUM, root, comm);
    book(context, comm, since, (double)n * sizeof *data);
  }
  olica_watch_leave(context);
}

static olica_status agree(olica_context *context, MPI_Comm comm, olica_status status) {
  int rank, failing;
  MPI_Comm_rank(comm, &rank);
  int mine = status == OLICA_OK ? INT_MAX : rank;
  double since = olica_timer_now();
  MPI_Allreduce(&mine, &failing, 1, MPI_INT, MPI_MIN, comm);
  book(context, comm, since, sizeof mine);
  if (failing == INT_MAX) return OLICA_OK;
  olica_env *env = context->env;
  env->error.code = status;
  MPI_Bcast(&env->error, sizeof env->error, MPI_BYTE, failing, comm);
  return env->error.code;
}

olica_status olica_comm_agree(olica_context *context, MPI_Comm comm, olica_status status) {
  olica_watch_enter(context, "an agreement on errors");
  status = agree(context, comm, status);
  olica_watch_leave(context);
  return status;
}

olica_status olica_comm_share_text(olica_context *context, char *mine, const char *what, char **text,
                                   size_t *bytes) {
  int64_t length = mine ? (int64_t)strlen(mine) : -1;
  olica_comm_bcast(context, context->comm, &length, sizeof length, 0);
  *text = NULL;
  olica_status status = length < 0
                            ? olica_error_set(context->env, OLICA_ERR_MEMORY, "memory: no room for %s", what)
                            : OLICA_NEW(context->env, *text, (size_t)length + 1);
  if (status == OLICA_OK && mine) memcpy(*text, mine, (size_t)length);
  free(mine);
  OLICA_AGREE(context, status);
  olica_comm_bcast(context, context->comm, *text, (size_t)length, 0);
  *bytes = (size_t)length;
  return OLICA_OK;
}
