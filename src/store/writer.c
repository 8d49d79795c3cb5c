/* The table of formats, and what they share: names, the order of calls, defaults. */
#include "store/writer.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "format.h"
#include "io/file.h"
#include "par/comm.h"

static const olica_format_ops *const table[OLICA_FORMATS] = {[OLICA_FORMAT_HDF5] = &olica_format_hdf5};

struct olica_writer {
  olica_context *context;
  const olica_format_ops *ops;
  char *path, *part;    /* the final name, and the name while it is written */
  void *file;           /* the format's; NULL once sealed */
  const void *progress; /* of a reopened output; else NULL */
  int64_t progress_bytes;
  int items, mark; /* number of items; which of them is the mark, -1: none */
  double written;  /* once sealed */
};

/* ---- one file: the default of a format ---- */

static void remove_file(const char *part) {
  unlink(part);
}

static void discard(const olica_format_ops *ops, const char *part) {
  (ops->discard ? ops->discard : remove_file)(part);
}

static olica_status publish(const olica_writer *writer, bool replace, bool *taken) {
  return (writer->ops->publish ? writer->ops->publish : olica_file_publish)(
      writer->context->env, writer->part, writer->path, replace, taken);
}

void olica_writer_discard(olica_env *env, olica_format format, const char *path) {
  char *part = olica_file_part(env, path);
  if (part) discard(table[format], part);
  olica_memory_free(env, part);
}

olica_status olica_writer_check_name(olica_env *env, olica_format format, const char *setting,
                                     const char *path) {
  return table[format]->check_name ? table[format]->check_name(env, setting, path) : OLICA_OK;
}

/* ---- beginning ---- */

static olica_status allocate(olica_context *context, const olica_writer_options *options,
                             olica_writer **out) {
  olica_env *env = context->env;
  olica_writer *writer;
  OLICA_TRY(OLICA_NEW(env, writer, 1));
  *out = writer;
  writer->context = context;
  writer->ops = table[options->format];
  writer->mark = -1;
  if (!(writer->path = olica_memory_string(env, options->path))) return env->error.code;
  return (writer->part = olica_file_part(env, options->path)) ? OLICA_OK : env->error.code;
}

/* Opens the format's file. A new output does not write through a link under its temporary name. */
static olica_status open_file(olica_writer *writer, const olica_writer_options *options) {
  olica_context *context = writer->context;
  const olica_format_ops *ops = writer->ops;
  if (!writer->progress && context->rank == 0) discard(ops, writer->part);
  if (!writer->progress) return ops->create(context, writer->part, options, &writer->file);
  if (ops->reopen) return ops->reopen(context, writer->part, options, &writer->file);
  return olica_error_set(context->env, OLICA_ERR_IO, "%s: an output of format %s cannot be resumed",
                         writer->part, ops->name);
}

olica_status olica_writer_open(olica_context *context, const olica_writer_options *options,
                               const void *progress, int64_t progress_bytes, olica_writer **out) {
  olica_writer *writer = NULL;
  OLICA_AGREE(context, allocate(context, options, &writer));
  assert(writer);
  writer->progress = progress;
  writer->progress_bytes = progress_bytes;
  olica_status status = open_file(writer, options);
  if (status == OLICA_OK)
    *out = writer;
  else if (progress)
    olica_writer_leave(writer);
  else
    olica_writer_abandon(writer);
  return status;
}

olica_status olica_writer_declare(olica_writer *writer, const olica_writer_item *item, int *number) {
  olica_writer_item its = *item;
  if (writer->progress && item->kind != OLICA_ITEM_TENSOR) its.shape[0] = 0;
  OLICA_TRY(writer->ops->declare(writer->file, &its, number));
  if (item->kind == OLICA_ITEM_MARK) writer->mark = *number;
  writer->items++;
  return OLICA_OK;
}

olica_status olica_writer_begin(olica_writer *writer) {
  int64_t expected = olica_writer_progress_bytes(writer);
  if (writer->progress && writer->progress_bytes != expected)
    return olica_error_set(writer->context->env, OLICA_ERR_IO,
                           "%s: has %lld bytes of progress for its %d items, expected %lld", writer->part,
                           (long long)writer->progress_bytes, writer->items, (long long)expected);
  if (writer->progress) OLICA_TRY(writer->ops->resume(writer->file, writer->progress, writer->mark));
  return writer->ops->begin(writer->file);
}

/* ---- writing ---- */

olica_status olica_writer_write(olica_writer *writer, int number, int64_t first, int64_t count,
                                const void *rows) {
  return writer->ops->write(writer->file, number, first, count, rows);
}

olica_status olica_writer_flush(olica_writer *writer, void *progress) {
  return writer->ops->flush ? writer->ops->flush(writer->file, progress) : OLICA_OK;
}

int64_t olica_format_progress_bytes(olica_format format, int64_t items) {
  return items * table[format]->item_progress;
}

int64_t olica_writer_progress_bytes(const olica_writer *writer) {
  return writer->items * writer->ops->item_progress;
}

olica_status olica_writer_seal(olica_writer *writer) {
  writer->written = olica_writer_written(writer);
  OLICA_TRY(writer->ops->seal(writer->file));
  writer->file = NULL;
  return OLICA_OK;
}

/* ---- ending ---- */

olica_status olica_writer_publish(olica_writer *writer, bool replace, bool *taken) {
  olica_context *context = writer->context;
  *taken = false;
  olica_status status = context->rank == 0 ? publish(writer, replace, taken) : OLICA_OK;
  olica_comm_bcast(context, context->comm, taken, sizeof *taken, 0);
  return olica_comm_agree(context, context->comm, status);
}

void olica_writer_leave(olica_writer *writer) {
  if (!writer) return;
  olica_env *env = writer->context->env;
  if (writer->file) writer->ops->leave(writer->file);
  olica_memory_free(env, writer->part);
  olica_memory_free(env, writer->path);
  olica_memory_free(env, writer);
}

void olica_writer_abandon(olica_writer *writer) {
  if (!writer) return;
  if (writer->context->rank == 0) discard(writer->ops, writer->part);
  olica_writer_leave(writer);
}

/* ---- asking ---- */

const char *olica_writer_part(const olica_writer *writer) {
  return writer->part;
}

double olica_writer_written(const olica_writer *writer) {
  return writer->file ? writer->ops->written(writer->file) : writer->written;
}

int64_t olica_format_memory(olica_format format, int ranks, int64_t row_bytes, int64_t items) {
  return table[format]->memory(ranks, row_bytes, items);
}

const char *olica_format_name(olica_format format) {
  return table[format]->name;
}

static void describe(const char *type, int dims, const int64_t *shape, char *text, size_t size) {
  size_t used = (size_t)snprintf(text, size, "%s [", type);
  for (int i = 0; i < dims && used < size; i++)
    used += (size_t)snprintf(text + used, size - used, "%s%lld", i ? " x " : "", (long long)shape[i]);
  if (used < size) snprintf(text + used, size - used, "]");
}

olica_status olica_writer_find(const olica_catalog *catalog, const olica_writer_item *item,
                               const olica_tensor **out) {
  olica_env *env = catalog->context->env;
  const olica_tensor *tensor = *out = olica_catalog_find(catalog, item->name);
  const char *type = olica_element_name(item->type), *path = catalog->path[0];
  if (!tensor) return olica_error_set(env, OLICA_ERR_INPUT, "%s: %s is missing", path, item->name);
  bool same = tensor->dims == item->dims && strcmp(tensor->stored, type) == 0;
  for (int i = 0; same && i < item->dims; i++) same = tensor->shape[i] == item->shape[i];
  if (same) return OLICA_OK;
  char found[96], expected[64];
  describe(tensor->stored, tensor->dims, tensor->shape, found, sizeof found);
  describe(type, item->dims, item->shape, expected, sizeof expected);
  return olica_error_set(env, OLICA_ERR_INPUT, "%s: %s is %s, expected %s", path, item->name, found,
                         expected);
}
