/* The config.json of an exported directory. Private to export. */
#ifndef OLICA_EXPORT_HF_CONFIG_H
#define OLICA_EXPORT_HF_CONFIG_H

#include "kind.h"

/* Returns the source's config.json in the form that old and new transformers both read: rope_theta and
 * rope_scaling, torch_dtype of the output, nothing that names another place. A new reference. */
json_t *olica_hf_config(const olica_export *e);

/* Tells whether transformers 4.46 has the family. Pure. */
bool olica_hf_is_old(const olica_family *family);

/* Notes where an old transformers computes RoPE otherwise than a new one: no config makes them agree. Every
 * rank, like plan. */
void olica_hf_note_rope(olica_export *e);

#endif
