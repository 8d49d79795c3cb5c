/* Where a checkpoint comes from: its texts, and the directory of the source model, if it is still there.
 * Private to export. */
#ifndef OLICA_EXPORT_ORIGIN_H
#define OLICA_EXPORT_ORIGIN_H

#include "kind.h"

/* Fills config, settings, provenance, directory and bundle of an export that has source and options. The
 * directory is that of the options, else the model of the provenance (as it stands there, or from the
 * checkpoint's own place); its config.json must be the checkpoint's, byte for byte: else the first is
 * OLICA_ERR_CONFIG, the second counts as gone, with a warning. Collective. */
olica_status olica_origin_open(olica_export *e);
void olica_origin_close(olica_export *e); /* not collective */

/* Rank 0: copies into the output, byte for byte, the tokenizer's files of the checkpoint (else of the
 * directory), and from the directory generation_config.json, chat templates, other vocabularies, licences and
 * notices. */
olica_status olica_origin_copy(olica_export *e);

/* Rank 0: finds the licence that the directory's README.md names in its head; "": none. `text` [bytes]. */
void olica_origin_licence(const olica_export *e, char *text, size_t bytes);

#endif
