/* Kind gguf: a file for llama.cpp, of the architecture that computes what the model does (gguf_arch.h). The
 * matrices are those of the stock form (stock.h), each layer in its own widths. Where the architecture turns
 * neighbours, rows of q and k, and their biases, are in its order: pair i of a head is rows 2i and 2i + 1,
 * not i and i + half of those that turn. Gains of norms are what norms multiply by, 1 + w where the model
 * stores w. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gguf_head.h"
#include "gguf_keys.h"
#include "gguf_tokens.h"
#include "q8_0.h"
#include "stock.h"

/* ---- rows ---- */

static olica_stock_form form_of(const olica_export *e, int layer) {
  const olica_layer_shape *shape = olica_export_shape(e, layer);
  return (olica_stock_form){
      .kv_heads = shape->kv_heads, .ffn = olica_stock_ffn(shape), .one = olica_stock_one(OLICA_EXPORT_FP32)};
}

typedef struct gguf {
  const olica_gguf_arch *row;
} gguf;

static const olica_gguf_arch *row_of(const olica_export *e) {
  return ((const gguf *)e->own)->row;
}

/* Puts the rows of whole heads, [count x columns], into the order of llama.cpp's rotation. */
static olica_status permute(olica_export *e, int64_t count, int64_t columns, float *rows) {
  int head = e->source->arch.head;
  int dims = olica_gguf_turns(olica_gguf_rope(&e->source->arch, false), head), half = dims / 2;
  size_t row = (size_t)columns;
  float *old;
  OLICA_TRY(OLICA_NEW(e->env, old, (size_t)dims * row));
  for (int64_t first = 0; first < count; first += head, rows += (size_t)head * row) {
    memcpy(old, rows, (size_t)dims * row * sizeof *old);
    for (int i = 0; i < half; i++) {
      memcpy(rows + (size_t)(2 * i) * row, old + (size_t)i * row, row * sizeof *old);
      memcpy(rows + (size_t)(2 * i + 1) * row, old + (size_t)(i + half) * row, row * sizeof *old);
    }
  }
  olica_memory_free(e->env, old);
  return OLICA_OK;
}

/* What llama.cpp's attention does not multiply by is in the rows of q; or in the gains of a norm of queries.
 */
static olica_status turn_rows(olica_export *e, olica_projection p, int64_t count, int64_t columns,
                              float *rows) {
  const olica_arch *arch = &e->source->arch;
  float scale = arch->qk_norm == OLICA_QK_NORM_NONE ? olica_gguf_query_scale(row_of(e), arch) : 1;
  for (int64_t i = 0; p == OLICA_Q && scale != 1 && i < count * columns; i++) rows[i] *= scale;
  bool pairs =
      (p == OLICA_Q || p == OLICA_K) && !row_of(e)->halves && !olica_gguf_rope(arch, false)->interleaved;
  return pairs ? permute(e, count, columns, rows) : OLICA_OK;
}

static olica_status fill_matrix(olica_export *e, const olica_export_item *item, int64_t first, int64_t count,
                                float *rows) {
  olica_stock_form form = form_of(e, item->layer);
  olica_projection p = (olica_projection)item->what;
  OLICA_TRY(olica_stock_rows(e, &form, item->layer, p, first, count, rows));
  return turn_rows(e, p, count, item->shape[1], rows);
}

static olica_status fill_bias(olica_export *e, const olica_export_item *item, int64_t first, int64_t count,
                              float *rows) {
  olica_stock_form form = form_of(e, item->layer);
  olica_projection p = (olica_projection)item->what;
  OLICA_TRY(olica_stock_bias(e, &form, item->layer, p, first, count, rows));
  return turn_rows(e, p, count, 1, rows);
}

/* Rows of gate, then those of up. */
static olica_status fill_packed(olica_export *e, const olica_export_item *item, int64_t first, int64_t count,
                                float *rows) {
  olica_stock_form form = form_of(e, item->layer);
  int64_t gates = item->shape[0] / 2, its = first < gates ? gates - first : 0;
  if (its > count) its = count;
  if (its > 0) OLICA_TRY(olica_stock_rows(e, &form, item->layer, OLICA_GATE, first, its, rows));
  if (its == count) return OLICA_OK;
  return olica_stock_rows(e, &form, item->layer, OLICA_UP, first + its - gates, count - its,
                          rows + its * item->shape[1]);
}

/* A tensor that is stored as it is. */
static olica_status fill_stored(olica_export *e, const olica_export_item *item, int64_t first, int64_t count,
                                float *rows) {
  return olica_export_rows(e, (olica_tensor_id)item->what, item->layer, first, count, rows);
}

static olica_status fill_gains(olica_export *e, const olica_export_item *item, int64_t first, int64_t count,
                               float *rows) {
  const olica_arch *arch = &e->source->arch;
  float one = arch->block.one_plus_norms ? 1 : 0;
  float scale = item->what == OLICA_TENSOR_Q_NORM ? olica_gguf_query_scale(row_of(e), arch) : 1;
  OLICA_TRY(fill_stored(e, item, first, count, rows));
  for (int64_t i = 0; i < count; i++) rows[i] = (one + rows[i]) * scale;
  return OLICA_OK;
}

/* Factors of RoPE; `what` is the regime. */
static olica_status fill_factors(olica_export *e, const olica_export_item *item, int64_t first, int64_t count,
                                 float *rows) {
  const olica_arch *arch = &e->source->arch;
  for (int64_t i = 0; i < count; i++)
    rows[i] = olica_gguf_rope_factor(olica_gguf_rope(arch, false), arch->head, item->what, (int)(first + i));
  return OLICA_OK;
}

/* ---- the items ---- */

/* Q8_0 has blocks of 32 within a row; other rows are fp16, as llama.cpp's converter has it. */
static olica_status add_matrix(olica_export *e, olica_export_item item) {
  item.dims = 2;
  item.type = e->type;
  if (e->type == OLICA_EXPORT_Q8_0 && item.shape[1] % OLICA_Q8_0_NUMBERS != 0) {
    item.type = OLICA_EXPORT_FP16;
    olica_gguf_narrow(e, &item);
  }
  return olica_export_add(e, &item);
}

static olica_status add_vector(olica_export *e, olica_export_item item) {
  item.dims = 1;
  item.type = OLICA_EXPORT_FP32;
  item.shape[1] = 1;
  return olica_export_add(e, &item);
}

static olica_export_item named(int layer, int what, olica_export_fill *fill, const char *name) {
  olica_export_item item = {.fill = fill, .layer = layer, .what = what};
  snprintf(item.name, sizeof item.name, "%s", name);
  return item;
}

static const char *const matrix_names[OLICA_PROJECTIONS] = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                                            "ffn_gate", "ffn_up", "ffn_down"};

static bool has_bias(const olica_export *e, int layer, olica_projection p) {
  olica_gguf_need need = p <= OLICA_V   ? OLICA_GGUF_MAY
                         : p == OLICA_O ? row_of(e)->output_bias
                                        : row_of(e)->ffn_bias;
  return need == OLICA_GGUF_MUST || olica_stock_biased(e, layer, p);
}

static olica_status add_projection(olica_export *e, int layer, olica_projection p) {
  char name[64];
  olica_stock_form form = form_of(e, layer);
  bool packed = p == OLICA_UP && row_of(e)->packed;
  if (!olica_arch_has(&e->source->arch, p) || (p == OLICA_GATE && row_of(e)->packed)) return OLICA_OK;
  snprintf(name, sizeof name, "blk.%d.%s.weight", layer, matrix_names[p]);
  olica_export_item item = named(layer, p, packed ? fill_packed : fill_matrix, name);
  olica_stock_extents(e, &form, layer, p, &item.shape[0], &item.shape[1]);
  if (packed) item.shape[0] *= 2;
  if (p == OLICA_Q || p == OLICA_K) item.step = e->source->arch.head;
  OLICA_TRY(add_matrix(e, item));
  if (!has_bias(e, layer, p)) return OLICA_OK;
  snprintf(item.name, sizeof item.name, "blk.%d.%s.bias", layer, matrix_names[p]);
  item.fill = fill_bias;
  return add_vector(e, item);
}

/* A norm of the model (`place` "output_norm") or of a layer, if there is such a one. */
static olica_status add_norm(olica_export *e, int layer, olica_tensor_id id, const char *place,
                             const char *part) {
  const olica_layer_shape *shape = id < OLICA_TENSORS_MODEL ? NULL : olica_export_shape(e, layer);
  bool bias = strcmp(part, "bias") == 0;
  char name[64];
  int64_t extent[2];
  if (!olica_tensors_present(&e->source->arch, shape, id)) return OLICA_OK;
  if (shape)
    snprintf(name, sizeof name, "blk.%d.%s.%s", layer, place, part);
  else
    snprintf(name, sizeof name, "%s.%s", place, part);
  olica_export_item item = named(layer, id, bias ? fill_stored : fill_gains, name);
  olica_tensors_extents(&e->source->arch, shape, id, extent);
  item.shape[0] = extent[0];
  return add_vector(e, item);
}

static olica_status add_layer(olica_export *e, int layer) {
  OLICA_TRY(add_norm(e, layer, OLICA_TENSOR_INPUT_NORM, "attn_norm", "weight"));
  OLICA_TRY(add_norm(e, layer, OLICA_TENSOR_INPUT_NORM_BIAS, "attn_norm", "bias"));
  for (olica_projection p = OLICA_Q; p <= OLICA_O; p++) OLICA_TRY(add_projection(e, layer, p));
  OLICA_TRY(add_norm(e, layer, OLICA_TENSOR_Q_NORM, "attn_q_norm", "weight"));
  OLICA_TRY(add_norm(e, layer, OLICA_TENSOR_K_NORM, "attn_k_norm", "weight"));
  OLICA_TRY(add_norm(e, layer, OLICA_TENSOR_ATTENTION_OUTPUT_NORM, "post_attention_norm", "weight"));
  OLICA_TRY(add_norm(e, layer, OLICA_TENSOR_FFN_NORM, "ffn_norm", "weight"));
  OLICA_TRY(add_norm(e, layer, OLICA_TENSOR_FFN_NORM_BIAS, "ffn_norm", "bias"));
  for (olica_projection p = OLICA_GATE; p < OLICA_PROJECTIONS; p++) OLICA_TRY(add_projection(e, layer, p));
  return add_norm(e, layer, OLICA_TENSOR_FFN_OUTPUT_NORM, "post_ffw_norm", "weight");
}

static olica_status add_table(olica_export *e, olica_tensor_id id, const char *name) {
  olica_export_item item = named(0, id, fill_stored, name);
  item.shape[0] = e->source->arch.vocabulary;
  item.shape[1] = e->source->arch.hidden;
  return add_matrix(e, item);
}

static olica_status add_factors(olica_export *e, const char *name, int regime) {
  const olica_arch *arch = &e->source->arch;
  olica_export_item factors = named(0, regime, fill_factors, name);
  factors.shape[0] = olica_rope_pairs(olica_gguf_rope(arch, false), arch->head);
  return add_vector(e, factors);
}

static olica_status add_rope(olica_export *e) {
  if (!olica_gguf_has_factors(row_of(e), olica_gguf_rope(&e->source->arch, false))) return OLICA_OK;
  if (row_of(e)->factors == OLICA_GGUF_ONE_LIST) return add_factors(e, "rope_freqs.weight", 0);
  OLICA_TRY(add_factors(e, "rope_factors_long.weight", 1));
  return add_factors(e, "rope_factors_short.weight", 0);
}

static olica_status plan(olica_export *e) {
  const olica_arch *arch = &e->source->arch;
  gguf *own;
  OLICA_TRY(OLICA_NEW(e->env, own, 1));
  e->own = own;
  OLICA_TRY(olica_gguf_choose(e, &own->row));
  OLICA_TRY(olica_gguf_check(e, own->row));
  OLICA_TRY(add_table(e, OLICA_TENSOR_EMBED, "token_embd.weight"));
  if (!arch->tied || own->row->tied == OLICA_GGUF_NEVER)
    OLICA_TRY(add_table(e, arch->tied ? OLICA_TENSOR_EMBED : OLICA_TENSOR_HEAD, "output.weight"));
  OLICA_TRY(add_norm(e, 0, OLICA_TENSOR_NORM, "output_norm", "weight"));
  OLICA_TRY(add_norm(e, 0, OLICA_TENSOR_NORM_BIAS, "output_norm", "bias"));
  OLICA_TRY(add_rope(e));
  for (int l = 0; l < arch->layers; l++) OLICA_TRY(add_layer(e, l));
  return OLICA_OK;
}

static olica_status head(olica_export *e, int file, char **text, size_t *bytes) {
  olica_gguf g = {.env = e->env};
  (void)file;
  olica_gguf_general(e, row_of(e), &g);
  olica_gguf_model(e, row_of(e), &g);
  OLICA_TRY(olica_gguf_tokens(e, &g));
  return olica_gguf_end(&g, e, text, bytes);
}

const olica_export_kind olica_export_gguf = {
    .name = "gguf",
    .about = "a file for llama.cpp, of the architecture that computes what the model does",
    .types =
        1U << OLICA_EXPORT_FP32 | 1U << OLICA_EXPORT_FP16 | 1U << OLICA_EXPORT_BF16 | 1U << OLICA_EXPORT_Q8_0,
    .align = OLICA_GGUF_ALIGN,
    .head_align = OLICA_GGUF_ALIGN,
    .plan = plan,
    .head = head};
