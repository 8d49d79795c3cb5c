#include "mark.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"

enum { LONGER = OLICA_FILE_PATH + 256 };

static const char *path_in(const char *directory, const char *name, char path[LONGER]) {
  snprintf(path, LONGER, "%s/%s", directory, name);
  return path;
}

olica_status olica_export_mark_put(olica_env *env, const char *directory) {
  char path[LONGER];
  int fd =
      open(path_in(directory, OLICA_EXPORT_MARK, path), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd < 0) return olica_error_set(env, OLICA_ERR_IO, "%s: cannot create it: %s", path, strerror(errno));
  close(fd);
  return OLICA_OK;
}

void olica_export_mark_remove(const char *directory) {
  char path[LONGER];
  unlink(path_in(directory, OLICA_EXPORT_MARK, path));
}

bool olica_export_mark_there(const char *directory) {
  char path[LONGER];
  struct stat info;
  return lstat(path_in(directory, OLICA_EXPORT_MARK, path), &info) == 0;
}

bool olica_export_mark_clear(const char *directory) {
  char path[LONGER];
  struct stat info;
  DIR *open = olica_export_mark_there(directory) ? opendir(directory) : NULL;
  for (const struct dirent *entry; open && (entry = readdir(open));)
    if (strcmp(entry->d_name, OLICA_EXPORT_MARK) != 0 &&
        lstat(path_in(directory, entry->d_name, path), &info) == 0 && S_ISREG(info.st_mode))
      unlink(path);
  if (open) closedir(open);
  if (open) olica_export_mark_remove(directory);
  return rmdir(directory) == 0 || errno == ENOENT;
}

olica_status olica_export_mark_sync(olica_env *env, const char *directory) {
  char path[LONGER];
  return olica_file_sync_name(env, path_in(directory, OLICA_EXPORT_MARK, path));
}
