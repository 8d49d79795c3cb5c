/* The table of kinds, and lists of them. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export/kinds.h"
#include "io/file.h"
#include "kind.h"
#include "replace.h"

/* Another form is one more file and one more row. */
static const olica_export_kind *const kinds[] = {&olica_export_hf, &olica_export_compact, &olica_export_gguf};

enum { KINDS = sizeof kinds / sizeof *kinds, SHOWN = 120 };

const olica_export_kind *olica_export_kind_at(int i) {
  return i >= 0 && i < KINDS ? kinds[i] : NULL;
}

const char *olica_export_type_name(olica_export_type type) {
  static const char *const names[OLICA_EXPORT_TYPES] = {"fp32", "fp16", "bf16", "q8_0"};
  return names[type];
}

static olica_status refuse_kind(olica_env *env, const char *where, const char *text, size_t length) {
  char known[512] = "";
  for (int i = 0; i < KINDS; i++) {
    size_t used = strlen(known);
    snprintf(known + used, sizeof known - used, "%s%s (%s)", i ? ", " : "", kinds[i]->name, kinds[i]->about);
  }
  return olica_error_set(env, OLICA_ERR_CONFIG, "%s: \"%.*s\", expected KIND:PATH with a KIND of %s", where,
                         (int)(length < SHOWN ? length : SHOWN), text, known);
}

/* Takes one entry, without blanks around it. */
static olica_status take(olica_env *env, const char *where, const char *text, size_t length,
                         olica_export_list *list) {
  const char *colon = memchr(text, ':', length);
  int kind = 0;
  if (!colon) return refuse_kind(env, where, text, length);
  size_t word = (size_t)(colon - text);
  while (kind < KINDS && (strlen(kinds[kind]->name) != word || strncmp(kinds[kind]->name, text, word) != 0))
    kind++;
  if (kind == KINDS) return refuse_kind(env, where, text, length);
  const char *from = colon + 1;
  length -= word + 1;
  while (length > 0 && isblank((unsigned char)*from)) from++, length--;
  while (kinds[kind]->directory && length > 1 && from[length - 1] == '/') length--;
  if (length == 0 || length + sizeof ".part/" + 64 > OLICA_FILE_PATH)
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "%s: %s has a path of %zu bytes, expected a %s's name of 1 to %zu", where,
                           kinds[kind]->name, length, kinds[kind]->directory ? "directory" : "file",
                           OLICA_FILE_PATH - sizeof ".part/" - 64);
  char *path;
  OLICA_TRY(OLICA_NEW(env, path, length + 1));
  memcpy(path, from, length);
  for (int i = 0; i < list->count; i++)
    if (strcmp(list->target[i].path, path) == 0)
      return olica_error_set(env, OLICA_ERR_CONFIG,
                             "%s: %.*s stands there twice, expected names of their own", where, SHOWN, path);
  if (list->count == OLICA_EXPORTS_MAX)
    return olica_error_set(env, OLICA_ERR_CONFIG, "%s: more than %d outputs", where, OLICA_EXPORTS_MAX);
  list->target[list->count++] = (olica_export_target){kind, path};
  return OLICA_OK;
}

olica_status olica_export_parse(olica_env *env, const char *where, const char *text,
                                olica_export_list *list) {
  *list = (olica_export_list){0};
  for (const char *at = text; *at;) {
    size_t length = strcspn(at, ","), used = length;
    const char *from = at;
    while (used > 0 && isblank((unsigned char)*from)) from++, used--;
    while (used > 0 && isblank((unsigned char)from[used - 1])) used--;
    OLICA_TRY(take(env, where, from, used, list));
    at += length;
    if (*at && !*++at) return refuse_kind(env, where, "", 0);
  }
  return OLICA_OK;
}

/* A directory is made beside its final name. */
static olica_status probe_directory(olica_env *env, const char *where, const char *path, bool overwrite) {
  char above[OLICA_FILE_PATH];
  struct stat info;
  bool exists = lstat(path, &info) == 0;
  if (exists && overwrite) OLICA_TRY(olica_export_replaceable(env, where, path));
  if (exists && !overwrite)
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "%s: %s exists, expected the name of a new directory; remove it, or choose "
                           "another; [output] overwrite = yes would replace an earlier export",
                           where, path);
  const char *slash = strrchr(path, '/');
  snprintf(above, sizeof above, "%.*s", slash ? (int)(slash - path) + 1 : 2, slash ? path : "./");
  if (stat(above, &info) != 0)
    return olica_error_set(env, OLICA_ERR_IO, "%s: no directory %s to make %s in: %s", where, above, path,
                           strerror(errno));
  if (S_ISDIR(info.st_mode) && access(above, W_OK | X_OK) == 0) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_IO, "%s: cannot make %s: %s", where, path,
                         S_ISDIR(info.st_mode) ? strerror(errno) : strerror(ENOTDIR));
}

static olica_status probe_file(olica_env *env, const char *where, const char *path, bool overwrite) {
  if (!overwrite && access(path, F_OK) == 0)
    return olica_error_set(env, OLICA_ERR_CONFIG, "%s: %s exists; [output] overwrite = yes would replace it",
                           where, path);
  return olica_file_probe(env, path, false);
}

olica_status olica_export_probe(olica_env *env, const char *where, const olica_export_list *list,
                                bool overwrite) {
  for (int i = 0; i < list->count; i++) {
    const char *path = list->target[i].path;
    OLICA_TRY(kinds[list->target[i].kind]->directory ? probe_directory(env, where, path, overwrite)
                                                     : probe_file(env, where, path, overwrite));
  }
  return OLICA_OK;
}
