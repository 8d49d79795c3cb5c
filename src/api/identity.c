#include "identity.h"

#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <zlib.h>

#include "config/fields.h"
#include "config/settings.h"

/* Removes the settings that change no figure. */
static json_t *without_idle(json_t *settings) {
  static const char *const keys[][2] = {
      {"compute", "threads"},   {"compute", "memory"}, {"compute", "keep_weights"}, {"output", "overwrite"},
      {"output", "checkpoint"}, {"output", "report"},  {"calibration", "save"},     {"evaluate", "dense"}};
  static const char *const sections[] = {"run", "restart", OLICA_SETTINGS_HINTS};
  for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) json_object_del(settings, sections[i]);
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    json_object_del(json_object_get(settings, keys[i][0]), keys[i][1]);
  return settings;
}

/* Input files: a sum over their sizes and times of change, and the newest time. */
typedef struct files {
  uLong sum;
  time_t newest;
} files;

static void add_file(files *all, const char *path) {
  struct stat info;
  if (!*path || stat(path, &info) != 0) return;
  const int64_t seen[] = {info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
  all->sum += crc32_z(0, (const Bytef *)seen, sizeof seen);
  if (info.st_mtim.tv_sec > all->newest) all->newest = info.st_mtim.tv_sec;
}

static bool is_of_a_model(const char *name) {
  const char *dot = strrchr(name, '.');
  if (dot && strcmp(dot, ".safetensors") == 0) return true;
  return strcmp(name, "config.json") == 0 || strncmp(name, "tokenizer", strlen("tokenizer")) == 0;
}

/* Adds the files of a model's directory, or its checkpoint. */
static void add_model(files *all, const char *path) {
  char name[PATH_MAX];
  DIR *directory = opendir(path);
  if (!directory) {
    add_file(all, path);
    return;
  }
  for (struct dirent *entry; (entry = readdir(directory));) {
    snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    if (is_of_a_model(entry->d_name)) add_file(all, name);
  }
  closedir(directory);
}

static files look(const olica_options *options) {
  files all = {0};
  add_model(&all, options->model.path);
  add_file(&all, options->calibration.tokens);
  add_file(&all, options->calibration.text);
  add_file(&all, options->evaluate.tokens);
  add_file(&all, options->evaluate.text);
  return all;
}

void olica_identity_text(const olica_options *options, char text[OLICA_IDENTITY_TEXT]) {
  json_t *settings = without_idle(olica_options_json(options));
  char *all = json_dumps(settings, JSON_SORT_KEYS | JSON_COMPACT);
  uLong crc = all ? crc32_z(0, (const Bytef *)all, strlen(all)) : 0;
  snprintf(text, OLICA_IDENTITY_TEXT, "%08lx-%08lx", crc & 0xffffffff, look(options).sum & 0xffffffff);
  if (!all) text[0] = '\0';
  free(all);
  json_decref(settings);
}

bool olica_identity_made(const olica_options *options, const json_t *report) {
  const char *status = json_string_value(json_object_get(report, "status"));
  const char *started = json_string_value(json_object_get(json_object_get(report, "run"), "started"));
  struct tm utc = {0};
  if (!status || strcmp(status, "ok") != 0 || !started || !strptime(started, "%Y-%m-%dT%H:%M:%SZ", &utc))
    return false;
  json_t *then = without_idle(json_deep_copy(json_object_get(report, "settings")));
  json_t *now = without_idle(olica_options_json(options));
  bool same = then && now && json_equal(then, now);
  json_decref(then);
  json_decref(now);
  return same && look(options).newest <= timegm(&utc);
}
