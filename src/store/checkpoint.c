#include "store/checkpoint.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "io/file.h"
#include "par/comm.h"
#include "schema.h"

static const olica_format checkpoint_format = OLICA_FORMAT_HDF5;

struct olica_checkpoint {
  olica_context *context;
  olica_writer *writer;
  bool overwrite; /* an existing file of the final name may be replaced */
  olica_dtype dtype;
  olica_arch arch;
  olica_layer_shape *shape;       /* [L] */
  int model[OLICA_TENSORS_MODEL]; /* numbers of the items outside of the layers */
  int *layer;                     /* [L] number of a layer's first item; the others follow */
};

/* Adds a margin for metadata, alignment and the file system itself. */
static int64_t with_margin(int64_t bytes) {
  return bytes + bytes / 256 + (256 << 10);
}

static olica_status check_space(olica_env *env, const char *path, const char *directory, int64_t bytes,
                                int64_t blocks) {
  struct statvfs fs;
  struct rlimit limit;
  bytes = with_margin(bytes);
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      limit.rlim_cur < (rlim_t)bytes)
    return olica_error_set(env, OLICA_ERR_IO,
                           "%s: needs %lld bytes, and this process may write %lld (ulimit -f)", path,
                           (long long)bytes, (long long)limit.rlim_cur);
  if (statvfs(directory, &fs) != 0 || fs.f_blocks == 0) return OLICA_OK; /* unknown */
  double free_bytes = (double)fs.f_bavail * (double)fs.f_frsize + (double)blocks;
  if (free_bytes >= (double)bytes) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_IO, "%s: needs %lld bytes, %.0f are free in %s", path,
                         (long long)bytes, free_bytes, directory);
}

static olica_status probe(olica_env *env, const olica_checkpoint_options *options, int64_t bytes,
                          bool touch) {
  const char *path = options->path;
  struct stat info;
  if (!path || !path[0]) return olica_error_set(env, OLICA_ERR_CONFIG, "[output] checkpoint names no file");
  if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
    return olica_error_set(env, OLICA_ERR_CONFIG, "[output] checkpoint: %s exists and is no regular file",
                           path);
  if (lstat(path, &info) == 0 && !options->overwrite) /* a dangling link has the name, too */
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "[output] checkpoint: %s exists; [output] overwrite = yes would replace it", path);
  OLICA_TRY(olica_file_probe(env, path, touch));
  char *part = olica_file_part(env, path), *directory = NULL;
  if (!part) return env->error.code;
  OLICA_TRY(olica_file_resolve(env, path, ".", &directory));
  int64_t blocks = stat(part, &info) == 0 ? (int64_t)info.st_blocks * 512 : 0; /* they are freed first */
  OLICA_TRY(check_space(env, path, directory, bytes, blocks));
  olica_memory_free(env, directory);
  olica_memory_free(env, part);
  return OLICA_OK;
}

olica_status olica_checkpoint_probe(olica_context *context, const olica_checkpoint_options *options,
                                    int64_t bytes, bool touch) {
  OLICA_AGREE(context, context->rank == 0 ? probe(context->env, options, bytes, touch) : OLICA_OK);
  return OLICA_OK;
}

static int64_t larger(int64_t a, int64_t b) {
  return a > b ? a : b;
}

static int64_t most_items(const olica_arch *arch) {
  return OLICA_TEXTS + OLICA_TENSORS_MODEL + (int64_t)arch->layers * olica_tensors_most(arch);
}

int64_t olica_checkpoint_progress_most(const olica_arch *arch) {
  return olica_format_progress_bytes(checkpoint_format, most_items(arch));
}

int64_t olica_checkpoint_writer_bytes(const olica_arch *arch, olica_dtype dtype, int ranks) {
  int64_t row = larger(larger(arch->hidden, (int64_t)arch->heads * arch->head), arch->ffn);
  return olica_format_memory(checkpoint_format, ranks, row * (int64_t)olica_number_size(dtype),
                             most_items(arch));
}

static int64_t bytes_of(int count, const olica_schema_item *items) {
  int64_t bytes = 0;
  for (int i = 0; i < count; i++) {
    const olica_writer_item *item = &items[i].item;
    bytes += item->shape[0] * (item->dims > 1 ? item->shape[1] : 1) * (int64_t)olica_element_size(item->type);
  }
  return bytes;
}

int64_t olica_checkpoint_bytes(const olica_arch *arch, const olica_layer_shape *shapes, olica_dtype dtype) {
  olica_schema_item item[OLICA_TENSORS_LAYER];
  int64_t bytes = bytes_of(olica_schema_model(arch, dtype, item), item);
  for (int l = 0; l < arch->layers; l++)
    bytes += bytes_of(olica_schema_layer(arch, &shapes[l], dtype, l, item), item);
  return bytes;
}

/* ---- opening ---- */

static olica_status declare_texts(olica_checkpoint *checkpoint, const olica_checkpoint_text *texts,
                                  int number[OLICA_TEXTS]) {
  for (int i = 0; i < OLICA_TEXTS; i++) {
    olica_writer_item item = {.kind = i == OLICA_TEXT_PROVENANCE ? OLICA_ITEM_MARK : OLICA_ITEM_TEXT,
                              .type = OLICA_ELEMENT_BYTES,
                              .dims = 1,
                              .shape = {(int64_t)texts[i].bytes}};
    snprintf(item.name, sizeof item.name, "%s", olica_schema_text(i));
    if (texts[i].bytes > 0) OLICA_TRY(olica_writer_declare(checkpoint->writer, &item, &number[i]));
  }
  return OLICA_OK;
}

static olica_status declare_model(olica_checkpoint *checkpoint) {
  olica_schema_item item[OLICA_TENSORS_LAYER];
  olica_writer *writer = checkpoint->writer;
  int count = olica_schema_model(&checkpoint->arch, checkpoint->dtype, item), number;
  for (int i = 0; i < count; i++)
    OLICA_TRY(olica_writer_declare(writer, &item[i].item, &checkpoint->model[item[i].id]));
  for (int l = 0; l < checkpoint->arch.layers; l++) {
    count = olica_schema_layer(&checkpoint->arch, &checkpoint->shape[l], checkpoint->dtype, l, item);
    for (int i = 0; i < count; i++)
      OLICA_TRY(olica_writer_declare(writer, &item[i].item, i == 0 ? &checkpoint->layer[l] : &number));
  }
  return OLICA_OK;
}

/* Declares everything, the texts first, and writes them in a new file. */
static olica_status begin(olica_checkpoint *checkpoint, const olica_checkpoint_text *texts, bool is_new) {
  int number[OLICA_TEXTS];
  OLICA_TRY(declare_texts(checkpoint, texts, number));
  OLICA_TRY(declare_model(checkpoint));
  OLICA_TRY(olica_writer_begin(checkpoint->writer));
  for (int i = 0; is_new && i < OLICA_TEXTS; i++)
    if (texts[i].bytes > 0)
      OLICA_TRY(olica_writer_write(checkpoint->writer, number[i], 0, (int64_t)texts[i].bytes, texts[i].data));
  return OLICA_OK;
}

static olica_status allocate(olica_context *context, const olica_checkpoint_options *options,
                             const olica_arch *arch, const olica_layer_shape *shapes,
                             olica_checkpoint **out) {
  olica_env *env = context->env;
  olica_checkpoint *checkpoint;
  size_t layers = (size_t)arch->layers;
  OLICA_TRY(OLICA_NEW(env, checkpoint, 1));
  checkpoint->context = context;
  checkpoint->overwrite = options->overwrite;
  checkpoint->dtype = options->dtype;
  checkpoint->arch = *arch;
  OLICA_TRY(OLICA_NEW(env, checkpoint->shape, layers));
  OLICA_TRY(OLICA_NEW(env, checkpoint->layer, layers));
  memcpy(checkpoint->shape, shapes, layers * sizeof *shapes);
  *out = checkpoint;
  return OLICA_OK;
}

olica_status olica_checkpoint_open(olica_context *context, const olica_checkpoint_options *options,
                                   const olica_arch *arch, const olica_layer_shape *shapes,
                                   const olica_checkpoint_text texts[OLICA_TEXTS], const void *progress,
                                   int64_t progress_bytes, olica_checkpoint **out) {
  const olica_writer_options file = {.format = checkpoint_format,
                                     .path = options->path,
                                     .contents = OLICA_CHECKPOINT_FORMAT,
                                     .schema = OLICA_CHECKPOINT_SCHEMA,
                                     .hints = options->hints};
  olica_checkpoint *checkpoint = NULL;
  OLICA_AGREE(context, allocate(context, options, arch, shapes, &checkpoint));
  assert(checkpoint);
  olica_status status = olica_writer_open(context, &file, progress, progress_bytes, &checkpoint->writer);
  if (status == OLICA_OK) status = begin(checkpoint, texts, !progress);
  if (status == OLICA_OK)
    *out = checkpoint;
  else if (progress)
    olica_checkpoint_leave(checkpoint);
  else
    olica_checkpoint_abandon(checkpoint);
  return status;
}

/* ---- writing ---- */

int64_t olica_checkpoint_progress_bytes(const olica_checkpoint *checkpoint) {
  return olica_writer_progress_bytes(checkpoint->writer);
}

olica_status olica_checkpoint_flush(olica_checkpoint *checkpoint, void *progress) {
  return olica_writer_flush(checkpoint->writer, progress);
}

olica_status olica_checkpoint_write_rows(olica_checkpoint *checkpoint, olica_table table, int64_t first,
                                         int64_t count, const float *rows) {
  olica_tensor_id id = table == OLICA_TABLE_HEAD ? OLICA_TENSOR_HEAD : OLICA_TENSOR_EMBED;
  if (!olica_tensors_present(&checkpoint->arch, NULL, id))
    return olica_error_set(checkpoint->context->env, OLICA_ERR_INTERNAL, "%s: a tied model has no lm_head",
                           olica_writer_part(checkpoint->writer));
  return olica_writer_write(checkpoint->writer, checkpoint->model[id], first, count, rows);
}

olica_status olica_checkpoint_write_norm(olica_checkpoint *checkpoint, const float *norm) {
  int d = checkpoint->arch.hidden;
  OLICA_TRY(olica_writer_write(checkpoint->writer, checkpoint->model[OLICA_TENSOR_NORM], 0, d, norm));
  if (!olica_tensors_present(&checkpoint->arch, NULL, OLICA_TENSOR_NORM_BIAS)) return OLICA_OK;
  return olica_writer_write(checkpoint->writer, checkpoint->model[OLICA_TENSOR_NORM_BIAS], 0, d, norm + d);
}

static bool same_shape(const olica_layer_shape *a, const olica_layer_shape *b) {
  for (int p = 0; p < OLICA_PROJECTIONS; p++)
    if (a->rank[p] != b->rank[p] || a->bias[p] != b->bias[p]) return false;
  return a->kv_heads == b->kv_heads && a->kv_before == b->kv_before && a->group == b->group &&
         a->values == b->values && a->ffn == b->ffn && a->branch == b->branch;
}

/* Writes 0, 1, ... in every row: all are kept. */
static olica_status write_all_kept(olica_checkpoint *checkpoint, const olica_writer_item *item, int number) {
  olica_env *env = checkpoint->context->env;
  int64_t rows = item->dims == 2 ? item->shape[0] : 1,
          columns = item->dims == 2 ? item->shape[1] : item->shape[0];
  int32_t *kept = NULL;
  OLICA_AGREE(checkpoint->context, OLICA_NEW(env, kept, (size_t)(rows * columns)));
  for (int64_t i = 0; i < rows * columns; i++) kept[i] = (int32_t)(i % columns);
  OLICA_TRY(olica_writer_write(checkpoint->writer, number, 0, item->shape[0], kept));
  olica_memory_free(env, kept);
  return OLICA_OK;
}

static olica_status write_item(olica_checkpoint *checkpoint, int layer, const olica_layer *weights,
                               const olica_schema_item *its, int number) {
  const void *data = olica_tensors_data(weights, its->id);
  const olica_writer_item *item = &its->item;
  if (data) return olica_writer_write(checkpoint->writer, number, 0, item->shape[0], data);
  bool all_kept = olica_tensors_row(its->id)->is_list &&
                  item->shape[item->dims - 1] == olica_tensors_choices(&checkpoint->arch, layer, its->id);
  if (all_kept) return write_all_kept(checkpoint, item, number);
  return olica_error_set(checkpoint->context->env, OLICA_ERR_INTERNAL, "%s: nothing to write as %s",
                         olica_writer_part(checkpoint->writer), item->name);
}

olica_status olica_checkpoint_write_layer(olica_checkpoint *checkpoint, int layer,
                                          const olica_layer *weights) {
  if (layer < 0 || layer >= checkpoint->arch.layers ||
      !same_shape(&weights->shape, &checkpoint->shape[layer]))
    return olica_error_set(checkpoint->context->env, OLICA_ERR_INTERNAL,
                           "%s: layer %d has another shape than declared",
                           olica_writer_part(checkpoint->writer), layer);
  olica_schema_item item[OLICA_TENSORS_LAYER];
  int count = olica_schema_layer(&checkpoint->arch, &weights->shape, checkpoint->dtype, layer, item);
  for (int i = 0; i < count; i++)
    OLICA_TRY(write_item(checkpoint, layer, weights, &item[i], checkpoint->layer[layer] + i));
  return OLICA_OK;
}

/* ---- ending ---- */

/* If the file does not read back as we have written it, the fault is the file system's, and it is not kept.
 */
static olica_status read_back(olica_checkpoint *checkpoint, bool *keep) {
  olica_context *context = checkpoint->context;
  int64_t tensors, bytes;
  olica_status status =
      olica_checkpoint_verify(context, olica_writer_part(checkpoint->writer), &tensors, &bytes);
  if (status != OLICA_ERR_INPUT) return status;
  *keep = false;
  olica_error_context(context->env, "reading back what was written: ");
  return context->env->error.code = OLICA_ERR_IO;
}

/* *keep: the .part file stays after a failure. */
static olica_status finish(olica_checkpoint *checkpoint, bool *keep) {
  olica_writer *writer = checkpoint->writer;
  bool taken;
  OLICA_TRY(olica_writer_seal(writer));
  OLICA_TRY(read_back(checkpoint, keep));
  olica_status status = olica_writer_publish(writer, checkpoint->overwrite, &taken);
  if (!taken) return status;
  *keep = true;
  return olica_error_context(checkpoint->context->env, "%s is whole and stays, but ",
                             olica_writer_part(writer));
}

olica_status olica_checkpoint_finish(olica_checkpoint *checkpoint, bool keep, double *bytes_written) {
  *bytes_written = olica_writer_written(checkpoint->writer);
  olica_status status = finish(checkpoint, &keep);
  if (status == OLICA_OK || keep)
    olica_checkpoint_leave(checkpoint);
  else
    olica_checkpoint_abandon(checkpoint);
  return status;
}

static void release(olica_checkpoint *checkpoint, void (*end)(olica_writer *writer)) {
  if (!checkpoint) return;
  olica_env *env = checkpoint->context->env;
  end(checkpoint->writer);
  olica_memory_free(env, checkpoint->shape);
  olica_memory_free(env, checkpoint->layer);
  olica_memory_free(env, checkpoint);
}

void olica_checkpoint_leave(olica_checkpoint *checkpoint) {
  release(checkpoint, olica_writer_leave);
}

void olica_checkpoint_abandon(olica_checkpoint *checkpoint) {
  release(checkpoint, olica_writer_abandon);
}

void olica_checkpoint_discard(olica_env *env, const char *path) {
  olica_writer_discard(env, checkpoint_format, path);
}
