/* Memory that the ranks of a node share: what every rank needs and none changes on its own (the layer in
 * work) lies there once. Few and large blocks.
 *
 * Who writes: the ranks of the node each their block of the items (olica_shared_part), or its first rank
 * (node_rank 0) alone. olica_shared_fence stands between such writing and the others' reading, and between
 * reading and the next writing. */
#ifndef OLICA_PAR_SHARED_H
#define OLICA_PAR_SHARED_H

#include <stdbool.h>
#include <stddef.h>

#include "olica/par/context.h"
#include "olica/par/partition.h"

typedef struct olica_shared {
  olica_context *context;
  void *data; /* [bytes], the same on all ranks of the node, at addresses of their own */
  size_t bytes, counted;
  MPI_Win window;            /* MPI_WIN_NULL: a node with one rank needs none */
  struct olica_shared *next; /* of the context's list */
} olica_shared;

/* `bytes` zeroed bytes for the node, aligned to 64; `what` names them in messages. Every rank counts its
 * share, bytes / node_size, and has touched that share first (so it lies near its cores, and later faults
 * cannot find the file system full). Collective on the context; `bytes` may differ between nodes only. Too
 * little room for it in any node's /dev/shm, or [compute] memory: OLICA_ERR_MEMORY on all ranks. */
olica_status olica_shared_create(olica_context *context, const char *what, size_t bytes,
                                 olica_shared **shared);

/* Gives it back. Collective on the node; NULL allowed. Whatever is left when the context is destroyed goes
 * with it. */
void olica_shared_destroy(olica_shared *shared);

/* What the ranks of a node have written so far is seen by all of them. Collective on the node. */
void olica_shared_fence(const olica_context *context);

/* This rank's block of `items` items of work on memory of the node. Pure. */
olica_range olica_shared_part(const olica_context *context, int64_t items);

/* Does this rank do for its node what is not worth sharing out? Pure. */
bool olica_shared_leads(const olica_context *context);

/* Bytes that one rank counts of a block, on a node with that many ranks. Pure. */
size_t olica_shared_counted(size_t bytes, int node_size);

/* Bytes of blocks that this node still has room for; infinity where the system does not tell. Not collective.
 */
double olica_shared_room(void);

/* Can blocks be made on this node, in that directory? It must be there and be writable, unless each rank has
 * a node of its own: else Open MPI would take another place, a disk's perhaps. OLICA_ERR_IO. Not collective.
 */
olica_status olica_shared_check(const olica_context *context);

/* The directory they lie in: /dev/shm, or what the environment tells Open MPI. Not collective. */
const char *olica_shared_directory(void);

#endif
