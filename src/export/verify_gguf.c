#include "verify_gguf.h"

#include <stdio.h>
#include <string.h>

#include "gguf_arch.h"
#include "io/json.h"

enum { KEY = 96, SIZE_MOST = 1 << 30, LAYERS_MOST = 1 << 16 };

/* The file, and what its keys say. */
typedef struct model {
  olica_env *env;
  const char *path, *arch;
  const olica_gguf_arch *row;
  const olica_catalog *catalog;
  const json_t *metadata;
  int64_t layers, hidden, head, turning, vocabulary;
  int known; /* tensors that were found where they should be */
} model;

/* ---- keys ---- */

static const json_t *value_of(const model *m, const char *key) {
  char name[KEY];
  snprintf(name, sizeof name, "%s.%s", m->arch, key);
  return json_object_get(m->metadata, name);
}

static olica_status refuse_value(const model *m, const char *key, const json_t *value) {
  char found[OLICA_JSON_TEXT];
  olica_json_describe(value, found);
  return olica_error_set(m->env, OLICA_ERR_INPUT, "%s: %s.%s is %s, expected a whole number from 1 on%s",
                         m->path, m->arch, key, found, json_is_array(value) ? ", or one for each layer" : "");
}

static bool is_size(const json_t *value) {
  return json_is_integer(value) && json_integer_value(value) >= 1 && json_integer_value(value) <= SIZE_MOST;
}

static olica_status take(const model *m, const char *key, int64_t *number) {
  const json_t *value = value_of(m, key);
  if (!is_size(value)) return refuse_value(m, key, value);
  *number = json_integer_value(value);
  return OLICA_OK;
}

/* Takes the number of one layer: there is one for all, or a list. */
static olica_status take_layer(const model *m, const char *key, int64_t layer, int64_t *number) {
  const json_t *value = value_of(m, key);
  const json_t *its = value;
  if (json_is_array(value))
    its = (int64_t)json_array_size(value) == m->layers ? json_array_get(value, (size_t)layer) : NULL;
  if (!is_size(its)) return refuse_value(m, key, value);
  *number = json_integer_value(its);
  return OLICA_OK;
}

static olica_status take_model(model *m) {
  m->arch = json_string_value(json_object_get(m->metadata, "general.architecture"));
  m->row = m->arch ? olica_gguf_find(m->arch) : NULL;
  if (!m->row)
    return olica_error_set(m->env, OLICA_ERR_INPUT,
                           "%s: general.architecture is %.40s, expected one that --export writes (--inspect "
                           "shows any GGUF file)",
                           m->path, m->arch ? m->arch : "missing");
  OLICA_TRY(take(m, "block_count", &m->layers));
  if (m->layers > LAYERS_MOST) return refuse_value(m, "block_count", value_of(m, "block_count"));
  OLICA_TRY(take(m, "embedding_length", &m->hidden));
  OLICA_TRY(take(m, "attention.key_length", &m->head));
  OLICA_TRY(take(m, "rope.dimension_count", &m->turning));
  return take(m, "vocab_size", &m->vocabulary);
}

/* A model without a tokenizer has no list of tokens. */
static olica_status check_tokens(const model *m) {
  const json_t *tokens = json_object_get(m->metadata, "tokenizer.ggml.tokens");
  int64_t count = json_is_array(tokens) ? (int64_t)json_array_size(tokens)
                                        : (int64_t)json_integer_value(json_object_get(tokens, "count"));
  const char *kind = json_string_value(json_object_get(m->metadata, "tokenizer.ggml.model"));
  if (count == m->vocabulary || (!tokens && kind && strcmp(kind, "no_vocab") == 0)) return OLICA_OK;
  return olica_error_set(m->env, OLICA_ERR_INPUT,
                         "%s: %lld tokens in tokenizer.ggml.tokens, expected the %lld of %s.vocab_size",
                         m->path, (long long)count, (long long)m->vocabulary, m->arch);
}

/* ---- tensors ---- */

/* Checks a tensor [rows, columns], a vector with columns 0. */
static olica_status check(model *m, const char *name, bool needed, int64_t rows, int64_t columns) {
  const olica_tensor *tensor = olica_catalog_find(m->catalog, name);
  if (!tensor && !needed) return OLICA_OK;
  m->known++;
  int dims = columns > 0 ? 2 : 1;
  if (!tensor || tensor->dims != dims || tensor->shape[0] != rows ||
      (dims == 2 && tensor->shape[1] != columns))
    return olica_error_set(m->env, OLICA_ERR_INPUT, "%s: %s is %s, expected %lld x %lld as the keys have it",
                           m->path, name, tensor ? "of another shape" : "missing", (long long)rows,
                           (long long)(columns > 0 ? columns : 1));
  bool known = tensor->dtype != OLICA_DTYPES || (dims == 2 && strcmp(tensor->stored, "Q8_0") == 0);
  if (known) return OLICA_OK;
  return olica_error_set(m->env, OLICA_ERR_INPUT,
                         "%s: %s is of type %s, expected F32, F16, BF16 or Q8_0, which --export writes",
                         m->path, name, tensor->stored);
}

/* Checks a matrix of a layer, and its bias, which may be absent. */
static olica_status check_linear(model *m, int64_t layer, const char *name, int64_t rows, int64_t columns) {
  char full[OLICA_TENSOR_NAME];
  snprintf(full, sizeof full, "blk.%lld.%s.weight", (long long)layer, name);
  OLICA_TRY(check(m, full, true, rows, columns));
  snprintf(full, sizeof full, "blk.%lld.%s.bias", (long long)layer, name);
  return check(m, full, false, rows, 0);
}

/* Checks a norm of a layer, which is there or not, and its bias. */
static olica_status check_norm(model *m, int64_t layer, const char *name, bool there, int64_t numbers) {
  char full[OLICA_TENSOR_NAME];
  if (!there) return OLICA_OK;
  snprintf(full, sizeof full, "blk.%lld.%s.weight", (long long)layer, name);
  OLICA_TRY(check(m, full, true, numbers, 0));
  snprintf(full, sizeof full, "blk.%lld.%s.bias", (long long)layer, name);
  return check(m, full, false, numbers, 0);
}

static olica_status check_attention(model *m, int64_t layer) {
  int64_t heads, kv_heads;
  OLICA_TRY(take_layer(m, "attention.head_count", layer, &heads));
  OLICA_TRY(take_layer(m, "attention.head_count_kv", layer, &kv_heads));
  bool normed = m->row->qk_norm != OLICA_QK_NORM_NONE, all = m->row->qk_norm == OLICA_QK_NORM_WIDTH;
  OLICA_TRY(check_linear(m, layer, "attn_q", heads * m->head, m->hidden));
  OLICA_TRY(check_linear(m, layer, "attn_k", kv_heads * m->head, m->hidden));
  OLICA_TRY(check_linear(m, layer, "attn_v", kv_heads * m->head, m->hidden));
  OLICA_TRY(check_linear(m, layer, "attn_output", m->hidden, heads * m->head));
  OLICA_TRY(check_norm(m, layer, "attn_q_norm", normed, m->head * (all ? heads : 1)));
  return check_norm(m, layer, "attn_k_norm", normed, m->head * (all ? kv_heads : 1));
}

static olica_status check_ffn(model *m, int64_t layer) {
  int64_t ffn;
  OLICA_TRY(take_layer(m, "feed_forward_length", layer, &ffn));
  if (!m->row->block.plain_ffn && !m->row->packed)
    OLICA_TRY(check_linear(m, layer, "ffn_gate", ffn, m->hidden));
  OLICA_TRY(check_linear(m, layer, "ffn_up", m->row->packed ? 2 * ffn : ffn, m->hidden));
  return check_linear(m, layer, "ffn_down", m->hidden, ffn);
}

static olica_status check_layer(model *m, int64_t layer) {
  const olica_block *block = &m->row->block;
  OLICA_TRY(check_norm(m, layer, "attn_norm", !block->bare_inputs, m->hidden));
  OLICA_TRY(check_attention(m, layer));
  OLICA_TRY(check_norm(m, layer, "post_attention_norm", block->output_norms, m->hidden));
  OLICA_TRY(check_norm(m, layer, "ffn_norm", !block->bare_inputs && !block->parallel, m->hidden));
  OLICA_TRY(check_ffn(m, layer));
  return check_norm(m, layer, "post_ffw_norm", block->output_norms, m->hidden);
}

static olica_status check_tensors(model *m) {
  OLICA_TRY(check(m, "token_embd.weight", true, m->vocabulary, m->hidden));
  OLICA_TRY(check(m, "output.weight", false, m->vocabulary, m->hidden));
  OLICA_TRY(check(m, "output_norm.weight", true, m->hidden, 0));
  OLICA_TRY(check(m, "output_norm.bias", false, m->hidden, 0));
  OLICA_TRY(check(m, "rope_freqs.weight", false, m->turning / 2, 0));
  OLICA_TRY(check(m, "rope_factors_short.weight", false, m->turning / 2, 0));
  OLICA_TRY(check(m, "rope_factors_long.weight", false, m->turning / 2, 0));
  for (int64_t l = 0; l < m->layers; l++) OLICA_TRY(check_layer(m, l));
  if (m->known == m->catalog->count) return OLICA_OK;
  return olica_error_set(m->env, OLICA_ERR_INPUT, "%s: %d tensors, expected %d as the keys have them",
                         m->path, m->catalog->count, m->known);
}

/* llama.cpp's numbers of a file's types. */
static olica_status take_type(const model *m, olica_export_type *type) {
  static const int numbers[OLICA_EXPORT_TYPES] = {0, 1, 32, 7};
  const json_t *value = json_object_get(m->metadata, "general.file_type");
  for (int t = 0; json_is_integer(value) && t < OLICA_EXPORT_TYPES; t++)
    if (json_integer_value(value) == numbers[t]) {
      *type = (olica_export_type)t;
      return OLICA_OK;
    }
  return olica_error_set(m->env, OLICA_ERR_INPUT,
                         "%s: general.file_type is %lld, expected 0, 1, 7 or 32, which --export writes",
                         m->path, (long long)json_integer_value(value));
}

olica_status olica_gguf_verify(olica_env *env, const char *path, const olica_catalog *catalog,
                               const json_t *metadata, olica_export_type *type) {
  model m = {.env = env, .path = path, .catalog = catalog, .metadata = metadata};
  OLICA_TRY(take_model(&m));
  OLICA_TRY(take_type(&m, type));
  OLICA_TRY(check_tokens(&m));
  return check_tensors(&m);
}
