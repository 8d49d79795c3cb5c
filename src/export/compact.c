/* Kind compact: a directory with the checkpoint's own tensors and a small Python file, which transformers
 * runs with trust_remote_code: nothing is padded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compact_code.h"
#include "directory.h"
#include "hf_config.h"
#include "kind.h"
#include "model/fused.h"
#include "safetensors.h"

/* Families that the Python file knows, and the names of their classes in transformers; `text`: of config and
 * model, where it is another one than ...ForCausalLM's. */
typedef struct compact_base {
  const char *family, *base, *text;
} compact_base;

static const compact_base bases[] = {{"llama", "Llama", NULL},
                                     {"mistral", "Mistral", NULL},
                                     {"ministral3", "Ministral3", NULL},
                                     {"qwen2", "Qwen2", NULL},
                                     {"qwen3", "Qwen3", NULL},
                                     {"smollm3", "SmolLM3", NULL},
                                     {"seed_oss", "SeedOss", NULL},
                                     {"gemma", "Gemma", NULL},
                                     {"gemma2", "Gemma2", NULL},
                                     {"gemma3_text", "Gemma3", "Gemma3Text"},
                                     {"granite", "Granite", NULL},
                                     {"phi3", "Phi3", NULL},
                                     {"arcee", "Arcee", NULL},
                                     {"olmo2", "Olmo2", NULL},
                                     {"olmo3", "Olmo3", NULL},
                                     {"exaone4", "Exaone4", NULL},
                                     {"glm4", "Glm4", NULL},
                                     {"cohere2", "Cohere2", NULL},
                                     {"hunyuan_v1_dense", "HunYuanDenseV1", NULL},
                                     {"helium", "Helium", NULL},
                                     {"starcoder2", "Starcoder2", NULL}};

static const compact_base *base_of(const olica_family *family) {
  for (size_t i = 0; i < sizeof bases / sizeof *bases; i++)
    if (strcmp(bases[i].family, family->name) == 0) return &bases[i];
  return NULL;
}

bool olica_compact_knows(const olica_family *family) {
  return base_of(family) != NULL;
}

/* ---- items ---- */

/* Makes rows of the transpose of a stored matrix. */
static olica_status fill_transposed(olica_export *e, const olica_export_item *item, int64_t first,
                                    int64_t count, float *rows) {
  const float *whole;
  int64_t columns = item->shape[1], all = item->shape[0];
  OLICA_TRY(olica_export_whole(e, (olica_tensor_id)item->what, item->layer, &whole));
  for (int64_t i = 0; i < count; i++)
    for (int64_t k = 0; k < columns; k++) rows[i * columns + k] = whole[k * all + first + i];
  return OLICA_OK;
}

static olica_status fill_plain(olica_export *e, const olica_export_item *item, int64_t first, int64_t count,
                               float *rows) {
  return olica_export_rows(e, (olica_tensor_id)item->what, item->layer, first, count, rows);
}

/* "q_proj.a.weight", "v_proj.cut.weight", "o_proj.cut.b.bias" */
static void name_part(const olica_export *e, int layer, olica_projection p, olica_part part,
                      char name[OLICA_TENSOR_NAME]) {
  const olica_family *family = e->source->arch.family;
  const olica_layer_shape *shape = olica_export_shape(e, layer);
  bool cut = (p == OLICA_V || p == OLICA_O) && shape->values < e->source->arch.head;
  const char *factor = part == OLICA_PART_A                                                      ? ".a"
                       : part == OLICA_PART_B || (part == OLICA_PART_BIAS && shape->rank[p] > 0) ? ".b"
                                                                                                 : "";
  int used = snprintf(name, OLICA_TENSOR_NAME, family->layers, layer);
  snprintf(name + used, OLICA_TENSOR_NAME - (size_t)used, "%s%s%s%s.%s",
           p <= OLICA_O ? family->attention : family->mlp, olica_projection_name(p), cut ? ".cut" : "",
           factor, part == OLICA_PART_BIAS ? "bias" : "weight");
}

/* Names the tensors of the branch, which the checkpoint has transposed. */
static void name_branch(const olica_export *e, int layer, olica_tensor_id id, char name[OLICA_TENSOR_NAME]) {
  int used = snprintf(name, OLICA_TENSOR_NAME, e->source->arch.family->layers, layer);
  snprintf(name + used, OLICA_TENSOR_NAME - (size_t)used, "%sbranch.%s.weight", e->source->arch.family->mlp,
           id == OLICA_TENSOR_BRANCH_A ? "a" : "b");
}

static olica_status add(olica_export *e, olica_tensor_id id, int layer) {
  const olica_arch *arch = &e->source->arch;
  const olica_layer_shape *shape = id < OLICA_TENSORS_MODEL ? NULL : olica_export_shape(e, layer);
  bool branch = id == OLICA_TENSOR_BRANCH_A || id == OLICA_TENSOR_BRANCH_B;
  int64_t extent[2];
  if (!olica_tensors_present(arch, shape, id) || olica_tensors_row(id)->is_list) return OLICA_OK;
  int dims = olica_tensors_extents(arch, shape, id, extent);
  olica_export_item item = {.type = e->type,
                            .dims = dims,
                            .shape = {extent[branch], extent[!branch]},
                            .fill = branch ? fill_transposed : fill_plain,
                            .layer = layer,
                            .what = id};
  olica_projection p = olica_tensors_row(id)->projection;
  if (branch)
    name_branch(e, layer, id, item.name);
  else if (p < OLICA_PROJECTIONS)
    name_part(e, layer, p, (olica_part)((id - OLICA_TENSOR_LINEAR) % OLICA_PARTS), item.name);
  else
    olica_tensors_name(arch, OLICA_NAMING_PUBLISHED, id, layer, item.name);
  return olica_export_add(e, &item);
}

/* A class with fused queries, keys and values divides them by the config's heads. */
static olica_status check_heads(olica_export *e) {
  const olica_arch *arch = &e->source->arch;
  olica_tensor_id part[OLICA_FUSED_PARTS];
  char name[OLICA_TENSOR_NAME];
  bool fused = olica_fused_of(arch, olica_tensors_linear(OLICA_Q, OLICA_PART_WEIGHT), 0, part, name) > 0;
  for (int l = 0; l < arch->layers && fused; l++)
    if (olica_export_shape(e, l)->kv_heads < arch->kv_heads)
      return olica_export_refuse(
          e,
          "layer %d has lost heads, and the attention of %s in transformers counts "
          "those of the config; the way out is a method that keeps the heads, or gguf:FILE",
          l, arch->family->name);
  return OLICA_OK;
}

static olica_status plan(olica_export *e) {
  const olica_arch *arch = &e->source->arch;
  if (!olica_compact_knows(arch->family))
    return olica_export_refuse(e,
                               "the Python file of this form does not know the family %s yet; the checkpoint "
                               "itself is a [model] path of this program",
                               arch->family->name);
  for (int l = 0; l < arch->layers; l++)
    if (olica_export_shape(e, l)->group != arch->group)
      return olica_export_refuse(e,
                                 "layer %d has %d query heads for each key/value head, layer 0 has %d, which "
                                 "this form cannot say; the way out is gguf:FILE",
                                 l, olica_export_shape(e, l)->group, arch->group);
  OLICA_TRY(check_heads(e));
  OLICA_TRY(add(e, OLICA_TENSOR_EMBED, 0));
  for (int l = 0; l < arch->layers; l++)
    for (olica_tensor_id id = OLICA_TENSORS_MODEL; id < OLICA_TENSORS; id++) OLICA_TRY(add(e, id, l));
  OLICA_TRY(add(e, OLICA_TENSOR_NORM, 0));
  OLICA_TRY(add(e, OLICA_TENSOR_NORM_BIAS, 0));
  OLICA_TRY(add(e, OLICA_TENSOR_HEAD, 0));
  olica_hf_note_rope(e);
  olica_export_note(
      e, "It needs trust_remote_code=True: modeling_olica.py makes the layers in their own shapes.");
  for (int l = 0; l < arch->layers; l++)
    if (olica_export_shape(e, l)->values < arch->head) {
      olica_export_note(e, "Narrowed value heads are made whole with zeros when the model runs: the "
                           "key/value cache is as large as the dense model's.");
      break;
    }
  return OLICA_OK;
}

/* ---- beside the tensors ---- */

static json_t *describe_layer(const olica_layer_shape *shape) {
  json_t *ranks = json_object(), *biases = json_array();
  for (olica_projection p = 0; p < OLICA_PROJECTIONS; p++) {
    const char *name = olica_projection_name(p);
    if (shape->rank[p] > 0) json_object_set_new(ranks, name, json_integer(shape->rank[p]));
    if (shape->bias[p]) json_array_append_new(biases, json_string(name));
  }
  return json_pack("{s:i, s:i, s:i, s:i, s:o, s:o}", "kv_heads", shape->kv_heads, "v", shape->values, "ffn",
                   shape->ffn, "branch", shape->branch, "rank", ranks, "bias", biases);
}

static json_t *make_config(const olica_export *e) {
  json_t *config = olica_hf_config(e), *layers = json_array();
  for (int l = 0; l < e->source->arch.layers; l++)
    json_array_append_new(layers, describe_layer(olica_export_shape(e, l)));
  json_object_set_new(config, "architectures", json_pack("[s]", "OlicaForCausalLM"));
  json_object_set_new(config, "model_type", json_sprintf("olica_%s", e->source->arch.family->name));
  json_object_set_new(config, "num_key_value_heads", json_integer(e->source->arch.kv_heads));
  json_object_set_new(config, "auto_map",
                      json_pack("{s:s, s:s, s:s}", "AutoConfig", "modeling_olica.OlicaConfig", "AutoModel",
                                "modeling_olica.OlicaModel", "AutoModelForCausalLM",
                                "modeling_olica.OlicaForCausalLM"));
  json_object_set_new(config, "olica_layers", layers);
  return config;
}

static olica_status save_code(olica_export *e) {
  const compact_base *base = base_of(e->source->arch.family);
  char *text = NULL;
  size_t bytes = 0;
  FILE *to = open_memstream(&text, &bytes);
  if (!to) return olica_error_set(e->env, OLICA_ERR_MEMORY, "export: no memory for modeling_olica.py");
  for (const char *c = olica_compact_code(); *c;) {
    const char *word = strncmp(c, "@Base@", 6) == 0   ? base->base
                       : strncmp(c, "@base@", 6) == 0 ? base->family
                       : strncmp(c, "@Text@", 6) == 0 ? base->text ? base->text : base->base
                                                      : NULL;
    if (word)
      fputs(word, to), c += 6;
    else
      fputc(*c++, to);
  }
  olica_status status =
      fclose(to) == 0 ? olica_export_save(e, "modeling_olica.py", text, bytes)
                      : olica_error_set(e->env, OLICA_ERR_MEMORY, "export: no memory for modeling_olica.py");
  free(text);
  return status;
}

static olica_status beside(olica_export *e) {
  OLICA_TRY(save_code(e));
  return olica_export_directory(e, make_config(e));
}

/* ---- verification ---- */

static olica_status wrong_layers(olica_env *env, const char *name) {
  return olica_error_set(env, OLICA_ERR_INPUT,
                         "%s: olica_layers is not a list of the layers' shapes as an export writes it", name);
}

static bool read_layer(const json_t *entry, olica_layer_shape *shape) {
  const json_t *biases = json_object_get(entry, "bias"), *bias, *rank;
  size_t i;
  shape->kv_heads = (int)json_integer_value(json_object_get(entry, "kv_heads"));
  shape->values = (int)json_integer_value(json_object_get(entry, "v"));
  shape->ffn = (int)json_integer_value(json_object_get(entry, "ffn"));
  shape->branch = (int)json_integer_value(json_object_get(entry, "branch"));
  for (olica_projection p = 0; p < OLICA_PROJECTIONS; p++) {
    rank = json_object_get(json_object_get(entry, "rank"), olica_projection_name(p));
    shape->rank[p] = (int)json_integer_value(rank);
    json_array_foreach((json_t *)biases, i, bias) shape->bias[p] |=
        json_is_string(bias) && strcmp(json_string_value(bias), olica_projection_name(p)) == 0;
  }
  return shape->kv_heads > 0 && shape->values > 0 && shape->ffn > 0 && shape->branch >= 0;
}

static olica_status shapes(olica_env *env, const char *name, json_t *config, olica_layer_shape **shape) {
  const json_t *layers = json_object_get(config, "olica_layers");
  const char *type = json_string_value(json_object_get(config, "model_type"));
  json_int_t heads = json_integer_value(json_object_get(config, "num_attention_heads"));
  json_int_t kv_heads = json_integer_value(json_object_get(config, "num_key_value_heads"));
  size_t count = json_array_size(layers);
  if (count == 0 || !type || strncmp(type, "olica_", 6) != 0 || kv_heads < 1 || heads < kv_heads ||
      (json_int_t)count != json_integer_value(json_object_get(config, "num_hidden_layers")))
    return wrong_layers(env, name);
  OLICA_TRY(OLICA_NEW(env, *shape, count));
  for (size_t l = 0; l < count; l++) {
    (*shape)[l] = (olica_layer_shape){.kv_before = (int)kv_heads, .group = (int)(heads / kv_heads)};
    if (!read_layer(json_array_get(layers, l), &(*shape)[l])) return wrong_layers(env, name);
  }
  json_object_set_new(config, "model_type", json_string(type + 6));
  return OLICA_OK;
}

const olica_export_kind olica_export_compact = {
    .name = "compact",
    .about = "directory with the pruned shapes and Python code of its own",
    .directory = true,
    .types = 1u << OLICA_EXPORT_FP32 | 1u << OLICA_EXPORT_FP16 | 1u << OLICA_EXPORT_BF16,
    .align = 1,
    .head_align = 8,
    .pad = ' ',
    .plan = plan,
    .head = olica_export_safetensors_head,
    .beside = beside,
    .shapes = shapes};
