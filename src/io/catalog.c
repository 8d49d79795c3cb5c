#include "io/catalog.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "par/comm.h"
#include "par/watch.h"

static const struct {
  const char *name;
  size_t size;
} element_table[OLICA_ELEMENTS] = {[OLICA_ELEMENT_FP32] = {"fp32", 4},   [OLICA_ELEMENT_FP16] = {"fp16", 2},
                                   [OLICA_ELEMENT_BF16] = {"bf16", 2},   [OLICA_ELEMENT_INT32] = {"int32", 4},
                                   [OLICA_ELEMENT_BYTES] = {"uint8", 1}, [OLICA_ELEMENT_FP64] = {"fp64", 8}};

const char *olica_element_name(olica_element element) {
  return element_table[element].name;
}

size_t olica_element_size(olica_element element) {
  return element_table[element].size;
}

olica_status olica_catalog_create(olica_context *context, olica_catalog **out) {
  olica_catalog *catalog;
  OLICA_TRY(OLICA_NEW(context->env, catalog, 1));
  catalog->context = context;
  *out = catalog;
  return OLICA_OK;
}

void olica_catalog_destroy(olica_catalog *catalog) {
  if (!catalog) return;
  olica_env *env = catalog->context->env;
  for (int i = 0; catalog->fd && i < catalog->files; i++)
    if (catalog->fd[i] >= 0) close(catalog->fd[i]);
  olica_memory_free(env, catalog->tensor);
  olica_memory_free(env, catalog->path);
  olica_memory_free(env, catalog->fd);
  olica_memory_free(env, catalog->tally);
  olica_memory_free(env, catalog);
}

olica_status olica_catalog_add_file(olica_catalog *catalog, const char *path, int *file) {
  olica_env *env = catalog->context->env;
  if (strlen(path) >= OLICA_CATALOG_PATH)
    return olica_error_set(env, OLICA_ERR_INPUT, "%.40s...: a path of %zu bytes, expected at most %d", path,
                           strlen(path), OLICA_CATALOG_PATH - 1);
  OLICA_TRY(
      OLICA_GROW(env, catalog->path, catalog->file_room, (size_t)catalog->files, (size_t)catalog->files + 1));
  *file = catalog->files++;
  snprintf(catalog->path[*file], OLICA_CATALOG_PATH, "%s", path);
  return OLICA_OK;
}

olica_status olica_catalog_add(olica_catalog *catalog, const olica_tensor *tensor) {
  assert(tensor->file >= 0 && tensor->file < catalog->files);
  assert(tensor->dims >= 0 && tensor->dims <= OLICA_TENSOR_DIMS && tensor->offset >= 0 && tensor->bytes >= 0);
  OLICA_TRY(OLICA_GROW(catalog->context->env, catalog->tensor, catalog->room, (size_t)catalog->count,
                       (size_t)catalog->count + 1));
  catalog->tensor[catalog->count++] = *tensor;
  return OLICA_OK;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const olica_tensor *)a)->name, ((const olica_tensor *)b)->name);
}

static olica_status sort(olica_catalog *catalog) {
  if (catalog->count > 0) qsort(catalog->tensor, (size_t)catalog->count, sizeof *catalog->tensor, by_name);
  for (int i = 1; i < catalog->count; i++) {
    const olica_tensor *one = &catalog->tensor[i - 1], *other = &catalog->tensor[i];
    if (strcmp(one->name, other->name) == 0)
      return olica_error_set(
          catalog->context->env, OLICA_ERR_INPUT, "%s: tensor %s lies in %s too, expected once",
          olica_catalog_file(catalog, other), other->name, olica_catalog_file(catalog, one));
  }
  return OLICA_OK;
}

/* Allocates the tables on ranks other than 0, and on every rank those of the open files. */
static olica_status allocate_tables(olica_catalog *catalog) {
  olica_env *env = catalog->context->env;
  if (catalog->context->rank != 0) {
    OLICA_TRY(OLICA_NEW(env, catalog->tensor, (size_t)catalog->count));
    OLICA_TRY(OLICA_NEW(env, catalog->path, (size_t)catalog->files));
  }
  OLICA_TRY(OLICA_NEW(env, catalog->tally, (size_t)catalog->count));
  OLICA_TRY(OLICA_NEW(env, catalog->fd, (size_t)catalog->files));
  for (int i = 0; i < catalog->files; i++) catalog->fd[i] = -1;
  return OLICA_OK;
}

olica_status olica_catalog_share(olica_catalog *catalog, olica_status status) {
  olica_context *context = catalog->context;
  assert(context->rank == 0 || (catalog->count == 0 && catalog->files == 0));
  if (context->rank == 0 && status == OLICA_OK) status = sort(catalog);
  OLICA_AGREE(context, status);
  int counts[2] = {catalog->count, catalog->files};
  olica_comm_bcast(context, context->comm, counts, sizeof counts, 0);
  catalog->count = counts[0];
  catalog->files = counts[1];
  OLICA_AGREE(context, allocate_tables(catalog));
  olica_comm_bcast(context, context->comm, catalog->tensor, (size_t)catalog->count * sizeof *catalog->tensor,
                   0);
  olica_comm_bcast(context, context->comm, catalog->path, (size_t)catalog->files * sizeof *catalog->path, 0);
  return OLICA_OK;
}

static int name_is(const void *name, const void *tensor) {
  return strcmp(name, ((const olica_tensor *)tensor)->name);
}

const olica_tensor *olica_catalog_find(const olica_catalog *catalog, const char *name) {
  if (catalog->count == 0) return NULL;
  return bsearch(name, catalog->tensor, (size_t)catalog->count, sizeof *catalog->tensor, name_is);
}

olica_status olica_catalog_divide(olica_catalog *catalog, const char *name, int parts,
                                  char (*names)[OLICA_TENSOR_NAME], const int64_t *rows) {
  olica_env *env = catalog->context->env;
  olica_tensor *old = catalog->tensor, *all, whole = *olica_catalog_find(catalog, name);
  int at = (int)(olica_catalog_find(catalog, name) - old), count = catalog->count + parts - 1;
  olica_tally *tally;
  OLICA_TRY(OLICA_NEW(env, tally, (size_t)count));
  OLICA_TRY(OLICA_NEW(env, all, (size_t)count));
  olica_memory_free(env, catalog->tally);
  catalog->tally = tally;
  memcpy(all, old, (size_t)at * sizeof *all);
  memcpy(all + at, old + at + 1, (size_t)(catalog->count - at - 1) * sizeof *all);
  for (int i = 0; i < parts; i++) {
    olica_tensor *part = &all[catalog->count - 1 + i];
    *part = whole;
    snprintf(part->name, sizeof part->name, "%s", names[i]);
    part->shape[0] = rows[i];
    part->bytes = whole.bytes / whole.shape[0] * rows[i];
    whole.offset += part->bytes;
  }
  olica_memory_free(env, old);
  catalog->tensor = all;
  catalog->count = count;
  catalog->room = 0;
  qsort(all, (size_t)count, sizeof *all, by_name);
  return OLICA_OK;
}

const char *olica_catalog_file(const olica_catalog *catalog, const olica_tensor *tensor) {
  return catalog->path[tensor->file];
}

/* Opens a file at its first read: a rank opens only the shards of its layers. A model may have more shards
 * than a process may open files, so the file opened first is closed again. */
static olica_status open_file(olica_catalog *catalog, int file) {
  if (catalog->fd[file] >= 0) return OLICA_OK;
  int64_t bytes;
  int *place = &catalog->open[catalog->opened % OLICA_CATALOG_OPEN];
  if (catalog->opened >= OLICA_CATALOG_OPEN && catalog->fd[*place] >= 0) {
    close(catalog->fd[*place]);
    catalog->fd[*place] = -1;
  }
  OLICA_TRY(olica_file_open(catalog->context->env, catalog->path[file], &catalog->fd[file], &bytes));
  *place = file;
  catalog->opened++;
  return OLICA_OK;
}

static int64_t elements(const olica_tensor *tensor) {
  int64_t product = 1;
  for (int i = 0; i < tensor->dims; i++) product *= tensor->shape[i];
  return product;
}

static olica_status compare(const olica_catalog *catalog, const olica_tensor *tensor, uint64_t crc) {
  if (crc == tensor->crc) return OLICA_OK;
  return olica_error_set(
      catalog->context->env, OLICA_ERR_INPUT,
      "%s: %s has checksum %08llx, expected %08llx: its data are damaged, copy the file or "
      "make it again",
      olica_catalog_file(catalog, tensor), tensor->name, (unsigned long long)crc,
      (unsigned long long)tensor->crc);
}

/* Records the checksum of a piece that was read; `behind` bytes of the tensor follow it. */
static olica_status note(olica_catalog *catalog, const olica_tensor *tensor, const void *raw, int64_t bytes,
                         int64_t behind) {
  if (!tensor->has_crc) return OLICA_OK;
  uLong crc = crc32_z(0, raw, (size_t)bytes);
  if (bytes == tensor->bytes) return compare(catalog, tensor, crc);
  olica_tally *tally = &catalog->tally[tensor - catalog->tensor];
  tally->crc ^= crc32_combine(crc, 0, (z_off_t)behind);
  tally->bytes += bytes;
  return OLICA_OK;
}

olica_status olica_catalog_check(olica_catalog *catalog, const olica_tensor *const *tensor, int count) {
  const olica_context *context = catalog->context;
  int64_t bytes[OLICA_CATALOG_CHECK] = {0};
  uint64_t crc[OLICA_CATALOG_CHECK] = {0};
  bool any = false;
  assert(count <= OLICA_CATALOG_CHECK);
  for (int i = 0; i < count; i++) {
    olica_tally *tally = &catalog->tally[tensor[i] - catalog->tensor];
    any |= tensor[i]->has_crc;
    bytes[i] = tally->bytes;
    crc[i] = tally->crc;
    *tally = (olica_tally){0};
  }
  if (!any) return OLICA_OK;
  olica_watch_enter(context, "a sum of checksums");
  MPI_Allreduce(MPI_IN_PLACE, bytes, count, MPI_INT64_T, MPI_SUM, context->comm);
  MPI_Allreduce(MPI_IN_PLACE, crc, count, MPI_UINT64_T, MPI_BXOR, context->comm);
  olica_watch_leave(context);
  for (int i = 0; i < count; i++)
    if (tensor[i]->has_crc && bytes[i] > 0 && bytes[i] == tensor[i]->bytes)
      OLICA_TRY(compare(catalog, tensor[i], crc[i]));
  return OLICA_OK;
}

olica_status olica_catalog_read(olica_catalog *catalog, const olica_tensor *tensor, int64_t first,
                                int64_t count, void *raw) {
  olica_env *env = catalog->context->env;
  int64_t all = elements(tensor);
  assert(first >= 0 && count >= 0 && first <= all && count <= all - first);
  if (count == 0) return OLICA_OK;
  const char *path = olica_catalog_file(catalog, tensor);
  if (tensor->bytes % all != 0) /* only an unknown type can get here */
    return olica_error_set(
        env, OLICA_ERR_INPUT,
        "%s: tensor %s has %lld elements of type %s in %lld bytes, expected whole bytes each", path,
        tensor->name, (long long)all, tensor->stored, (long long)tensor->bytes);
  int64_t size = tensor->bytes / all;
  OLICA_TRY(open_file(catalog, tensor->file));
  OLICA_TRY(olica_file_read(env, catalog->fd[tensor->file], path, tensor->offset + first * size, raw,
                            (size_t)(count * size)));
  return note(catalog, tensor, raw, count * size, (all - first - count) * size);
}

void olica_catalog_expect(olica_catalog *catalog, const olica_tensor *tensor, int64_t first, int64_t count) {
  int64_t all = elements(tensor), size = all > 0 ? tensor->bytes / all : 0;
  if (open_file(catalog, tensor->file) == OLICA_OK)
    posix_fadvise(catalog->fd[tensor->file], tensor->offset + first * size, count * size,
                  POSIX_FADV_WILLNEED);
}
