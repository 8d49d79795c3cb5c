/* Token ids. */
#ifndef OLICA_TEXT_TOKENS_H
#define OLICA_TEXT_TOKENS_H

#include <stddef.h>
#include <stdint.h>

/* A growing list of ids, in counted memory, owned by its creator. Initialize with {0}, free `id` with
 * OLICA_FREE. */
typedef struct olica_tokens {
  int32_t *id;        /* [count] */
  size_t count, room; /* room: capacity */
} olica_tokens;

#endif
