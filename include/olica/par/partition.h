/* Who owns what: pure functions of (items, parts). Not collective, never fail. */
#ifndef OLICA_PAR_PARTITION_H
#define OLICA_PAR_PARTITION_H

#include <stdint.h>

typedef struct olica_range {
  int64_t first, count;
} olica_range;

/* Block `part` of `items` things cut into `parts` contiguous blocks of ceil or floor(items/parts), larger
 * ones first: 10 over 4 is 3, 3, 2, 2. Empty where there are fewer items than parts. */
olica_range olica_partition_block(int64_t items, int parts, int part);

/* The part whose block holds item `index`, 0 <= index < items. */
int olica_partition_owner(int64_t items, int parts, int64_t index);

#endif
