#include "gguf_keys.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "origin.h"
#include "stock.h"

/* llama.cpp's numbers of a file's types, and the version of ggml's quantized blocks. */
static const uint32_t file_types[OLICA_EXPORT_TYPES] = {
    [OLICA_EXPORT_FP32] = 0, [OLICA_EXPORT_FP16] = 1, [OLICA_EXPORT_BF16] = 32, [OLICA_EXPORT_Q8_0] = 7};
enum { QUANTIZATION_VERSION = 2 };

/* ---- what can be told ---- */

/* Families that compute what llama.cpp's "llama" computes, once what is left of arch is seen to. */
static bool is_plain(const olica_family *family) {
  static const char *const names[] = {"llama", "mistral", "ministral3", "qwen2", "seed_oss", "smollm3"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(family->name, names[i]) == 0) return true;
  return false;
}

static void shorten(int *context, double to) {
  if (to > 0 && to < *context) *context = (int)to;
}

/* Up to this many tokens all layers see all tokens, whatever their windows, and RoPE is of one form. */
static int context_of(const olica_arch *arch) {
  int context = arch->context;
  for (int l = 0; l < arch->layers; l++) shorten(&context, arch->layer[l].window);
  shorten(&context, olica_arch_turn(arch));
  if (arch->rope[0].query_growth != 0) shorten(&context, arch->rope[0].original_context);
  return context;
}

/* Returns what architectures llama and deci do not have, as the middle of a sentence; NULL: nothing. */
static const char *missing(const olica_arch *arch) {
  if (arch->qk_norm != OLICA_QK_NORM_NONE) return "norms of queries and keys";
  if (arch->score_cap != 0) return "a cap on the scores of attention";
  for (int l = 0; l < arch->layers; l++)
    if (arch->layer[l].rope != 0) return "layers without RoPE or with another one";
  if (arch->rope[0].dims != 0 && arch->rope[0].dims != arch->head) return "heads that turn in part";
  if (arch->activation != OLICA_ACTIVATION_SILU) return "another activation than silu";
  if (olica_arch_factor(arch->embedding_scale) != 1 || olica_arch_factor(arch->residual_scale) != 1 ||
      olica_arch_factor(arch->logit_scale) != 1 || arch->logit_cap != 0)
    return "factors of embedding, residual or logits";
  return is_plain(arch->family) ? NULL : "all that this family computes";
}

olica_status olica_gguf_check(olica_export *e) {
  const olica_arch *arch = &e->source->arch;
  if (missing(arch))
    return olica_export_refuse(e,
                               "family %s: architectures llama and deci of llama.cpp do not have %s: export "
                               "hf:DIR, and have llama.cpp's convert_hf_to_gguf.py convert that",
                               arch->family->name, missing(arch));
  for (int l = 0; l < arch->layers; l++) {
    const olica_layer_shape *shape = olica_export_shape(e, l);
    if (shape->kv_heads == 0 || olica_stock_ffn(shape) == 0)
      return olica_export_refuse(e,
                                 "layer %d has no %s left, and llama.cpp's deci skips what follows then: "
                                 "export hf:DIR",
                                 l, shape->kv_heads == 0 ? "heads" : "FFN neurons");
  }
  if (context_of(arch) < arch->context)
    olica_export_note(e,
                      "context_length is %d in place of %d: up to there the model is the same, beyond it "
                      "llama.cpp's llama has no sliding windows, and no RoPE that changes with the length",
                      context_of(arch), arch->context);
  return OLICA_OK;
}

void olica_gguf_narrow(olica_export *e, const olica_export_item *item) {
  for (int i = 0; i < e->count; i++)
    if (e->item[i].dims == 2 && e->item[i].type == OLICA_EXPORT_FP16) return;
  olica_export_note(e,
                    "%s and the like have rows of %lld numbers, no multiple of 32: they are fp16, not q8_0 "
                    "([prune] align = 64, or 256 for K-quants, keeps widths whole)",
                    item->name, (long long)item->shape[1]);
}

/* ---- general ---- */

static double numbers_of(const olica_export *e) {
  double numbers = 0;
  for (int i = 0; i < e->count; i++) numbers += (double)e->item[i].shape[0] * (double)e->item[i].shape[1];
  return numbers;
}

/* "135M", "1.1B", with two digits at least. */
static void size_label(double numbers, char label[32]) {
  static const char suffixes[] = "KMBT";
  int step = 0;
  for (numbers /= 1e3; numbers >= 1e3 && step < 3; step++) numbers /= 1e3;
  snprintf(label, 32, "%.*f%c", numbers < 9.5 ? 1 : 0, numbers, suffixes[step]);
}

/* Returns the last part of the source model's path, in `name`. */
static void model_name(const olica_export *e, char *name, size_t room) {
  const char *path = json_string_value(json_object_get(e->provenance, "model"));
  if (*e->directory) path = e->directory;
  size_t end = path ? strlen(path) : 0;
  while (end > 0 && path[end - 1] == '/') end--;
  size_t begin = end;
  while (begin > 0 && path[begin - 1] != '/') begin--;
  snprintf(name, room, "%.*s", (int)(end - begin), path ? path + begin : "");
  if (!*name) snprintf(name, room, "%s", e->source->arch.family->name);
}

static void put_origin(const olica_export *e, olica_gguf *g) {
  const char *method = json_string_value(json_object_get(json_object_get(e->settings, "prune"), "method"));
  char name[200], text[400];
  model_name(e, name, sizeof name);
  snprintf(text, sizeof text, "%s%s", name, e->source->is_pruned ? "-pruned" : "");
  olica_gguf_text(g, "general.name", text);
  snprintf(text, sizeof text, "%s, pruned by olica_mpi%s%s", name, method ? ", method " : "",
           method ? method : "");
  if (e->source->is_pruned) {
    olica_gguf_text(g, "general.description", text);
    olica_gguf_u32(g, "general.base_model.count", 1);
    olica_gguf_text(g, "general.base_model.0.name", name);
  }
  olica_origin_licence(e, text, sizeof text);
  if (*text) olica_gguf_text(g, "general.license", text);
}

/* ---- the architecture ---- */

static bool is_uniform(const olica_export *e) {
  const olica_layer_shape *first = olica_export_shape(e, 0);
  for (int l = 1; l < e->source->arch.layers; l++) {
    const olica_layer_shape *shape = olica_export_shape(e, l);
    if (shape->kv_heads != first->kv_heads || shape->group != first->group ||
        olica_stock_ffn(shape) != olica_stock_ffn(first))
      return false;
  }
  return true;
}

void olica_gguf_general(olica_export *e, olica_gguf *g) {
  char label[32];
  g->arch = is_uniform(e) ? "llama" : "deci";
  olica_gguf_text(g, "general.architecture", g->arch);
  olica_gguf_text(g, "general.type", "model");
  put_origin(e, g);
  size_label(numbers_of(e), label);
  olica_gguf_text(g, "general.size_label", label);
  olica_gguf_u32(g, "general.alignment", OLICA_GGUF_ALIGN);
  olica_gguf_u32(g, "general.file_type", file_types[e->type]);
  olica_gguf_u32(g, "general.quantization_version", QUANTIZATION_VERSION);
}

static int ffn_of(const olica_layer_shape *shape) {
  return olica_stock_ffn(shape);
}

static int kv_heads_of(const olica_layer_shape *shape) {
  return shape->kv_heads;
}

/* Adds a number of all layers: one where they agree, else a list. */
static void put_layers(const olica_export *e, olica_gguf *g, const char *key,
                       int (*number)(const olica_layer_shape *shape)) {
  int layers = e->source->arch.layers, first = number(olica_export_shape(e, 0));
  int32_t *list = olica_memory_get(e->env, key, (size_t)layers, sizeof *list);
  bool same = true;
  if (!list) {
    g->status = OLICA_ERR_MEMORY;
    return;
  }
  for (int l = 0; l < layers; l++) {
    list[l] = number(olica_export_shape(e, l));
    same = same && list[l] == first;
  }
  if (same)
    olica_gguf_u32(g, key, (uint32_t)first);
  else
    olica_gguf_i32s(g, key, list, (size_t)layers);
  olica_memory_free(e->env, list);
}

static void put_rope(const olica_arch *arch, olica_gguf *g) {
  const olica_rope *rope = &arch->rope[0];
  olica_gguf_u32(g, "%.rope.dimension_count", (uint32_t)arch->head);
  olica_gguf_f32(g, "%.rope.freq_base", rope->theta);
  if (rope->kind != OLICA_ROPE_LINEAR) return;
  olica_gguf_text(g, "%.rope.scaling.type", "linear");
  olica_gguf_f32(g, "%.rope.scaling.factor", rope->factor);
}

void olica_gguf_model(olica_export *e, olica_gguf *g) {
  const olica_arch *arch = &e->source->arch;
  olica_gguf_u32(g, "%.block_count", (uint32_t)arch->layers);
  olica_gguf_u32(g, "%.context_length", (uint32_t)context_of(arch));
  olica_gguf_u32(g, "%.embedding_length", (uint32_t)arch->hidden);
  put_layers(e, g, "%.feed_forward_length", ffn_of);
  put_layers(e, g, "%.attention.head_count", olica_layer_shape_heads);
  put_layers(e, g, "%.attention.head_count_kv", kv_heads_of);
  olica_gguf_u32(g, "%.attention.key_length", (uint32_t)arch->head);
  olica_gguf_u32(g, "%.attention.value_length", (uint32_t)arch->head);
  olica_gguf_f32(g, "%.attention.layer_norm_rms_epsilon", arch->eps);
  olica_gguf_u32(g, "%.vocab_size", (uint32_t)arch->vocabulary);
  put_rope(arch, g);
}

bool olica_gguf_has_factors(const olica_rope *rope) {
  return rope->kind == OLICA_ROPE_LLAMA3 || rope->kind == OLICA_ROPE_YARN || rope->kind == OLICA_ROPE_LONG;
}

float olica_gguf_rope_factor(const olica_rope *rope, int head, int i) {
  return (float)(pow(rope->theta, -2.0 * i / head) / olica_rope_frequency(rope, head, 0, i));
}

/* The magnitude of cosines and sines is in both queries and keys. */
float olica_gguf_query_scale(const olica_arch *arch) {
  double magnitude = arch->rope[0].magnitude > 0 ? arch->rope[0].magnitude : 1;
  double scale = arch->score_scale > 0 ? arch->score_scale * sqrt(arch->head) : 1;
  return (float)(scale * magnitude * magnitude);
}
