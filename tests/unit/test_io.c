/* Room io: files and JSON. */
#include "fixture.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "io/file.h"
#include "io/filesystem.h"
#include "io/json.h"

/* ---- files ---- */

/* The status of opening a file for reading, and its size. */
static olica_status open_and_close(fixture *f, const char *path, int64_t *size) {
  int fd;
  olica_status status = olica_file_open(f->env, path, &fd, size);
  if (status == OLICA_OK) close(fd);
  return status;
}

static void file_is_saved_and_loaded(void **state) {
  fixture *f = *state;
  const char *path = fixture_path(f, "report.json");
  char *data;
  size_t bytes;
  int64_t size;
  assert_int_equal(olica_file_save(f->env, path, "old", 3), OLICA_OK);
  assert_int_equal(olica_file_save(f->env, path, "{\0}", 3), OLICA_OK);
  assert_int_equal(access(fixture_path(f, "report.json.part"), F_OK), -1);
  assert_int_equal(open_and_close(f, path, &size), OLICA_OK);
  assert_int_equal(size, 3);
  assert_int_equal(olica_file_load(f->env, path, 3, &data, &bytes), OLICA_OK);
  assert_int_equal(bytes, 3);
  assert_memory_equal(data, "{\0}", 4); /* and a NUL behind it */
  fixture_expect(f, olica_file_load(f->env, path, 2, &data, &bytes), OLICA_ERR_INPUT, path, "at most 2");
}

static void file_that_is_none(void **state) {
  fixture *f = *state;
  int64_t size;
  const char *missing = fixture_path(f, "none"), *fifo = fixture_path(f, "fifo"),
             *loop = fixture_path(f, "loop");
  assert_int_equal(mkfifo(fifo, 0600), 0);
  assert_int_equal(symlink(loop, loop), 0);
  fixture_expect(f, open_and_close(f, missing, &size), OLICA_ERR_INPUT, missing, "No such file");
  fixture_expect(f, open_and_close(f, loop, &size), OLICA_ERR_INPUT, loop, "symbolic links");
  fixture_expect(f, open_and_close(f, fifo, &size), OLICA_ERR_INPUT, "a pipe", "expected a regular file");
  fixture_expect(f, open_and_close(f, "/dev/zero", &size), OLICA_ERR_INPUT, "/dev/zero", "a device");
  fixture_expect(f, open_and_close(f, f->directory, &size), OLICA_ERR_INPUT, "a directory", "regular file");
  fixture_expect(f, open_and_close(f, "/dev/null/x", &size), OLICA_ERR_INPUT, "/dev/null/x", "Not a dir");
}

static void file_that_ends_early(void **state) {
  fixture *f = *state;
  const char *path = fixture_put(f, "short", "0123456789", 10);
  char data[16];
  int fd;
  int64_t size;
  assert_int_equal(olica_file_open(f->env, path, &fd, &size), OLICA_OK);
  assert_int_equal(olica_file_read(f->env, fd, path, 7, data, 3), OLICA_OK);
  assert_memory_equal(data, "789", 3);
  fixture_expect(f, olica_file_read(f->env, fd, path, 7, data, 4), OLICA_ERR_INPUT, path, "ends at byte 10");
  close(fd);
  fixture_expect(f, olica_file_read(f->env, fd, path, 0, data, 1), OLICA_ERR_IO, path, "cannot read");
}

/* Root may do everything, so it steps aside for the length of a call. */
static void file_without_permission(void **state) {
  fixture *f = *state;
  const char *path = fixture_put(f, "secret", "x", 1), *inside = fixture_path(f, "new");
  int64_t size;
  bool root = geteuid() == 0;
  assert_int_equal(chmod(path, 0), 0);
  assert_int_equal(chmod(f->directory, 0555), 0);
  if (root) assert_int_equal(seteuid(65534), 0);
  olica_status reading = open_and_close(f, path, &size);
  char text[OLICA_ERROR_TEXT];
  strcpy(text, f->env->error.text);
  olica_status writing = olica_file_save(f->env, inside, "x", 1);
  if (root) assert_int_equal(seteuid(0), 0);
  assert_int_equal(chmod(f->directory, 0755), 0);
  fixture_expect(f, writing, OLICA_ERR_IO, inside, "Permission denied");
  olica_error_set(f->env, reading, "%s", text);
  fixture_expect(f, reading, OLICA_ERR_IO, path, "Permission denied");
}

static void file_that_does_not_fit(void **state) {
  fixture *f = *state;
  const char *path = fixture_path(f, "big");
  char data[4096] = {0};
  struct rlimit old, low;
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  low = old;
  low.rlim_cur = 1000;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
  olica_status status = olica_file_save(f->env, path, data, sizeof data);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
  fixture_expect(f, status, OLICA_ERR_IO, path, strerror(EFBIG));
  assert_int_equal(access(path, F_OK), -1);
  assert_int_equal(access(fixture_path(f, "big.part"), F_OK), -1);
}

static void file_saved_where_it_cannot_be(void **state) {
  fixture *f = *state;
  const char *nowhere = fixture_path(f, "none/report.json"), *fifo = fixture_path(f, "fifo.part");
  fixture_expect(f, olica_file_save(f->env, nowhere, "x", 1), OLICA_ERR_IO, nowhere, "No such file");
  fixture_expect(f, olica_file_save(f->env, "/dev/null", "x", 1), OLICA_ERR_IO, "/dev/null", "a device");
  fixture_expect(f, olica_file_save(f->env, f->directory, "x", 1), OLICA_ERR_IO, f->directory, "a directory");
  bool taken = true;
  fixture_expect(f, olica_file_publish(f->env, nowhere, fixture_path(f, "x"), true, &taken), OLICA_ERR_IO,
                 nowhere, "No such");
  assert_false(taken);
  assert_int_equal(mkfifo(fifo, 0600), 0); /* an obstacle where the part goes is cleared away */
  assert_int_equal(olica_file_save(f->env, fixture_path(f, "fifo"), "x", 1), OLICA_OK);
}

static void network_file_systems_are_known(void **state) {
  (void)state;
  static const struct {
    long type;
    const char *name;
  } known[] = {{0x6969, "NFS"}, {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"}, {(int)0xff534d42, "CIFS"}};
  for (int i = 0; i < 4; i++) {
    const olica_filesystem *found = olica_filesystem_find(known[i].type);
    assert_non_null(found);
    assert_string_equal(found->name, known[i].name);
    assert_true(strlen(found->advice) > 20);
  }
  static const long local[] = {0xef53, 0x58465342, 0x01021994, 0x794c7630}; /* ext4, XFS, tmpfs, overlayfs */
  for (int i = 0; i < 4; i++) assert_null(olica_filesystem_find(local[i]));
  assert_null(olica_filesystem_of("/proc/file")); /* none of the network */
  assert_null(olica_filesystem_of("/nowhere/at/all"));
}

/* A probe finds what a save would, with and without making the file, and leaves nothing behind. */
static void file_probe_foresees_a_save(void **state) {
  fixture *f = *state;
  const char *good = fixture_path(f, "r.json"), *part = fixture_path(f, "r.json.part");
  const char *nowhere = fixture_path(f, "none/report.json");
  for (int touch = 0; touch < 2; touch++) {
    assert_int_equal(olica_file_probe(f->env, good, touch), OLICA_OK);
    assert_int_equal(access(good, F_OK), -1);
    assert_int_equal(access(part, F_OK), -1);
    fixture_expect(f, olica_file_probe(f->env, nowhere, touch), OLICA_ERR_IO, nowhere, "No such file");
    fixture_expect(f, olica_file_probe(f->env, f->directory, touch), OLICA_ERR_IO, f->directory,
                   "a directory");
    assert_int_equal(mkdir(part, 0700), 0);
    fixture_expect(f, olica_file_probe(f->env, good, touch), OLICA_ERR_IO, part, "a directory");
    assert_int_equal(rmdir(part), 0);
  }
}

static void file_names_resolve(void **state) {
  fixture *f = *state;
  const char *const cases[][3] = {{"jobs/a.ini", "calib.npy", "jobs/calib.npy"},
                                  {"a.ini", "calib.npy", "calib.npy"},
                                  {"/a.ini", "x/y", "/x/y"},
                                  {"jobs/a.ini", "/x", "/x"},
                                  {"a/b/c.ini", "../x", "a/b/../x"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *path;
    assert_int_equal(olica_file_resolve(f->env, cases[i][0], cases[i][1], &path), OLICA_OK);
    assert_string_equal(path, cases[i][2]);
  }
}

/* ---- JSON ---- */

static json_t *parsed(fixture *f, const char *text) {
  json_t *root = NULL;
  assert_int_equal(olica_json_parse(f->env, "config.json", text, strlen(text), &root), OLICA_OK);
  return root;
}

static void json_that_is_none(void **state) {
  fixture *f = *state;
  static const struct {
    const char *text;
    size_t bytes; /* 0: strlen */
    const char *word;
  } cases[] = {
      {"", 0, "is empty"},
      {"{\"a\": 1", 0, "line 1"},
      {"{\"a\": 1,\n \"b\": nonsense}", 0, "line 2"},
      {"{\"a\": 1}\n\n x", 0, "line 3"},
      {"{\"a\": 1, \"a\": 2}", 0, "duplicate"},
      {"{\"a\": \"\xff\xfe\"}", 0, "line 1"},
      {"{\"a\": \"x\0y\"}", 12, "line 1"},
      {"{\"a\": 1}\0", 9, "line 1"},
      {"{\"a\": \"x\\u0000y\"}", 0, "line 1"},
      {"{\"a\": 1e999}", 0, "overflow"},
      {"{\"a\": NaN}", 0, "line 1"},
      {"[1, 2]", 0, "an array"},
      {"3", 0, "expected"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t bytes = cases[i].bytes ? cases[i].bytes : strlen(cases[i].text);
    json_t *root;
    olica_status status = olica_json_parse(f->env, "config.json", cases[i].text, bytes, &root);
    fixture_expect(f, status, OLICA_ERR_INPUT, "config.json: ", cases[i].word);
  }
}

/* A row of a file of many: its line is the file's, its strings may hold NULs; a whole document's may not. */
static void json_rows(void **state) {
  fixture *f = *state;
  static const char row[] = "{\"a\": \"x\\u0000y\"}", torn[] = "{\"a\": 1,\n\n?}", number[] = "[1]";
  json_t *root;
  assert_int_equal(olica_json_parse_row(f->env, "f", 7, row, sizeof row - 1, &root), OLICA_OK);
  assert_int_equal(json_string_length(json_object_get(root, "a")), 3);
  json_decref(root);
  fixture_expect(f, olica_json_parse(f->env, "f", row, sizeof row - 1, &root), OLICA_ERR_INPUT, "f: line 1",
                 "NUL");
  fixture_expect(f, olica_json_parse_row(f->env, "f", 7, torn, sizeof torn - 1, &root), OLICA_ERR_INPUT,
                 "f: line 9, column 1", "expected JSON");
  fixture_expect(f, olica_json_parse_row(f->env, "f", 7, number, sizeof number - 1, &root), OLICA_ERR_INPUT,
                 "f: line 7: is an array", "expected an object");
}

static void json_nested_without_end(void **state) {
  fixture *f = *state;
  enum { DEPTH = 1000000 };
  char *text = malloc(DEPTH);
  json_t *root;
  memset(text, '[', DEPTH);
  memcpy(text, "{\"a\":", 5);
  fixture_expect(f, olica_json_parse(f->env, "deep.json", text, DEPTH, &root), OLICA_ERR_INPUT, "deep.json",
                 "depth");
  free(text);
}

static void json_integers(void **state) {
  fixture *f = *state;
  json_t *root =
      parsed(f, "{\"a\": 64, \"b\": 64.0, \"c\": 1e3, \"d\": 1.5, \"e\": \"64\", \"f\": null, \"g\": 1e300,"
                " \"h\": 1000000000000000019884624838656, \"i\": true}");
  const struct {
    const char *key;
    int64_t value;
  } good[] = {{"a", 64}, {"b", 64}, {"c", 1000}};
  int64_t value;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(olica_json_integer(f->env, "c", root, good[i].key, true, 1, 1000, &value), OLICA_OK);
    assert_int_equal(value, good[i].value);
  }
  value = 7;
  assert_int_equal(olica_json_integer(f->env, "c", root, "none", false, 1, 9, &value), OLICA_OK);
  assert_int_equal(olica_json_integer(f->env, "c", root, "f", false, 1, 9, &value), OLICA_OK);
  assert_int_equal(value, 7);
  const char *const bad[][2] = {{"c", "is 1000"}, {"d", "1.5"},       {"e", "the string \"64\""},
                                {"f", "null"},    {"g", "1e+300"},    {"h", "1e+30"},
                                {"i", "true"},    {"none", "missing"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    olica_status status = olica_json_integer(f->env, "c.json", root, bad[i][0], true, 1, 999, &value);
    fixture_expect(f, status, OLICA_ERR_INPUT, bad[i][1], "expected an integer in [1, 999]");
  }
  fixture_expect(f, olica_json_integer(f->env, "c", root, "h", false, 0, INT64_MAX, &value), OLICA_ERR_INPUT,
                 "c: h is", "from 0 on");
  json_decref(root);
}

static void json_other_types(void **state) {
  fixture *f = *state;
  json_t *root =
      parsed(f, "{\"r\": 1e-5, \"i\": 10000, \"t\": true, \"s\": \"silu\", \"n\": null, \"a\": []}");
  double real = 0;
  bool boolean = false;
  const char *string = "default";
  assert_int_equal(olica_json_real(f->env, "c", root, "r", true, 0, 1, &real), OLICA_OK);
  assert_true(real == 1e-5);
  assert_int_equal(olica_json_real(f->env, "c", root, "i", true, 1, INFINITY, &real), OLICA_OK);
  assert_true(real == 10000);
  assert_int_equal(olica_json_boolean(f->env, "c", root, "t", true, &boolean), OLICA_OK);
  assert_true(boolean);
  assert_int_equal(olica_json_string(f->env, "c", root, "n", false, &string), OLICA_OK);
  assert_string_equal(string, "default");
  assert_int_equal(olica_json_string(f->env, "c", root, "s", true, &string), OLICA_OK);
  assert_string_equal(string, "silu");
  fixture_expect(f, olica_json_real(f->env, "c", root, "i", true, 0, 1, &real), OLICA_ERR_INPUT,
                 "c: i is 10000", "[0, 1]");
  fixture_expect(f, olica_json_real(f->env, "c", root, "s", true, 0, 1, &real), OLICA_ERR_INPUT, "silu",
                 "a number");
  fixture_expect(f, olica_json_boolean(f->env, "c", root, "i", false, &boolean), OLICA_ERR_INPUT, "10000",
                 "true or");
  fixture_expect(f, olica_json_string(f->env, "c", root, "a", true, &string), OLICA_ERR_INPUT, "an array",
                 "a string");
  json_decref(root);
}

static void json_strings_are_described_safely(void **state) {
  (void)state;
  char text[80], string[400];
  for (int length = 0; length < 390; length++) { /* 3-byte characters cut nowhere but between them */
    for (int i = 0; i < length; i++) string[i] = "\xe2\x82\xac"[i % 3];
    string[length - length % 3] = '\0';
    json_t *value = json_string(string);
    olica_json_describe(value, text);
    json_t *back = json_string(text); /* NULL if it is no UTF-8 */
    assert_non_null(back);
    json_decref(back);
    json_decref(value);
  }
  json_t *value = json_string("a\n\x1b[31mb");
  olica_json_describe(value, text);
  assert_string_equal(text, "the string \"a??[31mb\"");
  json_decref(value);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(network_file_systems_are_known),
      FIXTURE_TEST(file_is_saved_and_loaded),
      FIXTURE_TEST(file_that_is_none),
      FIXTURE_TEST(file_that_ends_early),
      FIXTURE_TEST(file_without_permission),
      FIXTURE_TEST(file_that_does_not_fit),
      FIXTURE_TEST(file_saved_where_it_cannot_be),
      FIXTURE_TEST(file_probe_foresees_a_save),
      FIXTURE_TEST(file_names_resolve),
      FIXTURE_TEST(json_that_is_none),
      FIXTURE_TEST(json_rows),
      FIXTURE_TEST(json_nested_without_end),
      FIXTURE_TEST(json_integers),
      FIXTURE_TEST(json_other_types),
      cmocka_unit_test(json_strings_are_described_safely),
  };
  MPI_Init(&argc, &argv);
  int failed = cmocka_run_group_tests_name("io", tests, NULL, NULL);
  MPI_Finalize();
  return failed;
}
