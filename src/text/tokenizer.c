#include "text/tokenizer.h"

#include "tokenizer_parts.h"

/* BPE reads bytes by their stand-ins; unigram needs the characters. */
static olica_status map_piece(olica_tokenizer *t, olica_piece *piece) {
  t->mapped.count = 0;
  for (size_t i = 0; i < piece->text.bytes; i++)
    OLICA_TRY(
        olica_unicode_append(t->env, &t->mapped, olica_unicode_of_byte((unsigned char)piece->text.data[i])));
  piece->text = olica_bytes_span(&t->mapped);
  return OLICA_OK;
}

static olica_status take_piece(void *taker, olica_piece piece) {
  olica_tokenizer *t = taker;
  if (t->unigram.env && piece.mapped) OLICA_TRY(map_piece(t, &piece));
  if (t->unigram.env) return olica_unigram_encode(&t->unigram, piece.text, t->tokens);
  return olica_bpe_encode(&t->bpe, piece.text, piece.mapped, t->tokens);
}

static olica_status read_file(olica_tokenizer *t, const char *name, olica_tokenizer_format format,
                              const char *bytes, size_t count) {
  t->is_model = format == OLICA_TOKENIZER_MODEL;
  for (int i = 0; i < OLICA_ROLES; i++) t->role[i] = -1;
  t->name = olica_memory_string(t->env, name);
  if (!t->name) return t->env->error.code;
  t->normalizers = (olica_normalizers){.env = t->env, .name = t->name};
  t->pretokenizers = (olica_pretokenizers){.env = t->env, .name = t->name, .take = take_piece, .taker = t};
  t->decoders = (olica_decoders){.env = t->env, .name = t->name};
  t->bpe = (olica_bpe){.env = t->env, .name = t->name, .vocabulary = &t->vocabulary, .unk = -1};
  if (format == OLICA_TOKENIZER_JSON) return olica_tokenizer_read_json(t, bytes, count);
  return olica_tokenizer_read_model(t, bytes, count);
}

olica_status olica_tokenizer_parse(olica_env *env, const char *name, olica_tokenizer_format format,
                                   const char *bytes, size_t count, olica_tokenizer **tokenizer) {
  olica_tokenizer *t;
  *tokenizer = NULL;
  OLICA_TRY(OLICA_NEW(env, t, 1));
  t->env = env;
  olica_status status = read_file(t, name, format, bytes, count);
  if (status != OLICA_OK)
    olica_tokenizer_close(t);
  else
    *tokenizer = t;
  return status;
}

void olica_tokenizer_close(olica_tokenizer *t) {
  if (!t) return;
  olica_env *env = t->env;
  olica_vocabulary_free(env, &t->vocabulary);
  for (size_t i = 0; i < t->added_count; i++) olica_memory_free(env, t->added[i].shown);
  OLICA_FREE(env, t->added);
  olica_vocabulary_free(env, &t->added_texts);
  olica_trie_free(env, &t->plain);
  olica_trie_free(env, &t->normalized);
  olica_normalizers_free(&t->normalizers);
  olica_pretokenizers_free(&t->pretokenizers);
  olica_bpe_free(&t->bpe);
  olica_unigram_free(&t->unigram);
  olica_memory_free(env, t->score);
  olica_memory_free(env, t->weight);
  olica_memory_free(env, t->user);
  olica_memory_free(env, t->type);
  olica_memory_free(env, t->unk_surface);
  olica_decoders_free(&t->decoders);
  OLICA_FREE(env, t->before.id);
  OLICA_FREE(env, t->after.id);
  OLICA_FREE(env, t->text);
  OLICA_FREE(env, t->special);
  OLICA_FREE(env, t->repaired.data);
  OLICA_FREE(env, t->mapped.data);
  OLICA_FREE(env, t->name);
  olica_memory_free(env, t);
}

int64_t olica_tokenizer_size(const olica_tokenizer *tokenizer) {
  return tokenizer->size;
}

int32_t olica_tokenizer_bos(const olica_tokenizer *tokenizer) {
  return tokenizer->before.count ? tokenizer->before.id[0] : tokenizer->role[OLICA_ROLE_BOS];
}

olica_status olica_tokenizer_index(olica_tokenizer *t) {
  t->size = t->vocabulary.size;
  for (size_t i = 0; i < t->added_count; i++)
    if (t->added[i].id >= t->size) t->size = t->added[i].id + 1;
  OLICA_TRY(OLICA_NEW(t->env, t->text, (size_t)t->size));
  OLICA_TRY(OLICA_NEW(t->env, t->special, (size_t)t->size));
  for (int32_t i = 0; i < t->vocabulary.size; i++) t->text[i] = t->vocabulary.text[i];
  for (size_t i = 0; i < t->added_count; i++) {
    const olica_added_token *token = &t->added[i];
    t->text[token->id] = token->shown ? (olica_span){token->shown, token->shown_bytes} : token->text;
    t->special[t->added[i].id] = t->added[i].special;
  }
  return OLICA_OK;
}

/* ---- encoding ---- */

/* Encodes a part of the normalized text that contains no added token. */
static olica_status encode_rest(olica_tokenizer *t, olica_span text, bool first) {
  return olica_pretokenizers_pass(&t->pretokenizers, 0, (olica_piece){text, first, false});
}

/* Encodes a part of the original text: normalizes it, then divides it at the tokens matched in normalized
 * text. */
static olica_status encode_part(olica_tokenizer *t, olica_span text, bool first) {
  if (text.bytes == 0) return OLICA_OK;
  olica_added_match m = {0};
  t->at_start = first;
  OLICA_TRY(olica_normalizers_apply(&t->normalizers, text, &text));
  /* SentencePiece's unigram model matches user-defined pieces itself. */
  while (!(t->unigram.env && t->is_model) && olica_added_next(&t->normalized, t->added, text, &m)) {
    OLICA_TRY(encode_rest(t, (olica_span){text.data + m.at, m.begin - m.at}, first && m.at == 0));
    OLICA_TRY(olica_tokens_append(t->env, t->tokens, &t->added[m.token].id, 1));
  }
  return encode_rest(t, (olica_span){text.data + m.at, text.bytes - m.at}, first && m.at == 0);
}

static olica_status encode_text(olica_tokenizer *t, olica_span text) {
  olica_added_match m = {0};
  if (!t->reads_bytes) OLICA_TRY(olica_unicode_repair(t->env, text, false, &t->repaired, &text));
  while (olica_added_next(&t->plain, t->added, text, &m)) {
    OLICA_TRY(encode_part(t, (olica_span){text.data + m.at, m.begin - m.at}, m.at == 0));
    OLICA_TRY(olica_tokens_append(t->env, t->tokens, &t->added[m.token].id, 1));
  }
  return encode_part(t, (olica_span){text.data + m.at, text.bytes - m.at}, m.at == 0);
}

olica_status olica_tokenizer_encode(olica_tokenizer *tokenizer, const char *text, size_t bytes, bool special,
                                    olica_tokens *tokens) {
  olica_tokenizer *t = tokenizer;
  t->tokens = tokens;
  if (special) OLICA_TRY(olica_tokens_append(t->env, tokens, t->before.id, t->before.count));
  OLICA_TRY(encode_text(t, (olica_span){bytes ? text : "", bytes}));
  if (special) OLICA_TRY(olica_tokens_append(t->env, tokens, t->after.id, t->after.count));
  return OLICA_OK;
}

/* ---- decoding ---- */

static olica_status gather_tokens(olica_tokenizer *t, const int32_t *id, size_t count, bool special,
                                  olica_parts *parts) {
  for (size_t i = 0; i < count; i++) {
    if (id[i] < 0 || id[i] >= t->size || !t->text[id[i]].data)
      return olica_error_set(t->env, OLICA_ERR_INPUT,
                             "%s: id %d (number %zu) has no token, expected ids in [0, %d)", t->name, id[i],
                             i, t->size);
    olica_span token = t->text[id[i]];
    if (special || !t->special[id[i]]) OLICA_TRY(olica_parts_append(t->env, parts, token.data, token.bytes));
  }
  return OLICA_OK;
}

olica_status olica_tokenizer_decode(olica_tokenizer *t, const int32_t *id, size_t count, bool special,
                                    char **text, size_t *bytes) {
  olica_parts parts = {0};
  olica_bytes out = {0};
  olica_status status = gather_tokens(t, id, count, special, &parts);
  if (status == OLICA_OK) status = olica_decoders_apply(&t->decoders, &parts, &out);
  if (status == OLICA_OK) status = olica_bytes_append(t->env, &out, "", 1);
  olica_parts_free(t->env, &parts);
  if (status != OLICA_OK) OLICA_FREE(t->env, out.data);
  *text = out.data;
  *bytes = out.data ? out.count - 1 : 0;
  return status;
}
