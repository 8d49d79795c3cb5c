/* Kind gguf: a file for llama.cpp. Layers of one shape are architecture "llama", layers that differ "deci":
 * the same layer, with a list of heads and of widths. The matrices are those of the stock form (stock.h),
 * each layer in its own widths. Rows of q and k, and their biases, are in the order of llama.cpp's rotation,
 * which turns neighbours: pair i of a head is rows 2i and 2i + 1, not i and i + h/2. */
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

/* Puts the rows of whole heads, [count x columns], into the order of llama.cpp's rotation. */
static olica_status permute(olica_export *e, int64_t count, int64_t columns, float *rows) {
  int head = e->source->arch.head, half = head / 2;
  size_t row = (size_t)columns;
  float *old;
  OLICA_TRY(OLICA_NEW(e->env, old, (size_t)head * row));
  for (int64_t first = 0; first < count; first += head, rows += (size_t)head * row) {
    memcpy(old, rows, (size_t)head * row * sizeof *old);
    for (int i = 0; i < half; i++) {
      memcpy(rows + (size_t)(2 * i) * row, old + (size_t)i * row, row * sizeof *old);
      memcpy(rows + (size_t)(2 * i + 1) * row, old + (size_t)(i + half) * row, row * sizeof *old);
    }
  }
  olica_memory_free(e->env, old);
  return OLICA_OK;
}

/* What llama.cpp's attention does not multiply by is in the rows of q. */
static olica_status turn_rows(olica_export *e, olica_projection p, int64_t count, int64_t columns,
                              float *rows) {
  const olica_arch *arch = &e->source->arch;
  float scale = olica_gguf_query_scale(arch);
  for (int64_t i = 0; p == OLICA_Q && scale != 1 && i < count * columns; i++) rows[i] *= scale;
  bool pairs = (p == OLICA_Q || p == OLICA_K) && !arch->rope[0].interleaved;
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

/* A tensor that is stored as it is. */
static olica_status fill_stored(olica_export *e, const olica_export_item *item, int64_t first, int64_t count,
                                float *rows) {
  return olica_export_rows(e, (olica_tensor_id)item->what, item->layer, first, count, rows);
}

static olica_status fill_factors(olica_export *e, const olica_export_item *item, int64_t first, int64_t count,
                                 float *rows) {
  (void)item;
  for (int64_t i = 0; i < count; i++)
    rows[i] = olica_gguf_rope_factor(&e->source->arch.rope[0], e->source->arch.head, (int)(first + i));
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

static olica_status add_projection(olica_export *e, int layer, olica_projection p) {
  char name[64];
  olica_stock_form form = form_of(e, layer);
  snprintf(name, sizeof name, "blk.%d.%s.weight", layer, matrix_names[p]);
  olica_export_item item = named(layer, p, fill_matrix, name);
  olica_stock_extents(e, &form, layer, p, &item.shape[0], &item.shape[1]);
  if (p == OLICA_Q || p == OLICA_K) item.step = e->source->arch.head;
  OLICA_TRY(add_matrix(e, item));
  if (!olica_stock_biased(e, layer, p)) return OLICA_OK;
  snprintf(item.name, sizeof item.name, "blk.%d.%s.bias", layer, matrix_names[p]);
  item.fill = fill_bias;
  return add_vector(e, item);
}

static olica_status add_layer(olica_export *e, int layer) {
  char name[64];
  snprintf(name, sizeof name, "blk.%d.attn_norm.weight", layer);
  olica_export_item item = named(layer, OLICA_TENSOR_INPUT_NORM, fill_stored, name);
  item.shape[0] = e->source->arch.hidden;
  OLICA_TRY(add_vector(e, item));
  for (olica_projection p = OLICA_Q; p <= OLICA_O; p++) OLICA_TRY(add_projection(e, layer, p));
  snprintf(item.name, sizeof item.name, "blk.%d.ffn_norm.weight", layer);
  item.what = OLICA_TENSOR_FFN_NORM;
  OLICA_TRY(add_vector(e, item));
  for (olica_projection p = OLICA_GATE; p < OLICA_PROJECTIONS; p++) OLICA_TRY(add_projection(e, layer, p));
  return OLICA_OK;
}

static olica_status add_table(olica_export *e, olica_tensor_id id, const char *name) {
  olica_export_item item = named(0, id, fill_stored, name);
  item.shape[0] = e->source->arch.vocabulary;
  item.shape[1] = e->source->arch.hidden;
  return add_matrix(e, item);
}

static olica_status plan(olica_export *e) {
  const olica_arch *arch = &e->source->arch;
  OLICA_TRY(olica_gguf_check(e));
  OLICA_TRY(add_table(e, OLICA_TENSOR_EMBED, "token_embd.weight"));
  if (!arch->tied) OLICA_TRY(add_table(e, OLICA_TENSOR_HEAD, "output.weight"));
  olica_export_item norm = named(0, OLICA_TENSOR_NORM, fill_stored, "output_norm.weight");
  norm.shape[0] = arch->hidden;
  OLICA_TRY(add_vector(e, norm));
  if (olica_gguf_has_factors(&arch->rope[0])) {
    olica_export_item factors = named(0, 0, fill_factors, "rope_freqs.weight");
    factors.shape[0] = arch->head / 2;
    OLICA_TRY(add_vector(e, factors));
  }
  for (int l = 0; l < arch->layers; l++) OLICA_TRY(add_layer(e, l));
  return OLICA_OK;
}

static olica_status head(olica_export *e, int file, char **text, size_t *bytes) {
  olica_gguf g = {.env = e->env};
  (void)file;
  olica_gguf_general(e, &g);
  olica_gguf_model(e, &g);
  OLICA_TRY(olica_gguf_tokens(e, &g));
  return olica_gguf_end(&g, e, text, bytes);
}

const olica_export_kind olica_export_gguf = {
    .name = "gguf",
    .about = "a file for llama.cpp: architecture llama, or deci where layers differ in width or heads",
    .types =
        1U << OLICA_EXPORT_FP32 | 1U << OLICA_EXPORT_FP16 | 1U << OLICA_EXPORT_BF16 | 1U << OLICA_EXPORT_Q8_0,
    .align = OLICA_GGUF_ALIGN,
    .head_align = OLICA_GGUF_ALIGN,
    .plan = plan,
    .head = head};
