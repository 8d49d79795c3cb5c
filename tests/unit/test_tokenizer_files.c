/* Room text: tokenizer.json files that are refused, and texts that are none or long. */
#include "tokens.h"

/* ---- text that is none, and much of it ---- */

static void any_bytes(void **state) {
  fixture *f = *state;
  olica_tokenizer *t = open_json(f, "{'model': {'vocab': {'a': 0, '\ufffd': 1, '\u0100': 2}, 'merges': []}}");
  assert_string_equal(ids(f, t,
                          "a\xff\xe2\x96"
                          "a\xed\xa0\x80",
                          8, false),
                      "0 1 1 0 1 1 1");
  olica_tokenizer_close(t);
  t = open_json(f, "{'model': {'vocab': {'a': 0, '\u0100': 2}, 'merges': []}, 'pre_tokenizer': {'type': "
                   "'ByteLevel', 'add_prefix_space': false}}");
  assert_string_equal(ids(f, t, "a\0\0", 3, false), "0 2 2");
  olica_tokenizer_close(t);
}

/* Seconds would be minutes if anything here were quadratic. */
static void long_texts(void **state) {
  fixture *f = *state;
  enum { BYTES = 1 << 20 };
  static const char *const parts[] = {
      "'normalizer': {'type': 'NFC'}, ",
      "'pre_tokenizer': {'type': 'Split', 'pattern': {'Regex': '\\\\s+(?!\\\\S)|\\\\s+|[^\\\\s]+'}, "
      "'behavior': 'Isolated', "
      "'invert': false}, ",
  };
  static const char *const units[] = {"a", " ", "ab", "\u0316\u0301", "\xff"};
  char *text = olica_memory_get(f->env, "text", BYTES + 8, 1);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    for (size_t k = 0; k < sizeof units / sizeof *units; k++) {
      char json[2 * TEXT];
      olica_tokens tokens = {0};
      snprintf(
          json, sizeof json,
          "{%s'model': {'vocab': {'a': 0, 'b': 1, 'ab': 2, 'aa': 3, 'aaaa': 4, ' ': 5, '  ': 6, '    ': 7}, "
          "'merges': ['a a', 'aa aa', 'a b', [' ', ' '], ['  ', '  ']]}}",
          parts[i]);
      olica_tokenizer *t = open_json(f, json);
      size_t unit = strlen(units[k]);
      for (size_t n = 0; n + unit <= BYTES; n += unit) memcpy(text + n, units[k], unit);
      double begun = olica_timer_now();
      assert_int_equal(olica_tokenizer_encode(t, text, BYTES / unit * unit, false, &tokens), OLICA_OK);
      assert_true(olica_timer_now() - begun < 20);
      OLICA_FREE(f->env, tokens.id);
      olica_tokenizer_close(t);
    }
}

static void hostile_patterns(void **state) {
  fixture *f = *state;
  olica_tokens tokens = {0};
  olica_tokenizer *t =
      open_json(f, "{'model': {" VOCABULARY ", 'merges': []}, 'pre_tokenizer': {'type': 'Split', 'pattern': "
                   "{'Regex': '(a+)+$'}, 'behavior': 'Isolated', 'invert': false}}");
  char text[64];
  memset(text, 'a', sizeof text);
  text[63] = 'b';
  fixture_expect(f, olica_tokenizer_encode(t, text, sizeof text, false, &tokens), OLICA_ERR_INPUT, "pattern",
                 "limit");
  olica_tokenizer_close(t);
}

enum { STEPS = 40 };

/* Forty times "s" becomes "ss", on the way in (the normalizer) or back (the decoder). */
static olica_tokenizer *open_growing(fixture *f, const char *member, const char *parts, const char *content) {
  char json[2 * FILE_BYTES];
  size_t n =
      (size_t)snprintf(json, sizeof json, "{'model': {'vocab': {'s': 0}, 'merges': []}, '%s': ", member);
  n += (size_t)snprintf(json + n, sizeof json - n, "{'type': 'Sequence', '%s': [", parts);
  for (int i = 0; i < STEPS; i++)
    n += (size_t)snprintf(json + n, sizeof json - n,
                          "%s{'type': 'Replace', 'pattern': {'String': 's'}, 'content': '%s'}", i ? ", " : "",
                          content);
  snprintf(json + n, sizeof json - n, "]}}");
  return open_json(f, json);
}

/* 2^40 bytes are not tried: what a text grows to is bounded. */
static void growing_texts(void **state) {
  fixture *f = *state;
  olica_tokens tokens = {0};
  olica_tokenizer *t = open_growing(f, "normalizer", "normalizers", "ss");
  fixture_expect(f, olica_tokenizer_encode(t, "s", 1, false, &tokens), OLICA_ERR_INPUT,
                 "t.json: normalizer: step 13 makes more than 4160 bytes of a text of 1",
                 "expected at most 64 times as many, and 4096");
  assert_int_equal(tokens.count, 0);
  char text[1000];
  memset(text, 's', sizeof text);
  fixture_expect(f, olica_tokenizer_encode(t, text, sizeof text, false, &tokens), OLICA_ERR_INPUT,
                 "t.json: normalizer: step 7 makes more than 68096 bytes", "a text of 1000");
  assert_string_equal(ids(f, t, "", 0, false), "");
  olica_tokenizer_close(t);
}

/* One step alone is stopped on its way, too. */
static void growing_at_once(void **state) {
  fixture *f = *state;
  enum { BYTES = 1 << 18 };
  char content[1000] = "", *text = olica_memory_get(f->env, "text", BYTES, 1);
  olica_tokens tokens = {0};
  memset(content, 'x', sizeof content - 1);
  olica_tokenizer *t = open_growing(f, "normalizer", "normalizers", content);
  memset(text, 's', BYTES);
  fixture_expect(f, olica_tokenizer_encode(t, text, BYTES, false, &tokens), OLICA_ERR_INPUT, "step 1 makes",
                 "a text of 262144");
  assert_true(f->env->memory.peak < 200 * (size_t)BYTES);
  olica_tokenizer_close(t);
}

static void growing_back(void **state) {
  fixture *f = *state;
  char *text;
  size_t bytes;
  olica_tokenizer *t = open_growing(f, "decoder", "decoders", "ss");
  fixture_expect(f, olica_tokenizer_decode(t, (int32_t[]){0}, 1, true, &text, &bytes), OLICA_ERR_INPUT,
                 "t.json: decoder: step 13 makes more than 4224 bytes of tokens of 2",
                 "expected at most 64 times as many");
  assert_null(text);
  olica_tokenizer_close(t);
}

/* ---- files that are refused ---- */

#define MODEL "'model': {" VOCABULARY ", 'merges': []}"

static void files_that_are_refused(void **state) {
  fixture *f = *state;
  static const char *const cases[][3] = {
      {"[]", "t.json", "expected an object"},
      {"{}", "model is missing", "expected an object"},
      {"{'model': {'type': 'WordPiece'}}", "t.json: model: type is the string \"WordPiece\"", "\"BPE\""},
      {"{'model': {'type': 'BPE', 'vocab': {'a': 0}}}", "merges is missing", "expected an array"},
      {"{'model': {'vocab': {'a': -1}, 'merges': []}}", "model: vocab: a is -1", "an id in"},
      {"{'model': {'vocab': {'a': 99999999}, 'merges': []}}", "vocab: a is 99999999", "an id in"},
      {"{'model': {'vocab': {'a': 'x'}, 'merges': []}}", "vocab: a is the string", "an id in"},
      {"{'model': {'vocab': {'a': 0}, 'merges': ['a a']}}", "merges[0]", "\"aa\" is not in vocab"},
      {"{'model': {'vocab': {'a': 0}, 'merges': ['a b']}}", "merges[0]", "\"b\" is not in vocab"},
      {"{'model': {'vocab': {'a': 0}, 'merges': ['a']}}", "merges[0] is the string \"a\"", "two tokens"},
      {"{'model': {'vocab': {'a': 0}, 'merges': [['a']]}}", "merges[0] is an array", "two tokens"},
      {"{'model': {'vocab': {'a': 0}, 'merges': ['a a a']}}", "merges[0]", "two tokens"},
      {"{'model': {" VOCABULARY ", 'merges': [], 'dropout': 0.1}}", "dropout is 0.1", "[0, 0]"},
      {"{" MODEL ", 'normalizer': {'type': 'Upper'}}", "normalizer: type is the string \"Upper\"",
       "one of Prepend"},
      {"{" MODEL ", 'normalizer': {}}", "normalizer: type is missing", "a string"},
      {"{" MODEL ", 'normalizer': 3}", "normalizer is 3", "an object or null"},
      {"{" MODEL ", 'normalizer': {'type': 'Sequence', 'normalizers': [{'type': 'X'}]}}",
       "normalizer: normalizers[0]: type", "one of"},
      {"{" MODEL ", 'normalizer': {'type': 'Replace', 'pattern': 'x', 'content': ''}}",
       "pattern is the string", "String"},
      {"{" MODEL ", 'normalizer': {'type': 'Replace', 'pattern': {'Regex': '(a'}, 'content': ''}}", "byte 2",
       "parenthesis"},
      {"{" MODEL ", 'normalizer': {'type': 'Precompiled', 'precompiled_charsmap': 'AAAA'}}", "charsmap",
       "3 bytes"},
      {"{" MODEL ", 'pre_tokenizer': {'type': 'UnicodeScripts'}}", "pre_tokenizer: type", "one of ByteLevel"},
      {"{" MODEL ", 'pre_tokenizer': {'type': 'Split', 'pattern': {'String': 'a'}, 'behavior': 'x'}}",
       "behavior", "one of Removed"},
      {"{" MODEL ", 'pre_tokenizer': {'type': 'Metaspace', 'replacement': 'ab'}}", "replacement",
       "one character"},
      {"{" MODEL ", 'decoder': {'type': 'CTC'}}", "decoder: type", "one of ByteLevel"},
      {"{" MODEL ", 'decoder': {'type': 'Strip', 'content': 'a', 'start': -1, 'stop': 0}}", "start is -1",
       "integer"},
      {"{" MODEL ", 'post_processor': {'type': 'Y'}}", "post_processor: type", "one of TemplateProcessing"},
      {"{" MODEL
       ", 'post_processor': {'type': 'TemplateProcessing', 'single': [{'SpecialToken': {'id': 'S'}}]}}",
       "id is", "special_tokens"},
      {"{" MODEL ", 'post_processor': {'type': 'TemplateProcessing', 'single': []}}", "single", "Sequence"},
      {"{" MODEL ", 'post_processor': {'type': 'RobertaProcessing', 'cls': ['a', 77], 'sep': ['a', 0]}}",
       "id 77", "[0, 9)"},
      {"{" MODEL ", 'added_tokens': [{'content': 'x'}]}", "added_tokens[0]: id is missing", "integer"},
      {"{" MODEL ", 'added_tokens': [3]}", "added_tokens[0] is 3", "an object"},
      {"{" MODEL ", 'added_tokens': {}}", "added_tokens is an object", "an array"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    olica_tokenizer *tokenizer;
    size_t before = f->env->memory.now;
    olica_status status = parse(f, cases[i][0], &tokenizer);
    fixture_expect(f, status, OLICA_ERR_INPUT, cases[i][1], cases[i][2]);
    assert_null(tokenizer);
    assert_int_equal(f->env->memory.now, before);
  }
}

static void parts_in_parts(void **state) {
  fixture *f = *state;
  char *json = olica_memory_get(f->env, "json", FILE_BYTES, 1);
  olica_tokenizer *tokenizer;
  strcpy(json, "{" MODEL ", 'normalizer': ");
  for (int i = 0; i < 100; i++) strcat(json, "{'type': 'Sequence', 'normalizers': [");
  for (int i = 0; i < 100; i++) strcat(json, "]}");
  strcat(json, "}");
  fixture_expect(f, parse(f, json, &tokenizer), OLICA_ERR_INPUT, "parts are nested too deeply", "levels");
}

static void missing_unk_is_an_error_where_it_is_needed(void **state) {
  fixture *f = *state;
  olica_tokens tokens = {0};
  olica_tokenizer *t = open_json(f, "{'model': {'vocab': {'a': 0}, 'merges': [], 'unk_token': '?'}}");
  assert_string_equal(ids(f, t, "aa", 2, false), "0 0");
  fixture_expect(f, olica_tokenizer_encode(t, "b", 1, false, &tokens), OLICA_ERR_INPUT, "unk_token",
                 "model.vocab");
  OLICA_FREE(f->env, tokens.id);
  olica_tokenizer_close(t);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(growing_texts),
      FIXTURE_TEST(growing_at_once),
      FIXTURE_TEST(growing_back),
      FIXTURE_TEST(any_bytes),
      FIXTURE_TEST(long_texts),
      FIXTURE_TEST(hostile_patterns),
      FIXTURE_TEST(files_that_are_refused),
      FIXTURE_TEST(parts_in_parts),
      FIXTURE_TEST(missing_unk_is_an_error_where_it_is_needed),
  };
  MPI_Init(&argc, &argv);
  int failed = cmocka_run_group_tests_name("tokenizer files", tests, NULL, NULL);
  MPI_Finalize();
  return failed;
}
