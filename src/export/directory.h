/* What a directory for transformers has beside its tensors. Private to export. */
#ifndef OLICA_EXPORT_DIRECTORY_H
#define OLICA_EXPORT_DIRECTORY_H

#include "kind.h"

/* Rank 0: writes `config`, which it takes over, as config.json, the index of several files, the source's own
 * files, and the model card. */
olica_status olica_export_directory(olica_export *e, json_t *config);

#endif
