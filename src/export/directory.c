#include "directory.h"

#include "card.h"
#include "origin.h"
#include "safetensors.h"

olica_status olica_export_directory(olica_export *e, json_t *config) {
  olica_status status = olica_export_save_json(e, "config.json", config, false);
  json_decref(config);
  OLICA_TRY(status);
  OLICA_TRY(olica_export_safetensors_index(e));
  OLICA_TRY(olica_origin_copy(e));
  return olica_export_card(e);
}
