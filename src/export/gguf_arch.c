#include "gguf_arch.h"

#include <math.h>
#include <string.h>

#include "stock.h"

/* Another architecture is one more row. */
static const olica_gguf_arch rows[] = {
    {.name = "llama",
     .family = {"llama"},
     .factors = OLICA_GGUF_ONE_LIST,
     .tied = OLICA_GGUF_MAY,
     .output_bias = OLICA_GGUF_MAY,
     .ffn_bias = OLICA_GGUF_MAY},
    {.name = "deci",
     .by_layer = true,
     .factors = OLICA_GGUF_ONE_LIST,
     .tied = OLICA_GGUF_MAY,
     .output_bias = OLICA_GGUF_MAY,
     .ffn_bias = OLICA_GGUF_MAY},
    {.name = "mistral3",
     .family = {"ministral3"},
     .growth = true,
     .factors = OLICA_GGUF_ONE_LIST,
     .tied = OLICA_GGUF_MAY,
     .output_bias = OLICA_GGUF_MAY,
     .ffn_bias = OLICA_GGUF_MAY},
    {.name = "qwen3",
     .family = {"qwen3"},
     .halves = true,
     .qk_norm = OLICA_QK_NORM_HEAD,
     .tied = OLICA_GGUF_MAY},
    {.name = "smollm3", .family = {"smollm3"}, .turning = OLICA_GGUF_TURN_THREE, .tied = OLICA_GGUF_MAY},
    {.name = "phi3",
     .family = {"phi3"},
     .halves = true,
     .in_part = true,
     .square = true,
     .factors = OLICA_GGUF_TWO_LISTS,
     .packed = true,
     .tied = OLICA_GGUF_MAY},
    {.name = "granite",
     .family = {"granite"},
     .scale_key = true,
     .factors = OLICA_GGUF_ONE_LIST,
     .multipliers = true,
     .logits = OLICA_GGUF_LOGITS_DIVISOR,
     .tied = OLICA_GGUF_MAY,
     .output_bias = OLICA_GGUF_MAY,
     .ffn_bias = OLICA_GGUF_MAY},
    {.name = "arcee",
     .family = {"arcee"},
     .factors = OLICA_GGUF_ONE_LIST,
     .block = {.plain_ffn = true},
     .activation = OLICA_ACTIVATION_RELU2,
     .tied = OLICA_GGUF_MAY},
    {.name = "gemma",
     .family = {"gemma"},
     .halves = true,
     .in_part = true,
     .activation = OLICA_ACTIVATION_GELU_TANH,
     .scaled_embedding = true,
     .tied = OLICA_GGUF_MUST},
    {.name = "gemma2",
     .family = {"gemma2"},
     .halves = true,
     .in_part = true,
     .wide = 46,
     .windows = 2,
     .window = OLICA_GGUF_MUST,
     .score_cap = OLICA_GGUF_MUST,
     .block = {.output_norms = true},
     .activation = OLICA_ACTIVATION_GELU_TANH,
     .scaled_embedding = true,
     .logit_cap = OLICA_GGUF_MUST,
     .tied = OLICA_GGUF_MUST},
    {.name = "gemma3",
     .family = {"gemma3_text"},
     .halves = true,
     .in_part = true,
     .wide = 62,
     .windows = 6,
     .window = OLICA_GGUF_MAY,
     .local = OLICA_GGUF_LOCAL_BASE,
     .qk_norm = OLICA_QK_NORM_HEAD,
     .block = {.output_norms = true},
     .activation = OLICA_ACTIVATION_GELU_TANH,
     .scaled_embedding = true,
     .logit_cap = OLICA_GGUF_MAY,
     .tied = OLICA_GGUF_MAY},
    {.name = "olmo2",
     .family = {"olmo2", "olmo3"},
     .halves = true,
     .square = true,
     .windows = 4,
     .window = OLICA_GGUF_MAY,
     .local = OLICA_GGUF_LOCAL_PLAIN,
     .qk_norm = OLICA_QK_NORM_WIDTH,
     .block = {.bare_inputs = true, .output_norms = true}},
    {.name = "exaone4",
     .family = {"exaone4"},
     .halves = true,
     .square = true,
     .factors = OLICA_GGUF_ONE_LIST,
     .windows = 4,
     .windows_layers = 64,
     .window = OLICA_GGUF_MAY,
     .turning = OLICA_GGUF_TURN_WINDOWED_IF_ANY,
     .qk_norm = OLICA_QK_NORM_HEAD,
     .block = {.bare_inputs = true, .output_norms = true},
     .tied = OLICA_GGUF_MAY},
    {.name = "glm4",
     .family = {"glm4"},
     .in_part = true,
     .block = {.output_norms = true},
     .packed = true,
     .tied = OLICA_GGUF_MAY},
    {.name = "cohere2",
     .family = {"cohere2"},
     .in_part = true,
     .square = true,
     .windows = 4,
     .window = OLICA_GGUF_MUST,
     .turning = OLICA_GGUF_TURN_WINDOWED,
     .block = {.centred_norms = true, .parallel = true},
     .logits = OLICA_GGUF_LOGITS_FACTOR,
     .tied = OLICA_GGUF_MUST,
     .output_bias = OLICA_GGUF_NEVER},
    {.name = "hunyuan-dense",
     .family = {"hunyuan_v1_dense"},
     .halves = true,
     .qk_norm = OLICA_QK_NORM_HEAD,
     .qk_norm_last = true,
     .tied = OLICA_GGUF_MAY},
    {.name = "starcoder2",
     .family = {"starcoder2"},
     .halves = true,
     .square = true,
     .block = {.centred_norms = true, .norm_biases = true, .plain_ffn = true},
     .activation = OLICA_ACTIVATION_GELU_TANH,
     .tied = OLICA_GGUF_MAY,
     .output_bias = OLICA_GGUF_MUST,
     .ffn_bias = OLICA_GGUF_MUST},
};

enum { ROWS = sizeof rows / sizeof *rows };

const olica_gguf_arch *olica_gguf_find(const char *name) {
  for (int i = 0; i < ROWS; i++)
    if (strcmp(rows[i].name, name) == 0) return &rows[i];
  return NULL;
}

/* ---- layers and their RoPE ---- */

const olica_rope *olica_gguf_rope(const olica_arch *arch, bool local) {
  const olica_rope *any = &arch->rope[0];
  for (int l = arch->layers - 1; l >= 0; l--) {
    const olica_arch_layer *layer = &arch->layer[l];
    if (layer->rope != OLICA_ROPE_NONE) any = &arch->rope[layer->rope];
  }
  for (int l = 0; l < arch->layers; l++) {
    const olica_arch_layer *layer = &arch->layer[l];
    if (layer->rope != OLICA_ROPE_NONE && (layer->window > 0) == local) return &arch->rope[layer->rope];
  }
  return any;
}

int olica_gguf_turns(const olica_rope *rope, int head) {
  return rope->dims > 0 ? rope->dims : head;
}

int olica_gguf_window(const olica_arch *arch) {
  for (int l = 0; l < arch->layers; l++)
    if (arch->layer[l].window > 0) return arch->layer[l].window;
  return 0;
}

/* ---- what a row does not have: the middle of a sentence, or NULL ---- */

static const char *other_window(const olica_gguf_arch *row, const olica_arch *arch) {
  int window = olica_gguf_window(arch);
  if (row->window == OLICA_GGUF_NEVER) return NULL; /* the context ends there */
  for (int l = 0; l < arch->layers; l++)
    if (arch->layer[l].window > 0 && arch->layer[l].window != window) return "windows of several lengths";
  if (window > 0 && row->windows_layers > 0 && arch->layers != row->windows_layers)
    return "windows in a model of another number of layers than its largest";
  if (window == 0 && row->turning == OLICA_GGUF_TURN_WINDOWED) return "layers without a window alone";
  return NULL;
}

static bool turns(const olica_gguf_arch *row, const olica_arch *arch, int layer) {
  bool windowed = arch->layer[layer].window > 0;
  switch (row->turning) {
  case OLICA_GGUF_TURN_THREE:
    return (layer + 1) % 4 != 0;
  case OLICA_GGUF_TURN_WINDOWED:
    return windowed;
  case OLICA_GGUF_TURN_WINDOWED_IF_ANY:
    return windowed || olica_gguf_window(arch) == 0;
  default:
    return true;
  }
}

static const char *other_layers(const olica_gguf_arch *row, const olica_arch *arch) {
  const olica_rope *full = olica_gguf_rope(arch, false), *local = olica_gguf_rope(arch, true);
  bool same = row->local == OLICA_GGUF_LOCAL_SAME || olica_gguf_window(arch) == 0;
  for (int l = 0; l < arch->layers; l++) {
    const olica_arch_layer *layer = &arch->layer[l];
    if ((layer->rope != OLICA_ROPE_NONE) != turns(row, arch, l))
      return "RoPE in the layers where this model has it, and in no others";
    if (layer->rope == OLICA_ROPE_NONE) continue;
    if (&arch->rope[layer->rope] != (layer->window > 0 ? local : full)) return "several kinds of RoPE";
  }
  bool alike = same ? local == full
                    : local->kind == OLICA_ROPE_PLAIN &&
                          olica_gguf_turns(local, arch->head) == olica_gguf_turns(full, arch->head) &&
                          (row->local == OLICA_GGUF_LOCAL_BASE || local->theta == full->theta);
  return alike ? NULL : "RoPE like this in layers with a window";
}

/* llama.cpp blends yarn's frequencies between whole pairs, those of 32 and of 1 turns. */
static bool is_common_yarn(const olica_rope *rope, int head) {
  double dims = olica_gguf_turns(rope, head), base = 2 * log(rope->theta);
  double turn = rope->original_context / (2 * acos(-1.0));
  double from = fmax(0, floor(dims * log(turn / 32) / base));
  double to = fmin(dims - 1, ceil(dims * log(turn) / base));
  return fabs(rope->ramp_from - from) < 0.01 && fabs(rope->ramp_to - to) < 0.01;
}

static const char *other_rope(const olica_gguf_arch *row, const olica_arch *arch) {
  const olica_rope *rope = olica_gguf_rope(arch, false);
  int dims = olica_gguf_turns(rope, arch->head);
  if (dims != arch->head && !row->in_part) return "heads that turn in part";
  if (dims % 2 != 0) return "an odd number of dimensions that turn";
  if (rope->interleaved && row->halves) return "neighbours that turn in pairs";
  if (rope->query_growth != 0 && !row->growth && !row->by_layer)
    return "queries that grow with their position";
  if (row->factors == OLICA_GGUF_ONE_LIST) return NULL;
  if (rope->kind == OLICA_ROPE_LLAMA3) return "RoPE of type llama3";
  if (rope->kind == OLICA_ROPE_LONG && row->factors != OLICA_GGUF_TWO_LISTS) return "RoPE of type longrope";
  if (rope->kind != OLICA_ROPE_YARN) return NULL;
  if (row->local == OLICA_GGUF_LOCAL_BASE && olica_gguf_window(arch) > 0)
    return "RoPE of type yarn beside windows";
  return is_common_yarn(rope, arch->head) ? NULL : "RoPE of type yarn with these betas";
}

static const char *other_attention(const olica_gguf_arch *row, const olica_arch *arch) {
  if (arch->qk_norm != row->qk_norm)
    return arch->qk_norm == OLICA_QK_NORM_NONE ? "queries and keys without norms"
                                               : "norms of queries and keys like these";
  if (arch->qk_norm != OLICA_QK_NORM_NONE && arch->qk_norm_last != row->qk_norm_last)
    return "norms of queries and keys in this place";
  if (arch->score_cap == 0 && row->score_cap == OLICA_GGUF_MUST) return "scores without a cap";
  if (arch->score_cap != 0 && row->score_cap == OLICA_GGUF_NEVER) return "a cap on the scores of attention";
  return NULL;
}

static const char *other_block(const olica_gguf_arch *row, const olica_arch *arch) {
  const olica_block *a = &arch->block, *b = &row->block;
  if (a->centred_norms != b->centred_norms || a->norm_biases != b->norm_biases)
    return a->centred_norms ? "LayerNorm like this" : "RMS norms";
  if (a->bare_inputs != b->bare_inputs || a->output_norms != b->output_norms)
    return "norms in the places where this model has them";
  if (a->parallel != b->parallel) return "attention and FFN like this";
  if (a->plain_ffn != b->plain_ffn) return a->plain_ffn ? "a plain FFN" : "a gated FFN";
  return arch->activation == row->activation ? NULL : "the activation of this model";
}

static const char *other_factors(const olica_gguf_arch *row, const olica_arch *arch) {
  double embedding = arch->embedding_scale != 0 ? arch->embedding_scale : 1;
  double expected = row->scaled_embedding ? sqrt(arch->hidden) : 1;
  if (!row->multipliers &&
      (fabs(embedding / expected - 1) > 1e-6 || olica_arch_factor(arch->residual_scale) != 1))
    return "factors of embedding or residual like these";
  if (row->logits == OLICA_GGUF_LOGITS_PLAIN && olica_arch_factor(arch->logit_scale) != 1)
    return "a factor of the logits";
  if (arch->logit_cap == 0 && row->logit_cap == OLICA_GGUF_MUST) return "logits without a cap";
  if (arch->logit_cap != 0 && row->logit_cap == OLICA_GGUF_NEVER) return "a cap on the logits";
  if (!arch->tied && row->tied == OLICA_GGUF_MUST) return "an output matrix beside the embedding";
  return NULL;
}

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

static const char *other_shapes(const olica_gguf_arch *row, const olica_export *e) {
  const olica_arch *arch = &e->source->arch;
  if (!row->by_layer && !is_uniform(e))
    return "layers of several widths or numbers of heads (method refit with shape = uniform leaves one)";
  for (int l = 0; l < arch->layers; l++) {
    const olica_layer_shape *shape = olica_export_shape(e, l);
    if (row->square && olica_layer_shape_heads(shape) * arch->head != arch->hidden)
      return "heads whose sizes are not the hidden size together";
    if (row->ffn_bias != OLICA_GGUF_MAY && shape->branch > 0)
      return "biases of gates, which a branch needs (method refit has none)";
    for (olica_projection p = OLICA_O; p < OLICA_PROJECTIONS; p++)
      if (olica_stock_biased(e, l, p) &&
          (p == OLICA_O ? row->output_bias : row->ffn_bias) == OLICA_GGUF_NEVER)
        return p == OLICA_O ? "a bias of o_proj" : "biases of the FFN";
  }
  return NULL;
}

/* The shapes come last: their way out is another method. */
static const char *missing(const olica_gguf_arch *row, const olica_export *e) {
  static const char *(*const checks[])(const olica_gguf_arch *row, const olica_arch *arch) = {
      other_attention, other_window, other_layers, other_rope, other_block, other_factors};
  for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
    const char *what = checks[i](row, &e->source->arch);
    if (what) return what;
  }
  return other_shapes(row, e);
}

olica_status olica_gguf_choose(olica_export *e, const olica_gguf_arch **row) {
  const char *family = e->source->arch.family->name;
  const olica_gguf_arch *own = &rows[0];
  for (int i = 1; i < ROWS; i++)
    for (int k = 0; k < 2; k++)
      if (rows[i].family[k] && strcmp(rows[i].family[k], family) == 0) own = &rows[i];
  *row = missing(own, e) ? NULL : own;
  for (int i = 0; i < ROWS && !*row; i++)
    if (!missing(&rows[i], e)) *row = &rows[i];
  if (*row) return OLICA_OK;
  return olica_export_refuse(e, "family %s: architecture %s of llama.cpp does not have %s: export hf:DIR",
                             family, own->name, missing(own, e));
}
