/* The jobs of a comparison. `[prune] method = olica, refit` and `sparsity = 0.1, 0.2` are lists: each method
 * with each sparsity is a pair, and a pair is a job with otherwise the same settings. Not collective, no I/O.
 */
#ifndef OLICA_CONFIG_PAIRS_H
#define OLICA_CONFIG_PAIRS_H

#include <stdbool.h>
#include <stdint.h>

#include "config/arguments.h"

enum { OLICA_PAIRS_MAX = 256 };

typedef struct olica_pair {
  const char *method, *sparsity; /* elements of the lists */
  uint32_t listed; /* bit m: method number m is in the list, so its settings may stand in the config */
} olica_pair;

typedef struct olica_pairs {
  int count;      /* 0: the config is that of one job: */
  bool chosen;    /* which is pair[0]: a --set has chosen it from the file's list */
  int sparsities; /* pair i has method number i / sparsities of the list */
  olica_pair pair[OLICA_PAIRS_MAX];
} olica_pairs;

/* Reads both lists from the text of the config and the --set of `arguments`. Whether an element is a method
 * or a sparsity is checked where the pair's options are read. An element that stands twice, `none` among
 * several, and too many pairs are OLICA_ERR_CONFIG. Strings live in counted memory until env goes. Pure. */
olica_status olica_pairs_read(olica_env *env, const olica_arguments *arguments, const char *text,
                              size_t bytes, olica_pairs *pairs);

/* Inserts ".METHOD.SPARSITY" before the extension of a file's name: "out/pruned.olica.0.2.h5"; sparsity NULL:
 * the method alone. A counted string of the caller's; "" stays "". */
olica_status olica_pairs_name(olica_env *env, const char *path, const char *method, const char *sparsity,
                              char **name);

#endif
