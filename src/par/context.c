#include "par/context.h"

#include <cblas.h>
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "par/comm.h"
#include "par/shared.h"
#include "par/watch.h"

static int affinity_cores(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return (int)sysconf(_SC_NPROCESSORS_ONLN);
  int cores = CPU_COUNT(&set);
  return cores > 0 ? cores : 1;
}

/* Returns OMP_NUM_THREADS if set; else the number of cores of one rank: its affinity mask if the launcher
 * bound it, or its share of the node. */
static int auto_threads(const olica_context *context) {
  const char *asked = getenv("OMP_NUM_THREADS");
  if (asked && atoi(asked) > 0) return atoi(asked);
  int share = context->node_cores / context->node_size;
  int threads = context->cores < share ? context->cores : share;
  return threads > 0 ? threads : 1;
}

void olica_context_restore_threads(const olica_context *context) {
  openblas_set_num_threads(context->threads);
  omp_set_num_threads(context->threads);
}

void olica_context_progress(const olica_context *context) {
  if (context->background.progress) context->background.progress(context->background.self);
}

void olica_context_set_threads(olica_context *context, int threads) {
  context->threads = threads > 0 ? threads : auto_threads(context);
  olica_context_restore_threads(context);
  MPI_Allreduce(&context->threads, &context->most_threads, 1, MPI_INT, MPI_MAX, context->comm);
}

/* Makes the communicator of this machine's ranks, or of a group of them. */
static void find_node(olica_context *context) {
  MPI_Comm machine;
  MPI_Comm_split_type(context->comm, MPI_COMM_TYPE_SHARED, context->rank, MPI_INFO_NULL, &machine);
  const char *asked = getenv(OLICA_RANKS_PER_NODE);
  int rank, ranks, size = asked ? atoi(asked) : 0; /* text that is no number counts as 0: no request */
  MPI_Comm_rank(machine, &rank);
  MPI_Comm_size(machine, &ranks);
  if (size <= 0 || size > ranks) size = ranks;
  context->nodes_here = (ranks + size - 1) / size;
  MPI_Comm_split(machine, rank / size, rank, &context->node);
  MPI_Comm_free(&machine);
  MPI_Comm_rank(context->node, &context->node_rank);
  MPI_Comm_size(context->node, &context->node_size);
}

/* Numbers the nodes and makes the communicator of our peers on the others. */
static void find_nodes(olica_context *context) {
  int leads = context->node_rank == 0, before = 0;
  MPI_Exscan(&leads, &before, 1, MPI_INT, MPI_SUM, context->comm);
  context->node_index = context->rank == 0 ? 0 : before;
  MPI_Bcast(&context->node_index, 1, MPI_INT, 0, context->node);
  MPI_Allreduce(&leads, &context->nodes, 1, MPI_INT, MPI_SUM, context->comm);
  MPI_Allreduce(&context->node_size, &context->peer_groups, 1, MPI_INT, MPI_MIN, context->comm);
  int group = context->node_rank < context->peer_groups ? context->node_rank : MPI_UNDEFINED;
  MPI_Comm_split(context->comm, group, context->node_index, &context->peers);
}

static olica_status find_places(olica_context *context) {
  const struct olica_place own = {context->node_index, context->node_rank};
  OLICA_AGREE(context, OLICA_NEW(context->env, context->place, (size_t)context->size));
  MPI_Allgather(&own, 2, MPI_INT, context->place, 2, MPI_INT, context->comm);
  return OLICA_OK;
}

/* Before there is a context to agree in: a rank that has no memory for one must not leave the others waiting.
 */
static olica_status make_room(olica_env *env, MPI_Comm parent, olica_context **context) {
  int lacks = OLICA_NEW(env, *context, 1) != OLICA_OK, any;
  MPI_Allreduce(&lacks, &any, 1, MPI_INT, MPI_MAX, parent);
  if (!any) return OLICA_OK;
  if (lacks) return env->error.code;
  olica_memory_free(env, *context);
  return olica_error_set(env, OLICA_ERR_MEMORY, "memory: another rank has no room to begin in");
}

olica_status olica_context_create(olica_env *env, MPI_Comm parent, int threads, olica_context **out) {
  olica_context *context;
  OLICA_TRY(make_room(env, parent, &context));
  context->env = env;
  MPI_Comm_dup(parent, &context->comm);
  MPI_Comm_rank(context->comm, &context->rank);
  MPI_Comm_size(context->comm, &context->size);
  find_node(context);
  find_nodes(context);
  if (gethostname(context->host, sizeof context->host) != 0)
    snprintf(context->host, sizeof context->host, "?");
  context->host[sizeof context->host - 1] = '\0';
  context->cores = affinity_cores();
  context->node_cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
  env->log.speaks = context->rank == 0;
  olica_context_set_threads(context, threads);
  olica_status status = find_places(context);
  if (status != OLICA_OK)
    olica_context_destroy(context);
  else
    *out = context;
  return status;
}

void olica_context_destroy(olica_context *context) {
  if (!context) return;
  olica_watch_stop(context);
  while (context->shared) olica_shared_destroy(context->shared);
  if (context->peers != MPI_COMM_NULL) MPI_Comm_free(&context->peers);
  MPI_Comm_free(&context->node);
  MPI_Comm_free(&context->comm);
  olica_memory_free(context->env, context->place);
  olica_memory_free(context->env, context);
}
