#include "part.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "io/file.h"
#include "write.h"

static olica_status refused(olica_export *e, const char *path, const char *verb) {
  return olica_error_set(e->env, OLICA_ERR_IO, "%s: cannot %s: %s", path, verb, strerror(errno));
}

/* Unlinks the regular files of a marked directory, the mark last, and removes it. *gone: it is removed, or
 * was not there. */
static void clear_directory(const char *directory, bool *gone) {
  char path[OLICA_FILE_PATH + 256];
  struct stat info;
  snprintf(path, sizeof path, "%s/%s", directory, OLICA_EXPORT_MARK);
  DIR *open = lstat(path, &info) == 0 ? opendir(directory) : NULL;
  for (const struct dirent *entry; open && (entry = readdir(open));) {
    snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
    if (strcmp(entry->d_name, OLICA_EXPORT_MARK) != 0 && lstat(path, &info) == 0 && S_ISREG(info.st_mode))
      unlink(path);
  }
  if (open) closedir(open);
  if (open) snprintf(path, sizeof path, "%s/%s", directory, OLICA_EXPORT_MARK), unlink(path);
  *gone = rmdir(directory) == 0 || errno == ENOENT;
}

static olica_status mark(olica_export *e) {
  char path[OLICA_FILE_PATH];
  int fd =
      open(olica_export_file_path(e, OLICA_EXPORT_MARK, path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return refused(e, path, "create");
  close(fd);
  return OLICA_OK;
}

olica_status olica_export_part_begin(olica_export *e) {
  bool gone;
  if (!e->kind->directory) return OLICA_OK;
  clear_directory(e->part, &gone);
  if (!gone)
    return olica_error_set(e->env, OLICA_ERR_IO,
                           "%s: exists, and is not what an interrupted export leaves; %s is written under "
                           "that name first: move it away, or choose another name",
                           e->part, e->path);
  if (mkdir(e->part, 0777) != 0) return refused(e, e->part, "make this directory");
  return mark(e);
}

olica_status olica_export_part_publish(olica_export *e) {
  char path[OLICA_FILE_PATH];
  bool taken;
  if (e->kind->directory && unlink(olica_export_file_path(e, OLICA_EXPORT_MARK, path)) != 0)
    return refused(e, path, "remove");
  olica_status status =
      olica_file_publish(e->env, e->part, e->path, !e->kind->directory && e->options->overwrite, &taken);
  if (status != OLICA_OK && e->kind->directory) mark(e); /* so that it can be removed */
  return status;
}

void olica_export_part_remove(olica_export *e) {
  bool gone;
  if (e->kind->directory)
    clear_directory(e->part, &gone);
  else
    unlink(e->part);
}

olica_status olica_export_save(olica_export *e, const char *name, const void *data, size_t bytes) {
  char path[OLICA_FILE_PATH];
  uint32_t crc = (uint32_t)crc32_z(0, data, bytes);
  OLICA_TRY(olica_file_save(e->env, olica_export_file_path(e, name, path), data, bytes));
  json_object_set_new(e->beside, name,
                      json_pack("{s:I, s:I}", "bytes", (json_int_t)bytes, "crc32", (json_int_t)crc));
  return OLICA_OK;
}

/* Writes 1e-05 as such, and not as 1.0000000000000001e-05, where 15 digits say the same number. */
static char *dump(const json_t *value, bool sorted) {
  size_t flags = JSON_INDENT(2) | (sorted ? JSON_SORT_KEYS : 0);
  char *text = json_dumps(value, flags | JSON_REAL_PRECISION(15));
  json_t *again = text ? json_loads(text, 0, NULL) : NULL;
  if (again && json_equal(again, value)) {
    json_decref(again);
    return text;
  }
  json_decref(again);
  free(text);
  return json_dumps(value, flags | JSON_REAL_PRECISION(17));
}

olica_status olica_export_save_json(olica_export *e, const char *name, const json_t *value, bool sorted) {
  char *text = value ? dump(value, sorted) : NULL, *line;
  if (!text) return olica_error_set(e->env, OLICA_ERR_MEMORY, "export: no memory for %s", name);
  size_t length = strlen(text);
  olica_status status = OLICA_NEW(e->env, line, length + 2);
  if (status == OLICA_OK) {
    snprintf(line, length + 2, "%s\n", text);
    status = olica_export_save(e, name, line, length + 1);
    olica_memory_free(e->env, line);
  }
  free(text);
  return status;
}
