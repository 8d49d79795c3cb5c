/* The description of a subject as JSON: what --inspect shows and --diff compares (doc/user-guide.md lists the
 * members). Private to inspect. */
#ifndef OLICA_INSPECT_DESCRIBE_H
#define OLICA_INSPECT_DESCRIBE_H

#include "subject.h"

/* Describes an open subject; called on rank 0. Free with json_decref. OLICA_ERR_MEMORY; a report without
 * what makes one is OLICA_ERR_INPUT. Not collective. */
olica_status olica_describe(const olica_subject *subject, json_t **description);

/* Counts the numbers of a tensor. Pure. */
int64_t olica_describe_numbers(const olica_tensor *tensor);

/* Returns the number of layers that tensors of a catalog can have: no more than there are tensors. Pure. */
int olica_describe_layers_most(const olica_catalog *catalog);

#endif
