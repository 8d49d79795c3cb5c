#include "par/partition.h"

olica_range olica_partition_block(int64_t items, int parts, int part) {
  int64_t base = items / parts, extra = items % parts;
  int64_t before = part < extra ? part : extra;
  return (olica_range){.first = part * base + before, .count = base + (part < extra)};
}

int olica_partition_owner(int64_t items, int parts, int64_t index) {
  int64_t base = items / parts, extra = items % parts;
  int64_t in_large = extra * (base + 1); /* items in the larger blocks */
  if (index < in_large) return (int)(index / (base + 1));
  return (int)(extra + (index - in_large) / base);
}
