/* Compares two files of one tokenizer. */
#include <stdio.h>

#include "surroundings.h"

/* Words, spaces, line breaks, numbers, characters of two and three bytes: frequent errors of converters. */
static const char probe[] =
    "The 1234 quick, brown foxes\n  don't jump: caf\xc3\xa9  \xe6\x97\xa5\xe6\x9c\xac (x = y)";

static int shown(olica_span text) {
  return text.bytes < 30 ? (int)text.bytes : 30;
}

/* Returns true for "<0x09>" and the byte itself: Gemma's converter writes the tabulator so, with the same
 * ids. */
static bool is_byte(olica_span piece, olica_span other) {
  char text[8];
  if (other.bytes != 1) return false;
  int bytes = snprintf(text, sizeof text, "<0x%02X>", (unsigned)(unsigned char)other.data[0]);
  return olica_span_is(piece, text, (size_t)bytes);
}

/* Finds the first piece with another id in tokenizer.json, or missing there. */
static void compare_pieces(const olica_tokenizer *json, const olica_tokenizer *model,
                           char why[OLICA_TOKENIZER_WHY]) {
  for (int32_t id = 0; id < model->vocabulary.size; id++) {
    olica_span piece = model->vocabulary.text[id];
    olica_span other = id < json->vocabulary.size ? json->vocabulary.text[id] : (olica_span){0};
    if (!other.data && id < json->size) other = json->text[id];
    if (other.data && (olica_span_is(piece, other.data, other.bytes) || is_byte(piece, other))) continue;
    snprintf(why, OLICA_TOKENIZER_WHY, "has other tokens: id %d is \"%.*s\" there, here \"%.*s\"", id,
             shown(piece), piece.data, shown(other), other.data ? other.data : "");
    return;
  }
}

static olica_status compare_probe(olica_tokenizer *json, olica_tokenizer *model,
                                  char why[OLICA_TOKENIZER_WHY]) {
  olica_tokens a = {0}, b = {0};
  olica_status status = olica_tokenizer_encode(json, probe, sizeof probe - 1, false, &a);
  if (status == OLICA_OK) status = olica_tokenizer_encode(model, probe, sizeof probe - 1, false, &b);
  bool same = a.count == b.count && (a.count == 0 || memcmp(a.id, b.id, a.count * sizeof *a.id) == 0);
  if (status == OLICA_OK && !same)
    snprintf(why, OLICA_TOKENIZER_WHY, "has the same tokens, and gives other ids for a text");
  OLICA_FREE(json->env, a.id);
  OLICA_FREE(json->env, b.id);
  return status;
}

/* The comparison is optional: only a lack of memory is an error. */
static olica_status forgive(olica_env *env, olica_status status, char why[OLICA_TOKENIZER_WHY]) {
  if (status == OLICA_OK || status == OLICA_ERR_MEMORY) return status;
  snprintf(why, OLICA_TOKENIZER_WHY, "cannot be read, which does no harm here (%.90s)", env->error.text);
  olica_error_clear(env);
  return OLICA_OK;
}

olica_status olica_tokenizer_compare(olica_tokenizer *json, const char *name, const char *bytes, size_t count,
                                     char why[OLICA_TOKENIZER_WHY]) {
  olica_tokenizer *model;
  olica_status status = olica_tokenizer_parse(json->env, name, OLICA_TOKENIZER_MODEL, bytes, count, &model);
  if (status == OLICA_OK) {
    compare_pieces(json, model, why);
    if (!*why) status = compare_probe(json, model, why);
  }
  olica_tokenizer_close(model);
  return forgive(json->env, status, why);
}
