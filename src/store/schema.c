#include "schema.h"

static const char *const meta_names[OLICA_SCHEMA_META] = {"meta/config_json",
                                                          "meta/settings_json",
                                                          "meta/provenance_json",
                                                          "meta/tokenizer_json",
                                                          "meta/tokenizer_model",
                                                          "meta/tokenizer_config_json",
                                                          "meta/special_tokens_map_json",
                                                          "meta/added_tokens_json"};

const char *olica_schema_meta(int i) {
  return meta_names[i];
}

int64_t olica_schema_bytes(const olica_schema_item *item) {
  int64_t elements = item->shape[0] * (item->dims > 1 ? item->shape[1] : 1);
  return elements * (int64_t)olica_hdf5_type_size(item->type);
}

/* Lists those of the tensors [from, to) that a layer of that shape has. */
static int list(const olica_arch *arch, const olica_layer_shape *shape, olica_dtype dtype, int layer,
                olica_tensor_id from, olica_tensor_id to, olica_schema_item *item) {
  int count = 0;
  for (olica_tensor_id id = from; id < to; id++) {
    if (!olica_tensors_present(arch, shape, id)) continue;
    bool is_list = olica_tensors_row(id)->is_list;
    olica_schema_item *next = &item[count++];
    *next = (olica_schema_item){.id = id, .type = is_list ? OLICA_HDF5_INT32 : (olica_hdf5_type)dtype};
    next->dims = olica_tensors_extents(arch, shape, id, next->shape);
    olica_tensors_name(arch, OLICA_NAMING_CHECKPOINT, id, layer, next->name);
  }
  return count;
}

int olica_schema_model(const olica_arch *arch, olica_dtype dtype,
                       olica_schema_item item[OLICA_TENSORS_MODEL]) {
  return list(arch, NULL, dtype, 0, 0, OLICA_TENSORS_MODEL, item);
}

int olica_schema_layer(const olica_arch *arch, const olica_layer_shape *shape, olica_dtype dtype, int layer,
                       olica_schema_item item[OLICA_TENSORS_LAYER]) {
  return list(arch, shape, dtype, layer, OLICA_TENSORS_MODEL, OLICA_TENSORS, item);
}
