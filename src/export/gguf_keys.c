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

static void shorten(int *context, double to) {
  if (to > 0 && to < *context) *context = (int)to;
}

/* Up to this many tokens the architecture computes what the model does: all layers see all tokens, whatever
 * their windows, and RoPE is of one form. */
static int context_of(const olica_gguf_arch *row, const olica_arch *arch) {
  int context = arch->context;
  const olica_rope *rope = olica_gguf_rope(arch, false);
  bool both = rope->kind == OLICA_ROPE_LONG && row->factors == OLICA_GGUF_TWO_LISTS;
  for (int l = 0; l < arch->layers && row->window == OLICA_GGUF_NEVER; l++)
    shorten(&context, arch->layer[l].window);
  if (!both) shorten(&context, olica_arch_turn(arch));
  if (rope->query_growth != 0 && !row->growth) shorten(&context, rope->original_context);
  return context;
}

olica_status olica_gguf_check(olica_export *e, const olica_gguf_arch *row) {
  const olica_arch *arch = &e->source->arch;
  const olica_rope *rope = olica_gguf_rope(arch, false);
  for (int l = 0; l < arch->layers; l++) {
    const olica_layer_shape *shape = olica_export_shape(e, l);
    if (shape->kv_heads == 0 || olica_stock_ffn(shape) == 0)
      return olica_export_refuse(e,
                                 "layer %d has no %s left, and llama.cpp's %s skips what follows then: "
                                 "export hf:DIR",
                                 l, shape->kv_heads == 0 ? "heads" : "FFN neurons", row->name);
  }
  if (context_of(row, arch) < arch->context)
    olica_export_note(e,
                      "context_length is %d in place of %d: up to there the model is the same, beyond it "
                      "llama.cpp's %s has no sliding windows, and no RoPE that changes with the length",
                      context_of(row, arch), arch->context, row->name);
  if (rope->kind == OLICA_ROPE_LONG && row->factors == OLICA_GGUF_TWO_LISTS)
    olica_export_note(e,
                      "llama.cpp takes longrope's second list when its context is longer than %.0f tokens, "
                      "however short the text is",
                      rope->original_context);
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

void olica_gguf_general(olica_export *e, const olica_gguf_arch *row, olica_gguf *g) {
  char label[32];
  g->arch = row->name;
  olica_gguf_text(g, "general.architecture", g->arch);
  olica_gguf_text(g, "general.type", "model");
  put_origin(e, g);
  size_label(numbers_of(e), label);
  olica_gguf_text(g, "general.size_label", label);
  olica_gguf_u32(g, "general.alignment", OLICA_GGUF_ALIGN);
  olica_gguf_u32(g, "general.file_type", file_types[e->type]);
  olica_gguf_u32(g, "general.quantization_version", QUANTIZATION_VERSION);
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

/* What stays of a magnitude of cosines and sines, besides the one that llama.cpp gives yarn by itself. */
static double magnitude_of(const olica_rope *rope) {
  double magnitude = rope->magnitude > 0 ? rope->magnitude : 1;
  return rope->kind == OLICA_ROPE_YARN ? magnitude / (1 + 0.1 * log(rope->factor)) : magnitude;
}

/* Scalings that need no factors of their own: llama.cpp makes the same frequencies. */
static void put_scaling(const olica_gguf_arch *row, const olica_rope *rope, olica_gguf *g) {
  bool linear = rope->kind == OLICA_ROPE_LINEAR;
  bool yarn = rope->kind == OLICA_ROPE_YARN && row->factors != OLICA_GGUF_ONE_LIST;
  bool two = rope->kind == OLICA_ROPE_LONG && row->factors == OLICA_GGUF_TWO_LISTS;
  if (linear || yarn) {
    olica_gguf_text(g, "%.rope.scaling.type", linear ? "linear" : "yarn");
    olica_gguf_f32(g, "%.rope.scaling.factor", rope->factor);
  }
  if (yarn || two || (row->growth && rope->query_growth != 0))
    olica_gguf_u32(g, "%.rope.scaling.original_context_length", (uint32_t)rope->original_context);
  if ((yarn || two) && fabs(magnitude_of(rope) - 1) > 1e-7)
    olica_gguf_f32(g, "%.rope.scaling.attn_factor", magnitude_of(rope));
}

static void put_rope(const olica_gguf_arch *row, const olica_arch *arch, olica_gguf *g) {
  const olica_rope *rope = olica_gguf_rope(arch, false);
  olica_gguf_u32(g, "%.rope.dimension_count", (uint32_t)olica_gguf_turns(rope, arch->head));
  olica_gguf_f32(g, "%.rope.freq_base", rope->theta);
  if (row->local == OLICA_GGUF_LOCAL_BASE && olica_gguf_window(arch) > 0)
    olica_gguf_f32(g, "%.rope.freq_base_swa", olica_gguf_rope(arch, true)->theta);
  put_scaling(row, rope, g);
  if (row->growth && rope->query_growth != 0)
    olica_gguf_f32(g, "%.attention.temperature_scale", rope->query_growth);
}

/* A model of an architecture with windows that has none gets one as long as its context. */
static void put_window(olica_export *e, const olica_gguf_arch *row, olica_gguf *g) {
  const olica_arch *arch = &e->source->arch;
  int window = olica_gguf_window(arch);
  bool *list, usual = true;
  if (row->window == OLICA_GGUF_NEVER || (window == 0 && row->window == OLICA_GGUF_MAY)) return;
  olica_gguf_u32(g, "%.attention.sliding_window", (uint32_t)(window > 0 ? window : arch->context));
  if (window == 0) return;
  list = olica_memory_get(e->env, "sliding_window_pattern", (size_t)arch->layers, sizeof *list);
  if (!list) {
    g->status = OLICA_ERR_MEMORY;
    return;
  }
  for (int l = 0; l < arch->layers; l++) {
    list[l] = arch->layer[l].window > 0;
    usual = usual && list[l] == ((l + 1) % row->windows != 0);
  }
  if (!usual) olica_gguf_bools(g, "%.attention.sliding_window_pattern", list, (size_t)arch->layers);
  olica_memory_free(e->env, list);
}

static void put_factors(const olica_gguf_arch *row, const olica_arch *arch, olica_gguf *g) {
  double logits = olica_arch_factor(arch->logit_scale);
  if (row->multipliers) {
    olica_gguf_f32(g, "%.embedding_scale", arch->embedding_scale != 0 ? arch->embedding_scale : 1);
    olica_gguf_f32(g, "%.residual_scale", olica_arch_factor(arch->residual_scale));
  }
  if (row->scale_key) olica_gguf_f32(g, "%.attention.scale", olica_arch_score_scale(arch));
  if (row->logits != OLICA_GGUF_LOGITS_PLAIN)
    olica_gguf_f32(g, "%.logit_scale", row->logits == OLICA_GGUF_LOGITS_DIVISOR ? 1 / logits : logits);
  if (arch->score_cap != 0) olica_gguf_f32(g, "%.attn_logit_softcapping", arch->score_cap);
  if (arch->logit_cap != 0) olica_gguf_f32(g, "%.final_logit_softcapping", arch->logit_cap);
}

void olica_gguf_model(olica_export *e, const olica_gguf_arch *row, olica_gguf *g) {
  const olica_arch *arch = &e->source->arch;
  olica_gguf_u32(g, "%.block_count", (uint32_t)arch->layers);
  olica_gguf_u32(g, "%.context_length", (uint32_t)context_of(row, arch));
  olica_gguf_u32(g, "%.embedding_length", (uint32_t)arch->hidden);
  put_layers(e, g, "%.feed_forward_length", olica_stock_ffn);
  put_layers(e, g, "%.attention.head_count", olica_layer_shape_heads);
  put_layers(e, g, "%.attention.head_count_kv", kv_heads_of);
  olica_gguf_u32(g, "%.attention.key_length", (uint32_t)arch->head);
  olica_gguf_u32(g, "%.attention.value_length", (uint32_t)arch->head);
  olica_gguf_f32(
      g, row->block.centred_norms ? "%.attention.layer_norm_epsilon" : "%.attention.layer_norm_rms_epsilon",
      arch->eps);
  olica_gguf_u32(g, "%.vocab_size", (uint32_t)arch->vocabulary);
  put_rope(row, arch, g);
  put_window(e, row, g);
  put_factors(row, arch, g);
}

bool olica_gguf_has_factors(const olica_gguf_arch *row, const olica_rope *rope) {
  bool one = rope->kind == OLICA_ROPE_LLAMA3 || rope->kind == OLICA_ROPE_YARN;
  return rope->kind == OLICA_ROPE_LONG || (one && row->factors == OLICA_GGUF_ONE_LIST);
}

float olica_gguf_rope_factor(const olica_rope *rope, int head, int regime, int i) {
  double plain = pow(rope->theta, -2.0 * i / olica_gguf_turns(rope, head));
  return (float)(plain / olica_rope_frequency(rope, head, regime, i));
}

/* Where no key holds the magnitude of cosines and sines, it is in the queries: that of keys, too. */
float olica_gguf_query_scale(const olica_gguf_arch *row, const olica_arch *arch) {
  const olica_rope *rope = olica_gguf_rope(arch, false);
  bool wide = row->wide > 0 && arch->layers == row->wide;
  double magnitude = rope->magnitude > 0 ? rope->magnitude : 1;
  double scores = arch->score_scale > 0 ? arch->score_scale : 1 / sqrt(arch->head);
  double theirs = 1 / sqrt(wide ? arch->hidden / arch->heads : arch->head); /* whole numbers */
  if (row->factors != OLICA_GGUF_ONE_LIST) magnitude = 1;
  return (float)((row->scale_key ? 1 : scores / theirs) * magnitude * magnitude);
}
