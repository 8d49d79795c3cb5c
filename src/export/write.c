#include "write.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "export/kinds.h"
#include "io/file.h"
#include "par/comm.h"
#include "par/partition.h"
#include "par/watch.h"
#include "q8_0.h"

enum { BLOCK_NUMBERS = 1 << 20 }; /* filled together; the cuts depend on the shape alone */

const char *olica_export_file_path(const olica_export *e, const char *name, char *path) {
  snprintf(path, OLICA_FILE_PATH, "%.*s%s%s", OLICA_FILE_PATH - 80, e->part, *name ? "/" : "", name);
  return path;
}

/* ---- places ---- */

int64_t olica_export_row_bytes(const olica_export_item *item) {
  switch (item->type) {
  case OLICA_EXPORT_FP32:
  case OLICA_EXPORT_FP16:
  case OLICA_EXPORT_BF16:
    return item->shape[1] * (int64_t)olica_number_size((olica_dtype)item->type);
  default:
    return item->shape[1] / OLICA_Q8_0_NUMBERS * OLICA_Q8_0_BYTES;
  }
}

static int64_t aligned(int64_t offset, int multiple) {
  return (offset + multiple - 1) / multiple * multiple;
}

/* Deals the items out to files, in their order. */
static void deal(olica_export *e) {
  int64_t used = 0;
  e->files = 1;
  for (int i = 0; i < e->count; i++) {
    olica_export_item *item = &e->item[i];
    int64_t at = aligned(used, e->kind->align);
    item->bytes = item->shape[0] * olica_export_row_bytes(item);
    if (e->kind->directory && at > 0 && at + item->bytes > e->options->shard) {
      e->files++;
      at = 0;
    }
    item->file = e->files - 1;
    item->offset = at;
    used = at + item->bytes;
  }
}

static void name_files(olica_export *e) {
  for (int f = 0; f < e->files && e->kind->directory; f++)
    if (e->files == 1)
      snprintf(e->file[f].name, sizeof e->file[f].name, "model.safetensors");
    else
      snprintf(e->file[f].name, sizeof e->file[f].name, "model-%05d-of-%05d.safetensors", f + 1, e->files);
}

static olica_status make_head(olica_export *e, int f) {
  char *head, *padded;
  size_t bytes;
  OLICA_TRY(e->kind->head(e, f, &head, &bytes));
  size_t all = (size_t)aligned((int64_t)bytes, e->kind->head_align);
  OLICA_TRY(OLICA_NEW(e->env, padded, all));
  memset(padded, e->kind->pad, all);
  memcpy(padded, head, bytes);
  olica_memory_free(e->env, head);
  e->file[f].head = padded;
  e->file[f].head_bytes = all;
  return OLICA_OK;
}

olica_status olica_export_place(olica_export *e) {
  deal(e);
  OLICA_TRY(OLICA_NEW(e->env, e->file, (size_t)e->files));
  name_files(e);
  for (int i = 0; i < e->count; i++) e->file[e->item[i].file].data = e->item[i].offset + e->item[i].bytes;
  for (int f = 0; f < e->files; f++) {
    if (!e->kind->directory) e->file[f].data = aligned(e->file[f].data, e->kind->align);
    OLICA_TRY(make_head(e, f));
  }
  return OLICA_OK;
}

/* ---- numbers ---- */

/* Counts the numbers that become 0: those below half of the type's smallest number. */
static double vanishing(olica_export_type type, const float *x, size_t n) {
  float least = type == OLICA_EXPORT_FP16 ? 0x1p-25f : type == OLICA_EXPORT_BF16 ? 0x1p-134f : 0;
  unsigned count = 0; /* n is at most a block's */
  for (size_t i = 0; i < n; i++) count += (unsigned)(x[i] != 0) & (unsigned)(fabsf(x[i]) <= least);
  return count;
}

/* Returns the index of the first number that the type cannot hold, or n; books those that become 0. */
static size_t beyond(olica_export *e, olica_export_type type, const float *x, size_t n) {
  if (type == OLICA_EXPORT_Q8_0) return olica_export_q8_0_beyond(x, n, &e->small);
  e->small += vanishing(type, x, n);
  return olica_number_beyond((olica_dtype)type, x, n);
}

olica_status olica_export_encode(olica_export *e, const olica_export_item *item, int64_t first,
                                 const float *rows, size_t n, void *to) {
  bool blocks = item->type == OLICA_EXPORT_Q8_0;
  size_t bad = beyond(e, item->type, rows, n);
  if (bad < n)
    return olica_error_set(
        e->env, OLICA_ERR_CONFIG,
        "export %s:%s: %s has %g in row %lld, which %s cannot hold (its largest is %g); "
        "[output] export_dtype = bf16 or fp32 can",
        e->kind->name, e->path, item->name, (double)rows[bad],
        (long long)(first + (int64_t)bad / item->shape[1]), olica_export_type_name(item->type),
        blocks ? 127 * olica_number_largest(OLICA_FP16) : olica_number_largest((olica_dtype)item->type));
  e->numbers += (double)n;
  if (blocks)
    olica_export_q8_0(rows, to, n);
  else
    olica_number_encode((olica_dtype)item->type, rows, to, n);
  return OLICA_OK;
}

/* ---- writing ---- */

typedef struct writer {
  olica_export *e;
  int *fd; /* [files] */
  float *rows;
  char *raw;
} writer;

int64_t olica_export_block_rows(const olica_export_item *item) {
  int64_t rows = BLOCK_NUMBERS / item->shape[1] / item->step * item->step;
  return rows > 0 ? rows : item->step;
}

static olica_status write_block(writer *w, const olica_export_item *item, int64_t first, int64_t count) {
  olica_export *e = w->e;
  olica_export_file *file = &e->file[item->file];
  char path[OLICA_FILE_PATH];
  int64_t begin = item->offset + first * olica_export_row_bytes(item),
          bytes = count * olica_export_row_bytes(item);
  if (item->fill(e, item, first, count, w->rows) != OLICA_OK)
    return olica_error_context(e->env, "%s: ", item->name);
  OLICA_TRY(olica_export_encode(e, item, first, w->rows, (size_t)(count * item->shape[1]), w->raw));
  if (e->kind->directory) {
    uint32_t crc = (uint32_t)crc32_z(0, (const unsigned char *)w->raw, (size_t)bytes);
    file->crc ^= (uint32_t)crc32_combine(crc, 0, (z_off_t)(file->data - begin - bytes));
  }
  return olica_file_write(e->env, w->fd[item->file], olica_export_file_path(e, file->name, path),
                          (int64_t)file->head_bytes + begin, w->raw, (size_t)bytes);
}

/* Writes this rank's share of the blocks of all items: those whose first byte lies in its share of all. */
static olica_status write_share(writer *w) {
  const olica_context *context = w->e->context;
  int64_t total = 0, before = 0;
  for (int i = 0; i < w->e->count; i++) total += w->e->item[i].bytes;
  olica_range share = olica_partition_block(total, context->size, context->rank);
  for (int i = 0; i < w->e->count; i++) {
    const olica_export_item *item = &w->e->item[i];
    int64_t step = olica_export_block_rows(item);
    for (int64_t first = 0; first < item->shape[0]; first += step) {
      int64_t at = before + first * olica_export_row_bytes(item), left = item->shape[0] - first;
      if (at < share.first || at >= share.first + share.count) continue;
      OLICA_TRY(write_block(w, item, first, left < step ? left : step));
    }
    before += item->bytes;
  }
  return OLICA_OK;
}

static olica_status closed(olica_export *e, int fd, const char *path, olica_status status) {
  if (close(fd) != 0 && status == OLICA_OK)
    status = olica_error_set(e->env, OLICA_ERR_IO, "%s: cannot close it", path);
  return status;
}

olica_status olica_export_write_head(olica_export *e, const olica_export_file *file) {
  char path[OLICA_FILE_PATH];
  int fd;
  OLICA_TRY(olica_file_edit(e->env, olica_export_file_path(e, file->name, path), &fd));
  return closed(e, fd, path, olica_file_write(e->env, fd, path, 0, file->head, file->head_bytes));
}

/* Rank 0: makes a file of its final size; in a directory with its head. */
static olica_status make_file(olica_export *e, olica_export_file *file) {
  char path[OLICA_FILE_PATH];
  int fd;
  olica_export_file_path(e, file->name, path);
  unlink(path);
  OLICA_TRY(olica_file_edit(e->env, path, &fd));
  OLICA_TRY(
      closed(e, fd, path, olica_file_reserve(e->env, fd, path, (int64_t)file->head_bytes + file->data)));
  olica_status status = e->kind->directory ? olica_export_write_head(e, file) : OLICA_OK;
  uint32_t crc = (uint32_t)crc32_z(0, (const unsigned char *)file->head, file->head_bytes);
  file->crc = (uint32_t)crc32_combine(crc, 0, (z_off_t)file->data);
  return status;
}

static olica_status make_files(olica_export *e) {
  for (int f = 0; f < e->files; f++) OLICA_TRY(make_file(e, &e->file[f]));
  return OLICA_OK;
}

static olica_status open_files(writer *w) {
  olica_export *e = w->e;
  int64_t most = BLOCK_NUMBERS;
  char path[OLICA_FILE_PATH];
  for (int i = 0; i < e->count; i++) {
    int64_t numbers = olica_export_block_rows(&e->item[i]) * e->item[i].shape[1];
    if (numbers > most) most = numbers;
  }
  OLICA_TRY(OLICA_NEW(e->env, w->rows, (size_t)most));
  OLICA_TRY(OLICA_NEW(e->env, w->raw, (size_t)most * sizeof(float)));
  for (int f = 0; f < e->files; f++)
    OLICA_TRY(olica_file_edit(e->env, olica_export_file_path(e, e->file[f].name, path), &w->fd[f]));
  return OLICA_OK;
}

static olica_status close_files(writer *w, olica_status status) {
  char path[OLICA_FILE_PATH];
  for (int f = 0; f < w->e->files; f++) {
    if (w->fd[f] < 0) continue;
    olica_export_file_path(w->e, w->e->file[f].name, path);
    if (status == OLICA_OK) status = olica_file_sync(w->e->env, w->fd[f], path);
    status = closed(w->e, w->fd[f], path, status);
  }
  return status;
}

static olica_status write_mine(writer *w) {
  OLICA_TRY(OLICA_NEW(w->e->env, w->fd, (size_t)w->e->files));
  for (int f = 0; f < w->e->files; f++) w->fd[f] = -1;
  olica_status status = open_files(w);
  if (status == OLICA_OK) status = write_share(w);
  status = close_files(w, status);
  olica_memory_free(w->e->env, w->fd);
  olica_memory_free(w->e->env, w->rows);
  olica_memory_free(w->e->env, w->raw);
  return status;
}

/* Adds up what the ranks have counted: checksums of the files, numbers that became 0. */
static void add_up(olica_export *e) {
  double counted[] = {e->small, e->numbers};
  olica_comm_sum(e->context, e->context->comm, counted, 2);
  e->small = counted[0];
  e->numbers = counted[1];
  olica_watch_enter(e->context, "the checksums of all");
  for (int f = 0; f < e->files; f++)
    MPI_Allreduce(MPI_IN_PLACE, &e->file[f].crc, 1, MPI_UINT32_T, MPI_BXOR, e->context->comm);
  olica_watch_leave(e->context);
}

olica_status olica_export_write(olica_export *e) {
  writer w = {.e = e};
  OLICA_AGREE(e->context, e->context->rank == 0 ? make_files(e) : OLICA_OK);
  OLICA_AGREE(e->context, write_mine(&w));
  add_up(e);
  return OLICA_OK;
}
