#include "olica/io/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static olica_status lock_name(olica_env *env, const char *path, char **name) {
  size_t bytes = strlen(path) + sizeof ".lock";
  OLICA_TRY(OLICA_NEW(env, *name, bytes));
  snprintf(*name, bytes, "%s.lock", path);
  return OLICA_OK;
}

/* Its holder removes the file before it lets go: what we have locked may have no name any more. */
static bool is_there(const char *name, int fd) {
  struct stat named, opened;
  return fstat(fd, &opened) == 0 && lstat(name, &named) == 0 && named.st_ino == opened.st_ino &&
         named.st_dev == opened.st_dev;
}

/* 0, or what the system says. *fd stays -1 where there are no locks. */
static int take(const char *name, int *fd) {
  for (;;) {
    int opened = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (opened < 0) return errno;
    int error = flock(opened, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
    if (error == 0 && is_there(name, opened)) return *fd = opened, 0;
    close(opened);
    if (error && error != EWOULDBLOCK) return unlink(name), 0;
    if (error) return error;
  }
}

olica_status olica_lock_take(olica_env *env, const char *path, int *fd) {
  char *name;
  *fd = -1;
  OLICA_TRY(lock_name(env, path, &name));
  int error = take(name, fd);
  if (error == EWOULDBLOCK)
    olica_error_set(env, OLICA_ERR_IO, "%s: another job is writing it (it holds %s), expected one at a time",
                    path, name);
  else if (error)
    olica_error_set(env, OLICA_ERR_IO, "%s: cannot create: %s", name, strerror(error));
  olica_memory_free(env, name);
  return error ? OLICA_ERR_IO : OLICA_OK;
}

void olica_lock_release(olica_env *env, const char *path, int fd) {
  char *name;
  if (fd < 0) return;
  if (lock_name(env, path, &name) == OLICA_OK) {
    unlink(name);
    olica_memory_free(env, name);
  }
  close(fd);
}
