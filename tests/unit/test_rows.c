/* Room text: the rows of every kind of text, and that what is none is refused with its line. */
#include "fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "text/look.h"
#include "text/rows.h"

#define BELOW "Below is an instruction that describes a task"
#define WRITE "Write a response that appropriately completes the request.\n\n### Instruction:\n"

typedef struct text {
  const char *data;
  size_t bytes;
} text;

#define TEXT(literal) ((text){literal, sizeof(literal) - 1})

static olica_status open_rows(fixture *f, olica_text_kind kind, const char *path, int length,
                              olica_rows **rows) {
  olica_text_source *source = olica_memory_get(f->env, "source", 1, sizeof *source);
  *source =
      (olica_text_source){kind, olica_memory_string(f->env, path), olica_memory_string(f->env, "text"), 1};
  return olica_rows_open(f->context, source, length, rows);
}

static olica_rows *rows_of(fixture *f, olica_text_kind kind, text file, int length) {
  olica_rows *rows;
  if (open_rows(f, kind, fixture_put(f, "file", file.data, file.bytes), length, &rows) != OLICA_OK)
    fail_msg("%s", f->env->error.text);
  return rows;
}

static void expect_row(fixture *f, const olica_rows *rows, int64_t row, text expected) {
  char *found;
  size_t bytes;
  assert_int_equal(olica_rows_text(rows, row, &found, &bytes), OLICA_OK);
  if (bytes != expected.bytes || memcmp(found, expected.data, bytes) != 0)
    fail_msg("row %lld is \"%s\", expected \"%s\"", (long long)row, found, expected.data);
  assert_int_equal(found[bytes], '\0');
  olica_memory_free(f->env, found);
}

static void lines_of_json(void **state) {
  fixture *f = *state;
  olica_rows *rows = rows_of(
      f, OLICA_TEXT_JSONL,
      TEXT(
          "\xef\xbb\xbf{\"text\": \"one\"}\n\n  \t\r\n {\"more\": [1], \"text\": \"t\\u0000w\\n\\u00f6\"}\r\n"
          "{\"text\":\"\"}"),
      1);
  assert_int_equal(rows->count, 3);
  expect_row(f, rows, 0, TEXT("one"));
  expect_row(f, rows, 1, TEXT("t\0w\n\xc3\xb6"));
  expect_row(f, rows, 2, TEXT(""));
  assert_int_equal(olica_rows_line(rows, 0), 1);
  assert_int_equal(olica_rows_line(rows, 1), 4);
  assert_int_equal(olica_rows_line(rows, 2), 5);
  olica_rows_close(rows);
}

static void prompts(void **state) {
  fixture *f = *state;
  olica_rows *rows = rows_of(f, OLICA_TEXT_ALPACA,
                             TEXT("\n[ {\"instruction\": \"Do ]}\\\" it\", \"input\": \"\", \"output\": "
                                  "\"Done.\"}\n,\n{\"input\": \"3\\\\\","
                                  "\n\"output\": \"4\", \"instruction\": \"Add one.\", \"id\": [{\"x\": "
                                  "{}}]},{\"instruction\":\"\",\"output\":\"\"}]\n"),
                             1);
  assert_int_equal(rows->count, 3);
  expect_row(f, rows, 0, TEXT(BELOW ". " WRITE "Do ]}\" it\n\n### Response:\nDone."));
  expect_row(f, rows, 1,
             TEXT(BELOW ", paired with an input that provides further context. " WRITE
                        "Add one.\n\n### Input:\n3\\\n\n### Response:\n4"));
  expect_row(f, rows, 2, TEXT(BELOW ". " WRITE "\n\n### Response:\n"));
  assert_int_equal(olica_rows_line(rows, 1), 4);
  olica_rows_close(rows);
}

/* Passages of a length of 1: to the end of the line behind 8 bytes, or to a space in 16. */
static void passages(void **state) {
  fixture *f = *state;
  olica_rows *rows = rows_of(f, OLICA_TEXT_PLAIN,
                             TEXT("\n\r\nshort\nand long\n\nabcdefgh ijk lmnopq "
                                  "rst\nx\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
                                  "\xc3\xa4\xc3\xa4\nend"),
                             1);
  expect_row(f, rows, 0, TEXT("short\nand long\n"));
  expect_row(f, rows, 1, TEXT("abcdefgh ijk "));
  expect_row(f, rows, 2, TEXT("lmnopq rst\n"));
  expect_row(f, rows, 3, TEXT("x\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"));
  expect_row(f, rows, 4, TEXT("\xc3\xa4\nend"));
  assert_int_equal(rows->count, 5);
  assert_int_equal(olica_rows_line(rows, 1), 6);
  olica_rows_close(rows);
}

/* Passages follow each other: nothing but line ends is left out, nothing comes twice, none is longer than it
 * may be; whatever the bytes, also across the pieces a file is read in. */
static void passages_cover_any_bytes(void **state) {
  fixture *f = *state;
  enum { BYTES = 3 << 20, LENGTH = 16 };
  static const char *const alphabets[] = {"ab \n", "a", "\x80", "\xff\xc3 ", "\n", "word\xe2\x82\xac "};
  char *data = malloc(BYTES);
  for (size_t a = 0; a < sizeof alphabets / sizeof *alphabets; a++) {
    size_t letters = strlen(alphabets[a]), covered = 0;
    for (size_t i = 0; i < BYTES; i++) data[i] = alphabets[a][(i * 7 + i / 5 * 3 + i / 1000) % letters];
    const char *path = fixture_put(f, "file", data, BYTES);
    olica_rows *rows;
    if (letters == 1 && *alphabets[a] == '\n') {
      fixture_expect(f, open_rows(f, OLICA_TEXT_PLAIN, path, LENGTH, &rows), OLICA_ERR_INPUT, path,
                     "no rows");
      continue;
    }
    assert_int_equal(open_rows(f, OLICA_TEXT_PLAIN, path, LENGTH, &rows), OLICA_OK);
    for (int64_t r = 0; r < rows->count; r++) {
      for (; (int64_t)covered < rows->index.begin[r]; covered++) assert_true(data[covered] == '\n');
      assert_int_equal(covered, rows->index.begin[r]);
      covered += (size_t)rows->index.bytes[r];
      assert_true(rows->index.bytes[r] <= 16 * LENGTH + 4);
      assert_true(r == rows->count - 1 || rows->index.bytes[r] >= 8 * LENGTH);
    }
    for (; covered < BYTES; covered++) assert_true(data[covered] == '\n');
    olica_rows_close(rows);
  }
  free(data);
}

static void rows_of_ids(void **state) {
  fixture *f = *state;
  int32_t ids[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, back[3];
  olica_rows *rows;
  const char *path = fixture_path(f, "table.npy");
  assert_int_equal(olica_npy_write(f->env, path, 2, 5, ids), OLICA_OK);
  assert_int_equal(open_rows(f, OLICA_TEXT_NPY, path, 2, &rows), OLICA_OK);
  assert_true(rows->count == 2 && olica_rows_ids(rows, 1) == 5);
  assert_int_equal(olica_rows_read(rows, 1, 1, 3, 10, back), OLICA_OK);
  assert_memory_equal(back, ids + 6, sizeof back);
  fixture_expect(f, olica_rows_read(rows, 1, 1, 3, 8, back), OLICA_ERR_INPUT, path, "row 1, column 3: id 8");
  olica_rows_close(rows);

  char file[128 + sizeof ids];
  int n = snprintf(file + 10, 118, "{'descr': '<i4', 'fortran_order': False, 'shape': (10,), }");
  memcpy(file, "\x93NUMPY\1\0", 8);
  memset(file + 10 + n, ' ', (size_t)(118 - n));
  file[8] = 118, file[9] = 0;
  memcpy(file + 128, ids, sizeof ids);
  path = fixture_put(f, "row.npy", file, sizeof file);
  assert_int_equal(open_rows(f, OLICA_TEXT_NPY, path, 2, &rows), OLICA_OK); /* pieces of 4, 4, 2 */
  assert_true(rows->count == 3 && olica_rows_ids(rows, 0) == 4 && olica_rows_ids(rows, 2) == 2);
  assert_int_equal(olica_rows_read(rows, 1, 1, 3, 10, back), OLICA_OK);
  assert_memory_equal(back, ids + 5, sizeof back);
  olica_rows_close(rows);
}

static void what_is_none_is_refused_with_its_line(void **state) {
  fixture *f = *state;
  static const struct {
    olica_text_kind kind;
    text file;
    const char *found, *expected;
  } cases[] = {
      {OLICA_TEXT_JSONL, {"", 0}, "file: has no rows", "(jsonl)"},
      {OLICA_TEXT_JSONL, {"\n \n", 3}, "has no rows", "(jsonl)"},
      {OLICA_TEXT_JSONL, {"{\"text\": \"a\"}\n\n{\"text\": \"b\"\n", 29}, "line 3, column", "expected JSON"},
      {OLICA_TEXT_JSONL,
       {"{\"text\": \"a\"}\n[\"text\"]\n", 23},
       "line 2: is an array",
       "expected an object"},
      {OLICA_TEXT_JSONL,
       {"{\"text\": \"a\"}\n{\"txt\": \"b\"}\n", 27},
       "line 2: text is missing",
       "a string"},
      {OLICA_TEXT_JSONL, {"{\"text\": 3}", 11}, "line 1: text is 3", "expected a string"},
      {OLICA_TEXT_JSONL, {"{\"text\": null}", 14}, "line 1: text is null", "expected a string"},
      {OLICA_TEXT_JSONL, {"\n{\"text\": \"a\", \"text\": \"b\"}", 27}, "line 2, column", "duplicate"},
      {OLICA_TEXT_JSONL, {"{\"text\": \"\xff\"}", 13}, "line 1, column", "unable to decode"},
      {OLICA_TEXT_JSONL, {"\0\0", 2}, "line 1, column", "expected JSON"},
      {OLICA_TEXT_JSONL,
       {"{\"text\": \"a\"}{\"text\": \"b\"}", 26},
       "line 1, column",
       "end of file expected"},
      {OLICA_TEXT_ALPACA, {"", 0}, "line 1: found the end", "expected an array of objects"},
      {OLICA_TEXT_ALPACA, {"\n[]", 3}, "has no rows", "(alpaca)"},
      {OLICA_TEXT_ALPACA, {"{\"a\": 1}", 8}, "line 1: found \"{\"", "expected \"[\""},
      {OLICA_TEXT_ALPACA, {"[\n3]", 4}, "line 2: found \"3\"", "an object"},
      {OLICA_TEXT_ALPACA, {"[{},\n]", 6}, "line 2: found \"]\"", "an object"},
      {OLICA_TEXT_ALPACA, {"[{}\n{}]", 7}, "line 2: found \"{\"", "a comma or the end"},
      {OLICA_TEXT_ALPACA, {"[{}]\n\n,", 7}, "line 3: found \",\"", "nothing behind"},
      {OLICA_TEXT_ALPACA, {"[{}", 3}, "line 1: found the end", "the rest of the array"},
      {OLICA_TEXT_ALPACA, {"[{\"instruction\": \"", 18}, "found the end", "the rest of the array"},
      {OLICA_TEXT_ALPACA, {"[\0", 2}, "found a strange byte", "an object"},
      {OLICA_TEXT_ALPACA, {"[\n{\"instruction\": \"a\"]]", 23}, "line 2, column", "expected JSON"},
      {OLICA_TEXT_ALPACA, {"[\n{\"instruction\": \"a\"}]", 23}, "line 2: output is missing", "a string"},
      {OLICA_TEXT_ALPACA,
       {"[{\"instruction\": 1, \"output\": \"\"}]", 34},
       "line 1: instruction is 1",
       "a string"},
      {OLICA_TEXT_ALPACA,
       {"[{\"instruction\": \"\", \"output\": \"\", \"input\": {}}]", 48},
       "line 1: input is an object",
       "a string"},
      {OLICA_TEXT_PLAIN, {"", 0}, "has no rows", "(plain)"},
      {OLICA_TEXT_PLAIN, {"\xef\xbb\xbf\n\r\n", 6}, "has no rows", "(plain)"},
      {OLICA_TEXT_NPY, {"[1, 2]", 6}, "does not begin", ".npy"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    olica_rows *rows;
    const char *path = fixture_put(f, "file", cases[i].file.data, cases[i].file.bytes);
    fixture_expect(f, open_rows(f, cases[i].kind, path, 4, &rows), OLICA_ERR_INPUT, cases[i].found,
                   cases[i].expected);
  }
}

#define BYTES_OF(literal)                                                                                    \
  { literal, sizeof(literal) - 1 }

static void what_is_something_else_is_refused_with_the_way_out(void **state) {
  fixture *f = *state;
  static const struct {
    olica_look as;
    text file;
    const char *found, *way;
  } cases[] = {
      {OLICA_LOOK_PLAIN, BYTES_OF("\x1f\x8b\x08\0\0"), "is gzip", "gzip -dk FILE"},
      {OLICA_LOOK_JSONL, BYTES_OF("\x1f\x8b\x08\0\0"), "is gzip", "(jsonl)"},
      {OLICA_LOOK_ALPACA, BYTES_OF("\x28\xb5\x2f\xfd\4"), "is Zstandard", "zstd -d FILE"},
      {OLICA_LOOK_QUESTIONS,
       {"\xfd"
        "7zXZ\0\0",
        7},
       "is xz",
       "a question each"},
      {OLICA_LOOK_EVALUATION, BYTES_OF("BZh91AY&SY\x12\x34"), "is bzip2", "bzip2 -dk"},
      {OLICA_LOOK_PLAIN, BYTES_OF("PK\3\4\x14\0\0"), "is ZIP", "unzip"},
      {OLICA_LOOK_PLAIN, BYTES_OF("PAR1\x15\0\x15"), "is Parquet", "jsonl:FILE:FIELD"},
      {OLICA_LOOK_QUESTIONS, BYTES_OF("PAR1\x15\0\x15"), "is Parquet", "to_json"},
      {OLICA_LOOK_PLAIN, BYTES_OF("\x93NUMPY\1\0"), "is NumPy", "npy:FILE"},
      {OLICA_LOOK_BYTES, BYTES_OF("\x89HDF\r\n\x1a\n"), "is HDF5", "numbers"},
      {OLICA_LOOK_PLAIN, BYTES_OF("\x40\0\0\0\0\0\0\0{\"a\":"), "is safetensors", "numbers"},
      {OLICA_LOOK_PLAIN, BYTES_OF("GGUF\3\0\0\0"), "is GGUF", "numbers"},
      {OLICA_LOOK_PLAIN, BYTES_OF("\x80\x04\x95\0"), "is a pickle", "jsonl:"},
      {OLICA_LOOK_PLAIN, BYTES_OF("\x89PNG\r\n\x1a\n"), "is PNG", "plain text"},
      {OLICA_LOOK_PLAIN, BYTES_OF("\xff\xfeH\0i\0"), "is UTF-16", "iconv -f UTF-16"},
      {OLICA_LOOK_JSONL, BYTES_OF("\xfe\xff\0{"), "is UTF-16", "iconv -f UTF-16"},
      {OLICA_LOOK_PLAIN, BYTES_OF("\xff\xfe\0\0H\0\0\0"), "is UTF-32", "iconv -f UTF-32"},
      {OLICA_LOOK_PLAIN, BYTES_OF("H\0i\0"), "2 NUL bytes, the first at byte 1", "UTF-16"},
      {OLICA_LOOK_EVALUATION, BYTES_OF("a text\0"), "1 NUL bytes, the first at byte 6", "binary"},
      {OLICA_LOOK_PLAIN, BYTES_OF("caf\xe9 \x93x\x94"), "3 bytes that are no UTF-8, the first at byte 3",
       "iconv -f WINDOWS-1252"},
      {OLICA_LOOK_EVALUATION, BYTES_OF("\xc3\xa4 \xe4 \xe4"), "2 bytes that are no UTF-8", "iconv"},
      {OLICA_LOOK_PLAIN, BYTES_OF("\xef\xbb\xbf\n{\"text\": \"a\"}\n{\"text\""), "is JSON lines",
       "name it as jsonl:FILE"},
      {OLICA_LOOK_PLAIN, BYTES_OF("{\"id\": 1, \"u\": \"\", \"content\": \"a\"}"), "is JSON lines",
       "jsonl:FILE:content"},
      {OLICA_LOOK_EVALUATION, BYTES_OF("{\"id\": 1, \"content\": \"a\"}\n"), "is JSON lines (jsonl)",
       "jq -r .content"},
      {OLICA_LOOK_ALPACA, BYTES_OF("{\"instruction\": \"a\"}\n"), "is JSON lines", "jq -s ."},
      {OLICA_LOOK_PLAIN, BYTES_OF("[\n {\"instruction\": \"a\"}]"), "is a JSON array", "alpaca:FILE"},
      {OLICA_LOOK_EVALUATION, BYTES_OF("[\"a\", \"b\"]"), "is a JSON array", "jq -c '.[]'"},
      {OLICA_LOOK_JSONL, BYTES_OF("[{\"text\": \"a\"}]"), "is a JSON array", "jsonl:NEW"},
      {OLICA_LOOK_QUESTIONS, BYTES_OF(" [{\"goal\": \"a\"}]"), "is a JSON array", "jq -c '.[]'"},
      {OLICA_LOOK_JSONL, BYTES_OF("{\n  \"text\": \"a\"\n}\n"), "one JSON object over several lines",
       "jq -c ."},
      {OLICA_LOOK_PLAIN, BYTES_OF("{\"data\": [\n{\"a\": 1}]}"), "one JSON object", "JSON lines"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *path = fixture_put(f, "file", cases[i].file.data, cases[i].file.bytes);
    olica_status status = olica_look_file(f->env, path, cases[i].as);
    if (status == OLICA_OK) fail_msg("case %zu is taken", i);
    fixture_expect(f, status, OLICA_ERR_INPUT, cases[i].found, cases[i].way);
  }
  char tar[512] = "name";
  memcpy(tar + 257, "ustar", 5);
  fixture_expect(f, olica_look_file(f->env, fixture_put(f, "file", tar, sizeof tar), OLICA_LOOK_PLAIN),
                 OLICA_ERR_INPUT, "is tar", "tar -xf");
  fixture_expect(f, olica_look_file(f->env, fixture_path(f, "none"), OLICA_LOOK_PLAIN), OLICA_ERR_INPUT,
                 "none", "No such file");
}

/* Texts that begin like something else, and texts with a few bad bytes; a character across two pieces. */
static void what_is_a_text_is_taken(void **state) {
  fixture *f = *state;
  static const text texts[] = {BYTES_OF(""),
                               BYTES_OF("\xef\xbb\xbf"),
                               BYTES_OF("PAR1 is a letter"),
                               BYTES_OF("BZh is one"),
                               BYTES_OF("ORC and GGUF"),
                               BYTES_OF("{curly} text"),
                               BYTES_OF("[1] A quotation."),
                               BYTES_OF("[\"Hello,\" he said]"),
                               BYTES_OF("{\"quoted\" braces}"),
                               BYTES_OF("Header: {\"a\": 1}"),
                               BYTES_OF("\"A quoted line.\""),
                               BYTES_OF("1234567 {\"a\": 1}")};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    olica_status status =
        olica_look_file(f->env, fixture_put(f, "file", texts[i].data, texts[i].bytes), OLICA_LOOK_PLAIN);
    if (status != OLICA_OK) fail_msg("case %zu: %s", i, f->env->error.text);
  }
  assert_int_equal(f->env->log.warning_count, 0);
  enum { BYTES = (1 << 20) + 7 };
  char *data = malloc(BYTES);
  for (size_t i = 0; i < BYTES; i++) data[i] = "\xe2\x82\xac"[(i + 1) % 3];
  data[0] = data[1] = 'x'; /* then whole characters, one of them across the piece's end */
  assert_int_equal(olica_look_file(f->env, fixture_put(f, "file", data, BYTES), OLICA_LOOK_EVALUATION),
                   OLICA_OK);
  free(data);
  const char *path = fixture_put(f, "file", "gr\xc3\xbc\xc3\x9f \xff\r\nb\r\n", 13);
  assert_int_equal(olica_look_file(f->env, path, OLICA_LOOK_PLAIN), OLICA_OK);
  assert_int_equal(f->env->log.warning_count, 2);
  assert_non_null(strstr(f->env->log.warnings[0].text, "1 bytes that are no UTF-8, the first at byte 7"));
  assert_non_null(strstr(f->env->log.warnings[1].text, "2 lines end with CRLF"));
}

static void no_file_is_waited_for(void **state) {
  fixture *f = *state;
  olica_rows *rows;
  const char *pipe = fixture_path(f, "pipe");
  assert_int_equal(mkfifo(pipe, 0600), 0);
  for (olica_text_kind kind = OLICA_TEXT_ALPACA; kind <= OLICA_TEXT_NPY; kind++) {
    fixture_expect(f, open_rows(f, kind, f->directory, 4, &rows), OLICA_ERR_INPUT, f->directory,
                   "is a directory");
    fixture_expect(f, open_rows(f, kind, pipe, 4, &rows), OLICA_ERR_INPUT, pipe, "is a pipe");
    fixture_expect(f, open_rows(f, kind, fixture_path(f, "none"), 4, &rows), OLICA_ERR_INPUT, "none",
                   "No such file");
  }
}

/* A row longer than any sane one is refused after 64 MiB, whatever is in it; depth is not recursion. */
static void huge_rows_end_in_seconds(void **state) {
  fixture *f = *state;
  static const struct {
    olica_text_kind kind;
    const char *begin, *fill, *word;
  } cases[] = {{OLICA_TEXT_JSONL, "{\"text\": \"", "a", "line 1: a row of more than 67108864 bytes"},
               {OLICA_TEXT_ALPACA, "[{\"instruction\": \"", "a", "line 1: a row of more than 67108864 bytes"},
               {OLICA_TEXT_ALPACA, "[{\"instruction\": ", "[", "line 1: a row of more than 67108864 bytes"}};
  size_t bytes = OLICA_ROW_BYTES + 100;
  char *data = malloc(bytes);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    olica_rows *rows;
    memset(data, *cases[i].fill, bytes);
    memcpy(data, cases[i].begin, strlen(cases[i].begin));
    clock_t start = clock();
    const char *path = fixture_put(f, "file", data, bytes);
    fixture_expect(f, open_rows(f, cases[i].kind, path, 4, &rows), OLICA_ERR_INPUT, path, cases[i].word);
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 20);
  }
  memset(data, '[', 1 << 20);
  memcpy(data, "{\"text\":", 8);
  olica_rows *rows;
  fixture_expect(f, open_rows(f, OLICA_TEXT_JSONL, fixture_put(f, "deep", data, 1 << 20), 4, &rows),
                 OLICA_ERR_INPUT, "line 1", "depth");
  free(data);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(lines_of_json),
      FIXTURE_TEST(what_is_something_else_is_refused_with_the_way_out),
      FIXTURE_TEST(what_is_a_text_is_taken),
      FIXTURE_TEST(prompts),
      FIXTURE_TEST(passages),
      FIXTURE_TEST(passages_cover_any_bytes),
      FIXTURE_TEST(rows_of_ids),
      FIXTURE_TEST(what_is_none_is_refused_with_its_line),
      FIXTURE_TEST(no_file_is_waited_for),
      FIXTURE_TEST(huge_rows_end_in_seconds),
  };
  MPI_Init(&argc, &argv);
  int failed = cmocka_run_group_tests_name("rows", tests, NULL, NULL);
  MPI_Finalize();
  return failed;
}
