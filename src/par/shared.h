/* Memory shared by the ranks of a node (MPI-3 shared memory). It holds once per node what all ranks read and
 * no rank changes alone: the current layer, the pruned layer, a panel of a table. Use few and large blocks.
 *
 *     one block of `bytes` bytes on every node:
 *
 *     node 0                               node 1
 *     rank 0    rank 1    rank 2           rank 3         rank 4
 *     +---------+---------+---------+      +--------------+--------------+
 *     | part 0  | part 1  | part 2  |      | part 0       | part 1       |
 *     +---------+---------+---------+      +--------------+--------------+
 *       all three ranks read all of it       both ranks read all of it
 *
 * Each rank writes its own part (olica_shared_part), or the node's first rank (node_rank 0) writes
 * everything. olica_shared_fence separates writing from the other ranks' reading, and reading from the next
 * writing. A node of one rank uses ordinary memory. */
#ifndef OLICA_PAR_SHARED_H
#define OLICA_PAR_SHARED_H

#include <stdbool.h>
#include <stddef.h>

#include "par/context.h"
#include "par/partition.h"

typedef struct olica_shared {
  olica_context *context;
  void *data; /* [bytes], the same data on all ranks of the node; the address differs by rank */
  size_t bytes, counted;
  MPI_Win window;            /* MPI_WIN_NULL on a node of one rank */
  struct olica_shared *next; /* next block of the context's list */
} olica_shared;

/* Allocates `bytes` zeroed bytes for the node, aligned to 64; `what` names them in messages. Every rank
 * counts its share, bytes / node_size, and touches that share first, so that its pages lie near its cores and
 * a full file system shows here and not later. Collective on the context; `bytes` may differ between nodes
 * only. OLICA_ERR_MEMORY on all ranks if any node's /dev/shm or [compute] memory has too little space. */
olica_status olica_shared_create(olica_context *context, const char *what, size_t bytes,
                                 olica_shared **shared);

/* Frees a block; NULL allowed. Collective on the node. olica_context_destroy frees the blocks that are
 * left. */
void olica_shared_destroy(olica_shared *shared);

/* Makes the node's writes so far visible to all its ranks. Collective on the node. */
void olica_shared_fence(const olica_context *context);

/* Returns this rank's block of `items` work items of its node. Pure. */
olica_range olica_shared_part(const olica_context *context, int64_t items);

/* Returns true on the rank that does a node's undivided work (node_rank 0). Pure. */
bool olica_shared_leads(const olica_context *context);

/* Returns the free bytes for blocks on this node; infinity if unknown. Not collective. */
double olica_shared_room(void);

/* Checks that blocks can be allocated on this node: the directory must exist and be writable, unless each
 * rank is a node of its own. Otherwise Open MPI would silently use another place, possibly on a disk.
 * OLICA_ERR_IO. Not collective. */
olica_status olica_shared_check(const olica_context *context);

/* Returns the directory of the blocks: /dev/shm, or the one set for Open MPI in the environment. Not
 * collective. */
const char *olica_shared_directory(void);

#endif
