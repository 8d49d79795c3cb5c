/* The transfer of stored weights from the files to the fp32 memory of every node, one at a time, in the
 * background if the job has several nodes. Private to model.
 *
 * The node that owns a layer (or a panel of a table) reads it. Its numbers, in the order of the tensors, are
 * cut into as many shares as the smallest node has ranks. The rank in place s of the owner reads share s and
 * broadcasts it, as stored, to the ranks in place s of the other nodes (context->peers); there every rank
 * converts its share to fp32 in the node's shared memory:
 *
 *     file of layer 5       share 0          share 1          share 2
 *                              | read           | read           | read
 *     owner, node 1         rank 0           rank 1           rank 2         raw bytes, in pieces of 8 MiB
 *                           /  |  \          /  |  \          /  |  \        MPI_Ibcast on context->peers
 *     node 0, 1, 2      rank 0 of each   rank 1 of each   rank 2 of each     raw bytes
 *                              |                |                |           converts to fp32
 *     on every node         [ share 0    |   share 1    |   share 2 ]        one layer in shared memory
 *
 * So every byte is read once in all, crosses the network once for every node, and is converted once on every
 * node. Layers belong to nodes in blocks:
 *
 *     layers     0  1  2  3 | 4  5  6 | 7  8  9
 *     owner        node 0   | node 1  | node 2
 */
#ifndef OLICA_MODEL_PREFETCH_H
#define OLICA_MODEL_PREFETCH_H

#include <stdbool.h>

#include "io/catalog.h"

/* Numbers [first, first + count) of a tensor, and their destination `to`, in memory of the node. */
typedef struct olica_span {
  const olica_tensor *tensor;
  int64_t first, count;
  float *to;
} olica_span;

typedef struct olica_prefetch olica_prefetch;

/* Returns the bytes of a share of `numbers` numbers of `size` bytes in `groups` shares. Pure. */
size_t olica_prefetch_share(int64_t numbers, size_t size, int groups);

/* Returns the bytes of a rank's buffer of raw numbers, if `share` is its largest share: all of it if
 * transfers run in the background, else a piece. Pure. */
size_t olica_prefetch_raw_bytes(size_t share, bool background);

/* Creates the buffers for transfers of at most `spans` spans and `share` bytes. `background`: transfers run
 * while others compute, if there is more than one node. `fits`: the type that must hold every number. Not
 * collective. */
olica_status olica_prefetch_create(olica_catalog *catalog, int spans, size_t share, bool background,
                                   olica_dtype fits, olica_prefetch **prefetch);
void olica_prefetch_destroy(olica_prefetch *prefetch); /* not collective; NULL allowed */

/* Begins a transfer from node `owner`, while no other is under way. `kept` [share bytes] or NULL: where the
 * owner's ranks keep their shares as stored; *kept_valid: it holds the share already, and nothing is read.
 * olica_prefetch_finish reports failures. Not collective, but all ranks begin and finish the same transfers
 * in the same order. */
void olica_prefetch_begin(olica_prefetch *prefetch, int owner, const olica_span *span, int spans, void *kept,
                          bool *kept_valid);

/* Advances a transfer in the background: reads the next piece, and lets MPI move the others. Not collective.
 */
void olica_prefetch_progress(olica_prefetch *prefetch);

/* Completes the transfer: afterwards this rank's share is in place, in fp32. The status is of this rank
 * alone; the caller agrees on it. NaN or infinity is OLICA_ERR_INPUT naming file, tensor and index; a number
 * beyond the type that must hold it OLICA_ERR_CONFIG. Collective on the context, as it waits for the owner.
 */
olica_status olica_prefetch_finish(olica_prefetch *prefetch);

/* Refuses the first of n numbers, from number `first` of the tensor on, that is not finite (OLICA_ERR_INPUT)
 * or does not fit that type (OLICA_ERR_CONFIG). Not collective. */
olica_status olica_prefetch_check(const olica_catalog *catalog, const olica_tensor *tensor, olica_dtype fits,
                                  int64_t first, const float *x, size_t n);

/* Returns true if this rank's share of a span, in the last completed transfer, has a number that is not 0.
 * Not collective. */
bool olica_prefetch_live(const olica_prefetch *prefetch, int span);

/* Cancels the transfer under way, after a failure elsewhere: completes its messages, so that no rank waits,
 * and drops the data. Collective as olica_prefetch_finish; NULL allowed. */
void olica_prefetch_settle(olica_prefetch *prefetch);

#endif
