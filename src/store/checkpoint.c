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

struct olica_checkpoint {
  olica_context *context;
  char *path, *part; /* the final name, and the name while it is written */
  bool overwrite;    /* what lies under the final name may be replaced */
  bool stays;        /* the .part file, whole, which could not get its name */
  olica_dtype dtype;
  olica_arch arch;
  olica_layer_shape *shape;       /* [L] */
  olica_hdf5 *file;               /* NULL once closed */
  int model[OLICA_TENSORS_MODEL]; /* numbers of the datasets outside of the layers */
  int *layer;                     /* [L] number of a layer's first dataset; the others follow */
};

static char *part_name(olica_env *env, const char *path) {
  size_t bytes = strlen(path) + sizeof ".part";
  char *part = olica_memory_get(env, "file name", bytes, 1);
  if (part) snprintf(part, bytes, "%s.part", path);
  return part;
}

/* Metadata, alignment and what the file system keeps for itself. */
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
  if (statvfs(directory, &fs) != 0 || fs.f_blocks == 0) return OLICA_OK; /* it does not say */
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
  if (lstat(path, &info) == 0 && !options->overwrite) /* a link that leads nowhere is there, too */
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "[output] checkpoint: %s exists; [output] overwrite = yes would replace it", path);
  OLICA_TRY(olica_file_probe(env, path, touch));
  char *part = part_name(env, path), *directory = NULL;
  if (!part) return env->error.code;
  OLICA_TRY(olica_file_resolve(env, path, ".", &directory));
  int64_t blocks = stat(part, &info) == 0 ? (int64_t)info.st_blocks * 512 : 0; /* they are given back first */
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

int64_t olica_checkpoint_most_datasets(const olica_arch *arch) {
  return OLICA_SCHEMA_META + OLICA_TENSORS_MODEL + (int64_t)arch->layers * olica_tensors_most(arch);
}

int64_t olica_checkpoint_writer_bytes(const olica_arch *arch, olica_dtype dtype, int ranks) {
  int64_t row = larger(larger(arch->hidden, (int64_t)arch->heads * arch->head), arch->ffn);
  return olica_hdf5_writer_bytes(ranks, row * (int64_t)olica_number_size(dtype),
                                 olica_checkpoint_most_datasets(arch));
}

int64_t olica_checkpoint_bytes(const olica_arch *arch, const olica_layer_shape *shapes, olica_dtype dtype) {
  olica_schema_item item[OLICA_TENSORS_LAYER];
  int64_t bytes = 0;
  int count = olica_schema_model(arch, dtype, item);
  for (int i = 0; i < count; i++) bytes += olica_schema_bytes(&item[i]);
  for (int l = 0; l < arch->layers; l++) {
    count = olica_schema_layer(arch, &shapes[l], dtype, l, item);
    for (int i = 0; i < count; i++) bytes += olica_schema_bytes(&item[i]);
  }
  return bytes;
}

static olica_status declare(olica_checkpoint *checkpoint, const olica_schema_item *item, int *number) {
  return olica_hdf5_dataset(checkpoint->file, item->name, item->type, item->dims, item->shape, number);
}

static olica_status declare_model(olica_checkpoint *checkpoint) {
  olica_schema_item item[OLICA_TENSORS_LAYER];
  int count = olica_schema_model(&checkpoint->arch, checkpoint->dtype, item), number;
  for (int i = 0; i < count; i++) OLICA_TRY(declare(checkpoint, &item[i], &checkpoint->model[item[i].id]));
  for (int l = 0; l < checkpoint->arch.layers; l++) {
    count = olica_schema_layer(&checkpoint->arch, &checkpoint->shape[l], checkpoint->dtype, l, item);
    for (int i = 0; i < count; i++)
      OLICA_TRY(declare(checkpoint, &item[i], i == 0 ? &checkpoint->layer[l] : &number));
  }
  return OLICA_OK;
}

/* The texts of /meta come first. In a reopened file they stay as they are: their lengths may be others. */
static olica_status declare_texts(olica_checkpoint *checkpoint, const olica_checkpoint_text *texts,
                                  bool as_is, int *number) {
  for (int i = 0; i < OLICA_SCHEMA_META; i++) {
    int64_t bytes = as_is ? 0 : (int64_t)texts[i].bytes;
    if (texts[i].bytes > 0)
      OLICA_TRY(olica_hdf5_dataset(checkpoint->file, olica_schema_meta(i), OLICA_HDF5_BYTES, 1, &bytes,
                                   &number[i]));
  }
  return OLICA_OK;
}

static void list_texts(const olica_checkpoint_meta *meta, olica_checkpoint_text texts[OLICA_SCHEMA_META]) {
  const olica_checkpoint_text list[OLICA_SCHEMA_META] = {meta->config_json,
                                                         meta->settings_json,
                                                         meta->provenance_json,
                                                         meta->tokenizer_json,
                                                         meta->tokenizer_model,
                                                         meta->tokenizer_config_json,
                                                         meta->special_tokens_map_json,
                                                         meta->added_tokens_json};
  memcpy(texts, list, sizeof list);
}

/* All is declared, then the texts are written. */
static olica_status begin(olica_checkpoint *checkpoint, const olica_checkpoint_meta *meta) {
  olica_hdf5 *file = checkpoint->file;
  olica_checkpoint_text texts[OLICA_SCHEMA_META];
  int number[OLICA_SCHEMA_META];
  list_texts(meta, texts);
  OLICA_TRY(olica_hdf5_attribute_text(file, "format", OLICA_CHECKPOINT_FORMAT));
  OLICA_TRY(olica_hdf5_attribute_integer(file, "schema", OLICA_CHECKPOINT_SCHEMA));
  OLICA_TRY(olica_hdf5_attribute_integer(file, "complete", 0));
  OLICA_TRY(declare_texts(checkpoint, texts, false, number));
  OLICA_TRY(declare_model(checkpoint));
  OLICA_TRY(olica_hdf5_reserve(file));
  for (int i = 0; i < OLICA_SCHEMA_META; i++)
    if (texts[i].bytes > 0)
      OLICA_TRY(olica_hdf5_write(file, number[i], 0, (int64_t)texts[i].bytes, texts[i].data));
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
  if (!(checkpoint->path = olica_memory_string(env, options->path))) return env->error.code;
  if (!(checkpoint->part = part_name(env, options->path))) return env->error.code;
  OLICA_TRY(OLICA_NEW(env, checkpoint->shape, layers));
  OLICA_TRY(OLICA_NEW(env, checkpoint->layer, layers));
  memcpy(checkpoint->shape, shapes, layers * sizeof *shapes);
  *out = checkpoint;
  return OLICA_OK;
}

olica_status olica_checkpoint_create(olica_context *context, const olica_checkpoint_options *options,
                                     const olica_arch *arch, const olica_layer_shape *shapes,
                                     const olica_checkpoint_meta *meta, olica_checkpoint **out) {
  olica_checkpoint *checkpoint = NULL;
  OLICA_AGREE(context, allocate(context, options, arch, shapes, &checkpoint));
  assert(checkpoint);
  /* What another run has left; a link is not written through. */
  if (context->rank == 0) unlink(checkpoint->part);
  olica_status status = olica_hdf5_create(context, checkpoint->part, options->hints, &checkpoint->file);
  if (status == OLICA_OK) status = begin(checkpoint, meta);
  if (status == OLICA_OK)
    *out = checkpoint;
  else
    olica_checkpoint_abandon(checkpoint);
  return status;
}

/* That it is the file of the same run: its provenance tells, by the moment and the place. */
static olica_status resume(olica_checkpoint *checkpoint, const olica_checkpoint_meta *meta, int datasets,
                           const olica_hdf5_progress *progress) {
  enum { PROVENANCE = 2 };
  olica_checkpoint_text texts[OLICA_SCHEMA_META];
  int number[OLICA_SCHEMA_META];
  list_texts(meta, texts);
  OLICA_TRY(declare_texts(checkpoint, texts, true, number));
  OLICA_TRY(declare_model(checkpoint));
  if (olica_hdf5_datasets(checkpoint->file) != datasets)
    return olica_error_set(checkpoint->context->env, OLICA_ERR_IO, "%s: has %d datasets, expected %d",
                           checkpoint->part, olica_hdf5_datasets(checkpoint->file), datasets);
  olica_hdf5_resume(checkpoint->file, progress);
  OLICA_TRY(olica_hdf5_check(checkpoint->file, number[PROVENANCE]));
  return olica_hdf5_reserve(checkpoint->file);
}

olica_status olica_checkpoint_reopen(olica_context *context, const olica_checkpoint_options *options,
                                     const olica_arch *arch, const olica_layer_shape *shapes,
                                     const olica_checkpoint_meta *meta, int datasets,
                                     const olica_hdf5_progress *progress, olica_checkpoint **out) {
  olica_checkpoint *checkpoint = NULL;
  OLICA_AGREE(context, allocate(context, options, arch, shapes, &checkpoint));
  assert(checkpoint);
  olica_status status = olica_hdf5_reopen(context, checkpoint->part, options->hints, &checkpoint->file);
  if (status == OLICA_OK) status = resume(checkpoint, meta, datasets, progress);
  if (status == OLICA_OK)
    *out = checkpoint;
  else
    olica_checkpoint_leave(checkpoint);
  return status;
}

int olica_checkpoint_datasets(const olica_checkpoint *checkpoint) {
  return olica_hdf5_datasets(checkpoint->file);
}

olica_status olica_checkpoint_flush(olica_checkpoint *checkpoint, olica_hdf5_progress *progress) {
  OLICA_TRY(olica_hdf5_flush(checkpoint->file));
  olica_hdf5_measure(checkpoint->file, progress);
  return OLICA_OK;
}

olica_status olica_checkpoint_write_rows(olica_checkpoint *checkpoint, olica_table table, int64_t first,
                                         int64_t count, const float *rows) {
  olica_tensor_id id = table == OLICA_TABLE_HEAD ? OLICA_TENSOR_HEAD : OLICA_TENSOR_EMBED;
  if (!olica_tensors_present(&checkpoint->arch, NULL, id))
    return olica_error_set(checkpoint->context->env, OLICA_ERR_INTERNAL, "%s: a tied model has no lm_head",
                           checkpoint->path);
  return olica_hdf5_write(checkpoint->file, checkpoint->model[id], first, count, rows);
}

olica_status olica_checkpoint_write_norm(olica_checkpoint *checkpoint, const float *norm) {
  return olica_hdf5_write(checkpoint->file, checkpoint->model[OLICA_TENSOR_NORM], 0, checkpoint->arch.hidden,
                          norm);
}

static bool same_shape(const olica_layer_shape *a, const olica_layer_shape *b) {
  for (int p = 0; p < OLICA_PROJECTIONS; p++)
    if (a->rank[p] != b->rank[p] || a->bias[p] != b->bias[p]) return false;
  return a->values == b->values && a->ffn == b->ffn && a->branch == b->branch;
}

/* All are kept: 0, 1, ... in every row. */
static olica_status write_all_kept(olica_checkpoint *checkpoint, const olica_schema_item *item, int number) {
  olica_env *env = checkpoint->context->env;
  int64_t rows = item->dims == 2 ? item->shape[0] : 1,
          columns = item->dims == 2 ? item->shape[1] : item->shape[0];
  int32_t *kept = NULL;
  OLICA_AGREE(checkpoint->context, OLICA_NEW(env, kept, (size_t)(rows * columns)));
  for (int64_t i = 0; i < rows * columns; i++) kept[i] = (int32_t)(i % columns);
  OLICA_TRY(olica_hdf5_write(checkpoint->file, number, 0, item->shape[0], kept));
  olica_memory_free(env, kept);
  return OLICA_OK;
}

static olica_status write_item(olica_checkpoint *checkpoint, const olica_layer *weights,
                               const olica_schema_item *item, int number) {
  const void *data = olica_tensors_data(weights, item->id);
  if (data) return olica_hdf5_write(checkpoint->file, number, 0, item->shape[0], data);
  bool all_kept = olica_tensors_row(item->id)->is_list &&
                  item->shape[item->dims - 1] == olica_tensors_choices(&checkpoint->arch, item->id);
  if (all_kept) return write_all_kept(checkpoint, item, number);
  return olica_error_set(checkpoint->context->env, OLICA_ERR_INTERNAL, "%s: nothing to write as %s",
                         checkpoint->path, item->name);
}

olica_status olica_checkpoint_write_layer(olica_checkpoint *checkpoint, int layer,
                                          const olica_layer *weights) {
  if (layer < 0 || layer >= checkpoint->arch.layers ||
      !same_shape(&weights->shape, &checkpoint->shape[layer]))
    return olica_error_set(checkpoint->context->env, OLICA_ERR_INTERNAL,
                           "%s: layer %d has another shape than declared", checkpoint->path, layer);
  olica_schema_item item[OLICA_TENSORS_LAYER];
  int count = olica_schema_layer(&checkpoint->arch, &weights->shape, checkpoint->dtype, layer, item);
  for (int i = 0; i < count; i++)
    OLICA_TRY(write_item(checkpoint, weights, &item[i], checkpoint->layer[layer] + i));
  return OLICA_OK;
}

static void release(olica_checkpoint *checkpoint) {
  olica_env *env = checkpoint->context->env;
  olica_memory_free(env, checkpoint->shape);
  olica_memory_free(env, checkpoint->layer);
  olica_memory_free(env, checkpoint->part);
  olica_memory_free(env, checkpoint->path);
  olica_memory_free(env, checkpoint);
}

/* What we have just written must read back; if it does not, the file system is to blame and no input. */
static olica_status read_back(olica_checkpoint *checkpoint) {
  olica_context *context = checkpoint->context;
  int64_t tensors, bytes;
  olica_status status = olica_checkpoint_verify(context, checkpoint->part, &tensors, &bytes);
  if (status != OLICA_ERR_INPUT) return status;
  if (context->rank == 0) unlink(checkpoint->part);
  olica_error_context(context->env, "reading back what was written: ");
  return context->env->error.code = OLICA_ERR_IO;
}

/* Rank 0's. What somebody else has put under the name meanwhile stays, and so does what we have made. */
static olica_status publish(olica_checkpoint *checkpoint) {
  olica_env *env = checkpoint->context->env;
  olica_status status = olica_file_publish(env, checkpoint->part, checkpoint->path, checkpoint->overwrite);
  struct stat info;
  if (status == OLICA_OK || checkpoint->overwrite || lstat(checkpoint->path, &info) != 0) return status;
  checkpoint->stays = true;
  return olica_error_context(env, "%s is whole and stays, but ", checkpoint->part);
}

static olica_status finish(olica_checkpoint *checkpoint) {
  olica_context *context = checkpoint->context;
  OLICA_TRY(olica_hdf5_seal(checkpoint->file));
  OLICA_TRY(olica_hdf5_attribute_integer(checkpoint->file, "complete", 1));
  OLICA_TRY(olica_hdf5_close(checkpoint->file));
  checkpoint->file = NULL;
  OLICA_TRY(read_back(checkpoint));
  OLICA_AGREE(context, context->rank == 0 ? publish(checkpoint) : OLICA_OK);
  return OLICA_OK;
}

olica_status olica_checkpoint_finish(olica_checkpoint *checkpoint, bool keep, double *bytes_written) {
  *bytes_written = olica_hdf5_bytes_written(checkpoint->file);
  olica_status status = finish(checkpoint);
  if (status == OLICA_OK || keep || checkpoint->stays)
    olica_checkpoint_leave(checkpoint);
  else
    olica_checkpoint_abandon(checkpoint);
  return status;
}

void olica_checkpoint_leave(olica_checkpoint *checkpoint) {
  if (!checkpoint) return;
  olica_hdf5_abandon(checkpoint->file);
  release(checkpoint);
}

void olica_checkpoint_abandon(olica_checkpoint *checkpoint) {
  if (!checkpoint) return;
  if (checkpoint->context->rank == 0) unlink(checkpoint->part);
  olica_checkpoint_leave(checkpoint);
}

void olica_checkpoint_discard(olica_env *env, const char *path) {
  char *part = part_name(env, path);
  if (part) unlink(part);
  olica_memory_free(env, part);
}
