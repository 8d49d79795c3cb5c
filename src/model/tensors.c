#include "model/tensors.h"

#include <stdio.h>

/* ---- when a tensor is present ---- */

static bool always(const olica_arch *arch, const olica_layer_shape *shape, olica_projection projection) {
  (void)arch, (void)shape, (void)projection;
  return true;
}

/* ---- the norms of the block ---- */

static bool with_input(const olica_arch *arch, const olica_layer_shape *shape, olica_projection projection) {
  (void)shape, (void)projection;
  return !arch->block.bare_inputs;
}

static bool with_ffn_input(const olica_arch *arch, const olica_layer_shape *shape,
                           olica_projection projection) {
  return with_input(arch, shape, projection) && !arch->block.parallel;
}

static bool with_outputs(const olica_arch *arch, const olica_layer_shape *shape,
                         olica_projection projection) {
  (void)shape, (void)projection;
  return arch->block.output_norms;
}

static bool with_bias(const olica_arch *arch, const olica_layer_shape *shape, olica_projection projection) {
  (void)shape, (void)projection;
  return arch->block.norm_biases;
}

static bool with_input_bias(const olica_arch *arch, const olica_layer_shape *shape,
                            olica_projection projection) {
  return with_bias(arch, shape, projection) && with_input(arch, shape, projection);
}

static bool with_ffn_input_bias(const olica_arch *arch, const olica_layer_shape *shape,
                                olica_projection projection) {
  return with_bias(arch, shape, projection) && with_ffn_input(arch, shape, projection);
}

/* ---- the others ---- */

static bool untied(const olica_arch *arch, const olica_layer_shape *shape, olica_projection projection) {
  (void)shape, (void)projection;
  return !arch->tied;
}

static bool whole(const olica_arch *arch, const olica_layer_shape *shape, olica_projection projection) {
  return olica_arch_has(arch, projection) && shape->rank[projection] == 0;
}

static bool factored(const olica_arch *arch, const olica_layer_shape *shape, olica_projection projection) {
  return olica_arch_has(arch, projection) && shape->rank[projection] > 0;
}

static bool biased(const olica_arch *arch, const olica_layer_shape *shape, olica_projection projection) {
  return olica_arch_has(arch, projection) && shape->bias[projection];
}

static bool norms_queries(const olica_arch *arch, const olica_layer_shape *shape,
                          olica_projection projection) {
  (void)shape, (void)projection;
  return arch->qk_norm != OLICA_QK_NORM_NONE;
}

static bool fewer_heads(const olica_arch *arch, const olica_layer_shape *shape, olica_projection projection) {
  (void)arch, (void)projection;
  return shape->kv_heads < shape->kv_before;
}

static bool branched(const olica_arch *arch, const olica_layer_shape *shape, olica_projection projection) {
  (void)arch, (void)projection;
  return shape->branch > 0;
}

/* ---- the table ---- */

/* A row: name in a checkpoint, published name and its place, projection, rows and columns, when it is
 * present, field of the layer. */
#define ROW(leaf, published, place, p, is_list, rows, columns, present, field)                               \
  {                                                                                                          \
    leaf, published, OLICA_PLACE_##place, p, is_list, {OLICA_EXTENT_##rows, OLICA_EXTENT_##columns},         \
        present, field                                                                                       \
  }
#define MODEL(id, leaf, published, place, rows, columns, present)                                            \
  [OLICA_TENSOR_##id] = ROW(leaf, published, place, OLICA_PROJECTIONS, false, rows, columns, present, 0)
#define LAYER(id, leaf, published, place, rows, columns, present, field)                                     \
  [OLICA_TENSOR_##id] = ROW(leaf, published, place, OLICA_PROJECTIONS, false, rows, columns, present,        \
                            offsetof(olica_layer, field))
#define KEPT(id, leaf, rows, columns, present, field)                                                        \
  [OLICA_TENSOR_##id] =                                                                                      \
      ROW(leaf, NULL, LAYER, OLICA_PROJECTIONS, true, rows, columns, present, offsetof(olica_layer, field))
#define PART(p, part, leaf, published, place, rows, columns, present, field)                                 \
  [OLICA_TENSOR_LINEAR + OLICA_PARTS * OLICA_##p + OLICA_PART_##part] =                                      \
      ROW(leaf, published, place, OLICA_##p, false, rows, columns, present,                                  \
          offsetof(olica_layer, linear[OLICA_##p].field))
#define LINEAR(p, place)                                                                                     \
  PART(p, WEIGHT, "weight", "weight", place, OUT, IN, whole, weight),                                        \
      PART(p, B, "b", NULL, place, OUT, RANK, factored, b),                                                  \
      PART(p, A, "a", NULL, place, RANK, IN, factored, a),                                                   \
      PART(p, BIAS, "bias", "bias", place, OUT, NONE, biased, bias)

static const olica_tensor_row table[OLICA_TENSORS] = {
    MODEL(EMBED, "embed_tokens", "embed_tokens.weight", MODEL, VOCABULARY, HIDDEN, always),
    MODEL(NORM, "norm", "norm.weight", MODEL, HIDDEN, NONE, always),
    MODEL(NORM_BIAS, "norm_bias", "norm.bias", MODEL, HIDDEN, NONE, with_bias),
    MODEL(HEAD, "lm_head", "", HEAD, VOCABULARY, HIDDEN, untied),
    LAYER(INPUT_NORM, "input_layernorm", "input_layernorm.weight", LAYER, HIDDEN, NONE, with_input,
          input_norm),
    LAYER(FFN_NORM, "post_attention_layernorm", "post_attention_layernorm.weight", LAYER, HIDDEN, NONE,
          with_ffn_input, ffn_norm),
    LAYER(Q_NORM, "q_norm", "q_norm.weight", ATTENTION, QUERIES, NONE, norms_queries, q_norm),
    LAYER(K_NORM, "k_norm", "k_norm.weight", ATTENTION, KEYS, NONE, norms_queries, k_norm),
    LAYER(INPUT_NORM_BIAS, "input_layernorm_bias", "input_layernorm.bias", LAYER, HIDDEN, NONE,
          with_input_bias, input_norm_bias),
    LAYER(FFN_NORM_BIAS, "post_attention_layernorm_bias", "post_attention_layernorm.bias", LAYER, HIDDEN,
          NONE, with_ffn_input_bias, ffn_norm_bias),
    LAYER(ATTENTION_OUTPUT_NORM, "attention_output_norm", "post_attention_layernorm.weight", LAYER, HIDDEN,
          NONE, with_outputs, attention_output_norm),
    LAYER(FFN_OUTPUT_NORM, "ffn_output_norm", "post_feedforward_layernorm.weight", LAYER, HIDDEN, NONE,
          with_outputs, ffn_output_norm),
    LINEAR(Q, ATTENTION),
    LINEAR(K, ATTENTION),
    LINEAR(V, ATTENTION),
    LINEAR(O, ATTENTION),
    LINEAR(GATE, MLP),
    LINEAR(UP, MLP),
    LINEAR(DOWN, MLP),
    KEPT(HEADS_KEPT, "kv_heads_kept", KV_HEADS, NONE, fewer_heads, heads_kept),
    KEPT(VALUES_KEPT, "v_proj/kept", KV_HEADS, VALUES, always, values_kept),
    KEPT(FFN_KEPT, "ffn_kept", FFN, NONE, always, ffn_kept),
    LAYER(BRANCH_A, "branch/a", NULL, LAYER, HIDDEN, BRANCH, branched, branch_a),
    LAYER(BRANCH_B, "branch/b", NULL, LAYER, BRANCH, HIDDEN, branched, branch_b),
};

const olica_tensor_row *olica_tensors_row(olica_tensor_id id) {
  return &table[id];
}

olica_tensor_id olica_tensors_linear(olica_projection projection, olica_part part) {
  return (olica_tensor_id)(OLICA_TENSOR_LINEAR + OLICA_PARTS * (int)projection + (int)part);
}

/* ---- sizes ---- */

bool olica_tensors_present(const olica_arch *arch, const olica_layer_shape *shape, olica_tensor_id id) {
  return table[id].present(arch, shape, table[id].projection);
}

/* Returns over how many numbers queries or keys of that many heads are normed. */
static int normed(const olica_arch *arch, int heads) {
  return arch->qk_norm == OLICA_QK_NORM_WIDTH ? heads * arch->head : arch->head;
}

static int size_of(const olica_arch *arch, const olica_layer_shape *shape, olica_projection projection,
                   olica_extent extent) {
  int out, in;
  switch (extent) {
  case OLICA_EXTENT_VOCABULARY:
    return arch->vocabulary;
  case OLICA_EXTENT_HIDDEN:
    return arch->hidden;
  case OLICA_EXTENT_QUERIES:
    return normed(arch, olica_layer_shape_heads(shape));
  case OLICA_EXTENT_KEYS:
    return normed(arch, shape->kv_heads);
  case OLICA_EXTENT_OUT:
  case OLICA_EXTENT_IN:
    olica_layer_shape_linear(arch, shape, projection, &out, &in);
    return extent == OLICA_EXTENT_OUT ? out : in;
  case OLICA_EXTENT_RANK:
    return shape->rank[projection];
  case OLICA_EXTENT_BRANCH:
    return shape->branch;
  case OLICA_EXTENT_KV_HEADS:
    return shape->kv_heads;
  case OLICA_EXTENT_VALUES:
    return shape->values;
  case OLICA_EXTENT_FFN:
    return shape->ffn;
  case OLICA_EXTENT_NONE:
    break;
  }
  return 0;
}

int olica_tensors_extents(const olica_arch *arch, const olica_layer_shape *shape, olica_tensor_id id,
                          int64_t extent[2]) {
  const olica_tensor_row *row = &table[id];
  for (int i = 0; i < 2; i++) extent[i] = size_of(arch, shape, row->projection, row->extent[i]);
  return row->extent[1] == OLICA_EXTENT_NONE ? 1 : 2;
}

int64_t olica_tensors_numbers(const olica_arch *arch, const olica_layer_shape *shape, olica_tensor_id id) {
  int64_t extent[2];
  if (!olica_tensors_present(arch, shape, id)) return 0;
  int dims = olica_tensors_extents(arch, shape, id, extent);
  return extent[0] * (dims == 2 ? extent[1] : 1);
}

int olica_tensors_choices(const olica_arch *arch, int layer, olica_tensor_id id) {
  static const bool no_bias[OLICA_PROJECTIONS];
  const olica_layer_shape dense = olica_layer_shape_dense(arch, layer, no_bias);
  int64_t extent[2];
  int dims = olica_tensors_extents(arch, &dense, id, extent);
  return (int)extent[dims - 1];
}

int olica_tensors_most(const olica_arch *arch) {
  olica_layer_shape shape = {.kv_before = 1, .values = 1, .ffn = 1, .branch = 1}; /* it has lost heads */
  int most = 0;
  for (int p = 0; p < OLICA_PROJECTIONS; p++) shape.rank[p] = shape.bias[p] = 1;
  for (olica_tensor_id id = OLICA_TENSORS_MODEL; id < OLICA_TENSORS; id++)
    most += olica_tensors_present(arch, &shape, id);
  return most;
}

/* ---- names ---- */

static void published_name(const olica_family *family, olica_tensor_id id, int layer,
                           char name[OLICA_TENSOR_NAME]) {
  const olica_tensor_row *row = &table[id];
  const char *own = family->published ? family->published[id] : NULL;
  const char *within = row->place == OLICA_PLACE_ATTENTION ? family->attention
                       : row->place == OLICA_PLACE_MLP     ? family->mlp
                                                           : "";
  if (row->place == OLICA_PLACE_HEAD)
    snprintf(name, OLICA_TENSOR_NAME, "%s", family->head);
  else if (row->place == OLICA_PLACE_MODEL)
    snprintf(name, OLICA_TENSOR_NAME, "%s%s", family->prefix, own ? own : row->published);
  else {
    bool has = !own && row->projection < OLICA_PROJECTIONS;
    int used = snprintf(name, OLICA_TENSOR_NAME, family->layers, layer);
    snprintf(name + used, OLICA_TENSOR_NAME - (size_t)used, "%s%s%s%s", within,
             has ? olica_projection_name(row->projection) : "", has ? "." : "", own ? own : row->published);
  }
}

bool olica_tensors_name(const olica_arch *arch, olica_naming naming, olica_tensor_id id, int layer,
                        char name[OLICA_TENSOR_NAME]) {
  const olica_tensor_row *row = &table[id];
  bool has = row->projection < OLICA_PROJECTIONS;
  if (naming == OLICA_NAMING_PUBLISHED) {
    if (row->published) published_name(arch->family, id, layer, name);
    return row->published != NULL;
  }
  if (id < OLICA_TENSORS_MODEL)
    snprintf(name, OLICA_TENSOR_NAME, "model/%s", row->leaf);
  else
    snprintf(name, OLICA_TENSOR_NAME, "model/layers/%03d/%s%s%s", layer,
             has ? olica_projection_name(row->projection) : "", has ? "/" : "", row->leaf);
  return true;
}

const olica_tensor *olica_tensors_find(const olica_catalog *catalog, const olica_arch *arch,
                                       olica_naming naming, olica_tensor_id id, int layer) {
  char name[OLICA_TENSOR_NAME];
  return olica_tensors_name(arch, naming, id, layer, name) ? olica_catalog_find(catalog, name) : NULL;
}

/* ---- in memory ---- */

float **olica_tensors_weights(olica_layer *layer, olica_tensor_id id) {
  return (float **)(void *)((char *)layer + table[id].field);
}

const void *olica_tensors_data(const olica_layer *layer, olica_tensor_id id) {
  const void *field = (const char *)layer + table[id].field;
  return table[id].is_list ? (const void *)*(int32_t *const *)field : (const void *)*(float *const *)field;
}

/* ---- the shape, from the files ---- */

/* A dimension of a tensor that gives a size of the layer's shape: `unit` times the size, at most `most`. */
typedef struct gauge {
  olica_tensor_id id;
  int dimension, unit, most;
  int *size; /* unchanged if the tensor is missing */
} gauge;

static olica_status measure(const olica_catalog *catalog, const olica_arch *arch, olica_naming naming,
                            int layer, const gauge *g) {
  const olica_tensor *tensor = olica_tensors_find(catalog, arch, naming, g->id, layer);
  if (!tensor) return OLICA_OK;
  bool list = olica_tensors_row(g->id)->is_list;
  int64_t extent = tensor->dims == (list ? 1 : 2) ? tensor->shape[g->dimension] : 0;
  if (extent < 1 || extent % g->unit != 0 || extent / g->unit > g->most)
    return olica_error_set(catalog->context->env, OLICA_ERR_INPUT,
                           "%s: %s has %lld %s, expected a %s with %d to %lld in steps of %d",
                           olica_catalog_file(catalog, tensor), tensor->name, (long long)extent,
                           list           ? "elements"
                           : g->dimension ? "columns"
                                          : "rows",
                           list ? "list" : "matrix", g->unit, (long long)g->most * g->unit, g->unit);
  *g->size = (int)(extent / g->unit);
  return OLICA_OK;
}

/* Reads the rank of a projection stored as b·a. Where its whole matrix is stored too, that one counts. */
static olica_status measure_rank(const olica_catalog *catalog, const olica_arch *arch, olica_naming naming,
                                 int layer, olica_projection projection, olica_layer_shape *shape) {
  int out, in;
  if (olica_tensors_find(catalog, arch, naming, olica_tensors_linear(projection, OLICA_PART_WEIGHT), layer))
    return OLICA_OK;
  olica_layer_shape_linear(arch, shape, projection, &out, &in);
  return measure(catalog, arch, naming, layer,
                 &(gauge){olica_tensors_linear(projection, OLICA_PART_A), 0, 1, out < in ? out : in,
                          &shape->rank[projection]});
}

olica_status olica_tensors_measure(const olica_catalog *catalog, const olica_arch *arch, olica_naming naming,
                                   int layer, olica_layer_shape *shape) {
  bool bias[OLICA_PROJECTIONS];
  for (olica_projection p = 0; p < OLICA_PROJECTIONS; p++)
    bias[p] = arch->bias[p] ||
              olica_tensors_find(catalog, arch, naming, olica_tensors_linear(p, OLICA_PART_BIAS), layer);
  *shape = olica_layer_shape_dense(arch, layer, bias);
  if (naming == OLICA_NAMING_PUBLISHED) return OLICA_OK; /* config.json has said it all */
  const gauge heads = {OLICA_TENSOR_HEADS_KEPT, 0, 1, shape->kv_before, &shape->kv_heads};
  OLICA_TRY(measure(catalog, arch, naming, layer, &heads));
  olica_projection wide = olica_arch_has(arch, OLICA_GATE) ? OLICA_GATE : OLICA_UP;
  const gauge gauges[] = {
      {olica_tensors_linear(OLICA_V, OLICA_PART_B), 0, shape->kv_heads, arch->head, &shape->values},
      {olica_tensors_linear(wide, OLICA_PART_B), 0, 1, shape->ffn, &shape->ffn},
      {olica_tensors_linear(OLICA_V, OLICA_PART_WEIGHT), 0, shape->kv_heads, arch->head, &shape->values},
      {olica_tensors_linear(wide, OLICA_PART_WEIGHT), 0, 1, shape->ffn, &shape->ffn},
      {OLICA_TENSOR_BRANCH_A, 1, 1, arch->hidden, &shape->branch}};
  for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++)
    OLICA_TRY(measure(catalog, arch, naming, layer, &gauges[i]));
  for (olica_projection p = 0; p < OLICA_PROJECTIONS; p++)
    OLICA_TRY(measure_rank(catalog, arch, naming, layer, p, shape));
  return OLICA_OK;
}
