/* The context: who we are among the ranks. Communicators are duplicated from the caller's once, here; nothing
 * below main touches MPI_COMM_WORLD. */
#ifndef OLICA_PAR_CONTEXT_H
#define OLICA_PAR_CONTEXT_H

#include <mpi.h>

#include "olica/base/env.h"

/* Work in the background that wants the processor now and then. */
typedef struct olica_background {
  void (*progress)(void *self); /* NULL: there is none */
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
  } * place;       /* [size] every rank's node_index and node_rank */
  int nodes_here;  /* that this machine is split into: 1, but for OLICA_RANKS_PER_NODE */
  MPI_Comm peers;  /* the ranks with our node_rank on all nodes, in the nodes' order: what goes to */
  int peer_groups; /* every node goes in as many parts. MPI_COMM_NULL from peer_groups, the least
                    * node_size of all, on */
  struct olica_shared *shared; /* all blocks of the node (par/shared.h), the newest first */
  size_t others, most_others;  /* bytes of them that other ranks count, now and at most */
  int cores, node_cores;       /* that this rank may run on (its affinity mask); of the node */
  olica_background background;
  int threads;      /* of this rank's products */
  int most_threads; /* of the rank that has most */
  char host[64];
  olica_watch *watch; /* par/watch.h; NULL: nobody watches */
} olica_context;

/* Splits every machine's ranks into nodes of so many, as if each group were a machine: for a copy of the
 * layer in work in every NUMA domain, and for tests. */
#define OLICA_RANKS_PER_NODE "OLICA_RANKS_PER_NODE"

/* Duplicates `parent` and finds out the nodes. threads = 0: OMP_NUM_THREADS, or as many as leave every rank
 * of the node its own cores. Collective on parent. Free with olica_context_destroy (collective). */
olica_status olica_context_create(olica_env *env, MPI_Comm parent, int threads, olica_context **context);
void olica_context_destroy(olica_context *context);

/* Lets the background go on: to be called between pieces of long work. Not collective. */
void olica_context_progress(const olica_context *context);

/* Sets the number of threads again (0: auto) and tells BLAS and OpenMP. Collective. */
void olica_context_set_threads(olica_context *context, int threads);

/* Tells BLAS and OpenMP once more, after a library has told them otherwise. Not collective. */
void olica_context_restore_threads(const olica_context *context);

#endif
