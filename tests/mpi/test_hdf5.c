/* The HDF5 writer below the checkpoint: are large writes collective, small ones right with several
 * aggregators, do all ranks come out of a failure, and soon. Runs at any number of ranks; the last line says
 * how many checks passed. */
#include <fcntl.h>
#include <hdf5.h>
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "io/hdf5.h"
#include "par/comm.h"

typedef struct test {
  olica_env *env;
  olica_context *context;
  char directory[128];
  int passed, failed;
} test;

/* A check holds when it holds on every rank. Collective. */
static void check(test *t, bool holds, const char *what, long number) {
  int mine = holds, all;
  MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_LAND, t->context->comm);
  *(all ? &t->passed : &t->failed) += 1;
  if (!holds)
    fprintf(stderr, "FAILED on rank %d: %s (%ld): %s\n", t->context->rank, what, number, t->env->error.text);
}

/* ---- what is written is what is read ---- */

typedef struct shape {
  olica_element type;
  int dims;
  int64_t shape[2];
} shape;

/* Small and large, fewer rows than ranks, one dimension, more than a round. */
static const shape shapes[] = {{OLICA_ELEMENT_FP32, 2, {20, 30}},    {OLICA_ELEMENT_BF16, 2, {2, 50000}},
                               {OLICA_ELEMENT_FP16, 2, {3000, 33}},  {OLICA_ELEMENT_BYTES, 1, {100001, 0}},
                               {OLICA_ELEMENT_INT32, 2, {1, 20000}}, {OLICA_ELEMENT_FP32, 1, {5000001, 0}},
                               {OLICA_ELEMENT_INT32, 2, {70000, 3}}, {OLICA_ELEMENT_BF16, 2, {1001, 9001}}};
enum { SHAPES = sizeof shapes / sizeof *shapes, PIECES = 3 };

static int64_t rows_of(const shape *s) {
  return s->shape[0];
}

static int64_t columns_of(const shape *s) {
  return s->dims == 2 ? s->shape[1] : 1;
}

/* Element i of a dataset: a whole number that every type can hold. */
static int value(int64_t i) {
  return (int)((i * 7919 + i / 251) % 251);
}

static void *make_rows(const shape *s, int64_t first, int64_t count) {
  int64_t n = count * columns_of(s), start = first * columns_of(s);
  void *rows = malloc((size_t)n * 4);
  for (int64_t i = 0; i < n; i++) {
    if (s->type == OLICA_ELEMENT_INT32)
      ((int32_t *)rows)[i] = value(start + i);
    else if (s->type == OLICA_ELEMENT_BYTES)
      ((unsigned char *)rows)[i] = (unsigned char)value(start + i);
    else
      ((float *)rows)[i] = (float)value(start + i);
  }
  return rows;
}

static olica_status write_shape(olica_hdf5 *file, int number) {
  const shape *s = &shapes[number];
  int64_t rows = rows_of(s);
  for (int piece = 0; piece < PIECES; piece++) {
    int64_t first = rows * piece / PIECES, count = rows * (piece + 1) / PIECES - first;
    void *data = make_rows(s, first, count);
    olica_status status = olica_hdf5_write(file, number, first, count, data);
    free(data);
    OLICA_TRY(status);
  }
  return OLICA_OK;
}

static olica_status write_file(test *t, const char *path, long *asked, long *made) {
  olica_hdf5 *file;
  OLICA_TRY(olica_hdf5_create(t->context, path, MPI_INFO_NULL, &file));
  OLICA_TRY(olica_hdf5_attribute_text(file, "format", "test"));
  OLICA_TRY(olica_hdf5_attribute_integer(file, "schema", 7));
  for (int i = 0; i < SHAPES; i++) {
    char name[32];
    int number;
    snprintf(name, sizeof name, "group/%d/set", i);
    OLICA_TRY(olica_hdf5_dataset(file, name, shapes[i].type, shapes[i].dims, shapes[i].shape, &number));
  }
  for (int i = SHAPES - 1; i >= 0; i--) OLICA_TRY(write_shape(file, i));
  OLICA_TRY(olica_hdf5_seal(file));
  OLICA_TRY(olica_hdf5_attribute_integer(file, "complete", 0));
  OLICA_TRY(olica_hdf5_attribute_integer(file, "complete", 1));
  olica_hdf5_collective(file, asked, made);
  return olica_hdf5_close(file);
}

static bool same_numbers(olica_catalog *catalog, int number) {
  char name[32];
  snprintf(name, sizeof name, "group/%d/set", number);
  const shape *s = &shapes[number];
  const olica_tensor *tensor = olica_catalog_find(catalog, name);
  int64_t n = rows_of(s) * columns_of(s);
  if (!tensor || tensor->dims != s->dims || tensor->bytes != n * (int64_t)olica_element_size(s->type))
    return false;
  char *raw = malloc((size_t)tensor->bytes);
  float *decoded = malloc((size_t)n * sizeof *decoded);
  bool same = olica_catalog_read(catalog, tensor, 0, n, raw) == OLICA_OK;
  if (s->type <= OLICA_ELEMENT_BF16) olica_number_decode((olica_dtype)s->type, raw, decoded, (size_t)n);
  for (int64_t i = 0; i < n && same; i++) {
    if (s->type == OLICA_ELEMENT_INT32)
      same = ((int32_t *)(void *)raw)[i] == value(i);
    else
      same =
          s->type == OLICA_ELEMENT_BYTES ? (unsigned char)raw[i] == value(i) : decoded[i] == (float)value(i);
  }
  free(raw);
  free(decoded);
  return same;
}

static void test_types(test *t) {
  char path[200];
  long asked = 0, made = 0;
  olica_catalog *catalog;
  snprintf(path, sizeof path, "%s/types.h5", t->directory);
  check(t, write_file(t, path, &asked, &made) == OLICA_OK, "a file is written", 0);
  check(t, asked > 10, "large writes are made together", asked);
  check(t, made == asked, "and HDF5 does so", made);
  olica_status status = olica_catalog_create(t->context, &catalog);
  if (status == OLICA_OK && t->context->rank == 0) status = olica_hdf5_index(catalog, path, "test", 7);
  check(t, olica_catalog_share(catalog, status) == OLICA_OK && catalog->count == SHAPES, "its index is read",
        0);
  for (int i = 0; i < SHAPES; i++) check(t, same_numbers(catalog, i), "numbers come back", i);
  olica_catalog_destroy(catalog);
  olica_catalog *other;
  if (olica_catalog_create(t->context, &other) != OLICA_OK) return;
  check(t, olica_hdf5_index(other, path, "tset", 7) == OLICA_ERR_INPUT, "another format", 0);
  check(t, olica_hdf5_index(other, path, "test", 8) == OLICA_ERR_INPUT, "another schema", 0);
  olica_catalog_destroy(other);
  MPI_Barrier(t->context->comm);
  if (t->context->rank == 0) unlink(path);
}

/* ---- the guard against OMPIO's data sieving, without the writer in between ---- */

enum { SMALL_ROWS = 20, SMALL_COLUMNS = 30 };

static void write_together(test *t, const char *path, const float *mine, hsize_t first, hsize_t count) {
  hsize_t extent[2] = {SMALL_ROWS, SMALL_COLUMNS}, start[2] = {first, 0}, block[2] = {count, SMALL_COLUMNS};
  hid_t access = H5Pcreate(H5P_FILE_ACCESS), list = H5Pcreate(H5P_DATASET_XFER);
  H5Pset_fapl_mpio(access, t->context->comm, MPI_INFO_NULL);
  H5Pset_dxpl_mpio(list, H5FD_MPIO_COLLECTIVE);
  hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access), space = H5Screate_simple(2, extent, NULL);
  hid_t set = H5Dcreate2(file, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  hid_t memory = H5Screate_simple(2, block, NULL);
  H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, block, NULL);
  H5Dwrite(set, H5T_IEEE_F32LE, memory, space, list, mine);
  H5Dclose(set);
  H5Fclose(file);
  H5Sclose(memory);
  H5Sclose(space);
  H5Pclose(list);
  H5Pclose(access);
}

static void test_small(test *t) {
  char path[200];
  float all[SMALL_ROWS * SMALL_COLUMNS], found[SMALL_ROWS * SMALL_COLUMNS];
  int size = t->context->size, rank = t->context->rank, wrong = 0;
  int first = SMALL_ROWS * rank / size, count = SMALL_ROWS * (rank + 1) / size - first;
  snprintf(path, sizeof path, "%s/small.h5", t->directory);
  for (int run = 0; run < 60; run++) {
    for (int i = 0; i < SMALL_ROWS * SMALL_COLUMNS; i++) all[i] = (float)(1000 * run + i);
    write_together(t, path, all + first * SMALL_COLUMNS, (hsize_t)first, (hsize_t)count);
    if (rank != 0) continue;
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), set = H5Dopen2(file, "x", H5P_DEFAULT);
    H5Dread(set, H5T_IEEE_F32LE, H5S_ALL, H5S_ALL, H5P_DEFAULT, found);
    wrong += memcmp(found, all, sizeof all) != 0;
    H5Dclose(set);
    H5Fclose(file);
  }
  check(t, wrong == 0, "60 small collective writes", wrong);
  MPI_Barrier(t->context->comm);
  if (rank == 0) unlink(path);
}

/* ---- failures ---- */

enum { METADATA = 128 << 10, ROWS = 300, DATA_KIB = 64 * ROWS - (METADATA >> 10) + 64 };

/* One dataset of `rows` rows of 64 KiB. */
static olica_status create_large(test *t, const char *path, int64_t rows, olica_hdf5 **file) {
  const int64_t extent[2] = {rows, 16384};
  int number;
  OLICA_TRY(olica_hdf5_create(t->context, path, MPI_INFO_NULL, file));
  OLICA_TRY(olica_hdf5_dataset(*file, "large", OLICA_ELEMENT_FP32, 2, extent, &number));
  return olica_hdf5_reserve(*file);
}

static olica_status write_large(olica_hdf5 *file, int64_t rows) {
  float *data = calloc((size_t)rows, 65536);
  olica_status status = olica_hdf5_write(file, 0, 0, rows, data);
  free(data);
  return status;
}

static bool says(const test *t, olica_status status, olica_status code, const char *word) {
  return status == code && strstr(t->env->error.text, word);
}

static void test_refusal(test *t) {
  olica_hdf5 *file = NULL;
  olica_status status = olica_hdf5_create(t->context, "/nowhere/at/all.h5", MPI_INFO_NULL, &file);
  check(t, says(t, status, OLICA_ERR_IO, "/nowhere/at/all.h5"), "no such directory", 0);
  char path[200];
  snprintf(path, sizeof path, "%s/order.h5", t->directory);
  check(t, create_large(t, path, 3, &file) == OLICA_OK, "a file", 0);
  float row[16384] = {0};
  int64_t one = 1;
  int number;
  check(t, olica_hdf5_write(file, 0, 1, 1, row) == OLICA_ERR_INTERNAL, "rows come in order", 1);
  check(t, olica_hdf5_write(file, 1, 0, 1, row) == OLICA_ERR_INTERNAL, "of a dataset that is there", 1);
  check(t, olica_hdf5_write(file, 0, 0, 1, row) == OLICA_OK, "the first one", 0);
  check(t, olica_hdf5_dataset(file, "late", OLICA_ELEMENT_BYTES, 1, &one, &number) == OLICA_ERR_INTERNAL,
        "too late", 0);
  status = olica_hdf5_seal(file);
  check(t, says(t, status, OLICA_ERR_INTERNAL, "1 rows"), "not whole", 0);
  olica_hdf5_abandon(file);
  MPI_Barrier(t->context->comm);
  if (t->context->rank == 0) unlink(path);
}

/* One rank alone is refused, the others go through. */
static void test_alone(test *t) {
  char path[200];
  struct rlimit limit, low;
  olica_hdf5 *file = NULL;
  snprintf(path, sizeof path, "%s/alone.h5", t->directory);
  signal(SIGXFSZ, SIG_IGN);
  getrlimit(RLIMIT_FSIZE, &limit);
  low = (struct rlimit){.rlim_cur = 100 << 10, .rlim_max = limit.rlim_max};
  for (int rank = 0; rank < t->context->size; rank++) {
    check(t, create_large(t, path, ROWS, &file) == OLICA_OK, "a file", rank);
    if (t->context->rank == rank) setrlimit(RLIMIT_FSIZE, &low);
    olica_status status = write_large(file, ROWS);
    setrlimit(RLIMIT_FSIZE, &limit);
    check(t, says(t, status, OLICA_ERR_IO, path), "one rank is refused", rank);
    olica_hdf5_abandon(file);
    MPI_Barrier(t->context->comm);
    if (t->context->rank == 0) unlink(path);
    MPI_Barrier(t->context->comm);
  }
}

/* A file system of 24 MiB; only root may make one. */
static bool mount_small(test *t, const char *path) {
  int mounted = 0;
  if (t->context->rank == 0)
    mounted = mkdir(path, 0700) == 0 && mount("tmpfs", path, "tmpfs", 0, "size=24m") == 0;
  MPI_Bcast(&mounted, 1, MPI_INT, 0, t->context->comm);
  return mounted;
}

/* Takes the blocks of the data away behind the writer's back and fills the disk, all but `left` KiB. What
 * HDF5 has written of its own stays: a disk that is full already then is noticed before. */
static void steal(const char *path, const char *filler, long left) {
  struct statvfs fs;
  int file = open(path, O_WRONLY), fd = open(filler, O_WRONLY | O_CREAT, 0600);
  const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (file < 0 || fd < 0 || fallocate(file, punch, METADATA, 1 << 30) != 0 || statvfs(filler, &fs) != 0)
    abort();
  long bytes = (long)fs.f_bavail * (long)fs.f_frsize - left * 1024;
  if (bytes > 0 && posix_fallocate(fd, 0, bytes) != 0) abort();
  close(file);
  close(fd);
}

/* The abandoned file is still open: its blocks would stay. */
static void remove_both(const char *path, const char *filler) {
  if (truncate(path, 0) != 0) perror(path);
  unlink(path);
  unlink(filler);
}

static void test_full(test *t) {
  char disk[160], path[200], filler[200];
  olica_hdf5 *file = NULL;
  snprintf(disk, sizeof disk, "%s/disk", t->directory);
  snprintf(path, sizeof path, "%s/full.h5", disk);
  snprintf(filler, sizeof filler, "%s/filler", disk);
  if (!mount_small(t, disk)) {
    if (t->context->rank == 0) printf("not root: the test of a full disk is left out\n"), rmdir(disk);
    return;
  }
  double start = MPI_Wtime();
  olica_status status = create_large(t, path, 400, &file);
  check(t, says(t, status, OLICA_ERR_IO, "reserve"), "25 MiB do not fit on the disk", 0);
  static const long kib[] = {0, 200, 4200, DATA_KIB - 4, DATA_KIB, 22000}; /* that still fit */
  for (size_t i = 0; i < sizeof kib / sizeof *kib; i++) {
    long left = kib[i];
    check(t, create_large(t, path, ROWS, &file) == OLICA_OK, "19 MiB do", left);
    if (t->context->rank == 0) steal(path, filler, left);
    MPI_Barrier(t->context->comm);
    status = write_large(file, ROWS);
    if (status == OLICA_OK) status = olica_hdf5_seal(file);
    if (status == OLICA_OK) status = olica_hdf5_close(file);
    bool right = left < DATA_KIB ? says(t, status, OLICA_ERR_IO, path) : status == OLICA_OK;
    check(t, right, "the disk gets full while writing", left);
    MPI_Barrier(t->context->comm);
    if (t->context->rank == 0) remove_both(path, filler);
    MPI_Barrier(t->context->comm);
  }
  check(t, MPI_Wtime() - start < 20, "in seconds", (long)(MPI_Wtime() - start));
  if (t->context->rank == 0 && (umount2(disk, MNT_DETACH) != 0 || rmdir(disk) != 0)) perror(disk);
}

int main(int argc, char **argv) {
  const char *ranks = getenv("OMPI_COMM_WORLD_SIZE");
  if (ranks && atoi(ranks) >= 3) setenv("OMPI_MCA_io_ompio_num_aggregators", "3", 0);
  olica_hdf5_start();
  MPI_Init(&argc, &argv);
  test t = {.env = olica_env_create(), .directory = "/tmp/olica-hdf5-XXXXXX"};
  if (!t.env || olica_context_create(t.env, MPI_COMM_WORLD, 1, &t.context) != OLICA_OK) return 1;
  if (t.context->rank == 0 && !mkdtemp(t.directory)) return 1;
  MPI_Bcast(t.directory, sizeof t.directory, MPI_CHAR, 0, t.context->comm);
  test_small(&t);
  test_types(&t);
  test_refusal(&t);
  test_alone(&t);
  test_full(&t);
  MPI_Barrier(t.context->comm);
  if (t.context->rank == 0 && rmdir(t.directory) != 0) perror(t.directory);
  if (t.context->rank == 0) printf("%d passed, %d failed\n", t.passed, t.failed);
  int failed = t.failed;
  olica_context_destroy(t.context);
  olica_env_destroy(t.env);
  MPI_Finalize(); /* with files abandoned */
  return failed > 0;
}
