/* The context: this rank's place among all ranks and on its node. It duplicates the caller's communicator
 * once; no code below main uses MPI_COMM_WORLD. */
#ifndef OLICA_PAR_CONTEXT_H
#define OLICA_PAR_CONTEXT_H

#include <mpi.h>

#include "base/env.h"

/* Background work that needs the processor from time to time. */
typedef struct olica_background {
  void (*progress)(void *self); /* NULL: none */
  void *self;
} olica_background;

typedef struct olica_watch olica_watch;

typedef struct olica_context {
  olica_env *env;
  MPI_Comm comm; /* all ranks of the job */
  int rank, size;
  MPI_Comm node; /* the ranks that share this node's memory */
  int node_rank, node_size;
  int node_index, nodes; /* nodes are numbered by their lowest rank */
  struct olica_place {
    int node, rank;
  } * place;       /* [size] node_index and node_rank of every rank */
  int nodes_here;  /* nodes that this machine is split into: 1, except with OLICA_RANKS_PER_NODE */
  MPI_Comm peers;  /* the ranks of our node_rank on all nodes, in the order of the nodes: data for every */
  int peer_groups; /* node is sent in that many parts. MPI_COMM_NULL from peer_groups, the smallest node_size,
                      on */
  struct olica_shared *shared; /* list of all blocks of the node (par/shared.h), newest first */
  size_t others, most_others;  /* bytes of them counted by other ranks: now, and the peak */
  int cores, node_cores; /* cores that this rank may run on (its affinity mask), and those of the node */
  olica_background background;
  int threads;      /* threads of this rank's products */
  int most_threads; /* largest number of threads of any rank */
  char host[64];
  olica_watch *watch; /* par/watch.h; NULL: no watchdog */
} olica_context;

/* Splits every machine's ranks into nodes of this many ranks, as if each were a machine: for a copy of the
 * current layer in every NUMA domain, and for tests. */
#define OLICA_RANKS_PER_NODE "OLICA_RANKS_PER_NODE"

/* Duplicates `parent` and finds the nodes. threads = 0: OMP_NUM_THREADS, or the number that gives every rank
 * of the node its own cores. Collective on parent. Free with olica_context_destroy (collective). */
olica_status olica_context_create(olica_env *env, MPI_Comm parent, int threads, olica_context **context);
void olica_context_destroy(olica_context *context);

/* Progresses the background work; call it between pieces of long work. Not collective. */
void olica_context_progress(const olica_context *context);

/* Sets the number of threads (0: auto) in BLAS and OpenMP. Collective. */
void olica_context_set_threads(olica_context *context, int threads);

/* Sets the same number of threads again, after a library has changed it. Not collective. */
void olica_context_restore_threads(const olica_context *context);

#endif
