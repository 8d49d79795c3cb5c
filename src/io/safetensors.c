#include "io/safetensors.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "io/file.h"
#include "io/json.h"
#include "io/shard.h"

enum { INDEX_BYTES_MAX = 100000000 };

/* ---- a directory of shards ---- */

/* State of reading shards through their index. */
typedef struct shards {
  olica_catalog *catalog;
  olica_env *env;
  const char *directory, *index; /* paths */
  json_t *map;                   /* weight_map: tensor to shard; tensors found are removed from it */
  int first_file;
  int strangers;                    /* number of tensors that the index does not name, */
  char stranger[OLICA_TENSOR_NAME]; /* and the first of them */
} shards;

/* Returns true if the directory holds a file of that name; if unknown, opening it will report the reason. */
static bool exists(const char *directory, const char *name, char *path) {
  struct stat info;
  if (snprintf(path, OLICA_CATALOG_PATH, "%s/%s", directory, name) >= OLICA_CATALOG_PATH) return false;
  return lstat(path, &info) == 0 || (errno != ENOENT && errno != ENAMETOOLONG);
}

/* A shard must lie beside its index: no path to another directory is accepted. */
static bool is_plain(const char *name) {
  for (const char *c = name; *c; c++)
    if (*c == '/' || iscntrl((unsigned char)*c)) return false;
  return *name && strlen(name) <= NAME_MAX && !strstr(name, "..");
}

/* Adds the shard named in one line of the index to the catalog, unless it is there. */
static olica_status add_shard(const shards *s, const char *tensor, const json_t *value) {
  char found[OLICA_JSON_TEXT], path[OLICA_CATALOG_PATH];
  const char *name = json_string_value(value);
  if (!name || !is_plain(name)) {
    olica_json_describe(value, found);
    return olica_error_set(
        s->env, OLICA_ERR_INPUT,
        "%s: weight_map: the shard of tensor %s is %s, expected the name of a file beside it", s->index,
        tensor, found);
  }
  if (!exists(s->directory, name, path))
    return olica_error_set(s->env, OLICA_ERR_INPUT,
                           "%s: weight_map: tensor %s is in shard %s, which is missing", s->index, tensor,
                           name);
  for (int i = s->catalog->files - 1; i >= s->first_file; i--)
    if (strcmp(s->catalog->path[i], path) == 0) return OLICA_OK;
  int file;
  return olica_catalog_add_file(s->catalog, path, &file);
}

/* Reads a shard and removes its tensors from the index. */
static olica_status read_shard(shards *s, int file) {
  int first = s->catalog->count;
  OLICA_TRY(olica_shard_read(s->catalog, file));
  const char *path = s->catalog->path[file], *name = strrchr(path, '/') + 1;
  for (int i = first; i < s->catalog->count; i++) {
    const char *tensor = s->catalog->tensor[i].name;
    const char *expected = json_string_value(json_object_get(s->map, tensor));
    if (!expected) { /* harmless, unless it is in two shards: olica_catalog_share detects that */
      if (s->strangers++ == 0) memcpy(s->stranger, tensor, sizeof s->stranger);
      continue;
    }
    if (strcmp(expected, name) != 0)
      return olica_error_set(s->env, OLICA_ERR_INPUT,
                             "%s: holds tensor %s, which weight_map of %s expects in %s", path, tensor,
                             s->index, expected);
    json_object_del(s->map, tensor);
  }
  return OLICA_OK;
}

/* Shortens names that are too long for our tensors, as in the catalog. */
static olica_status shorten_names(shards *s) {
  json_t *map = json_object(), *value;
  const char *tensor;
  json_object_foreach(s->map, tensor, value) {
    char text[OLICA_TENSOR_NAME];
    olica_status status = olica_shard_check_name(s->env, s->index, tensor);
    if (status != OLICA_OK) return json_decref(map), status;
    olica_shard_shorten(tensor, text);
    json_object_set(map, text, value);
  }
  s->map = map;
  return OLICA_OK;
}

static olica_status read_shards(shards *s) {
  const char *tensor;
  json_t *value;
  json_object_foreach(s->map, tensor, value) OLICA_TRY(add_shard(s, tensor, value));
  for (int file = s->first_file; file < s->catalog->files; file++) OLICA_TRY(read_shard(s, file));
  void *left = json_object_iter(s->map);
  if (!left) return OLICA_OK;
  return olica_error_set(s->env, OLICA_ERR_INPUT,
                         "%s: weight_map expects tensor %s in shard %s, which does not hold it", s->index,
                         json_object_iter_key(left), json_string_value(json_object_iter_value(left)));
}

/* Warns where the index disagrees with its shards although every tensor was found. */
static void compare_index(const shards *s, const json_t *root) {
  const json_t *total = json_object_get(json_object_get(root, "metadata"), "total_size");
  int64_t bytes = 0;
  for (int i = 0; i < s->catalog->count; i++)
    if (s->catalog->tensor[i].file >= s->first_file) bytes += s->catalog->tensor[i].bytes;
  if (s->strangers > 0)
    olica_log_warn(s->env, "%s: does not name %d tensors that its shards hold, %.100s the first: they count",
                   s->index, s->strangers, s->stranger);
  if (json_is_number(total) && json_number_value(total) != (double)bytes)
    olica_log_warn(s->env, "%s: total_size is %.0f, its shards' tensors have %lld bytes", s->index,
                   json_number_value(total), (long long)bytes);
}

static olica_status read_index(olica_catalog *catalog, const char *directory, const char *index) {
  olica_env *env = catalog->context->env;
  char *text;
  size_t bytes;
  json_t *root;
  OLICA_TRY(olica_file_load(env, index, INDEX_BYTES_MAX, &text, &bytes));
  OLICA_TRY(olica_json_parse(env, index, text, bytes, &root));
  olica_memory_free(env, text);
  shards s = {catalog, env, directory, index, json_object_get(root, "weight_map"), catalog->files, 0, ""};
  char found[OLICA_JSON_TEXT];
  olica_json_describe(s.map, found);
  olica_status status =
      json_object_size(s.map) > 0
          ? shorten_names(&s)
          : olica_error_set(env, OLICA_ERR_INPUT,
                            "%s: weight_map is %s, expected an object that names each tensor's shard", index,
                            json_is_object(s.map) ? "empty" : found);
  if (status == OLICA_OK) {
    status = read_shards(&s);
    json_decref(s.map);
  }
  if (status == OLICA_OK) compare_index(&s, root);
  json_decref(root);
  return status;
}

/* ---- the directory ---- */

static olica_status check_directory(olica_env *env, const char *directory) {
  const size_t longest = OLICA_CATALOG_PATH - sizeof "/pytorch_model.bin.index.json";
  struct stat info;
  if (strlen(directory) > longest)
    return olica_error_set(env, OLICA_ERR_INPUT, "%.40s...: a path of %zu bytes, expected at most %zu",
                           directory, strlen(directory), longest);
  if (stat(directory, &info) != 0)
    return olica_error_set(env, errno == ENOENT || errno == ENOTDIR ? OLICA_ERR_INPUT : OLICA_ERR_IO,
                           "%s: %s, expected a model directory", directory, strerror(errno));
  if (S_ISDIR(info.st_mode)) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_INPUT,
                         "%s: is no directory, expected one with model.safetensors in it", directory);
}

static bool is_read(const olica_catalog *catalog, const char *name) {
  for (int i = 0; i < catalog->files; i++)
    if (strcmp(strrchr(catalog->path[i], '/') + 1, name) == 0) return true;
  return false;
}

/* Warns of other weights in the directory, which may be newer ones, or an adapter. */
static void warn_of_others(const olica_catalog *catalog, const char *directory) {
  DIR *folder = opendir(directory);
  const struct dirent *entry;
  char first[NAME_MAX + 1] = "";
  int others = 0;
  while (folder && (entry = readdir(folder))) {
    const char *end = strrchr(entry->d_name, '.');
    if (!end || strcmp(end, ".safetensors") != 0 || is_read(catalog, entry->d_name)) continue;
    if (others++ == 0 || strcmp(entry->d_name, first) < 0) snprintf(first, sizeof first, "%s", entry->d_name);
  }
  if (folder) closedir(folder);
  if (others > 0)
    olica_log_warn(catalog->context->env, "%s: %.80s%s beside the weights: not read", directory, first,
                   others > 1 ? " and other .safetensors" : "");
}

static olica_status open_single(olica_catalog *catalog, const char *directory, const char *path) {
  char index[OLICA_CATALOG_PATH];
  int file = 0;
  OLICA_TRY(olica_catalog_add_file(catalog, path, &file));
  if (exists(directory, "model.safetensors.index.json", index))
    olica_log_warn(catalog->context->env,
                   "%s: lies beside an index, model.safetensors.index.json: the single file is read, as "
                   "transformers does, not the index's shards; remove the one that is out of date",
                   path);
  return olica_shard_read(catalog, file);
}

static olica_status open_directory(olica_catalog *catalog, const char *directory) {
  olica_env *env = catalog->context->env;
  char path[OLICA_CATALOG_PATH];
  if (exists(directory, "model.safetensors", path)) return open_single(catalog, directory, path);
  if (exists(directory, "model.safetensors.index.json", path)) return read_index(catalog, directory, path);
  bool torch =
      exists(directory, "pytorch_model.bin", path) || exists(directory, "pytorch_model.bin.index.json", path);
  return olica_error_set(env, OLICA_ERR_INPUT,
                         "%s: holds %s, expected model.safetensors or model.safetensors.index.json%s",
                         directory, torch ? "pytorch_model.bin only" : "neither",
                         torch ? " (save_pretrained(..., safe_serialization=True) makes it)" : "");
}

olica_status olica_safetensors_open(olica_catalog *catalog, const char *directory) {
  OLICA_TRY(check_directory(catalog->context->env, directory));
  OLICA_TRY(open_directory(catalog, directory));
  warn_of_others(catalog, directory);
  return OLICA_OK;
}
