#include "against.h"

#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "par/comm.h"
#include "write.h"

static const char *const stored_names[OLICA_EXPORT_TYPES] = {"F32", "F16", "BF16", "Q8_0"};

static olica_status differs(olica_export *e, const olica_export_item *item, const char *how) {
  return olica_error_set(e->env, OLICA_ERR_INPUT,
                         "%s: %s %s, expected what %s gives: this is no export of that checkpoint, or it has "
                         "changed",
                         e->path, item->name, how, e->checkpoint);
}

static bool same_form(const olica_export_item *item, const olica_tensor *tensor) {
  return strcmp(tensor->stored, stored_names[item->type]) == 0 && tensor->dims == item->dims &&
         tensor->shape[0] == item->shape[0] && (item->dims == 1 || tensor->shape[1] == item->shape[1]);
}

/* Compares rows [first, first + count) of an item. */
static olica_status compare_block(olica_export *e, const olica_export_item *item, const olica_tensor *tensor,
                                  int fd, const char *file, int64_t first, int64_t count) {
  float *rows;
  char *made, *found;
  size_t numbers = (size_t)(count * item->shape[1]), row = (size_t)olica_export_row_bytes(item);
  char how[64];
  OLICA_TRY(OLICA_NEW(e->env, rows, numbers));
  OLICA_TRY(OLICA_NEW(e->env, made, (size_t)count * row));
  OLICA_TRY(OLICA_NEW(e->env, found, (size_t)count * row));
  OLICA_TRY(item->fill(e, item, first, count, rows));
  OLICA_TRY(olica_export_encode(e, item, first, rows, numbers, made));
  OLICA_TRY(
      olica_file_read(e->env, fd, file, tensor->offset + first * (int64_t)row, found, (size_t)count * row));
  for (int64_t i = 0; i < count; i++)
    if (memcmp(made + (size_t)i * row, found + (size_t)i * row, row) != 0) {
      snprintf(how, sizeof how, "differs in row %lld", (long long)(first + i));
      return differs(e, item, how);
    }
  olica_memory_free(e->env, rows);
  olica_memory_free(e->env, made);
  olica_memory_free(e->env, found);
  return OLICA_OK;
}

/* Compares this rank's blocks of an item; *turn counts the blocks of all. */
static olica_status compare_item(olica_export *e, const olica_export_item *item, const olica_tensor *tensor,
                                 const char *file, int64_t *turn) {
  int fd;
  int64_t bytes, step = olica_export_block_rows(item);
  OLICA_TRY(olica_file_open(e->env, file, &fd, &bytes));
  olica_status status = OLICA_OK;
  for (int64_t first = 0; status == OLICA_OK && first < item->shape[0]; first += step) {
    int64_t left = item->shape[0] - first;
    if ((*turn)++ % e->context->size == e->context->rank)
      status = compare_block(e, item, tensor, fd, file, first, left < step ? left : step);
  }
  close(fd);
  return status;
}

static olica_status compare(olica_export *e, olica_catalog *catalog) {
  int64_t turn = 0;
  for (int i = 0; i < e->count; i++) {
    const olica_export_item *item = &e->item[i];
    const olica_tensor *tensor = olica_catalog_find(catalog, item->name);
    if (!tensor) return differs(e, item, "is missing");
    if (!same_form(item, tensor)) return differs(e, item, "is of another shape or type");
    OLICA_TRY(compare_item(e, item, tensor, olica_catalog_file(catalog, tensor), &turn));
  }
  if (e->count == catalog->count) return OLICA_OK;
  return olica_error_set(e->env, OLICA_ERR_INPUT, "%s: %d tensors, expected %d as %s gives them", e->path,
                         catalog->count, e->count, e->checkpoint);
}

olica_status olica_export_against(olica_context *context, const char *path, const olica_export_kind *kind,
                                  olica_export_type type, olica_catalog *catalog, const char *checkpoint) {
  static const olica_export_options none;
  olica_export e = {.context = context,
                    .env = context->env,
                    .kind = kind,
                    .options = &none,
                    .path = path,
                    .checkpoint = checkpoint,
                    .type = type};
  OLICA_TRY(olica_source_open(context, checkpoint, &e.source));
  OLICA_AGREE(context, kind->plan(&e));
  OLICA_AGREE(context, compare(&e, catalog));
  olica_export_forget(&e);
  olica_source_close(e.source);
  return OLICA_OK;
}
