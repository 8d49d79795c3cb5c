#include "model/config.h"

#include <string.h>

#include "io/file.h"
#include "par/comm.h"

enum { MOST_BYTES = 16 << 20 }; /* a longer file is no config.json */

olica_status olica_config_load(olica_env *env, const char *file, char **text, size_t *bytes) {
  return olica_file_load(env, file, MOST_BYTES, text, bytes);
}

olica_status olica_config_share(olica_context *context, char **text, size_t *bytes) {
  int64_t count = (int64_t)*bytes;
  olica_status status = OLICA_OK;
  olica_comm_bcast(context, context->comm, &count, sizeof count, 0);
  *bytes = (size_t)count;
  if (!*text) status = OLICA_NEW(context->env, *text, *bytes + 1);
  OLICA_AGREE(context, status);
  olica_comm_bcast(context, context->comm, *text, *bytes, 0);
  return OLICA_OK;
}

static olica_status read_on_root(olica_catalog *catalog, const olica_tensor *tensor, char **text,
                                 size_t *bytes) {
  *bytes = (size_t)tensor->bytes;
  OLICA_TRY(OLICA_NEW(catalog->context->env, *text, *bytes + 1));
  return olica_catalog_read(catalog, tensor, 0, tensor->bytes, *text);
}

olica_status olica_config_read(olica_catalog *catalog, char **text, size_t *bytes) {
  olica_context *context = catalog->context;
  const olica_tensor *tensor = olica_catalog_find(catalog, OLICA_CHECKPOINT_CONFIG);
  *text = NULL;
  if (!tensor || tensor->dims != 1 || strcmp(tensor->stored, "uint8") != 0 || tensor->bytes > MOST_BYTES)
    return olica_error_set(context->env, OLICA_ERR_INPUT,
                           "%s: " OLICA_CHECKPOINT_CONFIG " is %s, expected at most %d bytes (uint8) of text",
                           catalog->path[0], tensor ? tensor->stored : "missing", MOST_BYTES);
  OLICA_AGREE(context, context->rank == 0 ? read_on_root(catalog, tensor, text, bytes) : OLICA_OK);
  return olica_config_share(context, text, bytes);
}
