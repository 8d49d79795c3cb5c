/* The table of formats, and what they share: names, the order of calls, defaults. */
#include "store/writer.h"

#include <assert.h>
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
  bool reopened;        /* with this progress: */
  const void *progress; /* borrowed until begin */
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

olica_status olica_writer_create(olica_context *context, const olica_writer_options *options,
                                 olica_writer **out) {
  olica_writer *writer = NULL;
  OLICA_AGREE(context, allocate(context, options, &writer));
  assert(writer);
  if (context->rank == 0) discard(writer->ops, writer->part); /* a link is not written through */
  olica_status status = writer->ops->create(context, writer->part, options, &writer->file);
  if (status == OLICA_OK)
    *out = writer;
  else
    olica_writer_abandon(writer);
  return status;
}

static olica_status reopen(olica_writer *writer, const olica_writer_options *options) {
  if (writer->ops->reopen) return writer->ops->reopen(writer->context, writer->part, options, &writer->file);
  return olica_error_set(writer->context->env, OLICA_ERR_IO, "%s: an output of format %s cannot be resumed",
                         writer->part, writer->ops->name);
}

olica_status olica_writer_reopen(olica_context *context, const olica_writer_options *options,
                                 const void *progress, int64_t progress_bytes, olica_writer **out) {
  olica_writer *writer = NULL;
  OLICA_AGREE(context, allocate(context, options, &writer));
  assert(writer);
  writer->reopened = true;
  writer->progress = progress;
  writer->progress_bytes = progress_bytes;
  olica_status status = reopen(writer, options);
  if (status == OLICA_OK)
    *out = writer;
  else
    olica_writer_leave(writer);
  return status;
}

olica_status olica_writer_declare(olica_writer *writer, const olica_writer_item *item, int *number) {
  olica_writer_item its = *item;
  if (writer->reopened && item->kind != OLICA_ITEM_TENSOR) its.shape[0] = 0;
  OLICA_TRY(writer->ops->declare(writer->file, &its, number));
  if (item->kind == OLICA_ITEM_MARK) writer->mark = *number;
  writer->items++;
  return OLICA_OK;
}

olica_status olica_writer_begin(olica_writer *writer) {
  int64_t expected = olica_writer_progress_bytes(writer);
  if (writer->reopened && writer->progress_bytes != expected)
    return olica_error_set(writer->context->env, OLICA_ERR_IO,
                           "%s: has %lld bytes of progress for its %d items, expected %lld", writer->part,
                           (long long)writer->progress_bytes, writer->items, (long long)expected);
  if (writer->reopened) OLICA_TRY(writer->ops->resume(writer->file, writer->progress, writer->mark));
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

const char *olica_format_about(olica_format format) {
  return table[format]->about;
}
