/* The table of kinds, and lists of outputs "KIND:PATH, KIND:PATH". Not collective. */
#ifndef OLICA_EXPORT_KINDS_H
#define OLICA_EXPORT_KINDS_H

#include "base/env.h"
#include "export/types.h"

/* Returns kind i (kind.h, private to export), NULL past the end of the table. Pure. */
const struct olica_export_kind *olica_export_kind_at(int i);

/* Returns "fp32", "fp16", "bf16", "q8_0". Pure. */
const char *olica_export_type_name(olica_export_type type);

/* Takes a list apart. An unknown kind, an empty path and one that stands twice are OLICA_ERR_CONFIG, whose
 * message begins with `where`. Strings live in counted memory until env goes. Not collective. */
olica_status olica_export_parse(olica_env *env, const char *where, const char *text, olica_export_list *list);

/* Checks before long work that the names of all outputs are free (or may be replaced) and can be written.
 * Errors name `where`: OLICA_ERR_CONFIG, OLICA_ERR_IO. Not collective: rank 0. */
olica_status olica_export_probe(olica_env *env, const char *where, const olica_export_list *list,
                                bool overwrite);

#endif
