#include "bind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static olica_naming naming_of(const olica_source *source) {
  return source->is_checkpoint ? OLICA_NAMING_CHECKPOINT : OLICA_NAMING_PUBLISHED;
}

const olica_tensor *olica_bind_find(const olica_source *source, olica_tensor_id id, int layer) {
  return olica_tensors_find(source->catalog, &source->arch, naming_of(source), id, layer);
}

static olica_status missing(const olica_source *source, olica_tensor_id id, int layer) {
  const olica_catalog *catalog = source->catalog;
  char name[OLICA_TENSOR_NAME] = "";
  olica_tensors_name(&source->arch, naming_of(source), id, layer, name);
  olica_nested_name(&source->nested, source->arch.family, name);
  return olica_error_set(catalog->context->env, OLICA_ERR_INPUT,
                         "%s: there is no tensor %s, expected from config.json",
                         catalog->files ? catalog->path[0] : "model", name);
}

/* "[2048, 192]" */
static void describe_shape(int dims, const int64_t *shape, char text[96]) {
  int used = snprintf(text, 96, "[");
  for (int i = 0; i < dims && used < 80; i++)
    used += snprintf(text + used, 96 - (size_t)used, "%s%lld", i ? ", " : "", (long long)shape[i]);
  snprintf(text + used, 96 - (size_t)used, "]");
}

/* Checks type and shape of a tensor that the model has, and counts it in. */
static olica_status take(olica_source *source, olica_tensor_id id, int layer, const olica_tensor *tensor) {
  olica_env *env = source->context->env;
  if (!tensor) return missing(source, id, layer);
  const char *file = olica_catalog_file(source->catalog, tensor);
  const olica_layer_shape *shape = &source->shape[layer];
  if (tensor->dtype == OLICA_DTYPES)
    return olica_error_set(env, OLICA_ERR_INPUT, "%s: %s has type %s, expected F32, F16 or BF16", file,
                           tensor->name, tensor->stored);
  int64_t expected[2];
  int dims = olica_tensors_extents(&source->arch, shape, id, expected);
  if (tensor->dims != dims || tensor->shape[0] != expected[0] ||
      (dims == 2 && tensor->shape[1] != expected[1])) {
    char found_text[96], expected_text[96];
    describe_shape(tensor->dims, tensor->shape, found_text);
    describe_shape(dims, expected, expected_text);
    return olica_error_set(env, OLICA_ERR_INPUT, "%s: %s has shape %s, expected %s", file, tensor->name,
                           found_text, expected_text);
  }
  if (source->parameters == 0) source->dtype = tensor->dtype;
  if (tensor->dtype != source->dtype) source->dtype = OLICA_FP32; /* mixed: what holds them all */
  source->parameters += expected[0] * (dims == 2 ? expected[1] : 1);
  return OLICA_OK;
}

/* Takes the weights of one projection of a layer; OLICA_PROJECTIONS: those that belong to none. */
static olica_status bind_tensors(olica_source *source, int layer, olica_projection projection) {
  for (olica_tensor_id id = OLICA_TENSORS_MODEL; id < OLICA_TENSORS; id++) {
    const olica_tensor_row *row = olica_tensors_row(id);
    if (row->is_list || row->projection != projection ||
        !olica_tensors_present(&source->arch, &source->shape[layer], id))
      continue;
    OLICA_TRY(take(source, id, layer, olica_bind_find(source, id, layer)));
  }
  return OLICA_OK;
}

/* Refuses a layer whose biases are not those of the first layer; warns of one that config.json lacks. */
static olica_status check_bias(const olica_source *source, int layer, olica_projection p) {
  bool bias = source->shape[layer].bias[p];
  if (bias != source->shape[0].bias[p])
    return missing(source, olica_tensors_linear(p, OLICA_PART_BIAS), bias ? 0 : layer);
  if (layer == 0 && bias && !source->arch.bias[p] && !source->is_checkpoint && /* all ranks know */
      source->context->rank == 0)
    olica_log_warn(source->context->env, "%s has a bias that config.json does not announce; it is used",
                   olica_projection_name(p));
  return OLICA_OK;
}

static olica_status bind_layer(olica_source *source, int layer) {
  const olica_arch *arch = &source->arch;
  olica_layer_shape *shape = &source->shape[layer];
  OLICA_TRY(olica_tensors_measure(source->catalog, arch, naming_of(source), layer, shape));
  if (shape->kv_heads < shape->kv_before || shape->values < arch->head ||
      shape->ffn < arch->layer[layer].ffn || shape->branch)
    source->is_pruned = true;
  for (olica_projection p = 0; p < OLICA_PROJECTIONS; p++) {
    if (shape->rank[p] > 0) source->is_pruned = true;
    OLICA_TRY(bind_tensors(source, layer, p));
    OLICA_TRY(check_bias(source, layer, p));
  }
  return bind_tensors(source, layer, OLICA_PROJECTIONS);
}

/* Binds the tables. Tied weights may be stored under either name; of two, the embedding counts. */
static olica_status bind_tables(olica_source *source) {
  const olica_arch *arch = &source->arch;
  const olica_tensor *first = olica_bind_find(source, OLICA_TENSOR_EMBED, 0);
  const olica_tensor *last = olica_bind_find(source, OLICA_TENSOR_HEAD, 0);
  if (arch->tied) {
    if (!first) first = last;
    if (last && last != first) source->unused_head = last;
    last = first;
  }
  source->norm = olica_bind_find(source, OLICA_TENSOR_NORM, 0);
  if (!first) return missing(source, OLICA_TENSOR_EMBED, 0);
  if (!last) return missing(source, OLICA_TENSOR_HEAD, 0);
  if (!source->norm) return missing(source, OLICA_TENSOR_NORM, 0);
  source->table[OLICA_TABLE_EMBED] = first;
  source->table[OLICA_TABLE_HEAD] = last;
  OLICA_TRY(take(source, OLICA_TENSOR_EMBED, 0, first));
  if (!arch->tied) OLICA_TRY(take(source, OLICA_TENSOR_HEAD, 0, last));
  OLICA_TRY(take(source, OLICA_TENSOR_NORM, 0, source->norm));
  if (!olica_tensors_present(arch, NULL, OLICA_TENSOR_NORM_BIAS)) return OLICA_OK;
  source->norm_bias = olica_bind_find(source, OLICA_TENSOR_NORM_BIAS, 0);
  return take(source, OLICA_TENSOR_NORM_BIAS, 0, source->norm_bias);
}

/* Refuses a model with more layers than its config says: the config describes another one. */
static olica_status check_no_more_layers(const olica_source *source) {
  int layers = source->arch.layers;
  const olica_tensor *tensor = olica_bind_find(source, OLICA_TENSOR_INPUT_NORM, layers);
  if (!tensor) tensor = olica_bind_find(source, olica_tensors_linear(OLICA_DOWN, OLICA_PART_WEIGHT), layers);
  if (!tensor) return OLICA_OK;
  return olica_error_set(source->context->env, OLICA_ERR_INPUT,
                         "%s: holds tensor %s, expected none beyond num_hidden_layers = %d of config.json",
                         olica_catalog_file(source->catalog, tensor), tensor->name, layers);
}

/* Returns true if the tensor is one of the table that the layer has, or a table of the rotary embedding,
 * which old models store although it follows from the config. */
static bool belongs_to_layer(const olica_source *source, const char *tensor, int layer) {
  const olica_family *family = source->arch.family;
  char name[OLICA_TENSOR_NAME];
  for (olica_tensor_id id = OLICA_TENSORS_MODEL; id < OLICA_TENSORS; id++)
    if (olica_tensors_present(&source->arch, &source->shape[layer], id) &&
        olica_tensors_name(&source->arch, OLICA_NAMING_PUBLISHED, id, layer, name) &&
        strcmp(tensor, name) == 0)
      return true;
  int used = snprintf(name, sizeof name, family->layers, layer);
  used += snprintf(name + used, sizeof name - (size_t)used, "%srotary_emb.", family->attention);
  return strncmp(tensor, name, (size_t)used) == 0;
}

/* Tells whether `name` is that of a tensor outside of the layers, with "bias" in place of "weight". */
static bool is_bias_of(const olica_source *source, olica_tensor_id id, const char *name) {
  char weight[OLICA_TENSOR_NAME];
  olica_tensors_name(&source->arch, OLICA_NAMING_PUBLISHED, id, 0, weight);
  size_t stem = strlen(weight) - strlen("weight");
  return strncmp(name, weight, stem) == 0 && strcmp(name + stem, "bias") == 0;
}

/* Refuses tensors that this program does not compute with (norms of queries, adapters, scales of
 * quantization): the model is another function. --verify compares our own checkpoints with their schema. */
static olica_status check_no_strangers(const olica_source *source) {
  const olica_catalog *catalog = source->catalog;
  const char *layers = source->arch.family->layers;
  size_t prefix = strcspn(layers, "%");
  for (int i = 0; i < catalog->count && !source->is_checkpoint; i++) {
    const olica_tensor *tensor = &catalog->tensor[i];
    if (is_bias_of(source, OLICA_TENSOR_HEAD, tensor->name) ||
        (!source->norm_bias && is_bias_of(source, OLICA_TENSOR_NORM, tensor->name)))
      return olica_error_set(catalog->context->env, OLICA_ERR_INPUT,
                             "%s: holds tensor %s, expected an output matrix and a norm without biases",
                             olica_catalog_file(catalog, tensor), tensor->name);
    if (strncmp(tensor->name, layers, prefix) != 0) continue;
    long layer = strtol(tensor->name + prefix, NULL, 10);
    if (layer >= 0 && layer < source->arch.layers && belongs_to_layer(source, tensor->name, (int)layer))
      continue;
    return olica_error_set(catalog->context->env, OLICA_ERR_INPUT,
                           "%s: holds tensor %s, expected no tensor of a layer beside its norms and the "
                           "weights and biases of its projections",
                           olica_catalog_file(catalog, tensor), tensor->name);
  }
  return OLICA_OK;
}

olica_status olica_bind_all(olica_source *source) {
  OLICA_TRY(OLICA_NEW(source->context->env, source->shape, (size_t)source->arch.layers));
  OLICA_TRY(bind_tables(source));
  for (int layer = 0; layer < source->arch.layers; layer++) OLICA_TRY(bind_layer(source, layer));
  OLICA_TRY(check_no_more_layers(source));
  return check_no_strangers(source);
}
