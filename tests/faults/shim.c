/* LD_PRELOAD: makes chosen calls of the C library fail, fall short, wait, stop or kill. For tests.
 *
 *     OLICA_FAULT='rank=1 call=write path=pruned.h5 nth=3 do=ENOSPC'
 *
 * rank   of MPI_COMM_WORLD; without it: all
 * call   open read write sync rename truncate allocate unlink statvfs memory; the p, v, 64 and at forms are
 *        the same; memory: posix_memalign of 64-byte blocks, which is how the program allocates;
 *        change: any of write sync rename truncate allocate unlink
 * path   what the file's name has to contain, or to end with: `name$`; without it: any. (A rename is known by
 *        its new name.)
 * nth    which of the calls that match, from 1 on; `3+`: that one and all after; default 1
 * do     the name of an error (EIO ENOSPC EDQUOT EACCES ENOMEM EINTR EROFS), `short` (half of the bytes, at
 *        least one), `end` (a read finds no more), `flip` (a read brings one wrong bit), `wait:SECONDS`,
 *        `stop`, `kill`, `none` (statvfs: nothing is free), or `count` (does nothing; says at the end how
 *        many there were) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WORD = 128 };

typedef struct fault {
  bool armed, onward;
  char call[WORD], path[WORD], act[WORD];
  long nth;
} fault;

static fault its;
static atomic_long calls;

/* "path=pruned.h5" in the text: what is behind the '='. */
static bool find(const char *text, const char *key, char value[WORD]) {
  const char *at = strstr(text, key);
  value[0] = '\0';
  return at && sscanf(at + strlen(key), "%127s", value) == 1;
}

__attribute__((constructor)) static void read_fault(void) {
  const char *text = getenv("OLICA_FAULT"), *rank = getenv("OMPI_COMM_WORLD_RANK");
  char wanted[WORD], nth[WORD];
  if (!text || !find(text, "call=", its.call) || !find(text, "do=", its.act)) return;
  find(text, "path=", its.path);
  if (find(text, "rank=", wanted) && strcmp(wanted, rank ? rank : "0") != 0) return;
  its.nth = find(text, "nth=", nth) ? atol(nth) : 1;
  its.onward = strchr(nth, '+') != NULL;
  its.armed = true;
}

__attribute__((destructor)) static void tell_count(void) {
  if (its.armed && strcmp(its.act, "count") == 0) fprintf(stderr, "shim: %ld\n", atomic_load(&calls));
}

/* Is it a file of that name? */
static bool meant(const char *path) {
  size_t bytes = strlen(path), wanted = strlen(its.path);
  if (wanted == 0 || its.path[wanted - 1] != '$') return strstr(path, its.path) != NULL;
  return bytes >= wanted - 1 && strncmp(path + bytes - (wanted - 1), its.path, wanted - 1) == 0;
}

/* Is it a call of that kind? */
static bool is_of_kind(const char *call) {
  static const char changes[] = " write sync rename truncate allocate unlink ";
  return its.armed &&
         (strcmp(call, its.call) == 0 || (strcmp(its.call, "change") == 0 && strstr(changes, call) != NULL));
}

/* Is it this call's turn? */
static bool hit(const char *call, const char *path) {
  if (!is_of_kind(call) || !meant(path)) return false;
  long n = atomic_fetch_add(&calls, 1) + 1;
  return n == its.nth || (its.onward && n > its.nth);
}

static bool hit_fd(const char *call, int fd) {
  char link[64], path[4096];
  if (!is_of_kind(call)) return false;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  path[n > 0 ? n : 0] = '\0';
  return hit(call, path);
}

/* Waits, stops or kills; else the error, or 0. */
static int act(void) {
  static const struct {
    const char *name;
    int error;
  } errors[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EACCES", EACCES},
                {"ENOMEM", ENOMEM}, {"EINTR", EINTR},   {"EROFS", EROFS}};
  if (strncmp(its.act, "wait:", 5) == 0) usleep((useconds_t)(1e6 * atof(its.act + 5)));
  if (strcmp(its.act, "stop") == 0) raise(SIGSTOP);
  if (strcmp(its.act, "kill") == 0) raise(SIGKILL);
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
    if (strcmp(its.act, errors[i].name) == 0) return errors[i].error;
  return 0;
}

static void *real(const char *name) {
  void *function = dlsym(RTLD_NEXT, name);
  if (!function) abort();
  return function;
}

/* REAL(ssize_t, "read", (int, void *, size_t)): the library's own function of that name and type. */
#define REAL(type, name, parameters) ((type(*) parameters)real(name))
#define FAIL(error) return errno = (error), -1

/* ---- reading and writing ---- */

static size_t fewer(size_t bytes) {
  return strcmp(its.act, "short") == 0 && bytes > 1 ? bytes / 2 : bytes;
}

/* What a read returns when its turn has come. */
static ssize_t spoil(ssize_t n, void *data) {
  if (n > 0 && strcmp(its.act, "flip") == 0) ((unsigned char *)data)[n / 2] ^= 16;
  return n;
}

#define TRANSFER(name, kind, constant, offset_type, declared, passed, after)                                 \
  ssize_t name(int fd, constant void *data, size_t bytes declared) {                                         \
    bool now = hit_fd(kind, fd);                                                                             \
    int error = now ? act() : 0;                                                                             \
    if (error) FAIL(error);                                                                                  \
    if (now && strcmp(its.act, "end") == 0) return 0;                                                        \
    if (now) bytes = fewer(bytes);                                                                           \
    ssize_t n = REAL(ssize_t, #name, (int, constant void *, size_t offset_type))(fd, data, bytes passed);    \
    return now ? after : n;                                                                                  \
  }
#define COMMA ,
TRANSFER(read, "read", , , , , spoil(n, data))
TRANSFER(pread, "read", , COMMA off_t, COMMA off_t offset, COMMA offset, spoil(n, data))
TRANSFER(pread64, "read", , COMMA off64_t, COMMA off64_t offset, COMMA offset, spoil(n, data))
TRANSFER(write, "write", const, , , , n)
TRANSFER(pwrite, "write", const, COMMA off_t, COMMA off_t offset, COMMA offset, n)
TRANSFER(pwrite64, "write", const, COMMA off64_t, COMMA off64_t offset, COMMA offset, n)

#define VECTOR(name, kind, offset_type, declared, passed)                                                    \
  ssize_t name(int fd, const struct iovec *part, int count declared) {                                       \
    int error = hit_fd(kind, fd) ? act() : 0;                                                                \
    if (error) FAIL(error);                                                                                  \
    return REAL(ssize_t, #name, (int, const struct iovec *, int offset_type))(fd, part, count passed);       \
  }
VECTOR(readv, "read", , , )
VECTOR(preadv, "read", COMMA off_t, COMMA off_t offset, COMMA offset)
VECTOR(preadv64, "read", COMMA off64_t, COMMA off64_t offset, COMMA offset)
VECTOR(writev, "write", , , )
VECTOR(pwritev, "write", COMMA off_t, COMMA off_t offset, COMMA offset)
VECTOR(pwritev64, "write", COMMA off64_t, COMMA off64_t offset, COMMA offset)

/* ---- files ---- */

static mode_t mode_of(int flags, va_list more) {
  return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
}

#define OPEN(name)                                                                                           \
  int name(const char *path, int flags, ...) {                                                               \
    va_list more;                                                                                            \
    va_start(more, flags);                                                                                   \
    mode_t mode = mode_of(flags, more);                                                                      \
    va_end(more);                                                                                            \
    int error = hit("open", path) ? act() : 0;                                                               \
    if (error) FAIL(error);                                                                                  \
    return REAL(int, #name, (const char *, int, ...))(path, flags, mode);                                    \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                                         \
  int name(int at, const char *path, int flags, ...) {                                                       \
    va_list more;                                                                                            \
    va_start(more, flags);                                                                                   \
    mode_t mode = mode_of(flags, more);                                                                      \
    va_end(more);                                                                                            \
    int error = hit("open", path) ? act() : 0;                                                               \
    if (error) FAIL(error);                                                                                  \
    return REAL(int, #name, (int, const char *, int, ...))(at, path, flags, mode);                           \
  }
OPENAT(openat)
OPENAT(openat64)

#define ON_FILE(name, kind, declared, types, passed, failed)                                                 \
  int name(int fd declared) {                                                                                \
    int error = hit_fd(kind, fd) ? act() : 0;                                                                \
    if (error) failed(error);                                                                                \
    return REAL(int, #name, (int types))(fd passed);                                                         \
  }
#define RETURN(error) return error
ON_FILE(fsync, "sync", , , , FAIL)
ON_FILE(fdatasync, "sync", , , , FAIL)
ON_FILE(ftruncate, "truncate", COMMA off_t to, COMMA off_t, COMMA to, FAIL)
ON_FILE(ftruncate64, "truncate", COMMA off64_t to, COMMA off64_t, COMMA to, FAIL)
ON_FILE(fallocate, "allocate", COMMA int mode COMMA off_t from COMMA off_t bytes,
        COMMA int COMMA off_t COMMA off_t, COMMA mode COMMA from COMMA bytes, FAIL)
ON_FILE(fallocate64, "allocate", COMMA int mode COMMA off64_t from COMMA off64_t bytes,
        COMMA int COMMA off64_t COMMA off64_t, COMMA mode COMMA from COMMA bytes, FAIL)
ON_FILE(posix_fallocate, "allocate", COMMA off_t from COMMA off_t bytes, COMMA off_t COMMA off_t,
        COMMA from COMMA bytes, RETURN)
ON_FILE(posix_fallocate64, "allocate", COMMA off64_t from COMMA off64_t bytes, COMMA off64_t COMMA off64_t,
        COMMA from COMMA bytes, RETURN)

int rename(const char *from, const char *to) {
  int error = hit("rename", to) ? act() : 0;
  if (error) FAIL(error);
  return REAL(int, "rename", (const char *, const char *))(from, to);
}

/* OLICA_NO_EXCHANGE set: a file system that cannot exchange two names. */
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
  if ((flags & RENAME_EXCHANGE) && getenv("OLICA_NO_EXCHANGE")) FAIL(EINVAL);
  int error = hit("rename", to) ? act() : 0;
  if (error) FAIL(error);
  return REAL(int, "renameat2", (int, const char *, int, const char *, unsigned))(from_at, from, to_at, to,
                                                                                  flags);
}

int unlink(const char *path) {
  int error = hit("unlink", path) ? act() : 0;
  if (error) FAIL(error);
  return REAL(int, "unlink", (const char *))(path);
}

#define STATVFS(name)                                                                                        \
  int name(const char *path, struct name *fs) {                                                              \
    bool now = hit("statvfs", path);                                                                         \
    int error = now ? act() : 0;                                                                             \
    if (error) FAIL(error);                                                                                  \
    int result = REAL(int, #name, (const char *, struct name *))(path, fs);                                  \
    if (now && strcmp(its.act, "none") == 0) fs->f_bfree = fs->f_bavail = 0;                                 \
    return result;                                                                                           \
  }
STATVFS(statvfs)
STATVFS(statvfs64)

/* ---- memory ---- */

/* Returns true if oneDNN calls: it asks for blocks of that alignment too, and does not survive a refusal. */
static int is_library(const void *caller) {
  Dl_info info;
  return dladdr(caller, &info) != 0 && info.dli_fname && strstr(info.dli_fname, "libdnnl") != NULL;
}

int posix_memalign(void **block, size_t alignment, size_t bytes) {
  if (alignment == 64 && !is_library(__builtin_return_address(0)) && hit("memory", "")) {
    int error = act();
    if (error) return error;
  }
  return REAL(int, "posix_memalign", (void **, size_t, size_t))(block, alignment, bytes);
}
