/* Room text: the list of texts and how a sample is divided among them. */
#include "fixture.h"

#include "text/sources.h"

static olica_text_sources parse(fixture *f, const char *list) {
  olica_text_sources sources;
  if (olica_sources_parse(f->env, "x.ini:3", "run/x.ini", list, &sources) != OLICA_OK)
    fail_msg("\"%s\": %s", list, f->env->error.text);
  return sources;
}

static void lists_are_read(void **state) {
  fixture *f = *state;
  olica_text_sources s = parse(
      f, " alpaca:a.json*3 ,jsonl: c4.jsonl ,\tjsonl:d/c4.jsonl:body*12, plain:/abs/my book.txt, npy:i.npy");
  static const olica_text_source expected[] = {{OLICA_TEXT_ALPACA, "run/a.json", "", 3},
                                               {OLICA_TEXT_JSONL, "run/c4.jsonl", "text", 1},
                                               {OLICA_TEXT_JSONL, "run/d/c4.jsonl", "body", 12},
                                               {OLICA_TEXT_PLAIN, "/abs/my book.txt", "", 1},
                                               {OLICA_TEXT_NPY, "run/i.npy", "", 1}};
  assert_int_equal(s.count, sizeof expected / sizeof *expected);
  for (int i = 0; i < s.count; i++) {
    assert_int_equal(s.source[i].kind, expected[i].kind);
    assert_string_equal(s.source[i].path, expected[i].path);
    assert_string_equal(s.source[i].field, expected[i].field);
    assert_int_equal(s.source[i].weight, expected[i].weight);
  }
  olica_sources_free(f->env, &s);
  /* A colon in a directory's name, or in a plain file's, is no field. */
  s = parse(f, "jsonl:C:/x/y.jsonl, plain:a:b");
  assert_string_equal(s.source[0].path, "run/C:/x/y.jsonl");
  assert_string_equal(s.source[0].field, "text");
  assert_string_equal(s.source[1].path, "run/a:b");
  olica_sources_free(f->env, &s);
}

static void other_lists_are_refused(void **state) {
  fixture *f = *state;
  static const struct {
    const char *list, *found, *expected;
  } cases[] = {
      {"a.txt", "\"a.txt\"", "expected KIND:FILE"},
      {"text:a.txt", "\"text:a.txt\"", "one of alpaca:FILE, jsonl:FILE, plain:FILE, npy:FILE"},
      {"plain:a, ,plain:b", "\"\"", "expected KIND:FILE"},
      {"plain:", "\"plain:\"", "expected a file's name"},
      {"plain: *2", "\"plain: *2\"", "expected a file's name"},
      {"plain:a*0", "\"plain:a*0\"", "a weight from 1 to 1000000"},
      {"plain:a*", "\"plain:a*\"", "a weight"},
      {"plain:a*-1", "\"plain:a*-1\"", "a weight"},
      {"plain:a*1.5", "\"plain:a*1.5\"", "a weight"},
      {"plain:a*1000001", "\"plain:a*1000001\"", "a weight"},
      {"plain:a*99999999999999999999", "99999\"", "a weight"},
      {"jsonl:a:", "\"jsonl:a:\"", "the name of a field"},
      {"plain:a, alpaca:a, plain:a*2", "plain:run/a twice", "expected it once"},
      {"jsonl:a, jsonl:a:text", "jsonl:run/a twice", "FILE*2"},
  };
  olica_text_sources s;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    fixture_expect(f, olica_sources_parse(f->env, "x.ini:3", "run/x.ini", cases[i].list, &s),
                   OLICA_ERR_CONFIG, cases[i].found, cases[i].expected);
  fixture_expect(f, olica_sources_parse(f->env, "x.ini:3", "run/x.ini", "x", &s), OLICA_ERR_CONFIG,
                 "x.ini:3: ", "x");
}

static void shares_are_fair(void **state) {
  fixture *f = *state;
  olica_text_sources s = parse(f, "plain:a,plain:b,plain:c");
  const int64_t equal[] = {86, 85, 85};
  for (int i = 0; i < 3; i++) assert_int_equal(olica_sources_share(&s, 256, i), equal[i]);
  s = parse(f, "alpaca:a*3,plain:b");
  assert_int_equal(olica_sources_share(&s, 256, 0), 192);
  assert_int_equal(olica_sources_share(&s, 256, 1), 64);
  s = parse(f, "plain:a*1000000,plain:b*999999,plain:c*7,plain:d");
  for (int64_t samples = 1; samples < INT64_C(1) << 40; samples = 3 * samples + 1) {
    int64_t sum = 0, weights = 1000000 + 999999 + 7 + 1;
    for (int i = 0; i < s.count; i++) {
      int64_t share = olica_sources_share(&s, samples, i);
      double fair = (double)samples * (double)s.source[i].weight / (double)weights;
      assert_true((double)share > fair - 1 - 1e-3 && (double)share < fair + 1 + 1e-3);
      sum += share;
    }
    assert_int_equal(sum, samples);
  }
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(lists_are_read),
      FIXTURE_TEST(other_lists_are_refused),
      FIXTURE_TEST(shares_are_fair),
  };
  MPI_Init(&argc, &argv);
  int failed = cmocka_run_group_tests_name("sources", tests, NULL, NULL);
  MPI_Finalize();
  return failed;
}
