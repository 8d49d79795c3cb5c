/* The verification of an export. */
#include <dirent.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "against.h"
#include "export/export.h"
#include "export/kinds.h"
#include "finite.h"
#include "io/gguf.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "kind.h"
#include "model/config.h"
#include "par/comm.h"
#include "par/partition.h"
#include "par/watch.h"
#include "verify_gguf.h"

enum { LIST_BYTES = 16 << 20, PIECE = 4 << 20 };

typedef struct verifier {
  olica_context *context;
  olica_env *env;
  const char *path; /* of the directory, or the file */
  json_t *files;    /* of the list: name -> {bytes, crc32}; borrowed from `list` */
  json_t *list;
  const olica_export_kind *kind;
  olica_export_type type;
  olica_catalog *catalog;
  int64_t bytes; /* of all files */
} verifier;

/* ---- the list ---- */

static const char *path_of(const verifier *v, const char *name, char path[OLICA_FILE_PATH]) {
  snprintf(path, OLICA_FILE_PATH, "%.700s/%.300s", v->path, name);
  return path;
}

/* Refuses a directory that was not completed, and one that is no export. The list is written last: beside it
 * the mark only says that the export was killed before it took it away. */
static olica_status load_list(verifier *v, char **text, size_t *bytes) {
  char path[OLICA_FILE_PATH];
  struct stat info;
  bool list = stat(path_of(v, OLICA_EXPORT_LIST, path), &info) == 0;
  if (!list && stat(path_of(v, OLICA_EXPORT_MARK, path), &info) == 0)
    return olica_error_set(v->env, OLICA_ERR_INPUT,
                           "%s: an export that was not completed (%s is in it), expected a whole one",
                           v->path, OLICA_EXPORT_MARK);
  if (!list)
    return olica_error_set(v->env, OLICA_ERR_INPUT,
                           "%s: no %s in it, expected a checkpoint, or a directory that --export has written",
                           v->path, OLICA_EXPORT_LIST);
  path_of(v, OLICA_EXPORT_LIST, path);
  return olica_file_load(v->env, path, LIST_BYTES, text, bytes);
}

static olica_status read_list(verifier *v) {
  char *text = NULL, path[OLICA_FILE_PATH];
  const char *kind = NULL;
  size_t bytes = 0;
  OLICA_AGREE(v->context, v->context->rank == 0 ? load_list(v, &text, &bytes) : OLICA_OK);
  OLICA_TRY(olica_config_share(v->context, &text, &bytes));
  path_of(v, OLICA_EXPORT_LIST, path);
  OLICA_AGREE(v->context, olica_json_parse(v->env, path, text, bytes, &v->list));
  olica_memory_free(v->env, text);
  OLICA_AGREE(v->context, olica_json_string(v->env, path, v->list, "kind", true, &kind));
  for (int i = 0; olica_export_kind_at(i); i++)
    if (strcmp(olica_export_kind_at(i)->name, kind) == 0) v->kind = olica_export_kind_at(i);
  v->files = json_object_get(v->list, "files");
  if (!v->kind || !v->kind->directory || !json_is_object(v->files))
    return olica_error_set(v->env, OLICA_ERR_INPUT, "%s: kind \"%.40s\", expected the list of an export",
                           path, kind);
  return OLICA_OK;
}

/* ---- files ---- */

static olica_status check_size(verifier *v, const char *name, const json_t *entry) {
  char path[OLICA_FILE_PATH];
  struct stat info;
  int64_t bytes = json_integer_value(json_object_get(entry, "bytes"));
  bool there = stat(path_of(v, name, path), &info) == 0;
  if (strchr(name, '/') || !there || !S_ISREG(info.st_mode) || info.st_size != bytes)
    return olica_error_set(v->env, OLICA_ERR_INPUT, "%s: has %lld bytes, expected %lld as %s says", path,
                           there ? (long long)info.st_size : 0LL, (long long)bytes, OLICA_EXPORT_LIST);
  v->bytes += bytes;
  return OLICA_OK;
}

/* A file of tensors that is not in the list would be read by other tools all the same. */
static olica_status check_others(verifier *v) {
  DIR *directory = opendir(v->path);
  olica_status status = OLICA_OK;
  for (const struct dirent *entry; directory && status == OLICA_OK && (entry = readdir(directory));)
    if (fnmatch("*.safetensors*", entry->d_name, 0) == 0 && !json_object_get(v->files, entry->d_name))
      status = olica_error_set(v->env, OLICA_ERR_INPUT, "%s/%s: does not belong to this export", v->path,
                               entry->d_name);
  if (directory) closedir(directory);
  return status;
}

static olica_status check_sizes(verifier *v) {
  const char *name;
  json_t *entry;
  json_object_foreach(v->files, name, entry) OLICA_TRY(check_size(v, name, entry));
  return check_others(v);
}

/* Adds the checksum of bytes [from, to) of a file, shifted to their place in it. */
static olica_status sum_up(verifier *v, const char *name, int64_t from, int64_t to, int64_t bytes,
                           unsigned char *piece, uint32_t *crc) {
  char path[OLICA_FILE_PATH];
  int64_t size;
  int fd;
  OLICA_TRY(olica_file_open(v->env, path_of(v, name, path), &fd, &size));
  olica_status status = OLICA_OK;
  for (int64_t n; status == OLICA_OK && from < to; from += n) {
    n = to - from < PIECE ? to - from : PIECE;
    status = olica_file_read(v->env, fd, path, from, piece, (size_t)n);
    uint32_t its = (uint32_t)crc32_z(0, piece, (size_t)n);
    *crc ^= (uint32_t)crc32_combine(its, 0, (z_off_t)(bytes - from - n));
  }
  close(fd);
  return status;
}

/* Sums up this rank's share of the bytes of all files; crc [files]. */
static olica_status sum_share(verifier *v, uint32_t *crc) {
  olica_range share = olica_partition_block(v->bytes, v->context->size, v->context->rank);
  int64_t before = 0;
  unsigned char *piece;
  const char *name;
  json_t *entry;
  OLICA_TRY(OLICA_NEW(v->env, piece, PIECE));
  json_object_foreach(v->files, name, entry) {
    int64_t bytes = json_integer_value(json_object_get(entry, "bytes"));
    int64_t from = share.first - before, to = from + share.count;
    from = from < 0 ? 0 : from;
    to = to > bytes ? bytes : to;
    if (from < to) OLICA_TRY(sum_up(v, name, from, to, bytes, piece, crc));
    before += bytes;
    crc++;
  }
  olica_memory_free(v->env, piece);
  return OLICA_OK;
}

static olica_status check_sums(verifier *v) {
  uint32_t *crc, *at;
  char path[OLICA_FILE_PATH];
  size_t count = json_object_size(v->files);
  const char *name;
  json_t *entry;
  OLICA_AGREE(v->context, OLICA_NEW(v->env, crc, count));
  OLICA_AGREE(v->context, sum_share(v, crc));
  olica_watch_enter(v->context, "the checksums of all");
  MPI_Allreduce(MPI_IN_PLACE, crc, (int)count, MPI_UINT32_T, MPI_BXOR, v->context->comm);
  olica_watch_leave(v->context);
  at = crc;
  json_object_foreach(v->files, name, entry) {
    uint32_t expected = (uint32_t)json_integer_value(json_object_get(entry, "crc32"));
    if (*at != expected)
      return olica_error_set(v->env, OLICA_ERR_INPUT,
                             "%s: checksum %08x, expected %08x as %s says: it has changed",
                             path_of(v, name, path), *at, expected, OLICA_EXPORT_LIST);
    at++;
  }
  olica_memory_free(v->env, crc);
  return OLICA_OK;
}

/* ---- tensors ---- */

/* Makes the directory look like a source whose layers have these shapes, and has its kind say which tensors
 * it should have. */
static olica_status check_items(verifier *v, const olica_arch *arch, olica_layer_shape *shape) {
  static const olica_export_options none;
  olica_source like = {.context = v->context, .arch = *arch, .shape = shape, .is_checkpoint = true};
  olica_export e = {.context = v->context,
                    .env = v->env,
                    .kind = v->kind,
                    .path = v->path,
                    .options = &none,
                    .source = &like};
  OLICA_TRY(v->kind->plan(&e));
  for (int i = 0; i < e.count; i++) {
    const olica_export_item *item = &e.item[i];
    const olica_tensor *tensor = olica_catalog_find(v->catalog, item->name);
    bool same = tensor && tensor->dims == item->dims && tensor->shape[0] == item->shape[0] &&
                (item->dims == 1 || tensor->shape[1] == item->shape[1]);
    if (!same)
      return olica_error_set(v->env, OLICA_ERR_INPUT,
                             "%s: %s is %s, expected %lld x %lld as config.json has it", v->path, item->name,
                             tensor ? "of another shape" : "missing", (long long)item->shape[0],
                             (long long)item->shape[1]);
  }
  if (e.count != v->catalog->count)
    return olica_error_set(v->env, OLICA_ERR_INPUT, "%s: %d tensors, expected %d as config.json has them",
                           v->path, v->catalog->count, e.count);
  olica_memory_free(v->env, e.item);
  olica_memory_free(v->env, e.own);
  return OLICA_OK;
}

static olica_status check_config(verifier *v, const char *name, const char *text, size_t bytes) {
  olica_arch arch;
  olica_layer_shape *shape = NULL;
  json_t *config;
  OLICA_TRY(olica_json_parse(v->env, name, text, bytes, &config));
  if (v->kind->shapes) OLICA_TRY(v->kind->shapes(v->env, name, config, &shape));
  char *plain = json_dumps(config, JSON_REAL_PRECISION(17));
  json_decref(config);
  if (!plain) return olica_error_set(v->env, OLICA_ERR_MEMORY, "%s: no memory for it", name);
  olica_status status = olica_arch_parse(v->env, name, plain, strlen(plain), &arch);
  free(plain);
  OLICA_TRY(status);
  if (!shape) {
    OLICA_TRY(OLICA_NEW(v->env, shape, (size_t)arch.layers));
    for (int l = 0; l < arch.layers; l++) shape[l] = olica_layer_shape_dense(&arch, l, arch.bias);
  }
  status = check_items(v, &arch, shape);
  olica_memory_free(v->env, shape);
  olica_arch_free(v->env, &arch);
  return status;
}

static olica_status check_tensors(verifier *v) {
  char path[OLICA_FILE_PATH], *text = NULL;
  size_t bytes = 0;
  bool root = v->context->rank == 0;
  path_of(v, "config.json", path);
  OLICA_AGREE(v->context, root ? olica_config_load(v->env, path, &text, &bytes) : OLICA_OK);
  OLICA_TRY(olica_config_share(v->context, &text, &bytes));
  OLICA_AGREE(v->context, check_config(v, path, text, bytes));
  olica_memory_free(v->env, text);
  return OLICA_OK;
}

/* The type of a directory's tensors, as its list has it. */
static olica_status take_type(verifier *v) {
  const char *type = json_string_value(json_object_get(v->list, "dtype"));
  for (int t = 0; type && t < OLICA_EXPORT_TYPES; t++)
    if (strcmp(type, olica_export_type_name((olica_export_type)t)) == 0) {
      v->type = (olica_export_type)t;
      return OLICA_OK;
    }
  return olica_error_set(v->env, OLICA_ERR_INPUT, "%s/%s: dtype \"%.40s\", expected fp32, fp16 or bf16",
                         v->path, OLICA_EXPORT_LIST, type ? type : "");
}

static olica_status verify_directory(verifier *v) {
  bool root = v->context->rank == 0;
  OLICA_TRY(read_list(v));
  OLICA_AGREE(v->context, take_type(v));
  OLICA_AGREE(v->context, root ? check_sizes(v) : OLICA_OK);
  olica_comm_bcast(v->context, v->context->comm, &v->bytes, sizeof v->bytes, 0);
  OLICA_AGREE(v->context, check_sums(v));
  OLICA_TRY(olica_catalog_share(v->catalog, root ? olica_safetensors_open(v->catalog, v->path) : OLICA_OK));
  return check_tensors(v);
}

/* A GGUF file has no checksums. Rank 0 has its keys. */
static olica_status verify_file(verifier *v) {
  bool root = v->context->rank == 0;
  json_t *metadata = NULL;
  OLICA_TRY(
      olica_catalog_share(v->catalog, root ? olica_gguf_open(v->catalog, v->path, &metadata) : OLICA_OK));
  olica_status status = root ? olica_gguf_verify(v->env, v->path, v->catalog, metadata, &v->type) : OLICA_OK;
  json_decref(metadata);
  OLICA_TRY(olica_comm_agree(v->context, v->context->comm, status));
  olica_comm_bcast(v->context, v->context->comm, &v->type, sizeof v->type, 0);
  v->kind = &olica_export_gguf;
  for (int i = 0; i < v->catalog->count; i++) v->bytes += v->catalog->tensor[i].bytes;
  return OLICA_OK;
}

/* Rank 0 looks what there is under that name. */
static olica_status verify(verifier *v, const char *checkpoint) {
  struct stat info;
  bool directory = v->context->rank == 0 && stat(v->path, &info) == 0 && S_ISDIR(info.st_mode);
  olica_comm_bcast(v->context, v->context->comm, &directory, sizeof directory, 0);
  OLICA_TRY(directory ? verify_directory(v) : verify_file(v));
  OLICA_AGREE(v->context, olica_export_check_finite(v->catalog));
  if (checkpoint) return olica_export_against(v->context, v->path, v->kind, v->type, v->catalog, checkpoint);
  if (!directory)
    olica_log_line(v->env, "%s: GGUF has no checksums; --against CHECKPOINT.h5 compares every number",
                   v->path);
  return OLICA_OK;
}

bool olica_export_is(olica_context *context, const char *path) {
  struct stat info;
  bool is =
      context->rank == 0 && ((stat(path, &info) == 0 && S_ISDIR(info.st_mode)) || olica_gguf_begins(path));
  olica_comm_bcast(context, context->comm, &is, sizeof is, 0);
  return is;
}

olica_status olica_export_verify(olica_context *context, const char *path, const char *checkpoint,
                                 int64_t *tensors, int64_t *bytes) {
  verifier v = {.context = context, .env = context->env, .path = path};
  OLICA_AGREE(context, olica_catalog_create(context, &v.catalog));
  olica_status status = verify(&v, checkpoint);
  *tensors = v.catalog->count;
  *bytes = v.bytes;
  olica_catalog_destroy(v.catalog);
  json_decref(v.list);
  return status;
}
