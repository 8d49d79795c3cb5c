/* Block partitions: pure functions of (items, parts). Not collective; never fail.
 *
 *     items 10, parts 4:   0 1 2 | 3 4 5 | 6 7 | 8 9 */
#ifndef OLICA_PAR_PARTITION_H
#define OLICA_PAR_PARTITION_H

#include <stdint.h>

typedef struct olica_range {
  int64_t first, count;
} olica_range;

/* Returns block `part` of `items` items in `parts` contiguous blocks of ceil or floor(items/parts) items,
 * larger blocks first. Some blocks are empty if items < parts. */
olica_range olica_partition_block(int64_t items, int parts, int part);

/* Returns the part whose block contains item `index`, 0 <= index < items. */
int olica_partition_owner(int64_t items, int parts, int64_t index);

#endif
