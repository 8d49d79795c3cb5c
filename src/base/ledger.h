/* A ledger of counted memory, for estimates: a plan replays on it what a run allocates and frees, in the same
 * order, and reads the peaks. The sizes come from the modules that allocate: olica_X_hold(ledger, ...) holds
 * what olica_X_create(...) allocates, and returns it for the release.
 *
 *     olica_hold sums = olica_fit_sums_hold(ledger, ...);      olica_fit_sums_create(...)
 *     olica_hold fit = olica_fit_hold(ledger, ...);            olica_fit_gather(...)
 *     olica_ledger_release(ledger, sums);                      olica_fit_sums_destroy(...)
 *
 * Bytes are those of the rank that needs most. Not collective; nothing is allocated. */
#ifndef OLICA_BASE_LEDGER_H
#define OLICA_BASE_LEDGER_H

#include <stddef.h>

typedef struct olica_ledger {
  int node_ranks;         /* ranks that share a block of their node; 0 counts as 1 */
  size_t now, peak;       /* bytes of a rank, with its share of the node's blocks */
  size_t node, node_peak; /* bytes of the node's blocks, whole */
  size_t workspace; /* largest workspace of a thread in the kernel (olica_kernel_reserve), beside these */
} olica_ledger;

/* Bytes that are held. */
typedef struct olica_hold {
  size_t rank, node;
} olica_hold;

/* Holds bytes of a rank; bytes that its node holds once, of which it counts its share. */
olica_hold olica_ledger_hold(olica_ledger *ledger, size_t bytes);
olica_hold olica_ledger_hold_node(olica_ledger *ledger, size_t bytes);
void olica_ledger_release(olica_ledger *ledger, olica_hold hold);

/* Returns what is held; what has been held since then; releases it. */
olica_hold olica_ledger_mark(const olica_ledger *ledger);
olica_hold olica_ledger_since(const olica_ledger *ledger, olica_hold mark);
void olica_ledger_rewind(olica_ledger *ledger, olica_hold mark);

/* Holds bytes for a moment. */
void olica_ledger_touch(olica_ledger *ledger, size_t bytes);

/* Raises the workspace of the kernel's threads. */
void olica_ledger_reserve(olica_ledger *ledger, size_t bytes);

/* Replays on the ledger what has happened on another one, which began empty. Returns what that still
 * holds. */
olica_hold olica_ledger_replay(olica_ledger *ledger, const olica_ledger *moments);

/* Returns an empty ledger for the same node; raises the peaks to those of a copy on which one of several
 * alternatives was replayed. */
olica_ledger olica_ledger_empty(const olica_ledger *ledger);
void olica_ledger_join(olica_ledger *ledger, const olica_ledger *copy);

/* Returns the bytes that one of `ranks` ranks counts of a block that they share. Pure. */
size_t olica_ledger_share(size_t bytes, int ranks);

#endif
