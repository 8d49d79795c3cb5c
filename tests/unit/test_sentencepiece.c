/* Room text: SentencePiece's tokenizer.model, of both kinds, made here; files that are refused. The expected
 * ids and texts are those of the sentencepiece package. */
#include "tokens.h"

/* ---- SentencePiece ---- */

typedef struct message {
  char data[FILE_BYTES];
  size_t count;
} message;

static void put_varint(message *m, uint64_t value) {
  for (; value >= 0x80; value >>= 7) m->data[m->count++] = (char)(value | 0x80);
  m->data[m->count++] = (char)value;
}

static void put_number(message *m, unsigned field, uint64_t value) {
  put_varint(m, (uint64_t)field << 3);
  put_varint(m, value);
}

static void put_bytes(message *m, unsigned field, const void *data, size_t bytes) {
  put_varint(m, (uint64_t)field << 3 | 2);
  put_varint(m, bytes);
  memcpy(m->data + m->count, data, bytes);
  m->count += bytes;
}

static void put_piece(message *model, const char *text, float score, unsigned type) {
  message *piece = calloc(1, sizeof *piece);
  put_bytes(piece, 1, text, strlen(text));
  put_varint(piece, 2 << 3 | 5);
  memcpy(piece->data + piece->count, &score, sizeof score);
  piece->count += sizeof score;
  if (type != 1) put_number(piece, 3, type);
  put_bytes(model, 1, piece->data, piece->count);
  free(piece);
}

enum { UNIGRAM = 1, BPE = 2 };

/* <unk> 0, <s> 1, </s> 2, <x> 3 (the user's), then pieces of score -1, -2, ... from id 4 on. */
static message *make_model(int kind, bool bytes, const char *const *pieces, const unsigned *normalizer) {
  message *model = calloc(1, sizeof *model), *spec = calloc(1, sizeof *spec);
  put_piece(model, "<unk>", 0, 2);
  put_piece(model, "<s>", 0, 3);
  put_piece(model, "</s>", 0, 3);
  put_piece(model, "<x>", 0, 4);
  for (int i = 0; pieces[i]; i++) put_piece(model, pieces[i], -1.0F - (float)i, 1);
  for (int i = 0; bytes && i < 256; i++) {
    char name[8];
    snprintf(name, sizeof name, "<0x%02X>", i);
    put_piece(model, name, 0, 6);
  }
  put_number(spec, 3, (uint64_t)kind);
  if (bytes) put_number(spec, 35, 1);
  put_bytes(model, 2, spec->data, spec->count);
  spec->count = 0;
  for (unsigned i = 0; i < 3; i++) put_number(spec, 3 + i, normalizer[i]);
  put_bytes(model, 3, spec->data, spec->count);
  free(spec);
  return model;
}

static olica_status parse_model(fixture *f, const message *model, olica_tokenizer **tokenizer) {
  return olica_tokenizer_parse(f->env, "t.model", OLICA_TOKENIZER_MODEL, model->data, model->count,
                               tokenizer);
}

static void expect_model(fixture *f, const message *model, const char *text, const char *expected,
                         const char *back) {
  olica_tokenizer *t;
  olica_tokens tokens = {0};
  char *decoded;
  size_t bytes;
  if (parse_model(f, model, &t) != OLICA_OK) fail_msg("%s", f->env->error.text);
  assert_string_equal(ids(f, t, text, strlen(text), false), expected);
  assert_int_equal(olica_tokenizer_bos(t), 1);
  assert_int_equal(olica_tokenizer_encode(t, text, strlen(text), true, &tokens), OLICA_OK);
  assert_int_equal(tokens.id[0], 1);
  assert_int_equal(olica_tokenizer_decode(t, tokens.id, tokens.count, false, &decoded, &bytes), OLICA_OK);
  assert_string_equal(decoded, back);
  olica_memory_free(f->env, decoded);
  OLICA_FREE(f->env, tokens.id);
  olica_tokenizer_close(t);
}

static const char *const pieces[] = {"\u2581", "a", "b", "\u2581a", "ab", "aa", "\u2581ab", NULL};
static const unsigned usual[] = {1, 1, 1}, faithful[] = {1, 0, 1}, bare[] = {0, 0, 1};

static void sentencepiece_bpe(void **state) {
  message *m = make_model(BPE, false, pieces, usual);
  expect_model(*state, m, "ab", "10", "ab");
  expect_model(*state, m, "  a   b ", "7 4 6", "a b");
  expect_model(*state, m, "a<x>a", "7 3 5", "a<x>a");
  expect_model(*state, m, "a??b", "7 0 6", "a \u2047 b");
  expect_model(*state, m, "aab", "7 8", "aab");
  expect_model(*state, m, "", "", "");
  expect_model(*state, m, "   ", "", "");
  free(m);
  m = make_model(BPE, true, pieces, faithful);
  expect_model(*state, m, "  a\u00e9\n", "4 4 7 206 180 21", "  a\u00e9\n");
  expect_model(*state, m, "\xff", "4 250 202 200", "\ufffd");
  free(m);
}

static void sentencepiece_unigram(void **state) {
  message *m = make_model(UNIGRAM, false, pieces, usual);
  expect_model(*state, m, "ab", "4 8", "ab"); /* -1 - 5, not -4 - 3 or -7 */
  expect_model(*state, m, "a??b", "4 5 0 6", "a \u2047 b");
  expect_model(*state, m, "a<x>b", "4 5 3 6", "a<x>b");
  free(m);
  m = make_model(UNIGRAM, true, pieces, bare);
  expect_model(*state, m, "b z", "6 4 133", "b z");
  free(m);
}

static void models_that_are_refused(void **state) {
  fixture *f = *state;
  olica_tokenizer *t;
  static const char *const twice[] = {"a", "a", NULL};
  message *m = make_model(BPE, false, pieces, usual);
  for (size_t cut = 1; cut < m->count; cut++) { /* cut anywhere: refused, or whole up to there */
    char *part = malloc(cut);                   /* no byte more: the sanitizer sees who reads on */
    memcpy(part, m->data, cut);
    olica_status status = olica_tokenizer_parse(f->env, "t.model", OLICA_TOKENIZER_MODEL, part, cut, &t);
    free(part);
    if (status == OLICA_OK)
      olica_tokenizer_close(t);
    else
      fixture_expect(f, status, OLICA_ERR_INPUT, "t.model", "");
  }
  free(m);
  m = make_model(3, false, pieces, usual);
  fixture_expect(f, parse_model(f, m, &t), OLICA_ERR_INPUT, "model_type is 3", "1 (unigram) or 2 (BPE)");
  free(m);
  m = make_model(BPE, false, twice, usual);
  fixture_expect(f, parse_model(f, m, &t), OLICA_ERR_INPUT, "piece 5", "twice");
  m->count = 0;
  fixture_expect(f, parse_model(f, m, &t), OLICA_ERR_INPUT, "no pieces", "");
  put_piece(m, "\xff", 0, 1);
  fixture_expect(f, parse_model(f, m, &t), OLICA_ERR_INPUT, "piece 0", "no UTF-8");
  m->count = 0;
  put_piece(m, "a", 0, 1);
  fixture_expect(f, parse_model(f, m, &t), OLICA_ERR_INPUT, "type 2", "unknown");
  m->count = 0;
  put_piece(m, "a", 0, 9);
  fixture_expect(f, parse_model(f, m, &t), OLICA_ERR_INPUT, "type", "1 to 6");
  free(m);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(sentencepiece_bpe),
      FIXTURE_TEST(sentencepiece_unigram),
      FIXTURE_TEST(models_that_are_refused),
  };
  MPI_Init(&argc, &argv);
  int failed = cmocka_run_group_tests_name("sentencepiece", tests, NULL, NULL);
  MPI_Finalize();
  return failed;
}
