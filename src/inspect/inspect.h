/* Shows what a model's file or directory holds, and how two differ: layer by layer, by component, settings
 * and provenance; for every kind of file that this program reads or writes, also exports and models that it
 * does not prune. doc/user-guide.md has the members of the JSON. */
#ifndef OLICA_INSPECT_INSPECT_H
#define OLICA_INSPECT_INSPECT_H

#include <stdbool.h>
#include <stdio.h>

#include "par/context.h"

/* Rank 0 prints a description of `path` to `to`, as text or as JSON; reads no weights. What is missing,
 * damaged or of no known kind is OLICA_ERR_INPUT. Collective on context. */
olica_status olica_inspect(olica_context *context, const char *path, bool json, FILE *to);

/* Rank 0 prints how `b` differs from `a`, and reads the weights of tensors that both have in one shape.
 * Errors as above. Collective on context. */
olica_status olica_inspect_diff(olica_context *context, const char *a, const char *b, bool json, FILE *to);

#endif
