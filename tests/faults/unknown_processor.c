/* LD_PRELOAD: OpenBLAS does not know the processor. It asks the C library for OPENBLAS_CORETYPE when it is
 * loaded; where the user has set none, this answers "Prescott" to it, and to nobody else. For tests.
 *
 * OLICA_UNKNOWN=deaf    OpenBLAS gets that answer whatever is set
 * OLICA_UNKNOWN=stuck   olica_mpi cannot be started in place of what runs */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static char *find(const char *name) {
  size_t length = strlen(name);
  for (char **at = environ; at && *at; at++)
    if (strncmp(*at, name, length) == 0 && (*at)[length] == '=') return *at + length + 1;
  return NULL;
}

static int is_set(const char *what) {
  const char *text = find("OLICA_UNKNOWN");
  return text && strcmp(text, what) == 0;
}

static int is_blas(const void *caller) {
  Dl_info who;
  if (!dladdr(caller, &who) || !who.dli_fname) return 0;
  const char *slash = strrchr(who.dli_fname, '/');
  return strstr(slash ? slash : who.dli_fname, "blas") != NULL;
}

char *getenv(const char *name) {
  char *text = find(name);
  if (strcmp(name, "OPENBLAS_CORETYPE") == 0 && (!text || is_set("deaf")) &&
      is_blas(__builtin_return_address(0)))
    return "Prescott";
  return text;
}

int execv(const char *path, char *const argv[]) {
  if (!is_set("stuck") || !strstr(path, "olica_mpi")) return execve(path, argv, environ);
  errno = EACCES;
  return -1;
}
