#include "eval/text_files.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"

enum { PATH = 4096, SHOWN = 80 };

/* Counts the characters of the name that begins there; 0: no NAME:FILE. */
static size_t name_length(const char *entry, const char *end) {
  size_t n = 0;
  while (entry + n < end && (isalnum((unsigned char)entry[n]) || entry[n] == '-' || entry[n] == '_')) n++;
  return n > 0 && entry + n + 1 < end && entry[n] == ':' ? n : 0;
}

static void trim(const char **from, const char **until) {
  while (*from < *until && (**from == ' ' || **from == '\t')) ++*from;
  while (*until > *from && ((*until)[-1] == ' ' || (*until)[-1] == '\t')) --*until;
}

bool olica_text_files_is_list(const char *value) {
  const char *end = value + strcspn(value, ",");
  trim(&value, &end);
  if (value < end && (*value == '"' || *value == '\'')) value++;
  return name_length(value, end) > 0;
}

bool olica_text_files_is_file(olica_env *env, const char *base, const char *value) {
  char *path;
  if (!olica_text_files_is_list(value) || olica_file_resolve(env, base, value, &path) != OLICA_OK)
    return false;
  bool found = access(path, F_OK) == 0;
  olica_memory_free(env, path);
  return found;
}

static olica_status refuse(olica_env *env, const char *where, const char *from, const char *until,
                           const char *expected) {
  int shown = until - from < SHOWN ? (int)(until - from) : SHOWN;
  return olica_error_set(env, OLICA_ERR_CONFIG, "%s: [evaluate] text: \"%.*s\", expected %s", where, shown,
                         from, expected);
}

static olica_status add(olica_env *env, const char *where, const char *base, const char *from,
                        const char *until, olica_text_files *files) {
  char path[PATH];
  trim(&from, &until);
  size_t length = name_length(from, until);
  const char *file = from + length + 1, *end = until;
  if (length == 0) return refuse(env, where, from, until, "NAME:FILE in a list of texts");
  trim(&file, &end);
  if (length > OLICA_TEXT_NAME) return refuse(env, where, from, until, "a name of at most 24 characters");
  if (end - file >= PATH) return refuse(env, where, from, until, "a shorter path");
  if (files->count == OLICA_TEXTS_MAX) return refuse(env, where, from, until, "at most 32 texts");
  olica_text_file *text = &files->file[files->count];
  snprintf(text->name, sizeof text->name, "%.*s", (int)length, from);
  snprintf(path, sizeof path, "%.*s", (int)(end - file), file);
  for (int i = 0; i < files->count; i++)
    if (strcmp(files->file[i].name, text->name) == 0)
      return refuse(env, where, from, until, "a name that no other text has");
  OLICA_TRY(olica_file_resolve(env, base, path, &text->path));
  files->count++;
  return OLICA_OK;
}

olica_status olica_text_files_parse(olica_env *env, const char *where, const char *base, const char *value,
                                    olica_text_files *files) {
  *files = (olica_text_files){0};
  if (!*value) return OLICA_OK;
  if (!olica_text_files_is_list(value)) return olica_text_files_alone(env, value, files);
  for (const char *at = value, *end; at; at = *end ? end + 1 : NULL) {
    end = at + strcspn(at, ",");
    OLICA_TRY(add(env, where, base, at, end, files));
  }
  return OLICA_OK;
}

olica_status olica_text_files_alone(olica_env *env, const char *path, olica_text_files *files) {
  olica_text_files_free(env, files);
  *files = (olica_text_files){.count = 1};
  files->file[0].path = olica_memory_string(env, path);
  return files->file[0].path ? OLICA_OK : env->error.code;
}

void olica_text_files_free(olica_env *env, olica_text_files *files) {
  for (int i = 0; i < files->count; i++) OLICA_FREE(env, files->file[i].path);
  files->count = 0;
}
