#include "part.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "io/file.h"
#include "mark.h"
#include "replace.h"
#include "write.h"

olica_status olica_export_part_begin(olica_export *e) {
  if (!e->kind->directory) return OLICA_OK;
  if (!olica_export_mark_clear(e->part))
    return olica_error_set(e->env, OLICA_ERR_IO,
                           "%s: exists, and is not what an interrupted export leaves; %s is written under "
                           "that name first: move it away, or choose another name",
                           e->part, e->path);
  if (mkdir(e->part, 0777) != 0)
    return olica_error_set(e->env, OLICA_ERR_IO, "%s: cannot make this directory: %s", e->part,
                           strerror(errno));
  return olica_export_mark_put(e->env, e->part);
}

/* The mark goes last: a directory without it always has its name. */
olica_status olica_export_part_publish(olica_export *e) {
  struct stat info;
  bool taken, replace = e->options->overwrite;
  if (!e->kind->directory) return olica_file_publish(e->env, e->part, e->path, replace, &taken);
  if (replace && lstat(e->path, &info) == 0)
    OLICA_TRY(olica_export_replace(e));
  else
    OLICA_TRY(olica_file_publish(e->env, e->part, e->path, false, &taken));
  olica_export_mark_remove(e->path);
  return OLICA_OK;
}

void olica_export_part_remove(olica_export *e) {
  if (e->kind->directory)
    olica_export_mark_clear(e->part);
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
