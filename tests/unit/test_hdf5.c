/* Room io: the index of HDF5 files, above all of those that are not what they should be. */
#include "fixture.h"

#include <hdf5.h>

#include "io/hdf5.h"

/* A good file of 3 x 4 fp32 numbers, then whatever the test does to it. */
typedef struct file {
  const char *path;
  hid_t id;
} file;

static void put_text(hid_t object, const char *name, const char *text) {
  hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
  H5Tset_size(type, strlen(text) + 1);
  if (H5Aexists(object, name) > 0) H5Adelete(object, name);
  hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  assert_true(H5Awrite(attribute, type, text) >= 0);
  H5Aclose(attribute);
  H5Sclose(space);
  H5Tclose(type);
}

static void put_integer(hid_t object, const char *name, long long value) {
  hid_t space = H5Screate(H5S_SCALAR);
  if (H5Aexists(object, name) > 0) H5Adelete(object, name);
  hid_t attribute = H5Acreate2(object, name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
  assert_true(H5Awrite(attribute, H5T_NATIVE_LLONG, &value) >= 0);
  H5Aclose(attribute);
  H5Sclose(space);
}

/* Takes `creation` over; 0: contiguous, with its storage. */
static void put_set(hid_t at, const char *name, hid_t type, int dims, const hsize_t *shape, hid_t creation,
                    const char *dtype) {
  if (!creation) {
    creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY);
  }
  hid_t space = dims ? H5Screate_simple(dims, shape, NULL) : H5Screate(H5S_NULL);
  hid_t set = H5Dcreate2(at, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  assert_true(set >= 0);
  if (dtype) put_text(set, "dtype", dtype);
  put_integer(set, "crc32", 7);
  H5Dclose(set);
  H5Sclose(space);
  H5Pclose(creation);
}

static file good_file(fixture *f) {
  static const hsize_t shape[2] = {3, 4};
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18);
  file its = {.path = fixture_path(f, "x.h5")};
  its.id = H5Fcreate(its.path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
  assert_true(its.id >= 0);
  put_text(its.id, "format", "test");
  put_integer(its.id, "schema", 1);
  put_integer(its.id, "complete", 1);
  H5Gclose(H5Gcreate2(its.id, "group", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  put_set(its.id, "group/good", H5T_IEEE_F32LE, 2, shape, 0, "fp32");
  H5Pclose(access);
  return its;
}

static olica_status index_of(fixture *f, const char *path, olica_catalog **catalog) {
  OLICA_TRY(olica_catalog_create(f->context, catalog));
  return olica_catalog_share(*catalog, olica_hdf5_index(*catalog, path, "test", 1));
}

/* Closes the file; its index is refused over the object `name`, for that reason. */
static void refused(fixture *f, file its, const char *name, const char *why) {
  olica_catalog *catalog;
  assert_true(H5Fclose(its.id) >= 0);
  fixture_expect(f, index_of(f, its.path, &catalog), OLICA_ERR_INPUT, name, why);
}

static void a_good_file(void **state) {
  fixture *f = *state;
  olica_catalog *catalog;
  file its = good_file(f);
  H5Fclose(its.id);
  assert_int_equal(index_of(f, its.path, &catalog), OLICA_OK);
  assert_int_equal(catalog->count, 1);
  const olica_tensor *tensor = olica_catalog_find(catalog, "group/good");
  assert_non_null(tensor);
  assert_true(tensor->dtype == OLICA_FP32 && tensor->dims == 2 && tensor->shape[0] == 3 &&
              tensor->shape[1] == 4);
  assert_true(tensor->bytes == 48 && tensor->has_crc && tensor->crc == 7);
  assert_string_equal(tensor->stored, "fp32");
  olica_catalog_destroy(catalog);
}

static void no_such_file(void **state) {
  fixture *f = *state;
  olica_catalog *catalog;
  unsigned char garbage[4096];
  for (size_t i = 0; i < sizeof garbage; i++) garbage[i] = (unsigned char)(i * i >> 3);
  const char *path = fixture_path(f, "missing.h5");
  fixture_expect(f, index_of(f, path, &catalog), OLICA_ERR_INPUT, "missing.h5", "No such file");
  path = fixture_put(f, "garbage.h5", garbage, sizeof garbage);
  fixture_expect(f, index_of(f, path, &catalog), OLICA_ERR_INPUT, "garbage.h5", "not an HDF5 file");
  path = fixture_put(f, "empty.h5", "", 0);
  fixture_expect(f, index_of(f, path, &catalog), OLICA_ERR_INPUT, "empty.h5", "not an HDF5 file");
  path = fixture_put(f, "old.h5", "\x89HDF\r\n\x1a\n\0\0\0", 11);
  fixture_expect(f, index_of(f, path, &catalog), OLICA_ERR_INPUT, "old.h5", "oldest file format");
  path = fixture_put(f, "head.h5", "\x89HDF\r\n\x1a\n\2\10\10", 11);
  fixture_expect(f, index_of(f, path, &catalog), OLICA_ERR_INPUT, "head.h5", "HDF5 cannot open it");
}

/* Every length of a good file, in steps. */
static void a_file_cut_short(void **state) {
  fixture *f = *state;
  olica_catalog *catalog;
  file its = good_file(f);
  H5Fclose(its.id);
  FILE *from = fopen(its.path, "rb");
  static char all[1 << 16];
  size_t bytes = fread(all, 1, sizeof all, from);
  fclose(from);
  for (size_t length = 0; length < bytes; length += 13)
    fixture_expect(f, index_of(f, fixture_put(f, "cut.h5", all, length), &catalog), OLICA_ERR_INPUT, "cut.h5",
                   "");
}

static void attributes_of_the_root(void **state) {
  fixture *f = *state;
  file its = good_file(f);
  put_text(its.id, "format", "other");
  refused(f, its, "x.h5", "format \"other\", expected \"test\"");
  its = good_file(f);
  H5Adelete(its.id, "format");
  refused(f, its, "x.h5", "format \"\", expected \"test\"");
  its = good_file(f);
  put_integer(its.id, "schema", 2);
  refused(f, its, "x.h5", "schema 2, expected 1");
  its = good_file(f);
  put_integer(its.id, "complete", 0);
  refused(f, its, "x.h5", "not complete");
  its = good_file(f);
  H5Adelete(its.id, "complete");
  refused(f, its, "x.h5", "not complete");
  its = good_file(f);
  put_text(its.id, "complete", "1");
  refused(f, its, "x.h5", "attribute complete of another kind");
}

static void types(void **state) {
  fixture *f = *state;
  const hsize_t shape[1] = {5};
  file its = good_file(f);
  put_set(its.id, "a", H5T_STD_I64LE, 1, shape, 0, "int64");
  refused(f, its, "a has the attribute dtype = \"int64\"", "expected fp32");
  its = good_file(f);
  put_set(its.id, "a", H5T_IEEE_F32LE, 1, shape, 0, "fp64");
  refused(f, its, "a has the attribute dtype = \"fp64\"", "numbers of another type");
  its = good_file(f);
  put_set(its.id, "a", H5T_IEEE_F32BE, 1, shape, 0, "fp32");
  refused(f, its, "a has the attribute dtype = \"fp32\"", "numbers of another type");
  its = good_file(f);
  put_set(its.id, "a", H5T_STD_U16LE, 1, shape, 0, NULL);
  refused(f, its, "a has the attribute dtype = \"\"", "expected fp32");
  its = good_file(f);
  put_set(its.id, "group/a", H5T_STD_U8LE, 1, shape, 0, "uint8");
  hid_t set = H5Dopen2(its.id, "group/a", H5P_DEFAULT);
  put_integer(set, "crc32", -1);
  H5Dclose(set);
  refused(f, its, "group/a", "crc32 out of range");
}

static void shapes_and_places(void **state) {
  fixture *f = *state;
  const hsize_t shape[5] = {2, 2, 2, 2, 2}, huge[2] = {1LL << 40, 1LL << 20}, none[1] = {0};
  const struct {
    int dims;
    const hsize_t *shape;
    const char *why;
  } bad[] = {
      {0, NULL, "no dimension"}, {5, shape, "too many"}, {2, huge, "more elements"}, {1, none, "an empty"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    file its = good_file(f);
    hid_t late = H5Pcreate(H5P_DATASET_CREATE);
    put_set(its.id, "a", H5T_IEEE_F32LE, bad[i].dims, bad[i].shape, late, "fp32");
    refused(f, its, "a has", bad[i].why);
  }
  file its = good_file(f);
  put_set(its.id, "a", H5T_IEEE_F32LE, 2, shape, H5Pcreate(H5P_DATASET_CREATE), "fp32");
  refused(f, its, "a lies outside of the file", "whole");
  its = good_file(f);
  hid_t chunked = H5Pcreate(H5P_DATASET_CREATE), outside = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(chunked, 2, shape);
  put_set(its.id, "a", H5T_IEEE_F32LE, 2, shape, chunked, "fp32");
  refused(f, its, "a is chunked", "expected a contiguous");
  its = good_file(f);
  H5Pset_external(outside, "/etc/passwd", 0, 16);
  put_set(its.id, "a", H5T_IEEE_F32LE, 2, shape, outside, "fp32");
  refused(f, its, "a lies in an external file", "expected");
}

static void links(void **state) {
  fixture *f = *state;
  file its = good_file(f);
  H5Lcreate_soft("/group/good", its.id, "group/soft", H5P_DEFAULT, H5P_DEFAULT);
  refused(f, its, "group/soft", "soft or external link");
  its = good_file(f);
  H5Lcreate_external("/etc/passwd", "/x", its.id, "outside", H5P_DEFAULT, H5P_DEFAULT);
  refused(f, its, "outside", "soft or external link");
  its = good_file(f);
  H5Lcreate_hard(its.id, "group", its.id, "group/again", H5P_DEFAULT, H5P_DEFAULT);
  refused(f, its, "group/again/again", "too deep");
  its = good_file(f);
  H5Lcreate_hard(its.id, "group/good", its.id, "twin", H5P_DEFAULT, H5P_DEFAULT);
  refused(f, its, "group/good", "overlap");
  its = good_file(f);
  char name[400];
  memset(name, 'n', sizeof name);
  name[sizeof name - 1] = '\0';
  H5Gclose(H5Gcreate2(its.id, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  refused(f, its, "the root", "very long name");
  its = good_file(f);
  hid_t type = H5Tcopy(H5T_IEEE_F32LE);
  H5Tcommit2(its.id, "type", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  H5Tclose(type);
  refused(f, its, "type", "neither group nor dataset");
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(a_good_file),
      FIXTURE_TEST(no_such_file),
      FIXTURE_TEST(a_file_cut_short),
      FIXTURE_TEST(attributes_of_the_root),
      FIXTURE_TEST(types),
      FIXTURE_TEST(shapes_and_places),
      FIXTURE_TEST(links),
  };
  olica_hdf5_start();
  MPI_Init(&argc, &argv);
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  MPI_Finalize();
  return failed;
}
