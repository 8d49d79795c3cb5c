/* The verification of a GGUF file that an export has written. Private to export. */
#ifndef OLICA_EXPORT_VERIFY_GGUF_H
#define OLICA_EXPORT_VERIFY_GGUF_H

#include <jansson.h>

#include "export/types.h"
#include "io/catalog.h"

/* Checks that the tensors of a file are those of its architecture and its own keys, in names, shapes and
 * types, and that there are as many tokens as the model has; gives the type of its matrices. An
 * architecture and types that no export writes are OLICA_ERR_INPUT, too. Not collective. */
olica_status olica_gguf_verify(olica_env *env, const char *path, const olica_catalog *catalog,
                               const json_t *metadata, olica_export_type *type);

#endif
