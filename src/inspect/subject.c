#include "subject.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/gguf.h"
#include "io/hdf5.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io/shard.h"
#include "model/config.h"
#include "model/tensors.h"
#include "par/comm.h"
#include "store/survey.h"

enum { HEAD = 8, TEXT_MAX = 1 << 28 };

static const char *const names[OLICA_SUBJECT_KINDS] = {
    "checkpoint", "saved statistics", "Hugging Face directory", "safetensors file", "GGUF file", "report"};

const char *olica_subject_kind_name(olica_subject_kind kind) {
  return names[kind];
}

static bool ends_with(const char *text, const char *end) {
  size_t length = strlen(text), tail = strlen(end);
  return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* ---- which kind ---- */

/* Tells the kind of a file by its first bytes. */
static olica_status find_kind_of_file(olica_env *env, const char *path, olica_subject_kind *kind) {
  static const char hdf5[] = "\x89HDF\r\n\x1a\n";
  char head[HEAD + 1] = "";
  int fd;
  int64_t bytes;
  OLICA_TRY(olica_file_open(env, path, &fd, &bytes));
  olica_status status = olica_file_read(env, fd, path, 0, head, bytes < HEAD ? (size_t)bytes : HEAD);
  close(fd);
  OLICA_TRY(status);
  const char *text = head + strspn(head, " \t\r\n");
  if (memcmp(head, hdf5, HEAD) == 0)
    *kind = olica_survey_is_ours(path) ? OLICA_SUBJECT_STATISTICS : OLICA_SUBJECT_CHECKPOINT;
  else if (memcmp(head, "GGUF", 4) == 0)
    *kind = OLICA_SUBJECT_GGUF;
  else if (ends_with(path, ".safetensors"))
    *kind = OLICA_SUBJECT_SAFETENSORS;
  else if (*text == '{')
    *kind = OLICA_SUBJECT_REPORT;
  else
    return olica_error_set(env, OLICA_ERR_INPUT,
                           "%s: is of no kind that can be shown, expected a checkpoint or saved statistics "
                           "(HDF5), a model's directory, .safetensors, GGUF, or report.json%s",
                           path, memcmp(head, "PK", 2) == 0 ? "; a file of PyTorch has to be converted" : "");
  return OLICA_OK;
}

static olica_status find_kind(olica_env *env, const char *path, olica_subject_kind *kind) {
  struct stat info;
  if (stat(path, &info) != 0)
    return olica_error_set(env, errno == EACCES ? OLICA_ERR_IO : OLICA_ERR_INPUT,
                           "%.1000s: %s, expected a file or directory to inspect", path, strerror(errno));
  if (!S_ISDIR(info.st_mode)) return find_kind_of_file(env, path, kind);
  *kind = OLICA_SUBJECT_DIRECTORY;
  return OLICA_OK;
}

/* ---- index and texts, on rank 0 ---- */

/* Loads config.json in or beside the path, if there is one. */
static olica_status load_config(olica_subject *subject, olica_env *env, const char *beside) {
  char *path;
  OLICA_TRY(olica_file_resolve(env, beside, "config.json", &path));
  olica_status status = OLICA_OK;
  if (access(path, F_OK) == 0) status = olica_json_load(env, path, TEXT_MAX, &subject->config);
  olica_memory_free(env, path);
  return status;
}

static olica_status index_directory(olica_subject *subject, olica_env *env) {
  char inside[OLICA_CATALOG_PATH];
  OLICA_TRY(olica_safetensors_open(subject->catalog, subject->path));
  snprintf(inside, sizeof inside, "%s/x", subject->path);
  return load_config(subject, env, inside);
}

static olica_status index_safetensors(olica_subject *subject, olica_env *env) {
  int file;
  OLICA_TRY(olica_catalog_add_file(subject->catalog, subject->path, &file));
  OLICA_TRY(olica_shard_read(subject->catalog, file));
  return load_config(subject, env, subject->path);
}

static olica_status index_subject(olica_subject *subject) {
  olica_env *env = subject->catalog->context->env;
  OLICA_TRY(find_kind(env, subject->path, &subject->kind));
  switch (subject->kind) {
  case OLICA_SUBJECT_CHECKPOINT:
    return olica_hdf5_index(subject->catalog, subject->path, OLICA_CHECKPOINT_FORMAT,
                            OLICA_CHECKPOINT_SCHEMA);
  case OLICA_SUBJECT_STATISTICS:
    return olica_hdf5_index(subject->catalog, subject->path, OLICA_SURVEY_FORMAT, OLICA_SURVEY_SCHEMA);
  case OLICA_SUBJECT_DIRECTORY:
    return index_directory(subject, env);
  case OLICA_SUBJECT_SAFETENSORS:
    return index_safetensors(subject, env);
  case OLICA_SUBJECT_GGUF:
    return olica_gguf_open(subject->catalog, subject->path, &subject->config);
  default:
    return olica_json_load(env, subject->path, TEXT_MAX, &subject->report);
  }
}

/* Reads a text of ours; a file without it has none. */
static olica_status read_text(olica_subject *subject, const char *name, json_t **root) {
  olica_env *env = subject->catalog->context->env;
  const olica_tensor *tensor = olica_catalog_find(subject->catalog, name);
  char where[OLICA_CATALOG_PATH + OLICA_TENSOR_NAME], *text;
  if (!tensor) return OLICA_OK;
  if (tensor->dims != 1 || strcmp(tensor->stored, "uint8") != 0 || tensor->bytes > TEXT_MAX)
    return olica_error_set(env, OLICA_ERR_INPUT, "%s: %s is no text, expected uint8 [bytes]", subject->path,
                           name);
  OLICA_TRY(OLICA_NEW(env, text, (size_t)tensor->bytes + 1));
  snprintf(where, sizeof where, "%s: %s", subject->path, name);
  olica_status status = olica_catalog_read(subject->catalog, tensor, 0, tensor->bytes, text);
  if (status == OLICA_OK) status = olica_json_parse(env, where, text, (size_t)tensor->bytes, root);
  olica_memory_free(env, text);
  return status;
}

static olica_status read_texts(olica_subject *subject) {
  if (subject->kind == OLICA_SUBJECT_STATISTICS)
    return read_text(subject, "meta/about_json", &subject->about);
  if (subject->kind != OLICA_SUBJECT_CHECKPOINT) return OLICA_OK;
  OLICA_TRY(read_text(subject, OLICA_CHECKPOINT_CONFIG, &subject->config));
  OLICA_TRY(read_text(subject, "meta/settings_json", &subject->settings));
  return read_text(subject, "meta/provenance_json", &subject->provenance);
}

static void count_bytes(olica_subject *subject) {
  struct stat info;
  for (int i = 0; i < subject->catalog->files; i++)
    if (stat(subject->catalog->path[i], &info) == 0) subject->file_bytes += info.st_size;
  if (subject->catalog->files == 0 && stat(subject->path, &info) == 0) subject->file_bytes = info.st_size;
}

/* ---- the report ---- */

/* Returns the FFN width of a layer: the rows of gate; -1 if there is none. */
static int64_t width_of(const olica_catalog *catalog, int64_t layer) {
  static const char *const leaf[] = {"weight", "b"};
  for (int i = 0; i < 2; i++) {
    char name[OLICA_TENSOR_NAME];
    snprintf(name, sizeof name, "model/layers/%03lld/gate_proj/%s", (long long)layer, leaf[i]);
    const olica_tensor *tensor = olica_catalog_find(catalog, name);
    if (tensor && tensor->dims == 2) return tensor->shape[0];
  }
  return -1;
}

/* Tells whether a report is that of the run which wrote this checkpoint: the same size of file and the same
 * widths. */
static bool is_of(const json_t *report, const olica_subject *subject) {
  const json_t *layers = json_object_get(report, "layers"), *row;
  const json_t *bytes = json_object_get(json_object_get(report, "checkpoint"), "bytes");
  size_t i;
  if (json_integer_value(bytes) != subject->file_bytes || json_array_size(layers) == 0) return false;
  json_array_foreach((json_t *)layers, i, row) {
    int64_t layer = json_integer_value(json_object_get(row, "layer"));
    if (json_integer_value(json_object_get(row, "ffn_width")) != width_of(subject->catalog, layer))
      return false;
  }
  return true;
}

/* Takes the report at `path`, if it is there and of this checkpoint. A file that is no JSON is none. */
static olica_status take_report(olica_subject *subject, const char *path) {
  olica_env *env = subject->catalog->context->env;
  json_t *report = NULL;
  if (access(path, R_OK) != 0) return OLICA_OK;
  olica_status status = olica_json_load(env, path, TEXT_MAX, &report);
  if (status == OLICA_ERR_MEMORY) return status;
  if (status != OLICA_OK) olica_error_clear(env);
  if (status == OLICA_OK && is_of(report, subject)) {
    subject->report = json_incref(report);
    subject->report_path = olica_memory_string(env, path);
  }
  json_decref(report);
  return OLICA_OK;
}

/* Looks for the report where the run wrote it, and beside the checkpoint. */
static olica_status find_report(olica_subject *subject) {
  olica_env *env = subject->catalog->context->env;
  const char *path =
      json_string_value(json_object_get(json_object_get(subject->settings, "output"), "report"));
  if (!path || !*path) return OLICA_OK;
  OLICA_TRY(take_report(subject, path));
  if (subject->report) return OLICA_OK;
  const char *name = strrchr(path, '/');
  char *beside;
  OLICA_TRY(olica_file_resolve(env, subject->path, name ? name + 1 : path, &beside));
  olica_status status = take_report(subject, beside);
  olica_memory_free(env, beside);
  return status;
}

/* ---- all ---- */

static olica_status read_on_root(olica_subject *subject) {
  OLICA_TRY(read_texts(subject));
  count_bytes(subject);
  return find_report(subject);
}

olica_status olica_subject_open(olica_context *context, const char *path, olica_subject *subject) {
  *subject = (olica_subject){.path = path};
  bool root = context->rank == 0;
  OLICA_AGREE(context, olica_catalog_create(context, &subject->catalog));
  OLICA_TRY(olica_catalog_share(subject->catalog, root ? index_subject(subject) : OLICA_OK));
  OLICA_AGREE(context, root ? read_on_root(subject) : OLICA_OK);
  return OLICA_OK;
}

void olica_subject_close(olica_subject *subject) {
  if (!subject->catalog) return;
  olica_env *env = subject->catalog->context->env;
  json_decref(subject->config);
  json_decref(subject->settings);
  json_decref(subject->provenance);
  json_decref(subject->about);
  json_decref(subject->report);
  olica_memory_free(env, subject->report_path);
  olica_catalog_destroy(subject->catalog);
  *subject = (olica_subject){0};
}
