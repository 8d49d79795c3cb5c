/* Room io: token files. */
#include "fixture.h"

#include "io/npy.h"

/* An .npy file of that dictionary and data, its header filled up as NumPy does. */
static const char *put_npy(fixture *f, int version, const char *dictionary, const void *data, size_t bytes) {
  char file[4096];
  size_t length = strlen(dictionary), begin = version == 1 ? 10 : 12;
  memcpy(file, "\x93NUMPY", 6);
  memcpy(file + 6, (char[]){(char)version, 0, (char)length, (char)(length >> 8), 0, 0}, 6);
  memcpy(file + begin, dictionary, length);
  memcpy(file + begin + length, data, bytes);
  return fixture_put(f, "ids.npy", file, begin + length + bytes);
}

static void npy_types(void **state) {
  fixture *f = *state;
  static const struct {
    int version;
    const char *dictionary;
    int item;
    unsigned char data[48];
  } cases[] = {
      {1,
       "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }\n",
       4,
       {1, 0, 0, 0, [9] = 1, [20] = 9}},
      {2, "{\"shape\":(2,3),\"fortran_order\":False,\"descr\":\"=i8\"}", 8, {1, [17] = 1, [40] = 9}},
      {3, "{'descr': '<u2', 'fortran_order': False, 'shape': (2, 3,)}   \n", 2, {1, [5] = 1, [10] = 9}},
      {1, " { 'descr' : '<u4' , 'fortran_order' : False , 'shape' : ( 2 , 3 ) } ", 4, {1, [9] = 1, [20] = 9}},
      {1, "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3)}", 1, {1, 0, 0, 0, 0, 9}},
      {1, "{'descr': '<i4', 'fortran_order': True, 'shape': (6,)}", 4, {1, [9] = 1, [20] = 9}},
      {1, "{'descr': '<i4', 'fortran_order': False, 'shape': (1, 2, 1, 3)}", 4, {1, [9] = 1, [20] = 9}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *path =
        put_npy(f, cases[i].version, cases[i].dictionary, cases[i].data, 6 * (size_t)cases[i].item);
    olica_npy *npy;
    int32_t ids[6];
    assert_int_equal(olica_npy_open(f->context, path, &npy), OLICA_OK);
    assert_string_equal(npy->path, path);
    assert_int_equal(npy->item, cases[i].item);
    assert_int_equal(npy->rows * npy->cols, 6);
    assert_int_equal(npy->rows, npy->dims > 1 ? 2 : 1);
    assert_int_equal(olica_npy_read(f->context, npy, 0, 0, 6, 257, ids), OLICA_OK);
    const int32_t expected[6] = {1, 0, cases[i].item == 1 ? 0 : 256, 0, 0, 9};
    assert_memory_equal(ids, expected, sizeof ids);
    if (npy->dims > 1) {
      assert_int_equal(olica_npy_read(f->context, npy, 1, 2, 1, 10, ids), OLICA_OK);
      assert_int_equal(ids[0], 9);
    }
    olica_npy_close(f->context, npy);
  }
  olica_npy_close(f->context, NULL);
}

#define BEGIN "{'descr': '<i4', 'fortran_order': False, 'shape': "

static void npy_that_is_malformed(void **state) {
  fixture *f = *state;
  static const struct {
    const char *dictionary, *word;
    size_t bytes;
  } cases[] = {
      {BEGIN "(2, 3)}", "holds 20 bytes of data, expected 24", 20},
      {BEGIN "(2, 3)}", "holds 28 bytes of data, expected 24", 28},
      {BEGIN "(2, 3, 1)}", "holds 20 bytes of data, expected 24 for 6 x 1 ids", 20},
      {BEGIN "(4294967296, 4294967296, 1)}", "fewer than 2^63 rows", 4},
      {BEGIN "()}", "to have a dimension", 4},
      {BEGIN "(6)}", "comma", 24},
      {BEGIN "6}", "tuple", 24},
      {BEGIN "(-2, 3)}", "extent", 24},
      {BEGIN "(2.0, 3)}", "comma", 24},
      {BEGIN "(2 3)}", "comma", 24},
      {BEGIN "(99999999999999999999, 3)}", "2^63", 24},
      {BEGIN "(4611686018427387904, 3)}", "overflows", 24},
      {BEGIN "(4611686018427387904, 1)}", "overflows", 24},
      {BEGIN "(2, 3)} x", "nothing after", 24},
      {BEGIN "(2, 3)", "end of the dictionary", 24},
      {BEGIN "(2, 3", "end of shape", 24},
      {BEGIN "(2, 3), 'shape': (2, 3)}", "'shape' again", 24},
      {BEGIN "(2, 3), 'other': 1}", "'other', expected", 24},
      {"{'descr': '<i4', 'shape': (2, 3)}", "fortran_order", 24},
      {"{'descr': '<i4', 'fortran_order': 0, 'shape': (2, 3)}", "True or False", 24},
      {"{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3)}", "C order", 24},
      {"{'descr': '>i4', 'fortran_order': False, 'shape': (2, 3)}", "'>i4', expected", 24},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", "'<f4', expected", 24},
      {"{'descr': '', 'fortran_order': False, 'shape': (2, 3)}", "'', expected", 24},
      {"{'descr': '|i4', 'fortran_order': False, 'shape': (2, 3)}", "'|i4', expected", 24},
      {"{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (6,)}", "not a structure", 24},
      {"{descr: '<i4'}", "descr, fortran_order or shape", 24},
      {"[]", "a dictionary", 24},
      {"", "a dictionary", 24},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char data[64] = {0};
    const char *path = put_npy(f, 1 + (int)(i % 3), cases[i].dictionary, data, cases[i].bytes);
    olica_npy *npy;
    fixture_expect(f, olica_npy_open(f->context, path, &npy), OLICA_ERR_INPUT, path, cases[i].word);
  }
}

static void npy_that_is_none(void **state) {
  fixture *f = *state;
  static const struct {
    const char *data;
    size_t bytes;
    const char *word;
  } cases[] = {{"", 0, "does not begin"},
               {"\x93NUMPY\1\0", 8, "does not begin"},
               {"PK\3\4 an npz file", 16, "does not begin"},
               {"\x93NUMPY\4\0\2\0{}", 12, "version 4.0"},
               {"\x93NUMPY\1\0\xff\0{}", 12, "255 bytes, expected at most 2"},
               {"\x93NUMPY\2\0\xff\xff\xff\xff{}", 14, "4294967295 bytes"},
               {"\x93NUMPY\1\0\4\0{}\0\0", 14, "header"}};
  olica_npy *npy;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *path = fixture_put(f, "ids.npy", cases[i].data, cases[i].bytes);
    fixture_expect(f, olica_npy_open(f->context, path, &npy), OLICA_ERR_INPUT, path, cases[i].word);
  }
  const char *missing = fixture_path(f, "none.npy");
  fixture_expect(f, olica_npy_open(f->context, missing, &npy), OLICA_ERR_INPUT, missing, "No such file");
}

static void npy_ids_out_of_the_vocabulary(void **state) {
  fixture *f = *state;
  const int32_t ids[6] = {1, 2, 3, 4, -5, 6};
  const int64_t large[2] = {0, INT64_C(1) << 32};
  int32_t back[6];
  olica_npy *npy;
  const char *path = put_npy(f, 1, BEGIN "(2, 3)}", ids, sizeof ids);
  assert_int_equal(olica_npy_open(f->context, path, &npy), OLICA_OK);
  assert_int_equal(olica_npy_read(f->context, npy, 0, 0, 4, 5, back), OLICA_OK);
  fixture_expect(f, olica_npy_read(f->context, npy, 0, 0, 6, 100, back), OLICA_ERR_INPUT, "row 1, column 1",
                 "id -5, expected one in [0, 100)");
  fixture_expect(f, olica_npy_read(f->context, npy, 0, 1, 3, 4, back), OLICA_ERR_INPUT, path,
                 "row 1, column 0: id 4");
  assert_int_equal(truncate(path, 80), 0);
  fixture_expect(f, olica_npy_read(f->context, npy, 1, 0, 3, 100, back), OLICA_ERR_INPUT, path,
                 "ends at byte 80");
  olica_npy_close(f->context, npy);
  path = put_npy(f, 1, "{'descr': '<i8', 'fortran_order': False, 'shape': (2,)}", large, sizeof large);
  assert_int_equal(olica_npy_open(f->context, path, &npy), OLICA_OK);
  fixture_expect(f, olica_npy_read(f->context, npy, 0, 0, 2, 100, back), OLICA_ERR_INPUT, "column 1",
                 "4294967296");
  olica_npy_close(f->context, npy);
}

/* More ids than one batch, there and back. */
static void npy_is_written_and_read(void **state) {
  fixture *f = *state;
  enum { ROWS = 3, COLS = 5000 };
  const char *path = fixture_path(f, "dump.npy");
  int32_t *ids = malloc(ROWS * COLS * sizeof *ids), *back = calloc(ROWS * COLS, sizeof *back);
  for (int i = 0; i < ROWS * COLS; i++) ids[i] = i;
  olica_npy *npy;
  assert_int_equal(olica_npy_write(f->env, path, ROWS, COLS, ids), OLICA_OK);
  assert_int_equal(olica_npy_open(f->context, path, &npy), OLICA_OK);
  assert_int_equal(npy->dims, 2);
  assert_int_equal(npy->offset % 64, 0);
  assert_int_equal(olica_npy_read(f->context, npy, 0, 1, ROWS * COLS - 1, ROWS * COLS, back + 1), OLICA_OK);
  assert_memory_equal(ids, back, ROWS * COLS * sizeof *ids);
  olica_npy_close(f->context, npy);
  free(ids);
  free(back);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(npy_types),
      FIXTURE_TEST(npy_that_is_malformed),
      FIXTURE_TEST(npy_that_is_none),
      FIXTURE_TEST(npy_ids_out_of_the_vocabulary),
      FIXTURE_TEST(npy_is_written_and_read),
  };
  MPI_Init(&argc, &argv);
  int failed = cmocka_run_group_tests_name("npy", tests, NULL, NULL);
  MPI_Finalize();
  return failed;
}
