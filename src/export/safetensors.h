/* Heads and index of a directory of safetensors files. Private to export. */
#ifndef OLICA_EXPORT_SAFETENSORS_H
#define OLICA_EXPORT_SAFETENSORS_H

#include "kind.h"

/* The head operation of a kind: length and JSON of a file's tensors. */
olica_status olica_export_safetensors_head(olica_export *e, int file, char **head, size_t *bytes);

/* Rank 0: writes model.safetensors.index.json if there are several files. */
olica_status olica_export_safetensors_index(olica_export *e);

/* Returns the numbers of all items. Pure. */
int64_t olica_export_parameters(const olica_export *e);

#endif
