#include "eval/task_files.h"

#include <stdio.h>
#include <string.h>

#include "io/file.h"

enum { NAME = 64, PATH = 4096, KNOWN = 512 };

static olica_status refuse_unknown(olica_env *env, const char *where, const char *name) {
  char known[KNOWN] = "";
  const olica_task *task;
  for (int i = 0; (task = olica_task_at(i)); i++)
    snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "", task->name);
  return olica_error_set(env, OLICA_ERR_CONFIG, "%s: [evaluate] tasks has \"%s\", expected some of %s", where,
                         name, known);
}

/* Copies the text [from, until) without the white space around it, cut to `size` bytes. */
static void copy_trimmed(const char *from, const char *until, char *to, size_t size) {
  while (from < until && (*from == ' ' || *from == '\t')) from++;
  while (until > from && (until[-1] == ' ' || until[-1] == '\t')) until--;
  snprintf(to, size, "%.*s", (int)(until - from), from);
}

static olica_status add(olica_env *env, const char *where, const char *base, const char *name,
                        const char *path, olica_task_files *files) {
  const olica_task *task = olica_task_find(name);
  if (!task) return refuse_unknown(env, where, name);
  if (!*path)
    return olica_error_set(env, OLICA_ERR_CONFIG, "%s: [evaluate] tasks: %s has no file, expected %s:FILE",
                           where, name, name);
  for (int i = 0; i < files->count; i++)
    if (files->file[i].task == task)
      return olica_error_set(env, OLICA_ERR_CONFIG, "%s: [evaluate] tasks has %s twice, expected it once",
                             where, name);
  olica_task_file *file = &files->file[files->count++]; /* no task comes twice: all fit */
  file->task = task;
  return olica_file_resolve(env, base, path, &file->path);
}

olica_status olica_task_files_parse(olica_env *env, const char *where, const char *base, const char *list,
                                    olica_task_files *files) {
  *files = (olica_task_files){0};
  for (const char *at = *list ? list : NULL, *end; at; at = *end ? end + 1 : NULL) {
    char name[NAME], path[PATH];
    end = at + strcspn(at, ",");
    const char *colon = memchr(at, ':', (size_t)(end - at));
    copy_trimmed(at, colon ? colon : end, name, sizeof name);
    copy_trimmed(colon ? colon + 1 : end, end, path, sizeof path);
    OLICA_TRY(add(env, where, base, name, path, files));
  }
  return OLICA_OK;
}

void olica_task_files_free(olica_env *env, olica_task_files *files) {
  for (int i = 0; i < files->count; i++) OLICA_FREE(env, files->file[i].path);
  files->count = 0;
}
