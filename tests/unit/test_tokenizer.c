/* Room text: every part of a tokenizer.json on small texts. The expected pieces and ids are those of the
 * tokenizers package. */
#include "tokens.h"

static void expect_ids(fixture *f, const char *json, const char *text, const char *expected) {
  olica_tokenizer *tokenizer = open_json(f, json);
  assert_string_equal(ids(f, tokenizer, text, strlen(text), false), expected);
  assert_string_equal(ids(f, tokenizer, text, strlen(text), false), expected); /* from the cache */
  olica_tokenizer_close(tokenizer);
}

/* A tokenizer whose ids, turned back, show its pieces: each ends with "|", as the model's suffix has it. */
static void put_showing(char *json, const char *parts) {
  static const char *const more[] = {"\u00e9", "\u0301", "\u2581", "\u0120", "\u010a", "\u65e5", "\u00c3",
                                     "\u00a9", "\u00df", "\u2460", "\ufb01", "\u2026", "\u0130", "\u0307",
                                     "\u0660", "\u00a0", "\u00bd", "\u00b2", "\u09f4", "\u00ad", "\u0378"};
  size_t n = (size_t)snprintf(json, FILE_BYTES,
                              "{%s, 'model': {'type': 'BPE', 'end_of_word_suffix': '|', "
                              "'merges': [], 'vocab': {'': 0",
                              parts);
  n +=
      (size_t)snprintf(json + n, FILE_BYTES - n, ", '\\u0027': 1, '\\u0027|': 2"); /* the apostrophe itself */
  int id = 3;
  for (char c = ' '; c <= '~'; c++)
    if (c != '"' && c != '\'' && c != '\\' && c != '|')
      n += (size_t)snprintf(json + n, FILE_BYTES - n, ", '%c': %d, '%c|': %d", c, id, c, id + 1), id += 2;
  for (size_t i = 0; i < sizeof more / sizeof *more; i++, id += 2)
    n += (size_t)snprintf(json + n, FILE_BYTES - n, ", '%s': %d, '%s|': %d", more[i], id, more[i], id + 1);
  snprintf(json + n, FILE_BYTES - n, "}}, 'decoder': {'type': 'Fuse'}}");
}

static void expect_pieces(fixture *f, const char *parts, const char *text, const char *expected) {
  char *json = olica_memory_get(f->env, "json", FILE_BYTES, 1), *back;
  size_t bytes;
  put_showing(json, parts);
  olica_tokenizer *tokenizer = open_json(f, json);
  olica_tokens tokens = {0};
  assert_int_equal(olica_tokenizer_encode(tokenizer, text, strlen(text), false, &tokens), OLICA_OK);
  assert_int_equal(olica_tokenizer_decode(tokenizer, tokens.id, tokens.count, true, &back, &bytes), OLICA_OK);
  if (strcmp(back, expected) != 0)
    fail_msg("%s\non \"%s\": \"%s\", expected \"%s\"", parts, text, back, expected);
  assert_int_equal(bytes, strlen(expected));
  olica_memory_free(f->env, back);
  olica_memory_free(f->env, json);
  OLICA_FREE(f->env, tokens.id);
  olica_tokenizer_close(tokenizer);
}

/* ---- the parts ---- */

static void normalizers(void **state) {
  static const struct {
    const char *part, *text, *expected;
  } cases[] = {
      {"null", "A b", "A b|"},
      {"{'type': 'Lowercase'}", "A\u00c9\u0130", "a\u00e9i\u0307|"},
      {"{'type': 'NFC'}", "e\u0301", "\u00e9|"},
      {"{'type': 'NFD'}", "\u00e9\ufb01", "e\u0301\ufb01|"},
      {"{'type': 'NFKC'}", "e\u0301\ufb01\u2460", "\u00e9fi1|"},
      {"{'type': 'NFKD'}", "\u00e9\u2026", "e\u0301...|"},
      {"{'type': 'Strip', 'strip_left': true, 'strip_right': false}", "\u00a0 a b ", "a b |"},
      {"{'type': 'Strip', 'strip_left': true, 'strip_right': true}", " \n ", ""},
      {"{'type': 'Sequence', 'normalizers': [{'type': 'NFD'}, {'type': 'StripAccents'}]}", "\u00e9e", "ee|"},
      {"{'type': 'Prepend', 'prepend': '_'}", "a", "_a|"},
      {"{'type': 'Prepend', 'prepend': '_'}", "", ""},
      {"{'type': 'Replace', 'pattern': {'String': 'l'}, 'content': 'LL'}", "llama", "LLLLama|"},
      {"{'type': 'Replace', 'pattern': {'Regex': '[ae]+'}, 'content': '-'}", "aeba", "-b-|"},
      {"{'type': 'Replace', 'pattern': {'Regex': 'x{2,}'}, 'content': ''}", "axxxbx", "abx|"},
      {"{'type': 'ByteLevel'}", " \u00e9", "\u0120\u00c3\u00a9|"},
      {"{'type': 'Nmt'}", "a\tb\x01", "a b|"},
      {"{'type': 'BertNormalizer', 'clean_text': true, 'handle_chinese_chars': true, 'strip_accents': null, "
       "'lowercase': true}",
       "\u00c9\u65e5\x02\u0378", "e \u65e5 \u0378|"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char parts[TEXT];
    snprintf(parts, sizeof parts, "'normalizer': %s", cases[i].part);
    expect_pieces(*state, parts, cases[i].text, cases[i].expected);
  }
}

static void pretokenizers(void **state) {
  static const struct {
    const char *part, *text, *expected;
  } cases[] = {
      {"{'type': 'Whitespace'}", " Hi, you_2!?  \u00e9", "Hi|,|you_2|!?|\u00e9|"},
      {"{'type': 'WhitespaceSplit'}", " Hi, you\u00a0\n2", "Hi,|you|2|"},
      {"{'type': 'Punctuation'}", "a,b!?$\u2026", "a|,|b|!|?|$|\u2026|"},
      {"{'type': 'Punctuation', 'behavior': 'Contiguous'}", "a,b!?c", "a|,|b|!?|c|"},
      {"{'type': 'BertPreTokenizer'}", "Hi, you", "Hi|,|you|"},
      {"{'type': 'Digits', 'individual_digits': true}", "a12\u0660b\u2460", "a|1|2|\u0660|b|\u2460|"},
      {"{'type': 'Digits', 'individual_digits': false}", "a12b", "a|12|b|"},
      {"{'type': 'CharDelimiterSplit', 'delimiter': '-'}", "a-b--c", "a|b|c|"},
      {"{'type': 'FixedLength', 'length': 2}", "abcd\u00e9", "ab|cd|\u00e9|"},
      {"{'type': 'Metaspace', 'replacement': '\u2581', 'prepend_scheme': 'always', 'split': true}", "a b",
       "\u2581a|\u2581b|"},
      {"{'type': 'Metaspace', 'replacement': '\u2581', 'prepend_scheme': 'always'}", " a b",
       "\u2581a|\u2581b|"},
      {"{'type': 'Metaspace', 'replacement': '\u2581', 'prepend_scheme': 'never'}", "a b", "a|\u2581b|"},
      {"{'type': 'Metaspace', 'replacement': '\u2581', 'prepend_scheme': 'first', 'split': false}", "a b",
       "\u2581a\u2581b|"},
      {"{'type': 'Metaspace', 'replacement': '\u2581', 'add_prefix_space': false}", "a  b",
       "a|\u2581|\u2581b|"},
      {"{'type': 'Metaspace', 'str_rep': '\u2581', 'replacement': '\u2581', 'add_prefix_space': true}", "a",
       "\u2581a|"},
      {"{'type': 'ByteLevel', 'add_prefix_space': true}", "I'll go\n 12",
       "\u0120I|'ll|\u0120go|\u010a|\u012012|"},
      {"{'type': 'ByteLevel', 'add_prefix_space': false, 'use_regex': false}", "a b", "a\u0120b|"},
      {"{'type': 'Sequence', 'pretokenizers': [{'type': 'ByteLevel', 'add_prefix_space': false}, {'type': "
       "'Digits', "
       "'individual_digits': true}]}",
       "a 12", "a|\u0120|1|2|"},
      {"{'type': 'Sequence', 'pretokenizers': []}", "a b", "a b|"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char parts[TEXT];
    snprintf(parts, sizeof parts, "'pre_tokenizer': %s", cases[i].part);
    expect_pieces(*state, parts, cases[i].text, cases[i].expected);
  }
}

static void behaviors(void **state) {
  static const struct {
    const char *behavior, *plain, *inverted;
  } cases[] = {
      {"Removed", "a|b|c|", "-|-|-|"},
      {"Isolated", "a|-|-|b|-|c|", "a|-|-|b|-|c|"},
      {"MergedWithPrevious", "a-|-|b-|c|", "a|-|-b|-c|"},
      {"MergedWithNext", "a|-|-b|-c|", "a-|-|b-|c|"},
      {"Contiguous", "a|--|b|-|c|", "a|--|b|-|c|"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int invert = 0; invert < 2; invert++) {
      char parts[TEXT];
      snprintf(
          parts, sizeof parts,
          "'pre_tokenizer': {'type': 'Split', 'pattern': {'String': '-'}, 'behavior': '%s', 'invert': %s}",
          cases[i].behavior, invert ? "true" : "false");
      expect_pieces(*state, parts, "a--b-c", invert ? cases[i].inverted : cases[i].plain);
    }
}

/* Where Oniguruma's dialect is not PCRE2's. */
static void patterns(void **state) {
  static const struct {
    const char *regex, *text, *expected;
  } cases[] = {
      {"\\\\p{N}{1,3}", "12345", "123|45|"},
      {"\\\\p{N}{1,3}+", "12345a", "12345|a|"},
      {"[a-c[x-z]]+", "abxq", "abx|q|"},
      {"[\\\\p{L}&&[^a-c]]+", "abxyc", "ab|xy|c|"},
      {"[^\\\\s\\\\p{L}]+", "a--- b", "a|---| b|"},
      {"(?i:S|T)", "as\u00dfTb", "a|s|\u00df|T|b|"},
      {"\\\\w+", "a_1-\u00e9", "a_1|-|\u00e9|"},
      {"\\\\w+", "a\u00bd-", "a\u00bd|-|"},
      {"[\\\\w]+", "a\u00bd-", "a|\u00bd-|"},
      {"\\\\w+", "a\u09f4b\u00b2", "a|\u09f4|b\u00b2|"},
      {"[\\\\w]+", "a\u09f4b\u00b2", "a|\u09f4|b|\u00b2|"},
      {"\\\\b", "a\u09f4", "a|\u09f4|"},
      {"[[:graph:]]+", "a, \u00ad\u0301\u00a0", "a,| |\u00ad\u0301|\u00a0|"},
      {"[[:print:]]+", "a, \u00adb\u0378", "a, \u00adb|\u0378|"},
      {"[\\\\W1]+", "a-1b", "a|-1|b|"},
      {"\\\\h+", "fg0", "f|g|0|"},
      {"x$", "x\nx", "x|x|"},
      {"[[:punct:]]+", "a,$b", "a|,$|b|"},
      {"a(?!b)", "abac", "ab|a|c|"},
      {"(?<=a)b", "abb", "a|b|b|"},
      {"x*", "axb", "a|x|b|"},
      {"a{,2}b", "aaab", "a|aab|"},
      {"\\\\p{Han}|\\\\p{^Lu}", "A\u65e5b", "A|\u65e5|b|"},
      {"\\\\u0061", "ab", "a|b|"},
      {"(?m:a.)", "xa b", "x|a |b|"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char parts[TEXT];
    snprintf(parts, sizeof parts,
             "'pre_tokenizer': {'type': 'Split', 'pattern': {'Regex': '%s'}, 'behavior': 'Isolated', "
             "'invert': false}",
             cases[i].regex);
    expect_pieces(*state, parts, cases[i].text, cases[i].expected);
  }
}

static void added_tokens(void **state) {
  static const char parts[] =
      "'normalizer': {'type': 'Lowercase'}, 'pre_tokenizer': {'type': 'WhitespaceSplit'}, 'added_tokens': ["
      "{'id': 300, 'content': '<S>', 'special': true, 'normalized': false}, "
      "{'id': 301, 'content': 'Word', 'single_word': true, 'normalized': false}, "
      "{'id': 302, 'content': '<L>', 'lstrip': true, 'normalized': false}, "
      "{'id': 303, 'content': '<R>', 'rstrip': true, 'normalized': false}, "
      "{'id': 304, 'content': 'FOO', 'normalized': true}, "
      "{'id': 305, 'content': '<S><S>', 'normalized': false}]";
  static const char *const cases[][2] = {
      {"a<S>B", "a|<S>b|"},
      {"<s>", "<s>|"},
      {"<S><S><S>", "<S><S><S>"},
      {"Word", "Word"},
      {"Words", "words|"},
      {"a Word!", "a|Word!|"},
      {"_Word", "_word|"},
      {"a  <L> b", "a|<L>b|"},
      {"a <R>  b", "a|<R>b|"},
      {"aFoOb", "a|foob|"},
      {"a <R>  <L> b", "a|<R><L>b|"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    expect_pieces(*state, parts, cases[i][0], cases[i][1]);
}

static void merging(void **state) {
  fixture *f = *state;
  expect_ids(f, "{'model': {" VOCABULARY ", 'merges': ['b c', 'a b', 'a bc']}}", "abcab", "4 3");
  expect_ids(f, "{'model': {" VOCABULARY ", 'merges': [['a', 'b'], ['ab', 'c']]}}", "abcbc", "4 1 2");
  expect_ids(f, "{'model': {" VOCABULARY ", 'merges': ['#version: 0.2', 'a b'], 'dropout': null}}", "abc",
             "3 2");
  expect_ids(f, "{'model': {" VOCABULARY ", 'merges': []}}", "abc\u00e9d", "0 1 2");
  expect_ids(f, "{'model': {" VOCABULARY ", 'merges': [], 'ignore_merges': true}}", "abc", "4");
  expect_ids(f, "{'model': {" VOCABULARY ", 'merges': [], 'unk_token': '<unk>'}}", "xxa\u00e9", "6 6 0 6");
  expect_ids(f, "{'model': {" VOCABULARY ", 'merges': [], 'unk_token': '<unk>', 'fuse_unk': true}}",
             "xxa\u00e9", "6 0 6");
  expect_ids(f, "{'model': {" VOCABULARY ", 'merges': [], 'unk_token': '<unk>', 'byte_fallback': true}}",
             "\u00e9x", "7 8 6");
  expect_ids(
      f,
      "{'model': {'vocab': {'a': 0, '##b': 1, 'ab': 2, '##c</w>': 3, 'abc</w>': 4}, 'merges': ['a ##b', "
      "'ab ##c</w>'], 'continuing_subword_prefix': '##', 'end_of_word_suffix': '</w>'}}",
      "abc", "4");
}

/* The definition: of all neighbours that can be merged those of least rank, the leftmost of them, again and
 * again. Symbols are strings here; `merges` come by rank. */
static size_t merge_naively(const char *const (*merges)[2], size_t count, char (*symbol)[16], size_t n) {
  for (;;) {
    size_t best = count, at = 0;
    for (size_t i = 0; i + 1 < n; i++)
      for (size_t k = 0; k < best; k++)
        if (strcmp(symbol[i], merges[k][0]) == 0 && strcmp(symbol[i + 1], merges[k][1]) == 0)
          best = k, at = i;
    if (best == count) return n;
    memmove(symbol[at] + strlen(symbol[at]), symbol[at + 1], strlen(symbol[at + 1]) + 1);
    memmove(symbol + at + 1, symbol + at + 2, (n - at - 2) * sizeof *symbol);
    n--;
  }
}

static void merging_is_as_defined(void **state) {
  fixture *f = *state;
  static const char *const merges[][2] = {{"b", "a"},  {"a", "a"},   {"aa", "ba"}, {"a", "b"},
                                          {"c", "ba"}, {"ba", "ba"}, {"ab", "aa"}, {"aa", "aa"},
                                          {"b", "b"},  {"c", "c"},   {"cc", "aa"}};
  enum { MERGES = sizeof merges / sizeof *merges, LONGEST = 400 };
  char json[2 * TEXT] = "{'model': {'vocab': {'a': 0, 'b': 1, 'c': 2", symbol[LONGEST][16], text[LONGEST + 1];
  for (int k = 0; k < MERGES; k++)
    sprintf(json + strlen(json), ", '%s%s': %d", merges[k][0], merges[k][1], 3 + k);
  strcat(json, "}, 'merges': [");
  for (int k = 0; k < MERGES; k++)
    sprintf(json + strlen(json), "%s'%s %s'", k ? ", " : "", merges[k][0], merges[k][1]);
  olica_tokenizer *t = open_json(f, strcat(json, "]}, 'decoder': null}"));
  uint32_t random = 1;
  for (int round = 0; round < 300; round++) {
    olica_tokens tokens = {0};
    char *words;
    size_t n = 1 + (size_t)round % LONGEST, bytes;
    for (size_t i = 0; i < n; i++) {
      random = random * 1664525 + 1013904223;
      text[i] = "abc"[random >> 16 & 255 ? (random >> 24) % 2 + (random >> 20) % 2 * (round % 2) : 2];
      sprintf(symbol[i], "%c", text[i]);
    }
    assert_int_equal(olica_tokenizer_encode(t, text, n, false, &tokens), OLICA_OK);
    assert_int_equal(olica_tokenizer_decode(t, tokens.id, tokens.count, true, &words, &bytes), OLICA_OK);
    n = merge_naively(merges, MERGES, symbol, n);
    assert_int_equal(tokens.count, n);
    const char *at = words;
    for (size_t i = 0; i < n; at += strlen(symbol[i]) + 1, i++)
      if (strncmp(at, symbol[i], strlen(symbol[i])) != 0)
        fail_msg("round %d, symbol %zu: not %s", round, i, symbol[i]);
    olica_memory_free(f->env, words);
    OLICA_FREE(f->env, tokens.id);
  }
  olica_tokenizer_close(t);
}

/* A long row of words without a cut has the ids of its words: words that no merge joins are cut out. */
static void cutting(void **state) {
  fixture *f = *state;
  olica_tokenizer *tokenizer =
      open_json(f, "{'model': {" VOCABULARY ", 'merges': ['a b', 'ab c'], 'byte_fallback': "
                   "true, 'unk_token': '<unk>', 'fuse_unk': true}}");
  char text[4000] = "", expected[8000] = "";
  for (int i = 0; i < 200; i++)
    strcat(text, i % 3 ? "abcab" : "bxx\u00e9"), strcat(expected, i % 3 ? " 4 3" : " 1 7 8 6");
  /* <unk> waits for the next known character: bytes come before it, as in the tokenizers package. */
  assert_string_equal(ids(f, tokenizer, text, strlen(text), false), expected + 1);
  olica_tokenizer_close(tokenizer);
}

static void templates(void **state) {
  fixture *f = *state;
  olica_tokenizer *t = open_json(
      f,
      "{'model': {" VOCABULARY
      ", 'merges': []}, 'added_tokens': [{'id': 9, 'content': '<s>', 'special': true}], "
      "'truncation': {'max_length': 1}, 'padding': {'strategy': 'x'}, 'post_processor': {'type': 'Sequence', "
      "'processors': [{'type': 'ByteLevel', 'trim_offsets': true}, {'type': 'TemplateProcessing', 'single': "
      "[{'SpecialToken': {'id': 'S', 'type_id': 0}}, {'Sequence': {'id': 'A', 'type_id': 0}}, "
      "{'SpecialToken': "
      "{'id': 'E', 'type_id': 0}}], 'special_tokens': {'S': {'ids': [9]}, 'E': {'ids': [6, 9]}}}]}}");
  assert_string_equal(ids(f, t, "ab", 2, true), "9 0 1 6 9");
  assert_string_equal(ids(f, t, "ab", 2, false), "0 1");
  assert_string_equal(ids(f, t, "", 0, true), "9 6 9");
  assert_int_equal(olica_tokenizer_bos(t), 9);
  assert_int_equal(olica_tokenizer_size(t), 10);
  olica_tokenizer_close(t);
}

static void decoders(void **state) {
  fixture *f = *state;
  static const struct {
    const char *decoder;
    int32_t id[6];
    size_t count;
    const char *expected;
  } cases[] = {
      {"null", {0, 4, 6}, 3, "a abc <unk>"},
      {"{'type': 'Fuse'}", {0, 7, 8}, 3, "a<0xC3><0xA9>"},
      {"{'type': 'ByteFallback'}", {0, 7, 8, 1}, 4, "a\u00e9b"},
      {"{'type': 'ByteFallback'}", {7, 8, 8, 0, 7}, 5, "\ufffd\ufffd\ufffda\ufffd"},
      {"{'type': 'Replace', 'pattern': {'String': 'b'}, 'content': 'x'}", {3, 5}, 2, "axxc"},
      {"{'type': 'Strip', 'content': 'a', 'start': 1, 'stop': 0}", {0, 4}, 2, "bc"},
      {"{'type': 'Strip', 'content': 'c', 'start': 0, 'stop': 2}", {2, 4}, 2, "ab"},
      {"{'type': 'BPEDecoder', 'suffix': 'c'}", {4, 0, 5}, 3, "ab ab"},
      {"{'type': 'Metaspace', 'replacement': 'a', 'prepend_scheme': 'always'}", {3, 3}, 2, "b b"},
      {"{'type': 'Metaspace', 'replacement': 'a', 'prepend_scheme': 'never'}", {3, 3}, 2, " b b"},
      {"{'type': 'WordPiece', 'prefix': 'b', 'cleanup': false}", {0, 5, 4}, 3, "ac abc"},
      {"{'type': 'ByteLevel'}", {0, 9, 10, 11}, 4, "a \u00e9"},
      {"{'type': 'ByteLevel'}", {10, 0}, 2, "\ufffda"},
      {"{'type': 'Sequence', 'decoders': [{'type': 'ByteFallback'}, {'type': 'Fuse'}, {'type': 'Strip', "
       "'content': "
       "'a', 'start': 1, 'stop': 1}]}",
       {0, 7, 8, 0},
       4,
       "\u00e9"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char json[2 * TEXT], *text;
    size_t bytes;
    snprintf(json, sizeof json,
             "{'decoder': %s, 'added_tokens': [{'id': 9, 'content': '\u0120'}, {'id': 10, 'content': "
             "'\u00c3'}, {'id': 11, "
             "'content': '\u00a9'}], 'model': {" VOCABULARY ", 'merges': []}}",
             cases[i].decoder);
    olica_tokenizer *t = open_json(f, json);
    assert_int_equal(olica_tokenizer_decode(t, cases[i].id, cases[i].count, true, &text, &bytes), OLICA_OK);
    if (strcmp(text, cases[i].expected) != 0)
      fail_msg("%s: \"%s\", expected \"%s\"", cases[i].decoder, text, cases[i].expected);
    olica_memory_free(f->env, text);
    olica_tokenizer_close(t);
  }
}

static void decoding_leaves_special_tokens_out(void **state) {
  fixture *f = *state;
  char *text;
  size_t bytes;
  olica_tokenizer *t = open_json(f, "{'model': {" VOCABULARY ", 'merges': []}, 'decoder': {'type': 'Fuse'}, "
                                    "'added_tokens': [{'id': 6, 'content': '<unk>', 'special': true}]}");
  assert_int_equal(olica_tokenizer_decode(t, (int32_t[]){0, 6, 1}, 3, false, &text, &bytes), OLICA_OK);
  assert_string_equal(text, "ab");
  olica_memory_free(f->env, text);
  fixture_expect(f, olica_tokenizer_decode(t, (int32_t[]){0, 9}, 2, true, &text, &bytes), OLICA_ERR_INPUT,
                 "id 9 (number 1)", "[0, 9)");
  fixture_expect(f, olica_tokenizer_decode(t, (int32_t[]){-1}, 1, true, &text, &bytes), OLICA_ERR_INPUT,
                 "id -1", "[0, 9)");
  olica_tokenizer_close(t);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(normalizers),
      FIXTURE_TEST(pretokenizers),
      FIXTURE_TEST(behaviors),
      FIXTURE_TEST(patterns),
      FIXTURE_TEST(added_tokens),
      FIXTURE_TEST(merging),
      FIXTURE_TEST(merging_is_as_defined),
      FIXTURE_TEST(cutting),
      FIXTURE_TEST(templates),
      FIXTURE_TEST(decoders),
      FIXTURE_TEST(decoding_leaves_special_tokens_out),
  };
  MPI_Init(&argc, &argv);
  int failed = cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
  MPI_Finalize();
  return failed;
}
