/* Paths as users write them: "~/x", "$SCRATCH/x", "${SCRATCH}/x", bare or in quotation marks. Every rank must
 * get the same, so the values of variables are rank 0's. Not collective. Private to config. */
#ifndef OLICA_CONFIG_PATHS_H
#define OLICA_CONFIG_PATHS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/env.h"

/* Rank 0 collects HOME and the environment's variables that the texts [count] name (NULL: no text), as
 * "NAME=VALUE", each ended by a NUL, and an empty one behind the last; *bytes in all, in counted memory. PWD
 * is the directory where the program was started, whatever the environment says. Omits variables that are not
 * set. */
olica_status olica_paths_variables(olica_env *env, int count, const char *const *text, char **variables,
                                   size_t *bytes);

/* Expands `given`: removes quotation marks around it, replaces `~` in front and variables ("$$": a dollar
 * sign). `list`: a list "kind:FILE, kind:FILE", each FILE by itself. `where` begins messages. A variable that
 * is not set or empty (or has a comma, in a list), a quotation mark without its partner, another user's home
 * and a URL are OLICA_ERR_CONFIG. `variables` as above, NULL: none. Pure. */
olica_status olica_paths_expand(olica_env *env, const char *where, const char *variables, const char *given,
                                bool list, char **path);

#endif
