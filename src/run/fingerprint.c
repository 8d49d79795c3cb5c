#include "fingerprint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "checksum.h"
#include "config/fields.h"
#include "config/value.h"
#include "io/file.h"
#include "par/comm.h"
#include "par/watch.h"

/* Raise NUMERICS with every change of the numbers that the same inputs give, FORM with every change of the
 * fingerprint that the same run has. */
enum { NUMERICS = 1, FORM = 3 };

enum { VALUE = 160, DIFFERENCES_TOLD = 6, SAMPLE = 16 << 10 };

/* Returns whether a setting is part of the fingerprint of that scope. */
static bool counts(const olica_setting *setting, olica_fingerprint_scope scope) {
  return setting->affects == OLICA_AFFECTS_SURVEY ||
         (setting->affects == OLICA_AFFECTS_RESULT && scope == OLICA_FINGERPRINT_RUN);
}

static json_t *settings_of(const olica_options *options, olica_fingerprint_scope scope) {
  json_t *group = json_object();
  const olica_setting *setting;
  for (int i = 0; (setting = olica_settings_at(i)); i++) {
    char name[OLICA_SETTINGS_TEXT];
    if (!olica_options_has(options, setting) || !counts(setting, scope)) continue;
    snprintf(name, sizeof name, "[%s] %s", setting->section, setting->key);
    json_object_set_new(group, name, olica_value_json(setting, olica_options_field(options, setting)));
  }
  return group;
}

/* Returns the checksum of all that the header of a file says: the tensors' names, types, shapes and
 * places. */
static uint32_t index_checksum(const olica_catalog *catalog, int file) {
  uLong crc = 0;
  for (int i = 0; i < catalog->count; i++) {
    const olica_tensor *tensor = &catalog->tensor[i];
    const int64_t place[2] = {tensor->offset, tensor->bytes};
    if (tensor->file != file) continue;
    crc = crc32_z(crc, (const Bytef *)tensor->name, strlen(tensor->name));
    crc = crc32_z(crc, (const Bytef *)tensor->stored, strlen(tensor->stored));
    crc = crc32_z(crc, (const Bytef *)tensor->shape, (size_t)tensor->dims * sizeof *tensor->shape);
    crc = crc32_z(crc, (const Bytef *)place, sizeof place);
  }
  return (uint32_t)crc;
}

static void put_text(json_t *group, const char *name, const char *text) {
  json_object_set_new(group, name, olica_value_string(text));
}

static void put_bytes(json_t *group, const char *name, const void *data, size_t bytes) {
  char text[VALUE];
  snprintf(text, sizeof text, "%zu bytes, checksum %08lx", bytes, crc32_z(0, data, bytes));
  put_text(group, name, text);
}

/* Adds the checksum of a piece from the middle of each of the file's tensors: times of change may all be the
 * same (images, package stores), and reading all of a large model takes too long. The bytes read do not count
 * as the sweeps'. */
static olica_status add_samples(const olica_catalog *catalog, int file, int fd, char *data, uLong *crc) {
  olica_env *env = catalog->context->env;
  double before = env->bytes_read;
  for (int i = 0; i < catalog->count; i++) {
    const olica_tensor *tensor = &catalog->tensor[i];
    int64_t bytes = tensor->bytes < SAMPLE ? tensor->bytes : SAMPLE;
    if (tensor->file != file) continue;
    OLICA_TRY(olica_file_read(env, fd, catalog->path[file], tensor->offset + (tensor->bytes - bytes) / 2,
                              data, (size_t)bytes));
    *crc = crc32_z(*crc, (const Bytef *)data, (size_t)bytes);
  }
  env->bytes_read = before;
  return OLICA_OK;
}

static olica_status sample_checksum(const olica_catalog *catalog, int file, uint32_t *sum) {
  olica_env *env = catalog->context->env;
  uLong crc = 0;
  char *data;
  int fd;
  int64_t size;
  OLICA_TRY(OLICA_NEW(env, data, SAMPLE));
  OLICA_TRY(olica_file_open(env, catalog->path[file], &fd, &size));
  olica_status status = add_samples(catalog, file, fd, data, &crc);
  close(fd);
  olica_memory_free(env, data);
  *sum = (uint32_t)crc;
  return status;
}

static olica_status put_file(const olica_catalog *catalog, int file, json_t *group) {
  const char *path = catalog->path[file], *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
  char name[OLICA_CATALOG_PATH + 16], text[VALUE];
  struct stat info;
  uint32_t sample;
  if (stat(path, &info) != 0)
    return olica_error_set(catalog->context->env, OLICA_ERR_IO, "%s: cannot stat it any more", path);
  OLICA_TRY(sample_checksum(catalog, file, &sample));
  snprintf(text, sizeof text, "%lld bytes, changed %lld.%09ld", (long long)info.st_size,
           (long long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
  put_text(group, last, text);
  snprintf(name, sizeof name, "weights of %s", last);
  snprintf(text, sizeof text, "index %08x, sample %08x", index_checksum(catalog, file), sample);
  put_text(group, name, text);
  return OLICA_OK;
}

static olica_status put_files(const olica_source *source, json_t *group) {
  for (int i = 0; i < source->catalog->files; i++) OLICA_TRY(put_file(source->catalog, i, group));
  return OLICA_OK;
}

/* Adds the tokenizer's files that the checkpoint carries: all but generation_config.json. */
static void put_tokenizer(const olica_bundle *bundle, json_t *group) {
  for (int i = 0; bundle && i < OLICA_BUNDLE_GENERATION; i++)
    if (bundle->part[i].data)
      put_bytes(group, olica_bundle_file((olica_bundle_part)i), bundle->part[i].data, bundle->part[i].bytes);
}

static olica_status put_model(const olica_engine *engine, olica_fingerprint_scope scope, json_t *group) {
  put_bytes(group, "config.json", engine->setup->source->config, engine->setup->source->config_bytes);
  OLICA_TRY(put_files(engine->setup->source, group));
  if (scope == OLICA_FINGERPRINT_RUN) put_tokenizer(engine->inputs->bundle, group);
  return OLICA_OK;
}

static olica_status put_tokens(const olica_engine *engine, olica_fingerprint_scope scope, json_t *group) {
  if (engine->stream)
    OLICA_TRY(olica_checksum_ids(engine->setup->context, "calibration", engine->stream, group));
  return scope == OLICA_FINGERPRINT_RUN ? olica_riders_tokens(engine->riders, group) : OLICA_OK;
}

olica_status olica_fingerprint_make(const olica_engine *engine, olica_fingerprint_scope scope,
                                    json_t **parts) {
  bool root = engine->setup->context->rank == 0;
  json_t *model = json_object(), *tokens = json_object();
  *parts = NULL;
  OLICA_AGREE(engine->setup->context, root ? put_model(engine, scope, model) : OLICA_OK);
  OLICA_TRY(put_tokens(engine, scope, tokens));
  json_t *whole =
      json_pack("{s:o, s:o, s:o, s:{s:i, s:i, s:s}}", "settings", settings_of(engine->setup->options, scope),
                "model", model, "tokens", tokens, "program", "fingerprint", FORM, "numerics", NUMERICS,
                "precision", olica_number_name(engine->setup->precision));
  OLICA_AGREE(engine->setup->context, whole ? OLICA_OK
                                            : olica_error_set(engine->setup->context->env, OLICA_ERR_MEMORY,
                                                              "memory: no room for the run's fingerprint"));
  if (root)
    *parts = whole;
  else
    json_decref(whole);
  return OLICA_OK;
}

/* The differences as text, as many as fit. */
typedef struct differences {
  char text[DIFFERENCES_TOLD * 200]; /* three texts of at most 60 each */
  size_t used;
  int count;
} differences;

static void tell(differences *all, const char *name, const json_t *then, const json_t *now) {
  char *old = then ? json_dumps(then, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) : NULL;
  char *new = now ? json_dumps(now, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) : NULL;
  if (all->count++ < DIFFERENCES_TOLD)
    all->used +=
        (size_t)snprintf(all->text + all->used, sizeof all->text - all->used, "%s%.60s was %.60s, is %.60s",
                         all->used ? "; " : "", name, old ? old : "not there", new ? new : "not there");
  free(old);
  free(new);
}

/* Returns how many members of a group differ. */
static int compare_group(differences *all, const json_t *then, const json_t *now) {
  int before = all->count;
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)now, name, value) {
    const json_t *old = json_object_get(then, name);
    if (!json_equal(old, value)) tell(all, name, old, value);
  }
  json_object_foreach((json_t *)then, name, value) {
    if (!json_object_get(now, name)) tell(all, name, value, NULL);
  }
  return all->count - before;
}

olica_status olica_fingerprint_compare(olica_env *env, const char *what, const json_t *then,
                                       const json_t *now) {
  static const char *const groups[] = {"settings", "program", "model", "tokens"};
  differences all = {0};
  int of_user = 0; /* differences of settings and program */
  for (int i = 0; i < 4; i++) {
    int count = compare_group(&all, json_object_get(then, groups[i]), json_object_get(now, groups[i]));
    if (i < 2) of_user += count;
  }
  if (all.count == 0) return OLICA_OK;
  return olica_error_set(env, of_user ? OLICA_ERR_CONFIG : OLICA_ERR_INPUT, "%s: is of another run: %s%s",
                         what, all.text, all.count > DIFFERENCES_TOLD ? "; and more" : "");
}
