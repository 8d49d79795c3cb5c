#include "schema.h"

static const char *const texts[OLICA_TEXTS] = {
    [OLICA_TEXT_CONFIG] = OLICA_CHECKPOINT_CONFIG,
    [OLICA_TEXT_SETTINGS] = "meta/settings_json",
    [OLICA_TEXT_PROVENANCE] = "meta/provenance_json",
    [OLICA_TEXT_TOKENIZER_JSON] = "meta/tokenizer_json",
    [OLICA_TEXT_TOKENIZER_MODEL] = "meta/tokenizer_model",
    [OLICA_TEXT_TOKENIZER_CONFIG] = "meta/tokenizer_config_json",
    [OLICA_TEXT_SPECIAL_TOKENS] = "meta/special_tokens_map_json",
    [OLICA_TEXT_ADDED_TOKENS] = "meta/added_tokens_json",
};

const char *olica_schema_text(olica_checkpoint_text_id id) {
  return texts[id];
}

/* Lists those of the tensors [from, to) that a layer of that shape has. */
static int list(const olica_arch *arch, const olica_layer_shape *shape, olica_dtype dtype, int layer,
                olica_tensor_id from, olica_tensor_id to, olica_schema_item *item) {
  int count = 0;
  for (olica_tensor_id id = from; id < to; id++) {
    if (!olica_tensors_present(arch, shape, id)) continue;
    bool is_list = olica_tensors_row(id)->is_list;
    olica_writer_item *its = &item[count].item;
    *its = (olica_writer_item){.type = is_list ? OLICA_ELEMENT_INT32 : (olica_element)dtype};
    its->dims = olica_tensors_extents(arch, shape, id, its->shape);
    olica_tensors_name(arch, OLICA_NAMING_CHECKPOINT, id, layer, its->name);
    item[count++].id = id;
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
