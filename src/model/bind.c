#include "bind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const part_names[OLICA_PARTS] = {"weight", "b", "a", "bias"};

/* The name of a part of a projection; false where this kind of source has no such thing. */
static bool part_name(const olica_source *source, int layer, olica_projection projection, olica_part part,
                      char name[OLICA_TENSOR_NAME]) {
  const char *leaf = olica_projection_name(projection);
  if (source->is_checkpoint) {
    snprintf(name, OLICA_TENSOR_NAME, "model/layers/%03d/%s/%s", layer, leaf, part_names[part]);
    return true;
  }
  if (part == OLICA_PART_A || part == OLICA_PART_B) return false;
  const olica_family *family = source->arch.family;
  int used = snprintf(name, OLICA_TENSOR_NAME, family->layers, layer);
  snprintf(name + used, OLICA_TENSOR_NAME - (size_t)used, "%s%s.%s",
           projection <= OLICA_O ? family->attention : family->mlp, leaf, part_names[part]);
  return true;
}

static bool extra_name(const olica_source *source, int layer, olica_extra extra,
                       char name[OLICA_TENSOR_NAME]) {
  static const char *const leaves[OLICA_EXTRAS] = {"input_layernorm", "post_attention_layernorm", "branch/a",
                                                   "branch/b"};
  if (source->is_checkpoint) {
    snprintf(name, OLICA_TENSOR_NAME, "model/layers/%03d/%s", layer, leaves[extra]);
    return true;
  }
  if (extra == OLICA_EXTRA_BRANCH_A || extra == OLICA_EXTRA_BRANCH_B) return false;
  int used = snprintf(name, OLICA_TENSOR_NAME, source->arch.family->layers, layer);
  snprintf(name + used, OLICA_TENSOR_NAME - (size_t)used, "%s.weight", leaves[extra]);
  return true;
}

const olica_tensor *olica_bind_part(const olica_source *source, int layer, olica_projection projection,
                                    olica_part part) {
  char name[OLICA_TENSOR_NAME];
  return part_name(source, layer, projection, part, name) ? olica_catalog_find(source->catalog, name) : NULL;
}

const olica_tensor *olica_bind_extra(const olica_source *source, int layer, olica_extra extra) {
  char name[OLICA_TENSOR_NAME];
  return extra_name(source, layer, extra, name) ? olica_catalog_find(source->catalog, name) : NULL;
}

static olica_status missing(const olica_source *source, const char *name) {
  const olica_catalog *catalog = source->catalog;
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

/* Checks type and shape, and counts the tensor in. */
static olica_status take(olica_source *source, const olica_tensor *tensor, int dims, int64_t rows,
                         int64_t cols) {
  olica_env *env = source->context->env;
  const char *file = olica_catalog_file(source->catalog, tensor);
  if (tensor->dtype == OLICA_DTYPES)
    return olica_error_set(env, OLICA_ERR_INPUT, "%s: %s has type %s, expected F32, F16 or BF16", file,
                           tensor->name, tensor->stored);
  int64_t expected[2] = {rows, cols};
  if (tensor->dims != dims || tensor->shape[0] != rows || (dims == 2 && tensor->shape[1] != cols)) {
    char found_text[96], expected_text[96];
    describe_shape(tensor->dims, tensor->shape, found_text);
    describe_shape(dims, expected, expected_text);
    return olica_error_set(env, OLICA_ERR_INPUT, "%s: %s has shape %s, expected %s", file, tensor->name,
                           found_text, expected_text);
  }
  if (source->parameters == 0) source->dtype = tensor->dtype;
  if (tensor->dtype != source->dtype) source->dtype = OLICA_FP32; /* mixed: what holds them all */
  source->parameters += rows * (dims == 2 ? cols : 1);
  return OLICA_OK;
}

/* The rank of a projection that a checkpoint stores as b·a; 0 where it is whole. */
static olica_status find_rank(olica_source *source, int layer, olica_projection projection, int *rank) {
  const olica_tensor *a = olica_bind_part(source, layer, projection, OLICA_PART_A);
  *rank = 0;
  if (!a || olica_bind_part(source, layer, projection, OLICA_PART_WEIGHT)) return OLICA_OK;
  int out, in;
  olica_arch_shape(&source->arch, projection, &out, &in);
  int64_t found = a->dims == 2 ? a->shape[0] : 0;
  if (found < 1 || found > out || found > in)
    return olica_error_set(
        source->context->env, OLICA_ERR_INPUT, "%s: %s has %lld rows, expected a rank in 1 .. %d",
        olica_catalog_file(source->catalog, a), a->name, (long long)found, out < in ? out : in);
  *rank = (int)found;
  return OLICA_OK;
}

/* Widths of a checkpoint's layer, read off v_proj, gate_proj and branch/a. */
static olica_status find_widths(olica_source *source, int layer, olica_layer_shape *shape) {
  const olica_arch *arch = &source->arch;
  olica_env *env = source->context->env;
  const olica_tensor *v = olica_bind_part(source, layer, OLICA_V, OLICA_PART_WEIGHT);
  const olica_tensor *gate = olica_bind_part(source, layer, OLICA_GATE, OLICA_PART_WEIGHT);
  const olica_tensor *branch = olica_bind_extra(source, layer, OLICA_EXTRA_BRANCH_A);
  if (v && v->dims == 2) {
    if (v->shape[0] % arch->kv_heads != 0 || v->shape[0] < arch->kv_heads ||
        v->shape[0] > (int64_t)arch->kv_heads * arch->head)
      return olica_error_set(env, OLICA_ERR_INPUT, "%s: %s has %lld rows, expected %d x (1 .. %d)",
                             olica_catalog_file(source->catalog, v), v->name, (long long)v->shape[0],
                             arch->kv_heads, arch->head);
    shape->values = (int)(v->shape[0] / arch->kv_heads);
  }
  if (gate && gate->dims == 2 && gate->shape[0] >= 1 && gate->shape[0] <= arch->ffn)
    shape->ffn = (int)gate->shape[0];
  if (!branch) return OLICA_OK;
  if (branch->dims != 2 || branch->shape[1] < 1 || branch->shape[1] > arch->hidden)
    return olica_error_set(env, OLICA_ERR_INPUT, "%s: %s is no [%d, r] with r in 1 .. %d",
                           olica_catalog_file(source->catalog, branch), branch->name, arch->hidden,
                           arch->hidden);
  shape->branch = (int)branch->shape[1];
  return OLICA_OK;
}

static olica_status bind_projection(olica_source *source, int layer, olica_projection projection) {
  olica_layer_shape *shape = &source->shape[layer];
  int out, in, rank = shape->rank[projection];
  olica_layer_shape_linear(&source->arch, shape, projection, &out, &in);
  const struct {
    olica_part part;
    bool wanted;
    int dims;
    int64_t rows, cols;
  } parts[] = {{OLICA_PART_WEIGHT, rank == 0, 2, out, in},
               {OLICA_PART_B, rank > 0, 2, out, rank},
               {OLICA_PART_A, rank > 0, 2, rank, in},
               {OLICA_PART_BIAS, shape->bias[projection], 1, out, 0}};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    if (!parts[i].wanted) continue;
    char name[OLICA_TENSOR_NAME];
    const olica_tensor *tensor = olica_bind_part(source, layer, projection, parts[i].part);
    if (!tensor && part_name(source, layer, projection, parts[i].part, name)) return missing(source, name);
    OLICA_TRY(take(source, tensor, parts[i].dims, parts[i].rows, parts[i].cols));
  }
  return OLICA_OK;
}

static olica_status bind_layer(olica_source *source, int layer) {
  const olica_arch *arch = &source->arch;
  olica_layer_shape *shape = &source->shape[layer];
  bool bias[OLICA_PROJECTIONS];
  for (int p = 0; p < OLICA_PROJECTIONS; p++)
    bias[p] = arch->bias[p] || olica_bind_part(source, layer, (olica_projection)p, OLICA_PART_BIAS);
  *shape = olica_layer_shape_dense(arch, bias);
  if (source->is_checkpoint) {
    OLICA_TRY(find_widths(source, layer, shape));
    OLICA_TRY(find_rank(source, layer, OLICA_Q, &shape->rank[OLICA_Q]));
    OLICA_TRY(find_rank(source, layer, OLICA_K, &shape->rank[OLICA_K]));
  }
  if (shape->values < arch->head || shape->ffn < arch->ffn || shape->branch || shape->rank[OLICA_Q] ||
      shape->rank[OLICA_K])
    source->is_pruned = true;
  for (int p = 0; p < OLICA_PROJECTIONS; p++) {
    OLICA_TRY(bind_projection(source, layer, (olica_projection)p));
    if (bias[p] != source->shape[0].bias[p]) {
      char name[OLICA_TENSOR_NAME] = "";
      part_name(source, bias[p] ? 0 : layer, (olica_projection)p, OLICA_PART_BIAS, name);
      return missing(source, name);
    }
    if (layer == 0 && bias[p] && !arch->bias[p] && source->context->rank == 0) /* all ranks know */
      olica_log_warn(source->context->env, "%s has a bias that config.json does not announce; it is used",
                     olica_projection_name((olica_projection)p));
  }
  for (int e = 0; e < OLICA_EXTRAS; e++) {
    const olica_tensor *tensor = olica_bind_extra(source, layer, (olica_extra)e);
    bool norm = e == OLICA_EXTRA_INPUT_NORM || e == OLICA_EXTRA_FFN_NORM;
    if (!norm && shape->branch == 0) continue;
    char name[OLICA_TENSOR_NAME] = "";
    extra_name(source, layer, (olica_extra)e, name);
    if (!tensor) return missing(source, name);
    int64_t rows = e == OLICA_EXTRA_BRANCH_B ? shape->branch : arch->hidden;
    OLICA_TRY(
        take(source, tensor, norm ? 1 : 2, rows, e == OLICA_EXTRA_BRANCH_A ? shape->branch : arch->hidden));
  }
  return OLICA_OK;
}

/* The tables. Tied weights may be stored under either name; of two, the embedding counts. */
static olica_status bind_tables(olica_source *source) {
  const olica_arch *arch = &source->arch;
  char embed[OLICA_TENSOR_NAME] = "model/embed_tokens", norm[OLICA_TENSOR_NAME] = "model/norm";
  const char *head = "model/lm_head";
  if (!source->is_checkpoint) {
    snprintf(embed, sizeof embed, "%sembed_tokens.weight", arch->family->prefix);
    snprintf(norm, sizeof norm, "%snorm.weight", arch->family->prefix);
    head = arch->family->head;
  }
  const olica_tensor *first = olica_catalog_find(source->catalog, embed);
  const olica_tensor *last = olica_catalog_find(source->catalog, head);
  if (arch->tied) {
    if (!first) first = last;
    if (last && last != first) source->unused_head = last;
    last = first;
  }
  source->norm = olica_catalog_find(source->catalog, norm);
  if (!first) return missing(source, embed);
  if (!last) return missing(source, head);
  if (!source->norm) return missing(source, norm);
  source->table[OLICA_TABLE_EMBED] = first;
  source->table[OLICA_TABLE_HEAD] = last;
  OLICA_TRY(take(source, first, 2, arch->vocabulary, arch->hidden));
  if (!arch->tied) OLICA_TRY(take(source, last, 2, arch->vocabulary, arch->hidden));
  return take(source, source->norm, 1, arch->hidden, 0);
}

/* A model with more layers than its config says is not the one that the config describes. */
static olica_status check_no_more_layers(const olica_source *source) {
  int layers = source->arch.layers;
  const olica_tensor *tensor = olica_bind_extra(source, layers, OLICA_EXTRA_INPUT_NORM);
  if (!tensor) return OLICA_OK;
  return olica_error_set(source->context->env, OLICA_ERR_INPUT,
                         "%s: holds tensor %s, expected none beyond num_hidden_layers = %d of config.json",
                         olica_catalog_file(source->catalog, tensor), tensor->name, layers);
}

/* Is this one of the tensors of that layer that we know? Old checkpoints also keep the tables of the rotary
 * embedding, which follow from the config. */
static bool belongs_to_layer(const olica_source *source, const char *tensor, int layer) {
  const olica_family *family = source->arch.family;
  char name[OLICA_TENSOR_NAME];
  for (int p = 0; p < OLICA_PROJECTIONS; p++)
    for (int part = 0; part < OLICA_PARTS; part++)
      if (part_name(source, layer, (olica_projection)p, (olica_part)part, name) && strcmp(tensor, name) == 0)
        return true;
  for (int e = 0; e < OLICA_EXTRAS; e++)
    if (extra_name(source, layer, (olica_extra)e, name) && strcmp(tensor, name) == 0) return true;
  int used = snprintf(name, sizeof name, family->layers, layer);
  used += snprintf(name + used, sizeof name - (size_t)used, "%srotary_emb.", family->attention);
  return strncmp(tensor, name, (size_t)used) == 0;
}

/* What a layer has and we do not compute with (norms of queries, adapters, scales of quantization) would make
 * it another function. Our own checkpoints are held to their schema by --verify. */
static olica_status check_no_strangers(const olica_source *source) {
  const olica_catalog *catalog = source->catalog;
  const char *layers = source->arch.family->layers;
  size_t prefix = strcspn(layers, "%");
  for (int i = 0; i < catalog->count && !source->is_checkpoint; i++) {
    const olica_tensor *tensor = &catalog->tensor[i];
    if (strcmp(tensor->name, "lm_head.bias") == 0 || strcmp(tensor->name, "model.norm.bias") == 0)
      return olica_error_set(catalog->context->env, OLICA_ERR_INPUT,
                             "%s: holds tensor %s, expected an output matrix and a norm without biases",
                             olica_catalog_file(catalog, tensor), tensor->name);
    if (strncmp(tensor->name, layers, prefix) != 0) continue;
    long layer = strtol(tensor->name + prefix, NULL, 10);
    if (layer >= 0 && layer < source->arch.layers && belongs_to_layer(source, tensor->name, (int)layer))
      continue;
    return olica_error_set(catalog->context->env, OLICA_ERR_INPUT,
                           "%s: holds tensor %s, expected no tensor of a layer beside its two norms and the "
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
