/* Stored numbers on their way from the files to the fp32 memory of every node, one transfer at a time. One
 * node reads them, each of its ranks a share; the share goes to the ranks in the same place on the other
 * nodes (context->peers), and there every rank turns its share into fp32 in the node's memory. So every byte
 * is read once in all, crosses the network once for every node, and is converted once on every node. Private
 * to model. Private to model. */
#ifndef OLICA_MODEL_BRING_H
#define OLICA_MODEL_BRING_H

#include <stdbool.h>

#include "io/catalog.h"

/* Numbers [first, first + count) of a tensor, to be had at `to`, in memory of the node. */
typedef struct olica_span {
  const olica_tensor *tensor;
  int64_t first, count;
  float *to;
} olica_span;

typedef struct olica_bring olica_bring;

/* Bytes that one of `groups` ranks takes of `numbers` numbers of `size` bytes. Pure. */
size_t olica_bring_share(int64_t numbers, size_t size, int groups);

/* Bytes of raw numbers in front of a rank whose largest share is that: all of it if transfers go on in the
 * background, else a piece. Pure. */
size_t olica_bring_raw_bytes(size_t share, bool background);

/* For transfers of at most `spans` spans and `share` bytes. `background`: they go on while others compute
 * (there is more than one node); `fits`: the type that must hold every number. Not collective. */
olica_status olica_bring_create(olica_catalog *catalog, int spans, size_t share, bool background,
                                olica_dtype fits, olica_bring **bring);
void olica_bring_destroy(olica_bring *bring); /* not collective; NULL allowed */

/* Begins a transfer that node `owner` reads; there is none under way. `kept` [share bytes] or NULL: where
 * this rank's share stays as stored if its node is the owner; *kept_valid: it is there already. What fails is
 * told by olica_bring_finish. Not collective, but all ranks begin and finish the same transfers in the same
 * order. */
void olica_bring_begin(olica_bring *bring, int owner, const olica_span *span, int spans, void *kept,
                       bool *kept_valid);

/* Lets what goes on in the background go on: reads the next piece, and lets MPI move the others. Not
 * collective. */
void olica_bring_progress(olica_bring *bring);

/* Ends it: this rank's share is there in fp32. A failure is this rank's own, for the caller to agree on; NaN
 * or infinity is OLICA_ERR_INPUT naming file, tensor and index, a number beyond the type that must hold it
 * OLICA_ERR_CONFIG. Collective on the context in so far as it
 * waits for the owner. */
olica_status olica_bring_finish(olica_bring *bring);

/* Refuses the first of n numbers, from number `first` of the tensor on, that is not finite (OLICA_ERR_INPUT)
 * or does not fit that type (OLICA_ERR_CONFIG). Not collective. */
olica_status olica_bring_check(const olica_catalog *catalog, const olica_tensor *tensor, olica_dtype fits,
                               int64_t first, const float *x, size_t n);

/* Of the transfer that has ended: is a number of that span, of this rank's share, not 0? Not collective. */
bool olica_bring_live(const olica_bring *bring, int span);

/* Ends whatever is under way, and forgets it: after a failure elsewhere. As olica_bring_finish. */
void olica_bring_settle(olica_bring *bring);

#endif
