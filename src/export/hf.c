/* Kind hf: a directory of a stock class of transformers, which every tool that opens Hugging Face models
 * opens. Layers are padded to one shape (export/stock.h). */
#include <stdio.h>
#include <string.h>

#include "directory.h"
#include "hf_config.h"
#include "kind.h"
#include "model/fused.h"
#include "safetensors.h"
#include "stock.h"

typedef struct hf {
  olica_stock_form form;
  bool as_llama;                /* saved as LlamaForCausalLM, which the source is not */
  bool bias[OLICA_PROJECTIONS]; /* every layer's projection has one in the output */
} hf;

/* Families whose layers compute what LlamaForCausalLM's do, apart from windows. */
static bool is_plain(const olica_family *family) {
  static const char *const names[] = {"llama", "mistral", "qwen2"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(family->name, names[i]) == 0) return true;
  return false;
}

static bool has_window(const olica_arch *arch) {
  for (int l = 0; l < arch->layers; l++)
    if (arch->layer[l].window > 0 && arch->layer[l].window < arch->context) return true;
  return false;
}

/* ---- the form ---- */

/* transformers 5 wants a number of heads that divides the hidden size, and older ones of qwen2 a head size of
 * hidden/heads: there no head is left out. */
static bool heads_fit(const olica_export *e, int kv_heads) {
  const olica_arch *arch = &e->source->arch;
  if (kv_heads == arch->kv_heads) return true;
  bool free_size = strcmp(arch->family->name, "llama") == 0 || strcmp(arch->family->name, "mistral") == 0;
  return free_size && arch->hidden % (kv_heads * arch->group) == 0;
}

static olica_status choose_form(olica_export *e, hf *own) {
  const olica_arch *arch = &e->source->arch;
  own->form.one = olica_stock_one(e->type);
  for (int l = 0; l < arch->layers; l++) {
    const olica_layer_shape *shape = olica_export_shape(e, l);
    if (shape->group != arch->group)
      return olica_export_refuse(e,
                                 "layer %d has %d query heads for each key/value head, layer 0 has %d: no "
                                 "stock class has layers that differ so; the way out is gguf:FILE",
                                 l, shape->group, arch->group);
    if (shape->kv_heads > own->form.kv_heads) own->form.kv_heads = shape->kv_heads;
    if (olica_stock_ffn(shape) > own->form.ffn) own->form.ffn = olica_stock_ffn(shape);
  }
  while (!heads_fit(e, own->form.kv_heads)) own->form.kv_heads++;
  for (int l = 0; l < arch->layers; l++)
    if (arch->qk_norm == OLICA_QK_NORM_WIDTH && olica_export_shape(e, l)->kv_heads < arch->kv_heads)
      return olica_export_refuse(
          e,
          "layer %d has lost key/value heads, and the norm over all heads' queries and keys "
          "would count the zeros in their place; there is no other form yet: choose a "
          "method that keeps the heads",
          l);
  return OLICA_OK;
}

/* Returns true if a projection whose bias the same key of the config switches needs one: then all have it. */
static bool needs_of_key(const olica_family *family, const bool needs[OLICA_PROJECTIONS], int projection) {
  bool any = false;
  for (int p = 0; p < OLICA_PROJECTIONS; p++)
    any |= needs[p] && family->bias[p].key && strcmp(family->bias[p].key, family->bias[projection].key) == 0;
  return any;
}

/* Ends a refusal with the forms that have what the class has not. */
static const char *way_out(const olica_export *e) {
  return olica_compact_knows(e->source->arch.family)
             ? "the way out is compact:DIR"
             : "the way out is a method that adds neither, as refit; the checkpoint itself evaluates";
}

/* Refuses a branch beside another FFN than the one that its neurons are made for: gated, with silu(b) = 1. */
static olica_status check_branch(olica_export *e) {
  const olica_arch *arch = &e->source->arch;
  bool branch = false;
  for (int l = 0; l < arch->layers; l++) branch |= olica_export_shape(e, l)->branch > 0;
  if (!branch || (!arch->block.plain_ffn && arch->activation == OLICA_ACTIVATION_SILU)) return OLICA_OK;
  return olica_export_refuse(
      e, "the FFN of %s is %s, and a branch becomes neurons of a gated FFN with silu alone; %s",
      arch->family->name, arch->block.plain_ffn ? "plain" : "gated with another activation", way_out(e));
}

/* Chooses the class: the source's own, if it has the biases that the layers need. */
static olica_status choose_class(olica_export *e, hf *own) {
  const olica_arch *arch = &e->source->arch;
  const olica_family *family = arch->family;
  bool needs[OLICA_PROJECTIONS] = {0}, attention = false, mlp = false;
  for (int l = 0; l < arch->layers; l++)
    for (int p = 0; p < OLICA_PROJECTIONS; p++) needs[p] |= olica_stock_biased(e, l, p);
  for (int p = 0; p < OLICA_PROJECTIONS; p++) {
    own->bias[p] = needs[p];
    if (p <= OLICA_O) attention |= needs[p];
    if (p > OLICA_O) mlp |= needs[p];
    bool may = family->bias[p].key || family->bias[p].otherwise;
    own->as_llama |= needs[p] && !may;
  }
  if (own->as_llama && (!is_plain(family) || has_window(arch)))
    return olica_export_refuse(e,
                               "%s has no bias where this model needs one (for the branch, or one that the "
                               "method has added), and LlamaForCausalLM does not compute %s; %s",
                               family->name, has_window(arch) ? "sliding windows" : "what it does",
                               way_out(e));
  for (int p = 0; p < OLICA_PROJECTIONS; p++) {
    if (own->as_llama)
      own->bias[p] = p <= OLICA_O ? attention : mlp; /* the class has them all or none */
    else
      own->bias[p] = family->bias[p].key ? needs_of_key(family, needs, p) : family->bias[p].otherwise;
    own->bias[p] &= olica_arch_has(arch, p);
  }
  return OLICA_OK;
}

/* ---- items ---- */

static bool is_linear(olica_tensor_id id, olica_projection *p, olica_part *part) {
  if (id < OLICA_TENSOR_LINEAR || id >= OLICA_TENSOR_LINEAR + (int)OLICA_PARTS * (int)OLICA_PROJECTIONS)
    return false;
  *p = (olica_projection)((id - OLICA_TENSOR_LINEAR) / OLICA_PARTS);
  *part = (olica_part)((id - OLICA_TENSOR_LINEAR) % OLICA_PARTS);
  return true;
}

/* Makes rows of one of our tensors, in the stock form. */
static olica_status fill_one(olica_export *e, olica_tensor_id id, int layer, int64_t first, int64_t count,
                             float *rows) {
  const hf *own = e->own;
  olica_projection p;
  olica_part part;
  if (!is_linear(id, &p, &part)) return olica_export_rows(e, id, layer, first, count, rows);
  if (part == OLICA_PART_BIAS) return olica_stock_bias(e, &own->form, layer, p, first, count, rows);
  return olica_stock_rows(e, &own->form, layer, p, first, count, rows);
}

/* Gives rows and columns of one of our tensors, in the stock form. Returns the number of dimensions. */
static int extents_of(const olica_export *e, olica_tensor_id id, int layer, int64_t extent[2]) {
  const hf *own = e->own;
  olica_projection p;
  olica_part part;
  if (!is_linear(id, &p, &part))
    return olica_tensors_extents(&e->source->arch,
                                 id < OLICA_TENSORS_MODEL ? NULL : olica_export_shape(e, layer), id, extent);
  olica_stock_extents(e, &own->form, layer, p, &extent[0], &extent[1]);
  if (part == OLICA_PART_BIAS) extent[1] = 1;
  return part == OLICA_PART_BIAS ? 1 : 2;
}

/* Makes rows of a tensor of the output, which holds one of ours, or several behind each other. */
static olica_status fill(olica_export *e, const olica_export_item *item, int64_t first, int64_t count,
                         float *rows) {
  olica_tensor_id id = (olica_tensor_id)item->what, part[OLICA_FUSED_PARTS];
  char name[OLICA_TENSOR_NAME];
  int parts = olica_fused_of(&e->source->arch, id, item->layer, part, name);
  if (parts == 0) return fill_one(e, id, item->layer, first, count, rows);
  for (int i = 0; i < parts && count > 0; i++) {
    int64_t extent[2];
    extents_of(e, part[i], item->layer, extent);
    int64_t left = extent[0] - first, its = left < count ? left : count;
    if (left > 0) {
      OLICA_TRY(fill_one(e, part[i], item->layer, first, its, rows));
      rows += its * item->shape[1];
      count -= its;
    }
    first = left > 0 ? 0 : -left;
  }
  return OLICA_OK;
}

/* Adds the tensor of the output that holds one of ours; of several in it the first adds it. */
static olica_status add(olica_export *e, olica_tensor_id id, int layer) {
  const olica_arch *arch = &e->source->arch;
  olica_export_item item = {.type = e->type, .fill = fill, .layer = layer, .what = id};
  olica_tensor_id part[OLICA_FUSED_PARTS];
  int parts = olica_fused_of(arch, id, layer, part, item.name);
  if (parts > 0 && part[0] != id) return OLICA_OK;
  item.dims = extents_of(e, id, layer, item.shape);
  if (parts == 0) olica_tensors_name(arch, OLICA_NAMING_PUBLISHED, id, layer, item.name);
  for (int i = 1; i < parts; i++) {
    int64_t extent[2];
    extents_of(e, part[i], layer, extent);
    item.shape[0] += extent[0];
  }
  return olica_export_add(e, &item);
}

/* A tensor that is copied as it is. */
static olica_status add_plain(olica_export *e, olica_tensor_id id, int layer) {
  const olica_layer_shape *shape = id < OLICA_TENSORS_MODEL ? NULL : olica_export_shape(e, layer);
  const olica_tensor_row *row = olica_tensors_row(id);
  bool there = row->published && !row->is_list && olica_tensors_present(&e->source->arch, shape, id);
  return there ? add(e, id, layer) : OLICA_OK;
}

static olica_status add_projection(olica_export *e, int layer, olica_projection p) {
  const hf *own = e->own;
  if (!olica_arch_has(&e->source->arch, p)) return OLICA_OK;
  OLICA_TRY(add(e, olica_tensors_linear(p, OLICA_PART_WEIGHT), layer));
  return own->bias[p] ? add(e, olica_tensors_linear(p, OLICA_PART_BIAS), layer) : OLICA_OK;
}

static olica_status add_layer(olica_export *e, int layer) {
  olica_projection p;
  olica_part part;
  for (olica_tensor_id id = OLICA_TENSORS_MODEL; id < OLICA_TENSORS; id++)
    if (!is_linear(id, &p, &part)) OLICA_TRY(add_plain(e, id, layer));
  for (p = 0; p < OLICA_PROJECTIONS; p++) OLICA_TRY(add_projection(e, layer, p));
  return OLICA_OK;
}

/* ---- what is told ---- */

static void note_ffn(olica_export *e, const hf *own) {
  const olica_arch *arch = &e->source->arch;
  int64_t added = 0;
  int least = own->form.ffn, branches = 0;
  for (int l = 0; l < arch->layers; l++) {
    int used = olica_stock_ffn(olica_export_shape(e, l));
    added += own->form.ffn - used;
    branches += olica_export_shape(e, l)->branch > 0;
    if (used < least) least = used;
  }
  if (added == 0) return;
  olica_export_note(
      e,
      "The FFNs of all layers have %d neurons, as many as the widest needs; the narrowest needs "
      "%d. %lld neurons are zeros: %.2f M numbers. %s "
      "would leave nothing to pad; compact and gguf keep the widths.",
      own->form.ffn, least, (long long)added, 3e-6 * (double)added * arch->hidden,
      branches ? "Neurons in place of the branches that other layers have ([prune] fill = yes)"
               : "One width for all layers ([prune] shape = uniform of method refit)");
}

static void note_attention(olica_export *e, const hf *own) {
  const olica_arch *arch = &e->source->arch;
  int values = 0, heads = 0, factors = 0;
  double grown = 0; /* numbers */
  for (int l = 0; l < arch->layers; l++) {
    const olica_layer_shape *shape = olica_export_shape(e, l);
    values += shape->values < arch->head;
    heads += shape->kv_heads < own->form.kv_heads;
    for (olica_projection p = 0; p < OLICA_PROJECTIONS; p++) {
      int64_t rows, columns;
      olica_stock_extents(e, &own->form, l, p, &rows, &columns);
      factors += shape->rank[p] > 0;
      if (p <= OLICA_O || shape->rank[p] > 0)
        grown += (double)(rows * columns - olica_layer_shape_numbers(arch, shape, p));
    }
  }
  if (factors > 0)
    olica_export_note(
        e, "%d matrices that the checkpoint has in low rank, as a product of two, are multiplied out.",
        factors);
  if (values > 0)
    olica_export_note(e, "Value heads that were narrowed are whole again, with zeros, in %d of %d layers.",
                      values, arch->layers);
  if (heads > 0)
    olica_export_note(e, "Key/value heads that were cut are zeros in %d of %d layers.", heads, arch->layers);
  if (factors + values + heads > 0)
    olica_export_note(e, "That takes %.2f M numbers more than the checkpoint; compact:DIR keeps them away.",
                      1e-6 * grown);
}

static void note_biases(olica_export *e, const hf *own) {
  int branches = 0, rank = 0;
  for (int l = 0; l < e->source->arch.layers; l++) {
    branches += olica_export_shape(e, l)->branch > 0;
    if (olica_export_shape(e, l)->branch > rank) rank = olica_export_shape(e, l)->branch;
  }
  if (branches > 0)
    olica_export_note(
        e,
        "The linear calibration of %d layer%s (rank up to %d) is made of FFN neurons behind the "
        "real ones, with a bias in gate_proj.",
        branches, olica_log_plural(branches), rank);
  if (own->bias[OLICA_GATE])
    olica_export_note(
        e, "SGLang, MLC and TensorRT-LLM leave biases of the FFN out without a word: there the model "
           "would be another, worse one.");
  if (own->as_llama)
    olica_export_note(e,
                      "The class is LlamaForCausalLM, because %s has no such biases; it computes the same.",
                      e->source->arch.family->name);
}

static olica_status plan(olica_export *e) {
  hf *own;
  OLICA_TRY(OLICA_NEW(e->env, own, 1));
  e->own = own;
  OLICA_TRY(check_branch(e));
  OLICA_TRY(choose_form(e, own));
  OLICA_TRY(choose_class(e, own));
  OLICA_TRY(add_plain(e, OLICA_TENSOR_EMBED, 0));
  for (int l = 0; l < e->source->arch.layers; l++) OLICA_TRY(add_layer(e, l));
  OLICA_TRY(add_plain(e, OLICA_TENSOR_NORM, 0));
  OLICA_TRY(add_plain(e, OLICA_TENSOR_NORM_BIAS, 0));
  OLICA_TRY(add_plain(e, OLICA_TENSOR_HEAD, 0));
  note_ffn(e, own);
  note_attention(e, own);
  note_biases(e, own);
  olica_hf_note_rope(e);
  return OLICA_OK;
}

/* ---- beside the tensors ---- */

static json_t *make_config(const olica_export *e) {
  const hf *own = e->own;
  const olica_arch *arch = &e->source->arch;
  json_t *config = olica_hf_config(e);
  bool llama = own->as_llama || strcmp(arch->family->name, "llama") == 0;
  json_object_set_new(config, "intermediate_size", json_integer(own->form.ffn));
  json_object_set_new(config, "num_key_value_heads", json_integer(own->form.kv_heads));
  json_object_set_new(config, "num_attention_heads",
                      json_integer((json_int_t)own->form.kv_heads * arch->group));
  if (llama || own->form.kv_heads != arch->kv_heads || json_object_get(config, "head_dim"))
    json_object_set_new(config, "head_dim", json_integer(arch->head));
  for (int p = 0; p < OLICA_PROJECTIONS; p++)
    if (!llama && arch->family->bias[p].key)
      json_object_set_new(config, arch->family->bias[p].key, json_boolean(own->bias[p]));
  if (!llama) return config;
  json_object_set_new(config, "model_type", json_string("llama"));
  json_object_set_new(config, "architectures", json_pack("[s]", "LlamaForCausalLM"));
  json_object_set_new(config, "attention_bias", json_boolean(own->bias[OLICA_O]));
  json_object_set_new(config, "mlp_bias", json_boolean(own->bias[OLICA_GATE]));
  return config;
}

static olica_status beside(olica_export *e) {
  return olica_export_directory(e, make_config(e));
}

const olica_export_kind olica_export_hf = {
    .name = "hf",
    .about = "directory of a stock class of transformers, padded to one shape for all layers",
    .directory = true,
    .types = 1u << OLICA_EXPORT_FP32 | 1u << OLICA_EXPORT_FP16 | 1u << OLICA_EXPORT_BF16,
    .align = 1,
    .head_align = 8,
    .pad = ' ',
    .plan = plan,
    .head = olica_export_safetensors_head,
    .beside = beside};
