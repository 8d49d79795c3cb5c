/* Room io: safetensors files and directories, read through a catalog. */
#include "fixture.h"

#include <sys/stat.h>

#include "io/safetensors.h"

/* A file of that header and `data` bytes 0, 1, 2, ... behind it. */
static const char *put_file(fixture *f, const char *name, const char *header, size_t data) {
  size_t length = strlen(header), bytes = 8 + length + data;
  unsigned char *file = malloc(bytes);
  for (int i = 0; i < 8; i++) file[i] = (unsigned char)(length >> 8 * i);
  memcpy(file + 8, header, length);
  for (size_t i = 0; i < data; i++) file[8 + length + i] = (unsigned char)i;
  const char *path = fixture_put(f, name, file, bytes);
  free(file);
  return path;
}

static const char *put_index(fixture *f, const char *text) {
  return fixture_put(f, "model.safetensors.index.json", text, strlen(text));
}

/* Opens the test's directory as a model. */
static olica_status open_into(fixture *f, olica_catalog **catalog) {
  OLICA_TRY(olica_catalog_create(f->context, catalog));
  return olica_catalog_share(*catalog, olica_safetensors_open(*catalog, f->directory));
}

static olica_catalog *good_model(fixture *f) {
  olica_catalog *catalog = NULL;
  assert_int_equal(open_into(f, &catalog), OLICA_OK);
  return catalog;
}

/* Just how it ends. */
static olica_status open_model(fixture *f) {
  olica_catalog *catalog = NULL;
  olica_status status = open_into(f, &catalog);
  olica_catalog_destroy(catalog);
  return status;
}

#define A "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}"
#define B "\"b\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[24,32]}"

/* ---- one file ---- */

static void tensors_are_found_and_read(void **state) {
  fixture *f = *state;
  const char *header = "{\"__metadata__\":{\"format\":\"pt\",\"x\":3},"
                       "\"z\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[32,40]}," B "," A
                       ",\"empty\":{\"dtype\":\"F16\",\"shape\":[0,5],\"data_offsets\":[24,24]},"
                       "\"odd\":{\"dtype\":\"NEW7\",\"shape\":[3],\"data_offsets\":[40,45]},"
                       "\"f4\":{\"dtype\":\"F4\",\"shape\":[3,2],\"data_offsets\":[45,48]}}   ";
  const char *path = put_file(f, "model.safetensors", header, 48);
  unsigned char raw[24];
  olica_catalog *catalog = good_model(f);
  assert_int_equal(catalog->count, 6);
  double headers = f->env->bytes_read;
  assert_true(headers == 8 + (double)strlen(header));
  assert_null(olica_catalog_find(catalog, "c"));
  assert_null(olica_catalog_find(catalog, "__metadata__"));

  const olica_tensor *a = olica_catalog_find(catalog, "a"), *b = olica_catalog_find(catalog, "b");
  assert_string_equal(olica_catalog_file(catalog, a), path);
  assert_int_equal(a->dtype, OLICA_FP32);
  assert_int_equal(b->dtype, OLICA_BF16);
  assert_int_equal(a->dims, 2);
  assert_int_equal(a->shape[0] * 10 + a->shape[1], 23);
  assert_int_equal(olica_catalog_read(catalog, a, 1, 5, raw), OLICA_OK);
  assert_int_equal(raw[0], 4);
  assert_int_equal(raw[19], 23);
  assert_int_equal(olica_catalog_read(catalog, b, 3, 1, raw), OLICA_OK);
  assert_int_equal(raw[0], 30);
  assert_true(f->env->bytes_read == headers + 22);

  const olica_tensor *empty = olica_catalog_find(catalog, "empty"), *z = olica_catalog_find(catalog, "z");
  assert_int_equal(olica_catalog_read(catalog, empty, 0, 0, NULL), OLICA_OK);
  assert_int_equal(z->dtype, OLICA_DTYPES);
  assert_string_equal(z->stored, "I64");
  assert_int_equal(olica_catalog_read(catalog, z, 0, 1, raw), OLICA_OK);
  assert_int_equal(raw[7], 39);
  const olica_tensor *odd = olica_catalog_find(catalog, "odd");
  assert_string_equal(odd->stored, "NEW7");
  fixture_expect(f, olica_catalog_read(catalog, odd, 0, 3, raw), OLICA_ERR_INPUT, path, "tensor odd");
  olica_catalog_destroy(catalog);
  olica_catalog_destroy(NULL);
}

static void file_changed_meanwhile(void **state) {
  fixture *f = *state;
  const char *path = put_file(f, "model.safetensors", "{" A "}", 24);
  float raw[6];
  olica_catalog *catalog = good_model(f);
  assert_int_equal(truncate(path, 20), 0);
  fixture_expect(f, olica_catalog_read(catalog, catalog->tensor, 0, 6, raw), OLICA_ERR_INPUT, path,
                 "ends at byte");
  olica_catalog_destroy(catalog);
  put_file(f, "model.safetensors", "{" A "}", 24);
  catalog = good_model(f);
  assert_int_equal(unlink(path), 0);
  fixture_expect(f, olica_catalog_read(catalog, catalog->tensor, 0, 6, raw), OLICA_ERR_INPUT, path,
                 "No such file");
  olica_catalog_destroy(catalog);
}

#define X(dtype, shape, offsets)                                                                             \
  "{\"x\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void headers_that_lie(void **state) {
  fixture *f = *state;
  static const struct {
    const char *header;
    size_t data;
    const char *word, *other;
  } cases[] = {
      {"", 0, "header", "is empty"},
      {"not JSON", 8, "header", "line 1"},
      {"[]", 0, "header", "an array"},
      {"{\"a\":3}", 0, "tensor a", "3"},
      {"{" A "," A "}", 24, "header", "duplicate"},
      {"{\"x\\u0000y\":{}}", 0, "header", "line 1"},
      {"{\"\":{}}", 0, "name has 0 bytes", "1 to 4096"},
      {"{\"x\\u001b[2J\":{}}", 0, "name has 5 bytes", "control"},
      {"{\"x\":{}}", 0, "tensor x: dtype", "missing"},
      {"{\"x\":{\"dtype\":\"F32\"}}", 0, "tensor x: shape", "missing"},
      {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "tensor x: data_offsets", "missing"},
      {X("4", "[1]", "[0,4]"), 4, "tensor x: dtype is 4", "expected"},
      {X("null", "[1]", "[0,4]"), 4, "tensor x: dtype is null", "expected"},
      {X("\"F32\"", "1", "[0,4]"), 4, "shape is 1", "an array"},
      {X("\"F32\"", "{}", "[0,4]"), 4, "shape is an object", "an array"},
      {X("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "shape has 9 numbers", "up to 8"},
      {X("\"F32\"", "[-1]", "[0,4]"), 4, "shape[0] is -1", "from 0 on"},
      {X("\"F32\"", "[1.0]", "[0,4]"), 4, "shape[0] is 1", "an integer"},
      {X("\"F32\"", "[1e0]", "[0,4]"), 4, "shape[0] is 1", "an integer"},
      {X("\"F32\"", "[\"1\"]", "[0,4]"), 4, "shape[0] is the string", "an integer"},
      {X("\"F32\"", "[99999999999999999999]", "[0,4]"), 4, "header", "99999999999999999999"},
      {X("\"F32\"", "[4294967296,4294967296]", "[0,4]"), 4, "tensor x", "overflows"},
      {X("\"F32\"", "[4611686018427387904]", "[0,0]"), 0, "tensor x", "overflows"},
      {X("\"F32\"", "[4611686018427387904,4,0]", "[0,0]"), 0, "tensor x", "overflows"},
      {X("\"F32\"", "[1]", "[0]"), 4, "data_offsets has 1 numbers", "2"},
      {X("\"F32\"", "[1]", "[0,4,8]"), 4, "data_offsets has 3 numbers", "2"},
      {X("\"F32\"", "[1]", "[4,0]"), 4, "data_offsets are [4, 0]", "in the file's 4 bytes"},
      {X("\"F32\"", "[1]", "[-4,0]"), 4, "data_offsets[0] is -4", "from 0 on"},
      {X("\"F32\"", "[1]", "[0,8]"), 4, "data_offsets are [0, 8]", "truncated"},
      {X("\"F32\"", "[1]", "[9223372036854775803,9223372036854775807]"), 4, "data_offsets are", "range in"},
      {X("\"F32\"", "[2]", "[0,4]"), 4, "span 4 bytes", "expected 8"},
      {X("\"BF16\"", "[1]", "[0,4]"), 4, "span 4 bytes", "expected 2"},
      {X("\"I64\"", "[1]", "[0,4]"), 4, "span 4 bytes", "expected 8"},
      {X("\"F4\"", "[3]", "[0,1]"), 1, "span 1 bytes", "expected 2"},
      {X("\"F32\"", "[1]", "[4,8]"), 8, "tensor x begins at byte 4", "a hole"},
      {X("\"F32\"", "[1]", "[0,4]"), 5, "model.safetensors: holds", "last tensor ends"},
      {"{}", 3, "model.safetensors: holds 13 bytes", "expected 10"},
      {"{" A ",\"b\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[0,24]}}", 24, "at byte 0", "overlap"},
      {"{" A ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[20,28]}}", 28, "at byte 20",
       "overlap"},
      {"{" A ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[28,32]}}", 32, "tensor b", "a hole"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    put_file(f, "model.safetensors", cases[i].header, cases[i].data);
    olica_status status = open_model(f);
    assert_non_null(strstr(f->env->error.text, "model.safetensors"));
    fixture_expect(f, status, OLICA_ERR_INPUT, cases[i].word, cases[i].other);
  }
}

static void lengths_that_lie(void **state) {
  fixture *f = *state;
  static const struct {
    const char *data;
    size_t bytes;
    const char *word;
  } cases[] = {{"", 0, "holds 0 bytes"},
               {"\1\0\0\0\0\0\0", 7, "holds 7 bytes"},
               {"\3\0\0\0\0\0\0\0{}", 10, "has 3 bytes, expected at most 2"},
               {"\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, "has 18446744073709551615 bytes"},
               {"\0\0\0\0\0\0\0\x80{}", 10, "has 9223372036854775808 bytes"},
               {"version https://git-lfs.github.com/spec/v1\n", 43, "Git LFS"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *path = fixture_put(f, "model.safetensors", cases[i].data, cases[i].bytes);
    fixture_expect(f, open_model(f), OLICA_ERR_INPUT, path, cases[i].word);
  }
  const char *path = fixture_put(f, "model.safetensors", "\1\xe1\xf5\5\0\0\0\0", 8); /* 100,000,001 */
  assert_int_equal(truncate(path, 200000000), 0);
  fixture_expect(f, open_model(f), OLICA_ERR_INPUT, path, "has 100000001 bytes, expected at most 100000000");
}

static void headers_too_deep_or_too_long(void **state) {
  fixture *f = *state;
  char *header = calloc(1, 1 << 20);
  memset(header, '[', 1 << 19);
  memcpy(header, "{\"a\":", 5);
  put_file(f, "model.safetensors", header, 0);
  fixture_expect(f, open_model(f), OLICA_ERR_INPUT, "header", "depth");
  static const int lengths[] = {OLICA_TENSOR_NAME - 1, OLICA_TENSOR_NAME, OLICA_TENSOR_NAME + 1, 4096, 4097};
  for (int i = 0; i < 5; i++) { /* above 191: its beginning and a checksum */
    char name[4098] = {0};
    memset(name, 'n', (size_t)lengths[i]);
    snprintf(header, 1 << 20, "{\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", name);
    put_file(f, "model.safetensors", header, 4);
    if (lengths[i] <= 4096)
      assert_int_equal(open_model(f), OLICA_OK);
    else
      fixture_expect(f, open_model(f), OLICA_ERR_INPUT, "name has 4097", "1 to 4096");
  }
  free(header);
}

/* Cut anywhere it is an error; with any byte of its header changed it is good or an error, never worse. */
static void file_damaged_anywhere(void **state) {
  fixture *f = *state;
  const char header[] = "{" A "," B "}", damage[] = "\0\xff\"0-}]: ";
  const size_t whole = 8 + sizeof header - 1 + 32;
  unsigned char good[256], bad[256];
  put_file(f, "model.safetensors", header, 32);
  FILE *file = fopen(fixture_path(f, "model.safetensors"), "rb");
  assert_int_equal(fread(good, 1, sizeof good, file), whole);
  fclose(file);
  for (size_t bytes = 0; bytes < whole; bytes++) {
    fixture_put(f, "model.safetensors", good, bytes);
    fixture_expect(f, open_model(f), OLICA_ERR_INPUT, "model.safetensors: ", "expected");
  }
  for (size_t i = 0; i < (whole - 32) * (sizeof damage - 1); i++) {
    memcpy(bad, good, whole);
    bad[i / (sizeof damage - 1)] = (unsigned char)damage[i % (sizeof damage - 1)];
    fixture_put(f, "model.safetensors", bad, whole);
    olica_status status = open_model(f);
    assert_true(status == OLICA_OK || status == OLICA_ERR_INPUT);
  }
}

/* ---- directories ---- */

static void directories_without_a_model(void **state) {
  fixture *f = *state;
  olica_catalog *catalog;
  assert_int_equal(olica_catalog_create(f->context, &catalog), OLICA_OK);
  const char *missing = fixture_path(f, "none"), *file = fixture_put(f, "config.json", "{}", 2);
  fixture_expect(f, olica_safetensors_open(catalog, missing), OLICA_ERR_INPUT, missing, "No such file");
  fixture_expect(f, olica_safetensors_open(catalog, file), OLICA_ERR_INPUT, file, "is no directory");
  fixture_expect(f, olica_safetensors_open(catalog, f->directory), OLICA_ERR_INPUT, f->directory, "neither");
  fixture_put(f, "pytorch_model.bin", "PK", 2);
  fixture_expect(f, olica_safetensors_open(catalog, f->directory), OLICA_ERR_INPUT, "pytorch_model.bin only",
                 "expected model.safetensors");
  char path[3000];
  memset(path, 'd', sizeof path);
  path[sizeof path - 1] = '\0';
  fixture_expect(f, olica_safetensors_open(catalog, path), OLICA_ERR_INPUT, "ddd", "a path of 2999 bytes");
  olica_catalog_destroy(catalog);
}

static void model_that_is_no_regular_file(void **state) {
  fixture *f = *state;
  const char *path = fixture_path(f, "model.safetensors");
  assert_int_equal(mkfifo(path, 0600), 0);
  fixture_expect(f, open_model(f), OLICA_ERR_INPUT, path, "a pipe");
  assert_int_equal(unlink(path), 0);
  assert_int_equal(symlink("/dev/zero", path), 0);
  fixture_expect(f, open_model(f), OLICA_ERR_INPUT, path, "a device");
  assert_int_equal(unlink(path), 0);
  assert_int_equal(symlink("gone", path), 0);
  fixture_expect(f, open_model(f), OLICA_ERR_INPUT, path, "No such file");
  assert_int_equal(unlink(path), 0);
  assert_int_equal(mkdir(path, 0700), 0);
  fixture_expect(f, open_model(f), OLICA_ERR_INPUT, path, "a directory");
}

#define B0 "\"b\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[0,8]}"

static void shards_are_read_through_their_index(void **state) {
  fixture *f = *state;
  unsigned char raw[8];
  olica_catalog *catalog;
  put_file(f, "m-1.safetensors", "{" A "}", 24);
  const char *second = put_file(f, "m-2.safetensors", "{" B0 "}", 8);
  put_index(f, "{\"metadata\":{\"total_size\":1e30},\"weight_map\":{\"a\":\"m-1.safetensors\",\"b\":\"m-2."
               "safetensors\"}}");
  catalog = good_model(f);
  assert_int_equal(catalog->files, 2);
  assert_int_equal(catalog->count, 2);
  const olica_tensor *b = olica_catalog_find(catalog, "b");
  assert_string_equal(olica_catalog_file(catalog, b), second);
  assert_int_equal(olica_catalog_read(catalog, b, 0, 4, raw), OLICA_OK);
  assert_int_equal(raw[7], 7);
  olica_catalog_destroy(catalog);
  put_file(f, "model.safetensors", "{" A "}", 24); /* the one file comes first */
  catalog = good_model(f);
  assert_int_equal(catalog->count, 1);
  olica_catalog_destroy(catalog);
}

static void indices_that_lie(void **state) {
  fixture *f = *state;
  static const struct {
    const char *index, *word, *other;
  } cases[] = {
      {"", "index.json", "is empty"},
      {"{}", "weight_map is missing", "expected an object"},
      {"{\"weight_map\":[]}", "weight_map is an array", "expected an object"},
      {"{\"weight_map\":{}}", "weight_map is empty", "expected an object"},
      {"{\"weight_map\":{\"a\":3}}", "shard of tensor a is 3", "beside it"},
      {"{\"weight_map\":{\"a\":\"\"}}", "shard of tensor a is the string \"\"", "beside it"},
      {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "/etc/passwd", "beside it"},
      {"{\"weight_map\":{\"a\":\"../x\"}}", "../x", "beside it"},
      {"{\"weight_map\":{\"a\":\"..\"}}", "\"..\"", "beside it"},
      {"{\"weight_map\":{\"a\":\"x\\ny\"}}", "\"x?y\"", "beside it"},
      {"{\"weight_map\":{\"a\":\".\"}}", "/.", "a directory"},
      {"{\"weight_map\":{\"a\":\"gone\"}}", "index.json: ", "in shard gone, which is missing"},
      {"{\"weight_map\":{\"\\n\":\"1\"}}", "index.json: ", "control characters"},
      {"{\"weight_map\":{\"a\":\"1\",\"a\":\"2\"}}", "index.json: ", "duplicate"},
      {"{\"weight_map\":{\"a\":\"1\",\"b\":\"1\"}}", "expects tensor b in shard 1", "does not hold"},
      {"{\"weight_map\":{\"a\":\"1\",\"b\":\"2\",\"c\":\"2\"}}", "expects tensor c in shard 2",
       "does not hold"},
      {"{\"weight_map\":{\"a\":\"2\",\"b\":\"2\",\"c\":\"1\"}}", "1: holds tensor a", "expects in 2"},
      {"{\"weight_map\":{\"a\":\"3\",\"b\":\"2\"}}", "3: holds tensor b", "expects in 2"},
      {"{\"weight_map\":{\"a\":\"3\",\"c\":\"4\"}}", "tensor b lies in", "expected once"},
  };
  put_file(f, "1", "{" A "}", 24);
  put_file(f, "2", "{" B0 "}", 8);
  put_file(f, "3", "{" A "," B "}", 32);
  put_file(f, "4", "{" B0 ",\"c\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[8,9]}}", 9);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    put_index(f, cases[i].index);
    olica_status status = open_model(f);
    fixture_expect(f, status, OLICA_ERR_INPUT, cases[i].word, cases[i].other);
  }
}

static void memory_limit_reaches_the_reader(void **state) {
  fixture *f = *state;
  put_file(f, "model.safetensors", "{" A "}", 24);
  f->env->memory.limit = f->env->memory.now + 3000;
  fixture_expect(f, open_model(f), OLICA_ERR_MEMORY, "memory: ", "needs");
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(tensors_are_found_and_read),
      FIXTURE_TEST(file_changed_meanwhile),
      FIXTURE_TEST(headers_that_lie),
      FIXTURE_TEST(lengths_that_lie),
      FIXTURE_TEST(headers_too_deep_or_too_long),
      FIXTURE_TEST(file_damaged_anywhere),
      FIXTURE_TEST(directories_without_a_model),
      FIXTURE_TEST(model_that_is_no_regular_file),
      FIXTURE_TEST(shards_are_read_through_their_index),
      FIXTURE_TEST(indices_that_lie),
      FIXTURE_TEST(memory_limit_reaches_the_reader),
  };
  MPI_Init(&argc, &argv);
  int failed = cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
  MPI_Finalize();
  return failed;
}
