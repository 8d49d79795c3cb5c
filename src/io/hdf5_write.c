#include <sys/statvfs.h>
#include <zlib.h>

#include "hdf5_private.h"
#include "par/comm.h"
#include "par/partition.h"
#include "par/watch.h"

/* If the user asks for aggregators, OMPIO's pass on 16 MiB per cycle, and one that fails before the last
 * cycle blocks the others. With many ranks there are several aggregators. */
enum { SMALL_BYTES = 64 << 10, ROUND_BYTES = 16 << 20, RANK_BYTES = 128 << 10 };

int64_t olica_hdf5_round_bytes(int ranks) {
  int64_t bytes = (int64_t)RANK_BYTES * ranks;
  return bytes < ROUND_BYTES ? ROUND_BYTES : bytes;
}

/* MPI-IO can silently lose the end of a collective write on a full disk. If the disk blocks could not be
 * reserved, rank 0 checks the free space. */
static olica_status look_for_space(const olica_hdf5 *file, const olica_hdf5_set *set) {
  struct statvfs fs;
  if (file->context->rank != 0 || file->has_blocks || statvfs(file->path, &fs) != 0) return OLICA_OK;
  if (fs.f_blocks == 0 || fs.f_bavail > 0) return OLICA_OK;
  return olica_error_set(file->context->env, OLICA_ERR_IO, "%s: cannot write %s: the file system is full",
                         file->path, set->name);
}

/* Returns the rows in the file's type: `rows` itself, or converted into the buffer. Types in memory and file
 * must agree: a conversion by HDF5 would silently make the write independent. */
static const void *stored(olica_hdf5 *file, const olica_hdf5_set *set, const void *rows, olica_range part) {
  size_t first = (size_t)(part.first * set->row), count = (size_t)(part.count * set->row);
  if (set->type != OLICA_ELEMENT_FP16 && set->type != OLICA_ELEMENT_BF16)
    return (const char *)rows + first * olica_element_size(set->type);
  olica_number_encode((olica_dtype)set->type, (const float *)rows + first, file->scratch, count);
  return file->scratch;
}

static uint32_t checksum(const void *data, int64_t bytes) {
  return (uint32_t)crc32_z(0, data, (size_t)bytes);
}

static uint32_t combine(uint32_t crc, uint32_t next, int64_t bytes) {
  return (uint32_t)crc32_combine(crc, next, (z_off_t)bytes);
}

/* Returns the bytes of an element in the caller's memory. */
static int64_t memory_size(olica_element type) {
  return type == OLICA_ELEMENT_FP16 || type == OLICA_ELEMENT_BF16 ? (int64_t)sizeof(float)
                                                                  : (int64_t)olica_element_size(type);
}

/* Arguments of H5Dwrite for a transfer. */
typedef struct selection {
  hid_t file, memory, type, list;
} selection;

/* A rank without rows only takes part. */
static bool select_rows(const olica_hdf5_set *set, bool collective, olica_range rows, selection *its) {
  hsize_t start[OLICA_TENSOR_DIMS] = {(hsize_t)rows.first}, extent[OLICA_TENSOR_DIMS] = {(hsize_t)rows.count};
  for (int i = 1; i < set->dims; i++) extent[i] = (hsize_t)set->shape[i];
  hsize_t elements = rows.count > 0 ? (hsize_t)(rows.count * set->row) : 1;
  its->file = H5Dget_space(set->id);
  its->memory = H5Screate_simple(1, &elements, NULL);
  its->type = olica_hdf5_datatype(set->type);
  its->list = H5Pcreate(H5P_DATASET_XFER);
  if (its->file < 0 || its->memory < 0 || its->type < 0 || its->list < 0) return false;
  if (collective && H5Pset_dxpl_mpio(its->list, H5FD_MPIO_COLLECTIVE) < 0) return false;
  if (rows.count == 0) return H5Sselect_none(its->file) >= 0 && H5Sselect_none(its->memory) >= 0;
  return H5Sselect_hyperslab(its->file, H5S_SELECT_SET, start, NULL, extent, NULL) >= 0;
}

static void release(selection *its) {
  H5Pclose(its->list);
  H5Tclose(its->type);
  H5Sclose(its->memory);
  H5Sclose(its->file);
}

static void book(olica_hdf5 *file, const olica_hdf5_set *set, int rank, int64_t rows) {
  int64_t bytes = rows * set->row_bytes;
  file->share[rank] += bytes;
  if (rank == file->context->rank) olica_timer_work(&file->context->env->timers, 0, (double)bytes);
}

/* Writes a small transfer from one rank, the one that has written least so far, which every rank knows. */
static olica_status write_small(olica_hdf5 *file, olica_hdf5_set *set, int64_t first, int64_t count,
                                const void *rows) {
  olica_context *context = file->context;
  const void *data = stored(file, set, rows, (olica_range){0, count});
  int writer = 0;
  for (int r = 1; r < context->size; r++)
    if (file->share[r] < file->share[writer]) writer = r;
  bool good = true;
  if (context->rank == writer) {
    selection its;
    good = select_rows(set, false, (olica_range){first, count}, &its) &&
           H5Dwrite(set->id, its.type, its.memory, its.file, its.list, data) >= 0;
    if (good) release(&its);
  }
  OLICA_TRY(olica_hdf5_agree(file, good, "write", set->name));
  book(file, set, writer, count);
  /* from the writer: other ranks' data might differ in a last bit */
  uint32_t crc = checksum(data, count * set->row_bytes);
  olica_comm_bcast(context, context->comm, &crc, sizeof crc, writer);
  set->crc = combine(set->crc, crc, count * set->row_bytes);
  return OLICA_OK;
}

/* Appends the checksums of the ranks' parts, in the order of their rows. */
static void add_checksums(olica_hdf5 *file, olica_hdf5_set *set, int turn, const void *mine, int64_t bytes) {
  int size = file->context->size;
  int64_t own[2] = {checksum(mine, bytes), bytes};
  olica_watch_enter(file->context, "a gather of checksums");
  MPI_Allgather(own, 2, MPI_INT64_T, file->part, 2, MPI_INT64_T, file->context->comm);
  olica_watch_leave(file->context);
  for (int part = 0; part < size; part++) {
    const int64_t *its = file->part[(part + size - turn) % size];
    set->crc = combine(set->crc, (uint32_t)its[0], its[1]);
  }
}

/* Writes a block of rows from every rank. If there are fewer rows than ranks, different ranks write for
 * different datasets. */
static olica_status write_round(olica_hdf5 *file, olica_hdf5_set *set, int64_t first, int64_t count,
                                const void *rows) {
  olica_context *context = file->context;
  int size = context->size, turn = (int)((set - file->set) % size);
  olica_range mine = olica_partition_block(count, size, (context->rank + turn) % size);
  const void *data = stored(file, set, rows, mine);
  selection its;
  bool good = select_rows(set, true, (olica_range){first + mine.first, mine.count}, &its);
  OLICA_TRY(olica_hdf5_agree(file, good, "prepare", set->name));
  olica_watch_enter(context, "a collective write of HDF5");
  good = H5Dwrite(set->id, its.type, its.memory, its.file, its.list, data) >= 0;
  olica_watch_leave(context);
  OLICA_TRY(olica_hdf5_agree(file, good, "write", set->name));
  H5D_mpio_actual_io_mode_t mode = H5D_MPIO_NO_COLLECTIVE;
  H5Pget_mpio_actual_io_mode(its.list, &mode);
  release(&its);
  file->asked++;
  file->made += mode != H5D_MPIO_NO_COLLECTIVE;
  for (int r = 0; r < size; r++)
    book(file, set, r, olica_partition_block(count, size, (r + turn) % size).count);
  add_checksums(file, set, turn, data, mine.count * set->row_bytes);
  return OLICA_OK;
}

static olica_status check_rows(const olica_hdf5 *file, int number, int64_t first, int64_t count) {
  const olica_hdf5_set *set = number >= 0 && number < file->count ? &file->set[number] : NULL;
  if (set && first == set->next && count >= 0 && count <= set->shape[0] - first)
    return look_for_space(file, set);
  return olica_error_set(file->context->env, OLICA_ERR_INTERNAL,
                         "%s: rows %lld + %lld of dataset %d (%s), expected the next ones", file->path,
                         (long long)first, (long long)count, number, set ? set->name : "unknown");
}

olica_status olica_hdf5_write(olica_hdf5 *file, int number, int64_t first, int64_t count, const void *rows) {
  OLICA_TRY(olica_hdf5_reserve(file));
  OLICA_AGREE(file->context, check_rows(file, number, first, count));
  olica_hdf5_set *set = &file->set[number];
  bool small = count * set->row_bytes < SMALL_BYTES;
  int64_t round = small ? count : olica_hdf5_round_bytes(file->context->size) / set->row_bytes;
  if (round < 1) round = 1;
  for (int64_t done = 0, n; done < count; done += n) {
    n = count - done < round ? count - done : round;
    const void *next = (const char *)rows + done * set->row * memory_size(set->type);
    if (small)
      OLICA_TRY(write_small(file, set, first, n, next));
    else
      OLICA_TRY(write_round(file, set, first + done, n, next));
  }
  set->next += count;
  return OLICA_OK;
}
