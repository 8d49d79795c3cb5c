/* Reads the unigram model of a tokenizer.json. */
#include <math.h>
#include <stdio.h>

#include "tokenizer_parts.h"

/* ["piece", -3.5] */
static olica_status check_piece(const olica_node *model, size_t i) {
  olica_node element;
  OLICA_TRY(olica_node_element(model, "vocab", i, &element));
  if (json_array_size(element.value) == 2 && json_is_string(json_array_get(element.value, 0)) &&
      json_is_number(json_array_get(element.value, 1)))
    return OLICA_OK;
  return olica_node_refuse(&element, NULL, "a piece and its score, as [\"a\", -3.5]");
}

static olica_status read_pieces(olica_tokenizer *t, const olica_node *model, size_t count) {
  const json_t *vocab = json_object_get(model->value, "vocab");
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) {
    OLICA_TRY(check_piece(model, i));
    bytes += json_string_length(json_array_get(json_array_get(vocab, i), 0));
  }
  OLICA_TRY(olica_vocabulary_begin(t->env, &t->vocabulary, count, bytes, (int32_t)count));
  OLICA_TRY(OLICA_NEW(t->env, t->weight, count));
  t->unigram.least = INFINITY;
  for (size_t i = 0; i < count; i++) {
    const json_t *pair = json_array_get(vocab, i), *piece = json_array_get(pair, 0);
    olica_span text = {json_string_value(piece), json_string_length(piece)};
    if (!olica_vocabulary_add(&t->vocabulary, text, (int32_t)i))
      return olica_error_set(t->env, OLICA_ERR_INPUT, "%s: vocab[%zu]: \"%.*s\" occurs twice", model->where,
                             i, (int)(text.bytes < 60 ? text.bytes : 60), text.data);
    t->weight[i] = json_number_value(json_array_get(pair, 1));
    t->unigram.least = fmin(t->unigram.least, t->weight[i]);
    OLICA_TRY(olica_trie_add(t->env, &t->unigram.trie, t->vocabulary.text[i], (int32_t)i));
  }
  return OLICA_OK;
}

static void find_bytes(olica_tokenizer *t) {
  for (int i = 0; i < 256; i++) {
    char name[8];
    snprintf(name, sizeof name, "<0x%02X>", i);
    t->bpe.byte[i] = olica_vocabulary_find(&t->vocabulary, (olica_span){name, 6});
  }
}

olica_status olica_tokenizer_read_unigram(olica_tokenizer *t, const olica_node *model) {
  size_t count;
  int64_t unk = -1;
  bool byte_fallback = false;
  OLICA_TRY(olica_node_list(model, "vocab", &count));
  if (count < 1 || count >= OLICA_IDS_MAX)
    return olica_node_refuse(model, "vocab", "pieces, fewer than 2^22");
  OLICA_TRY(olica_node_integer(model, "unk_id", false, 0, (int64_t)count - 1, &unk));
  OLICA_TRY(olica_node_boolean(model, "byte_fallback", false, &byte_fallback));
  t->unigram = (olica_unigram){.env = t->env, .unk = (int32_t)unk, .name = t->name};
  OLICA_TRY(read_pieces(t, model, count));
  t->unigram.weight = t->weight;
  if (byte_fallback) {
    find_bytes(t);
    t->unigram.byte = t->bpe.byte;
  }
  return OLICA_OK;
}
