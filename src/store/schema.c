#include "schema.h"

#include <stdio.h>

static const char *const part_names[OLICA_PARTS] = {
    [OLICA_PART_EMBED] = "model/embed_tokens",
    [OLICA_PART_NORM] = "model/norm",
    [OLICA_PART_HEAD] = "model/lm_head",
    [OLICA_PART_INPUT_NORM] = "input_layernorm",
    [OLICA_PART_FFN_NORM] = "post_attention_layernorm",
    [OLICA_PART_WEIGHT] = "weight",
    [OLICA_PART_B] = "b",
    [OLICA_PART_A] = "a",
    [OLICA_PART_BIAS] = "bias",
    [OLICA_PART_VALUES_KEPT] = "v_proj/kept",
    [OLICA_PART_FFN_KEPT] = "ffn_kept",
    [OLICA_PART_BRANCH_A] = "branch/a",
    [OLICA_PART_BRANCH_B] = "branch/b",
};

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

void olica_schema_name(int layer, olica_schema_part part, olica_projection projection,
                       char name[OLICA_TENSOR_NAME]) {
  const char *last = part_names[part];
  if (part <= OLICA_PART_HEAD)
    snprintf(name, OLICA_TENSOR_NAME, "%s", last);
  else if (part >= OLICA_PART_WEIGHT && part <= OLICA_PART_BIAS)
    snprintf(name, OLICA_TENSOR_NAME, "model/layers/%03d/%s/%s", layer, olica_projection_name(projection),
             last);
  else
    snprintf(name, OLICA_TENSOR_NAME, "model/layers/%03d/%s", layer, last);
}

int64_t olica_schema_bytes(const olica_schema_item *item) {
  int64_t elements = item->shape[0] * (item->dims > 1 ? item->shape[1] : 1);
  return elements * (int64_t)olica_hdf5_type_size(item->type);
}

/* A list of items being made. */
typedef struct list {
  olica_schema_item *item;
  int count, layer;
  olica_hdf5_type type;
} list;

/* columns 0: one dimension. */
static olica_schema_item *add(list *to, olica_schema_part part, olica_projection projection, int64_t rows,
                              int64_t columns) {
  olica_schema_item *item = &to->item[to->count++];
  *item = (olica_schema_item){.part = part,
                              .projection = projection,
                              .type = to->type,
                              .dims = columns ? 2 : 1,
                              .shape = {rows, columns}};
  olica_schema_name(to->layer, part, projection, item->name);
  return item;
}

int olica_schema_model(const olica_arch *arch, olica_dtype dtype,
                       olica_schema_item item[OLICA_SCHEMA_MODEL]) {
  list to = {.item = item, .type = (olica_hdf5_type)dtype};
  add(&to, OLICA_PART_EMBED, OLICA_Q, arch->vocabulary, arch->hidden);
  add(&to, OLICA_PART_NORM, OLICA_Q, arch->hidden, 0);
  if (!arch->tied) add(&to, OLICA_PART_HEAD, OLICA_Q, arch->vocabulary, arch->hidden);
  return to.count;
}

int olica_schema_layer(const olica_arch *arch, const olica_layer_shape *shape, olica_dtype dtype, int layer,
                       olica_schema_item item[OLICA_SCHEMA_LAYER]) {
  list to = {.item = item, .layer = layer, .type = (olica_hdf5_type)dtype};
  add(&to, OLICA_PART_INPUT_NORM, OLICA_Q, arch->hidden, 0);
  add(&to, OLICA_PART_FFN_NORM, OLICA_Q, arch->hidden, 0);
  for (olica_projection p = 0; p < OLICA_PROJECTIONS; p++) {
    int out, in, rank = shape->rank[p];
    olica_layer_shape_linear(arch, shape, p, &out, &in);
    if (rank > 0) {
      add(&to, OLICA_PART_B, p, out, rank);
      add(&to, OLICA_PART_A, p, rank, in);
    } else
      add(&to, OLICA_PART_WEIGHT, p, out, in);
    if (shape->bias[p]) add(&to, OLICA_PART_BIAS, p, out, 0);
  }
  add(&to, OLICA_PART_VALUES_KEPT, OLICA_V, arch->kv_heads, shape->values)->type = OLICA_HDF5_INT32;
  add(&to, OLICA_PART_FFN_KEPT, OLICA_GATE, shape->ffn, 0)->type = OLICA_HDF5_INT32;
  if (shape->branch > 0) {
    add(&to, OLICA_PART_BRANCH_A, OLICA_DOWN, arch->hidden, shape->branch);
    add(&to, OLICA_PART_BRANCH_B, OLICA_DOWN, shape->branch, arch->hidden);
  }
  return to.count;
}

/* One dimension of a matrix in the catalog, which must divide by `unit` into 1 ... `most`; `must`: else 0
 * where there is none. */
static olica_status measure(const olica_catalog *catalog, int layer, olica_schema_part part,
                            olica_projection projection, int dimension, int unit, int most, bool must,
                            int *size) {
  char name[OLICA_TENSOR_NAME];
  olica_env *env = catalog->context->env;
  olica_schema_name(layer, part, projection, name);
  const olica_tensor *tensor = olica_catalog_find(catalog, name);
  const char *path = catalog->path[0];
  *size = 0;
  if (!tensor && !must) return OLICA_OK;
  if (!tensor) return olica_error_set(env, OLICA_ERR_INPUT, "%s: %s is missing", path, name);
  int64_t extent = tensor->dims == 2 ? tensor->shape[dimension] : 0;
  if (extent < 1 || extent % unit != 0 || extent / unit > most)
    return olica_error_set(
        env, OLICA_ERR_INPUT, "%s: %s has %lld %s, expected a matrix with %d to %lld in steps of %d", path,
        name, (long long)extent, dimension ? "columns" : "rows", unit, (long long)most * unit, unit);
  *size = (int)(extent / unit);
  return OLICA_OK;
}

olica_status olica_schema_shape(const olica_catalog *catalog, const olica_arch *arch, int layer,
                                olica_layer_shape *shape) {
  *shape = (olica_layer_shape){0};
  int d = arch->hidden;
  OLICA_TRY(measure(catalog, layer, OLICA_PART_A, OLICA_Q, 0, 1, d, false, &shape->rank[OLICA_Q]));
  OLICA_TRY(measure(catalog, layer, OLICA_PART_A, OLICA_K, 0, 1, d, false, &shape->rank[OLICA_K]));
  OLICA_TRY(measure(catalog, layer, OLICA_PART_WEIGHT, OLICA_V, 0, arch->kv_heads, arch->head, true,
                    &shape->values));
  OLICA_TRY(measure(catalog, layer, OLICA_PART_WEIGHT, OLICA_GATE, 0, 1, arch->ffn, true, &shape->ffn));
  OLICA_TRY(measure(catalog, layer, OLICA_PART_BRANCH_A, OLICA_DOWN, 1, 1, d, false, &shape->branch));
  for (olica_projection p = 0; p < OLICA_PROJECTIONS; p++) {
    char name[OLICA_TENSOR_NAME];
    olica_schema_name(layer, OLICA_PART_BIAS, p, name);
    shape->bias[p] = arch->bias[p] || olica_catalog_find(catalog, name);
  }
  return OLICA_OK;
}
