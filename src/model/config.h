/* The text of config.json: a file of a Hugging Face directory, or a dataset of a checkpoint. */
#ifndef OLICA_MODEL_CONFIG_H
#define OLICA_MODEL_CONFIG_H

#include "io/catalog.h"

/* The dataset of a checkpoint that holds it. */
#define OLICA_CHECKPOINT_CONFIG "meta/config_json"

/* Each function makes *text: `bytes` bytes, verbatim, and a 0 behind them, in counted memory that the caller
 * owns. */

/* Loads the file. Not collective. Errors of olica_file_load. */
olica_status olica_config_load(olica_env *env, const char *file, char **text, size_t *bytes);

/* Gives every rank the text that rank 0 has loaded; elsewhere *text is NULL before. Collective on the
 * context. OLICA_ERR_MEMORY. */
olica_status olica_config_share(olica_context *context, char **text, size_t *bytes);

/* Reads the text from the checkpoint that the catalog lists, on every rank. Collective on the catalog's
 * context. A dataset that is missing, no text or too long is OLICA_ERR_INPUT naming the file. */
olica_status olica_config_read(olica_catalog *catalog, char **text, size_t *bytes);

#endif
