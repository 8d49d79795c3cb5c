#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Linux moves at most 2 GiB in one call. */
enum { CALL_BYTES = 1 << 30 };

static size_t slab(size_t left) {
  return left < CALL_BYTES ? left : CALL_BYTES;
}

static olica_status refused(olica_env *env, const char *path, const char *verb, int error) {
  return olica_error_set(env, OLICA_ERR_IO, "%s: cannot %s: %s", path, verb, strerror(error));
}

/* A missing file is an input error; a file that may not be read is an I/O error. */
static olica_status unopened(olica_env *env, const char *path, int error) {
  refused(env, path, "open", error);
  if (error == ENOENT || error == ENOTDIR || error == ELOOP || error == ENAMETOOLONG || error == ENXIO)
    env->error.code = OLICA_ERR_INPUT;
  return env->error.code;
}

static const char *kind(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

olica_status olica_file_open(olica_env *env, const char *path, int *fd, int64_t *bytes) {
  *fd = -1;
  *bytes = 0;
  /* O_NONBLOCK: do not wait for the writer of a pipe; no effect on regular files. */
  int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (opened < 0) return unopened(env, path, errno);
  struct stat info;
  olica_status status = OLICA_OK;
  if (fstat(opened, &info) != 0)
    status = refused(env, path, "stat", errno);
  else if (!S_ISREG(info.st_mode))
    status =
        olica_error_set(env, OLICA_ERR_INPUT, "%s: is %s, expected a regular file", path, kind(info.st_mode));
  if (status != OLICA_OK) {
    close(opened);
    return status;
  }
  *fd = opened;
  *bytes = info.st_size;
  return OLICA_OK;
}

olica_status olica_file_read(olica_env *env, int fd, const char *path, int64_t offset, void *data,
                             size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    ssize_t n = pread(fd, (char *)data + done, slab(bytes - done), (off_t)(offset + (int64_t)done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return refused(env, path, "read", errno);
    if (n == 0)
      return olica_error_set(env, OLICA_ERR_INPUT,
                             "%s: ends at byte %lld, expected %zu bytes from byte %lld on", path,
                             (long long)(offset + (int64_t)done), bytes, (long long)offset);
    done += (size_t)n;
  }
  env->bytes_read += (double)bytes;
  olica_timer_work(&env->timers, 0, (double)bytes);
  return OLICA_OK;
}

static olica_status load(olica_env *env, int fd, const char *path, size_t bytes, size_t limit, char **data) {
  if (bytes > limit)
    return olica_error_set(env, OLICA_ERR_INPUT, "%s: holds %zu bytes, expected at most %zu", path, bytes,
                           limit);
  char *text = olica_memory_get(env, path, bytes + 1, 1);
  if (!text) return env->error.code;
  *data = text;
  return olica_file_read(env, fd, path, 0, text, bytes);
}

olica_status olica_file_load(olica_env *env, const char *path, size_t limit, char **data, size_t *bytes) {
  int fd;
  int64_t size;
  OLICA_TRY(olica_file_open(env, path, &fd, &size));
  *bytes = (size_t)size;
  olica_status status = load(env, fd, path, *bytes, limit, data);
  close(fd);
  return status;
}

static olica_status write_all(olica_env *env, int fd, const char *path, const char *data, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    ssize_t n = write(fd, data + done, slab(bytes - done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return refused(env, path, "write", n < 0 ? errno : ENOSPC);
    done += (size_t)n;
  }
  return OLICA_OK;
}

/* Creates a new file: whatever has that name (an old attempt, a link, a pipe) is not written through. */
static olica_status write_new(olica_env *env, const char *path, const void *data, size_t bytes) {
  unlink(path);
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return refused(env, path, "create", errno);
  olica_status status = write_all(env, fd, path, data, bytes);
  if (close(fd) != 0 && status == OLICA_OK) status = refused(env, path, "close", errno);
  return status;
}

olica_status olica_file_edit(olica_env *env, const char *path, int *fd) {
  struct stat info;
  *fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
  if (*fd < 0) return refused(env, path, "create", errno);
  if (fstat(*fd, &info) == 0 && S_ISREG(info.st_mode)) return OLICA_OK;
  close(*fd);
  return olica_error_set(env, OLICA_ERR_IO, "%s: is no regular file and will not be written to", path);
}

olica_status olica_file_write(olica_env *env, int fd, const char *path, int64_t offset, const void *data,
                              size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    ssize_t n = pwrite(fd, (const char *)data + done, slab(bytes - done), (off_t)(offset + (int64_t)done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return refused(env, path, "write", n < 0 ? errno : ENOSPC);
    done += (size_t)n;
  }
  olica_timer_work(&env->timers, 0, (double)bytes);
  return OLICA_OK;
}

/* If the file system cannot reserve, a full disk fails at the write. */
olica_status olica_file_reserve(olica_env *env, int fd, const char *path, int64_t bytes) {
  if (ftruncate(fd, (off_t)bytes) != 0) return refused(env, path, "resize", errno);
  int error = EINTR;
  while (error == EINTR) error = fallocate(fd, 0, 0, (off_t)bytes) == 0 ? 0 : errno;
  return error && error != EOPNOTSUPP && error != ENOSYS ? refused(env, path, "reserve its blocks", error)
                                                         : OLICA_OK;
}

char *olica_file_part(olica_env *env, const char *path) {
  size_t length = strlen(path) + sizeof ".part";
  char *part = olica_memory_get(env, "file name", length, 1);
  if (part) snprintf(part, length, "%s.part", path);
  return part;
}

olica_status olica_file_save(olica_env *env, const char *path, const void *data, size_t bytes) {
  bool taken;
  char *part = olica_file_part(env, path);
  if (!part) return env->error.code;
  olica_status status = write_new(env, part, data, bytes);
  if (status == OLICA_OK) status = olica_file_publish(env, part, path, true, &taken);
  if (status != OLICA_OK) unlink(part);
  olica_memory_free(env, part);
  return status;
}

olica_status olica_file_sync(olica_env *env, int fd, const char *path) {
  return fsync(fd) == 0 ? OLICA_OK : refused(env, path, "sync", errno);
}

static olica_status sync_file(olica_env *env, const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return refused(env, path, "open", errno);
  olica_status status = olica_file_sync(env, fd, path);
  close(fd);
  return status;
}

/* Makes a rename durable. If the directory cannot be read or synced (drop boxes, some network file systems),
 * the rename has still happened, and nothing more can be done. */
olica_status olica_file_sync_name(olica_env *env, const char *file) {
  char *directory;
  OLICA_TRY(olica_file_resolve(env, file, ".", &directory));
  int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int error = fd < 0 || fsync(fd) == 0 ? 0 : errno;
  if (fd >= 0) close(fd);
  olica_memory_free(env, directory);
  return error && error != EINVAL && error != ENOTSUP ? refused(env, file, "sync the directory of", error)
                                                      : OLICA_OK;
}

/* Only a regular file may be replaced. */
static olica_status check_replaced(olica_env *env, const char *path) {
  struct stat info;
  if (stat(path, &info) != 0 || S_ISREG(info.st_mode)) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_IO,
                         "%s: is %s and will not be replaced, expected a regular file or none", path,
                         kind(info.st_mode));
}

/* Follows one link; *next is NULL if `path` is not a link. */
static olica_status follow_once(olica_env *env, const char *path, char **next) {
  enum { LONGEST = 4096 };
  char link[LONGEST];
  ssize_t bytes = readlink(path, link, sizeof link - 1);
  *next = NULL;
  if (bytes < 0) return OLICA_OK;
  link[bytes] = '\0';
  return olica_file_resolve(env, path, link, next);
}

olica_status olica_file_follow(olica_env *env, const char *path, char **target) {
  enum { MOST_HOPS = 40 }; /* Linux's own limit */
  if (!(*target = olica_memory_string(env, path))) return env->error.code;
  for (int hops = 0; hops <= MOST_HOPS; hops++) {
    char *next;
    OLICA_TRY(follow_once(env, *target, &next));
    if (!next) return OLICA_OK;
    olica_memory_free(env, *target);
    *target = next;
  }
  return refused(env, path, "follow this link", ELOOP);
}

/* Returns the length of the shortest prefix of a directory's path that does not exist. */
static int missing_part(const char *directory) {
  char part[OLICA_FILE_PATH];
  struct stat info;
  size_t length = strlen(directory);
  for (size_t end = 1; end < length && end < sizeof part; end++) {
    if (directory[end] != '/') continue;
    snprintf(part, sizeof part, "%.*s", (int)end, directory);
    if (stat(part, &info) != 0 || !S_ISDIR(info.st_mode)) return (int)end;
  }
  return (int)length;
}

olica_status olica_file_probe_directory(olica_env *env, const char *directory) {
  int length = missing_part(directory);
  char above[OLICA_FILE_PATH] = ".", part[OLICA_FILE_PATH];
  snprintf(part, sizeof part, "%.*s", length, directory);
  if (access(part, F_OK) == 0) return refused(env, directory, "make this directory", ENOTDIR);
  const char *slash = memrchr(directory, '/', (size_t)length);
  if (slash) snprintf(above, sizeof above, "%.*s/", (int)(slash - directory), directory);
  return access(above, W_OK | X_OK) == 0 ? OLICA_OK : refused(env, directory, "make this directory", errno);
}

/* Creates the file and removes it again; if another run has left one, only opens it. */
static olica_status try_part(olica_env *env, const char *part) {
  int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  bool made = fd >= 0;
  if (!made && errno == EEXIST) fd = open(part, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return refused(env, part, "create", errno);
  close(fd);
  if (made) unlink(part);
  return OLICA_OK;
}

/* `directory` ends in "/.". */
static olica_status missing_directory(olica_env *env, const char *path, const char *directory, int error) {
  int length = missing_part(directory), all = (int)strlen(directory) - 2;
  if (length >= all)
    return olica_error_set(env, OLICA_ERR_IO, "%s: no directory %s to write it into: %s", path, directory,
                           strerror(error));
  return olica_error_set(env, OLICA_ERR_IO, "%s: no directory %s to write it into: %.*s: %s", path, directory,
                         length, directory, strerror(error));
}

static olica_status probe(olica_env *env, const char *path, const char *part, const char *directory,
                          bool touch) {
  struct stat info;
  OLICA_TRY(check_replaced(env, path));
  if (stat(directory, &info) != 0) return missing_directory(env, path, directory, errno);
  OLICA_TRY(check_replaced(env, part));
  if (touch) return try_part(env, part);
  return access(directory, W_OK | X_OK) == 0 ? OLICA_OK : refused(env, path, "create", errno);
}

olica_status olica_file_probe(olica_env *env, const char *path, bool touch) {
  enum { MOST = OLICA_FILE_PATH - sizeof ".part" }; /* it is read back under that name */
  if (strlen(path) > MOST)
    return olica_error_set(env, OLICA_ERR_CONFIG, "%.200s...: the name has %zu bytes, expected at most %d",
                           path, strlen(path), (int)MOST);
  char *part = olica_file_part(env, path), *directory;
  if (!part) return env->error.code;
  OLICA_TRY(olica_file_resolve(env, path, ".", &directory));
  olica_status status = probe(env, path, part, directory, touch);
  olica_memory_free(env, directory);
  olica_memory_free(env, part);
  return status;
}

static int rename_to(const char *from, const char *to, bool replace) {
  if (replace) return rename(from, to);
  if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return -1;
  if (faccessat(AT_FDCWD, to, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
    return rename(from, to); /* the file system offers no rename without replacement */
  errno = EEXIST;
  return -1;
}

olica_status olica_file_publish(olica_env *env, const char *from, const char *to, bool replace, bool *taken) {
  olica_status status = check_replaced(env, to);
  *taken = status != OLICA_OK && !replace;
  OLICA_TRY(status);
  OLICA_TRY(sync_file(env, from));
  if (rename_to(from, to, replace) != 0) {
    *taken = errno == EEXIST && !replace;
    return olica_error_set(env, OLICA_ERR_IO, "%s: cannot rename %s to it: %s", to, from, strerror(errno));
  }
  return olica_file_sync_name(env, to);
}

olica_status olica_file_resolve(olica_env *env, const char *base, const char *name, char **path) {
  const char *slash = strrchr(base, '/');
  size_t directory = slash && name[0] != '/' ? (size_t)(slash - base) + 1 : 0;
  size_t length = directory + strlen(name) + 1;
  *path = olica_memory_get(env, "file name", length, 1);
  if (!*path) return env->error.code;
  snprintf(*path, length, "%.*s%s", (int)directory, base, name);
  return OLICA_OK;
}
