#include "replace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"
#include "io/json.h"
#include "mark.h"

enum { LIST_BYTES = 16 << 20, NAME_BYTES = 256, LONGER = OLICA_FILE_PATH + NAME_BYTES };

/* ---- what may be replaced ---- */

static olica_status refuse(olica_env *env, const char *where, const char *path, const char *what) {
  return olica_error_set(env, OLICA_ERR_CONFIG,
                         "%s: %s %.300s; [output] overwrite = yes replaces a directory that an export has "
                         "written, with nothing else in it: move it away, or choose another name",
                         where, path, what);
}

/* Loads the list of an export; NULL: the directory has none of ours. */
static json_t *load_list(olica_env *env, const char *path) {
  char file[LONGER];
  json_t *list = NULL;
  snprintf(file, sizeof file, "%s/%s", path, OLICA_EXPORT_LIST);
  if (olica_json_load(env, file, LIST_BYTES, &list) != OLICA_OK) {
    olica_error_clear(env);
    return NULL;
  }
  const char *program = json_string_value(json_object_get(list, "program"));
  if (program && strcmp(program, "olica_mpi") == 0 && json_is_object(json_object_get(list, "files")))
    return list;
  json_decref(list);
  return NULL;
}

static bool belongs(const char *path, const char *name, const json_t *files) {
  char file[LONGER];
  struct stat info;
  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return true;
  snprintf(file, sizeof file, "%s/%s", path, name);
  bool known = strcmp(name, OLICA_EXPORT_LIST) == 0 || strcmp(name, OLICA_EXPORT_MARK) == 0 ||
               json_object_get(files, name);
  return known && lstat(file, &info) == 0 && S_ISREG(info.st_mode);
}

olica_status olica_export_replaceable(olica_env *env, const char *where, const char *path) {
  struct stat info;
  char what[NAME_BYTES + 64];
  olica_status status = OLICA_OK;
  if (lstat(path, &info) != 0 || !S_ISDIR(info.st_mode))
    return refuse(env, where, path, "exists, and is no directory");
  json_t *list = load_list(env, path);
  if (!list) return refuse(env, where, path, "exists, and has no " OLICA_EXPORT_LIST " of this program");
  DIR *open = opendir(path);
  if (!open) status = refuse(env, where, path, "exists, and cannot be read");
  for (const struct dirent *entry; open && status == OLICA_OK && (entry = readdir(open));) {
    if (belongs(path, entry->d_name, json_object_get(list, "files"))) continue;
    snprintf(what, sizeof what, "exists, and %s in it is not of its export", entry->d_name);
    status = refuse(env, where, path, what);
  }
  if (open) closedir(open);
  json_decref(list);
  return status;
}

/* ---- the exchange ---- */

static olica_status refused(olica_export *e, const char *from, const char *to, int error) {
  return olica_error_set(e->env, OLICA_ERR_IO, "%s: cannot rename %s to it: %s", to, from, strerror(error));
}

static void aside_name(const olica_export *e, char aside[LONGER]) {
  snprintf(aside, LONGER, "%s.replaced", e->path);
}

/* Where the file system cannot exchange two names: by way of a third. */
static olica_status move_aside(olica_export *e) {
  char aside[LONGER];
  aside_name(e, aside);
  if (rename(e->path, aside) != 0) return refused(e, e->path, aside, errno);
  if (rename(e->part, e->path) == 0) return OLICA_OK;
  int error = errno;
  if (rename(aside, e->path) != 0)
    olica_log_warn(e->env, "%s is now %s: it could not be given its name back: %s", e->path, aside,
                   strerror(errno));
  return refused(e, e->part, e->path, error);
}

olica_status olica_export_replace(olica_export *e) {
  char aside[LONGER];
  OLICA_TRY(olica_export_replaceable(e->env, "export", e->path));
  OLICA_TRY(olica_export_mark_sync(e->env, e->part));
  OLICA_TRY(olica_export_mark_put(e->env, e->path));
  olica_status status = OLICA_OK;
  aside_name(e, aside);
  if (renameat2(AT_FDCWD, e->part, AT_FDCWD, e->path, RENAME_EXCHANGE) == 0)
    snprintf(aside, sizeof aside, "%s", e->part);
  else
    status = errno == EINVAL || errno == ENOSYS || errno == ENOTSUP ? move_aside(e)
                                                                    : refused(e, e->part, e->path, errno);
  if (status != OLICA_OK) {
    olica_export_mark_remove(e->path);
    return status;
  }
  OLICA_TRY(olica_file_sync_name(e->env, e->path));
  if (!olica_export_mark_clear(aside))
    olica_log_warn(e->env, "%s is what %s was, and could not be removed", aside, e->path);
  return OLICA_OK;
}

olica_status olica_export_recover(olica_export *e) {
  char aside[LONGER];
  struct stat info;
  aside_name(e, aside);
  if (!e->kind->directory || !olica_export_mark_there(aside)) return OLICA_OK;
  if (lstat(e->path, &info) == 0) {
    olica_export_mark_clear(aside);
    return OLICA_OK;
  }
  if (rename(aside, e->path) != 0) return refused(e, aside, e->path, errno);
  olica_export_mark_remove(e->path);
  olica_log_line(e->env, "%s has its name back: an export that was to replace it was interrupted", e->path);
  return OLICA_OK;
}
