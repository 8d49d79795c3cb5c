/* The list of [output] export, "KIND:PATH, KIND:PATH": its paths, whatever the kinds. Not collective, no I/O.
 */
#ifndef OLICA_CONFIG_TARGETS_H
#define OLICA_CONFIG_TARGETS_H

#include "config/pairs.h"

/* Makes *resolved: the list with its paths relative to where the program was started. They are relative to
 * the file `base` ("": they are so already); or, with `directory`, keep their last part alone and lie in it
 * (--output). Counted, the caller's; "" stays "". */
olica_status olica_targets_resolve(olica_env *env, const char *base, const char *directory, const char *list,
                                   char **resolved);

/* Makes *named: the list with the names of a comparison's pair (olica_pairs_name). */
olica_status olica_targets_name(olica_env *env, const olica_pair *pair, const char *list, char **named);

#endif
