#include "io/lock.h"

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

/* Returns true if the locked file still has its name: its previous holder removes the file before releasing
 * the lock. */
static bool is_there(const char *name, int fd) {
  struct stat named, opened;
  return fstat(fd, &opened) == 0 && lstat(name, &named) == 0 && named.st_ino == opened.st_ino &&
         named.st_dev == opened.st_dev;
}

/* Returns true if the file may be a lock. The lock is removed in the end, so it must not be any other
 * file. */
static bool is_lock(const struct stat *info) {
  return S_ISREG(info->st_mode) && info->st_size == 0;
}

/* Returns 0; EWOULDBLOCK: another process holds it; EEXIST: it is not a lock; ENOLCK: locks are not
 * supported. */
static int lock_opened(int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0 || !is_lock(&info)) return EEXIST;
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return 0;
  if (errno == EBADF) return EACCES; /* some network file systems cannot lock a file opened for reading */
  return errno == EWOULDBLOCK ? EWOULDBLOCK : ENOLCK;
}

/* Returns 0 or errno; EEXIST: the file is not a lock. *fd stays -1 if locks are not supported. */
static int take(const char *name, int *fd) {
  const int flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  struct stat info;
  for (;;) {
    if (lstat(name, &info) == 0 && !is_lock(&info)) return EEXIST; /* do not even open a pipe, for example */
    int opened = open(name, O_RDWR | O_CREAT | flags, 0666);
    if (opened < 0 && errno == EACCES) opened = open(name, O_RDONLY | flags); /* another user's */
    if (opened < 0) return errno;
    int error = lock_opened(opened);
    bool there = is_there(name, opened);
    if (error == 0 && there) return *fd = opened, 0;
    if (error == ENOLCK && there) unlink(name);
    close(opened);
    if (error) return error == ENOLCK ? 0 : error;
  }
}

static olica_status refuse(olica_env *env, const char *name, int error) {
  if (error == EEXIST)
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "%s: is not a lock and is left as it is, expected an empty file or none", name);
  if (access(name, F_OK) == 0) /* another user's lock, of a running or killed job */
    return olica_error_set(env, OLICA_ERR_IO, "%s: cannot open: %s; it may be removed if no job runs", name,
                           strerror(error));
  return olica_error_set(env, OLICA_ERR_IO, "%s: cannot create: %s", name, strerror(error));
}

olica_status olica_lock_try(olica_env *env, const char *path, int *fd, bool *held) {
  char *name;
  *fd = -1;
  *held = false;
  OLICA_TRY(lock_name(env, path, &name));
  int error = take(name, fd);
  *held = error == EWOULDBLOCK;
  olica_status status = error && !*held ? refuse(env, name, error) : OLICA_OK;
  olica_memory_free(env, name);
  return status;
}

bool olica_lock_held(olica_env *env, const char *path) {
  char *name;
  if (lock_name(env, path, &name) != OLICA_OK) return olica_error_clear(env), false;
  int fd = open(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  bool held = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  if (fd >= 0) close(fd);
  olica_memory_free(env, name);
  return held;
}

olica_status olica_lock_take(olica_env *env, const char *path, int *fd) {
  bool held;
  OLICA_TRY(olica_lock_try(env, path, fd, &held));
  if (!held) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_IO,
                         "%s: another job is writing it (it holds %s.lock), expected one at a time", path,
                         path);
}

void olica_lock_release(olica_env *env, const char *path, int fd) {
  char *name;
  if (fd < 0) return;
  if (lock_name(env, path, &name) == OLICA_OK) {
    if (is_there(name, fd)) unlink(name); /* otherwise ours was removed, and this one is another job's */
    olica_memory_free(env, name);
  }
  close(fd);
}
