/* An export beside the checkpoint that it was made from. Private to export. */
#ifndef OLICA_EXPORT_AGAINST_H
#define OLICA_EXPORT_AGAINST_H

#include "kind.h"

/* Makes every tensor of a kind and type once more from a checkpoint and compares its bytes with those of the
 * export at `path`, whose tensors the catalog lists; ranks share the work. Reads no head and no file beside
 * the tensors. A tensor that is missing, of another shape or type, or that differs, is OLICA_ERR_INPUT,
 * naming it and its first row that does. Collective. */
olica_status olica_export_against(olica_context *context, const char *path, const olica_export_kind *kind,
                                  olica_export_type type, olica_catalog *catalog, const char *checkpoint);

#endif
