#include "safetensors.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"F32", "F16", "BF16"};

static json_t *describe(const olica_export_item *item) {
  json_t *shape = json_array();
  for (int k = 0; k < item->dims; k++) json_array_append_new(shape, json_integer(item->shape[k]));
  return json_pack("{s:s, s:o, s:[I, I]}", "dtype", names[item->type], "shape", shape, "data_offsets",
                   (json_int_t)item->offset, (json_int_t)(item->offset + item->bytes));
}

olica_status olica_export_safetensors_head(olica_export *e, int file, char **head, size_t *bytes) {
  json_t *all = json_pack("{s:{s:s}}", "__metadata__", "format", "pt"); /* transformers 4.46 wants it */
  for (int i = 0; i < e->count; i++)
    if (e->item[i].file == file) json_object_set_new(all, e->item[i].name, describe(&e->item[i]));
  char *text = json_dumps(all, JSON_COMPACT);
  json_decref(all);
  if (!text) return olica_error_set(e->env, OLICA_ERR_MEMORY, "export: no memory for a file's head");
  /* The length counts the blanks up to the multiple of 8, too. */
  uint64_t length = (strlen(text) + 7) / 8 * 8;
  *bytes = sizeof length + length;
  olica_status status = OLICA_NEW(e->env, *head, *bytes);
  if (status == OLICA_OK) {
    memset(*head, ' ', *bytes);
    memcpy(*head, &length, sizeof length);
    memcpy(*head + sizeof length, text, strlen(text));
  }
  free(text);
  return status;
}

int64_t olica_export_parameters(const olica_export *e) {
  int64_t numbers = 0;
  for (int i = 0; i < e->count; i++) numbers += e->item[i].shape[0] * e->item[i].shape[1];
  return numbers;
}

olica_status olica_export_safetensors_index(olica_export *e) {
  int64_t bytes = 0;
  if (e->files == 1) return OLICA_OK;
  json_t *map = json_object();
  for (int i = 0; i < e->count; i++) {
    bytes += e->item[i].bytes;
    json_object_set_new(map, e->item[i].name, json_string(e->file[e->item[i].file].name));
  }
  json_t *index =
      json_pack("{s:{s:I, s:I}, s:o}", "metadata", "total_parameters", (json_int_t)olica_export_parameters(e),
                "total_size", (json_int_t)bytes, "weight_map", map);
  olica_status status = olica_export_save_json(e, "model.safetensors.index.json", index, true);
  json_decref(index);
  return status;
}
