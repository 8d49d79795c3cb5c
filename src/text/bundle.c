#include "text/bundle.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "io/file.h"
#include "io/hdf5.h"
#include "par/comm.h"

static const char *const files[OLICA_BUNDLE_PARTS] = {
    [OLICA_BUNDLE_JSON] = "tokenizer.json",          [OLICA_BUNDLE_MODEL] = "tokenizer.model",
    [OLICA_BUNDLE_CONFIG] = "tokenizer_config.json", [OLICA_BUNDLE_MAP] = "special_tokens_map.json",
    [OLICA_BUNDLE_ADDED] = "added_tokens.json",      [OLICA_BUNDLE_GENERATION] = "generation_config.json"};

enum { CONFIG_BYTES = 64 << 20 };

/* NULL: not stored in a checkpoint. */
static const char *const datasets[OLICA_BUNDLE_PARTS] = {[OLICA_BUNDLE_JSON] = "meta/tokenizer_json",
                                                         [OLICA_BUNDLE_MODEL] = "meta/tokenizer_model",
                                                         [OLICA_BUNDLE_CONFIG] = "meta/tokenizer_config_json",
                                                         [OLICA_BUNDLE_MAP] = "meta/special_tokens_map_json",
                                                         [OLICA_BUNDLE_ADDED] = "meta/added_tokens_json"};

/* Files of tokenizers that are not supported. */
static const char *const others[] = {
    "vocab.json",  "merges.txt",   "vocab.txt",   "*.tiktoken", "tiktoken.model",
    "tekken.json", "spiece.model", "*.bpe.model", "spm.model",  "tokenizer.model.v[0-9]*"};

const char *olica_bundle_file(olica_bundle_part part) {
  return files[part];
}

static olica_status join(olica_env *env, const char *a, const char *between, const char *b, char **text) {
  size_t room = strlen(a) + strlen(between) + strlen(b) + 1;
  OLICA_TRY(OLICA_NEW(env, *text, room));
  snprintf(*text, room, "%s%s%s", a, between, b);
  return OLICA_OK;
}

static olica_status create(olica_env *env, const char *place, bool is_checkpoint, olica_bundle **bundle) {
  OLICA_TRY(OLICA_NEW(env, *bundle, 1));
  (*bundle)->is_checkpoint = is_checkpoint;
  (*bundle)->place = olica_memory_string(env, place);
  return (*bundle)->place ? OLICA_OK : env->error.code;
}

/* Lists files of unsupported tokenizers, for a message; a file that cannot be examined counts as missing. */
static olica_status look_for_others(olica_env *env, olica_bundle *bundle) {
  char list[256] = "";
  DIR *directory = opendir(bundle->place);
  for (size_t i = 0; directory && i < sizeof others / sizeof *others; i++) {
    rewinddir(directory);
    for (const struct dirent *entry; (entry = readdir(directory));) {
      size_t used = strlen(list);
      if (fnmatch(others[i], entry->d_name, 0) != 0 || used + strlen(entry->d_name) + 3 > sizeof list)
        continue;
      snprintf(list + used, sizeof list - used, "%s%.200s", used ? ", " : "", entry->d_name);
    }
  }
  if (directory) closedir(directory);
  if (!*list) return OLICA_OK;
  bundle->other = olica_memory_string(env, list);
  return bundle->other ? OLICA_OK : env->error.code;
}

/* Keeps config.json's model_type. Others judge the file: one that cannot be read names none here. */
static olica_status keep_type(olica_env *env, olica_bundle *bundle, const char *text, size_t bytes) {
  json_t *root = json_loadb(text, bytes, 0, NULL);
  const char *type = json_string_value(json_object_get(root, "model_type"));
  if (type) bundle->model_type = olica_memory_string(env, type);
  bool full = type && !bundle->model_type;
  json_decref(root);
  return full ? env->error.code : OLICA_OK;
}

static olica_status load_type(olica_env *env, olica_bundle *bundle) {
  char *path, *text;
  struct stat there;
  size_t bytes;
  OLICA_TRY(join(env, bundle->place, "/", "config.json", &path));
  bool is_file = stat(path, &there) == 0 && S_ISREG(there.st_mode) && access(path, R_OK) == 0;
  olica_status status = OLICA_OK;
  if (is_file && there.st_size > 0 && there.st_size < CONFIG_BYTES) {
    status = olica_file_load(env, path, CONFIG_BYTES, &text, &bytes);
    if (status == OLICA_OK) status = keep_type(env, bundle, text, bytes);
    if (status == OLICA_OK) olica_memory_free(env, text);
  }
  olica_memory_free(env, path);
  return status;
}

/* Loads every file that exists, on rank 0. Refuses a pipe without waiting. */
static olica_status load_all(olica_env *env, olica_bundle *bundle) {
  for (int i = 0; i < OLICA_BUNDLE_PARTS; i++) {
    char *path;
    struct stat there;
    OLICA_TRY(join(env, bundle->place, "/", files[i], &path));
    if (lstat(path, &there) == 0) {
      OLICA_TRY(
          olica_file_load(env, path, OLICA_BUNDLE_BYTES, &bundle->part[i].data, &bundle->part[i].bytes));
      if (bundle->part[i].bytes == 0 && i != OLICA_BUNDLE_GENERATION)
        return olica_error_set(env, OLICA_ERR_INPUT, "%s: is empty, expected a tokenizer's file", path);
      if (bundle->part[i].bytes == 0) OLICA_FREE(env, bundle->part[i].data);
    }
    olica_memory_free(env, path);
  }
  return olica_bundle_holds(bundle) ? load_type(env, bundle) : look_for_others(env, bundle);
}

static olica_status extract_type(olica_env *env, olica_catalog *catalog, olica_bundle *bundle) {
  const olica_tensor *tensor = olica_catalog_find(catalog, "meta/config_json");
  char *text;
  if (!tensor || tensor->bytes < 1 || tensor->bytes > CONFIG_BYTES) return OLICA_OK;
  OLICA_TRY(OLICA_NEW(env, text, (size_t)tensor->bytes));
  olica_status status = olica_catalog_read(catalog, tensor, 0, tensor->bytes, text);
  if (status == OLICA_OK) status = keep_type(env, bundle, text, (size_t)tensor->bytes);
  olica_memory_free(env, text);
  return status;
}

static olica_status extract_all(olica_env *env, olica_catalog *catalog, olica_bundle *bundle) {
  for (int i = 0; i < OLICA_BUNDLE_PARTS; i++) {
    const olica_tensor *tensor = datasets[i] ? olica_catalog_find(catalog, datasets[i]) : NULL;
    if (!tensor) continue;
    if (strcmp(tensor->stored, olica_element_name(OLICA_ELEMENT_BYTES)) != 0 || tensor->bytes < 1 ||
        tensor->bytes > OLICA_BUNDLE_BYTES)
      return olica_error_set(env, OLICA_ERR_INPUT, "%s: %s is %lld bytes of %s, expected 1 to %d of uint8",
                             bundle->place, datasets[i], (long long)tensor->bytes, tensor->stored,
                             OLICA_BUNDLE_BYTES);
    bundle->part[i].bytes = (size_t)tensor->bytes;
    OLICA_TRY(OLICA_NEW(env, bundle->part[i].data, bundle->part[i].bytes + 1));
    OLICA_TRY(olica_catalog_read(catalog, tensor, 0, tensor->bytes, bundle->part[i].data));
  }
  return extract_type(env, catalog, bundle);
}

/* Broadcasts rank 0's string; NULL stays NULL. */
static olica_status share_string(olica_context *context, char **text) {
  size_t bytes = *text ? strlen(*text) + 1 : 0;
  olica_comm_bcast(context, context->comm, &bytes, sizeof bytes, 0);
  if (bytes == 0) return OLICA_OK;
  OLICA_AGREE(context, *text ? OLICA_OK : OLICA_NEW(context->env, *text, bytes));
  olica_comm_bcast(context, context->comm, *text, bytes, 0);
  return OLICA_OK;
}

/* Broadcasts rank 0's bytes. */
static olica_status share(olica_context *context, olica_bundle *bundle) {
  OLICA_TRY(share_string(context, &bundle->other));
  OLICA_TRY(share_string(context, &bundle->model_type));
  for (int i = 0; i < OLICA_BUNDLE_PARTS; i++) {
    size_t *bytes = &bundle->part[i].bytes;
    char **data = &bundle->part[i].data;
    olica_comm_bcast(context, context->comm, bytes, sizeof *bytes, 0);
    if (*bytes == 0) continue;
    OLICA_AGREE(context, *data ? OLICA_OK : OLICA_NEW(context->env, *data, *bytes + 1));
    olica_comm_bcast(context, context->comm, *data, *bytes, 0);
  }
  return OLICA_OK;
}

olica_status olica_bundle_load(olica_context *context, const char *directory, olica_bundle **out) {
  olica_bundle *bundle = NULL;
  olica_status status = create(context->env, directory, false, &bundle);
  if (status == OLICA_OK && context->rank == 0) status = load_all(context->env, bundle);
  OLICA_AGREE(context, status);
  OLICA_TRY(share(context, bundle));
  *out = bundle;
  return OLICA_OK;
}

olica_status olica_bundle_extract(olica_context *context, olica_catalog *catalog, olica_bundle **out) {
  olica_bundle *bundle = NULL;
  olica_status status = create(context->env, catalog->path[0], true, &bundle);
  if (status == OLICA_OK && context->rank == 0) status = extract_all(context->env, catalog, bundle);
  OLICA_AGREE(context, status);
  OLICA_TRY(share(context, bundle));
  *out = bundle;
  return OLICA_OK;
}

void olica_bundle_free(olica_env *env, olica_bundle *bundle) {
  if (!bundle) return;
  for (int i = 0; i < OLICA_BUNDLE_PARTS; i++) olica_memory_free(env, bundle->part[i].data);
  olica_memory_free(env, bundle->other);
  olica_memory_free(env, bundle->model_type);
  olica_memory_free(env, bundle->place);
  olica_memory_free(env, bundle);
}

bool olica_bundle_holds(const olica_bundle *bundle) {
  return bundle->part[OLICA_BUNDLE_JSON].data || bundle->part[OLICA_BUNDLE_MODEL].data;
}

olica_status olica_bundle_name(olica_env *env, const olica_bundle *bundle, olica_bundle_part part,
                               char **name) {
  return join(env, bundle->place, bundle->is_checkpoint ? ": " : "/",
              bundle->is_checkpoint && datasets[part] ? datasets[part] : files[part], name);
}
