#include "draw.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Reads to the end of the pipe; keeps the beginning, as one line. */
static void read_complaint(int fd, char *text, size_t room) {
  char rest[512];
  size_t used = 0;
  ssize_t n;
  while ((n = read(fd, rest, sizeof rest)) > 0 || (n < 0 && errno == EINTR)) {
    size_t take = n < 0 ? 0 : (size_t)n < room - 1 - used ? (size_t)n : room - 1 - used;
    memcpy(text + used, rest, take);
    used += take;
  }
  text[used] = '\0';
  const char *from = text + strspn(text, "\n\t ");
  memmove(text, from, strlen(from) + 1);
  text[strcspn(text, "\n")] = '\0';
}

/* -d: no start-up files of the user's, which would change the style. */
static int start(const char *directory, const char *name, int complaint, pid_t *child) {
  char *const words[] = {"gnuplot", "-d", (char *)name, NULL};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addchdir_np(&actions, directory);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, complaint, 2);
  int error = posix_spawnp(child, "gnuplot", &actions, NULL, words, environ);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

olica_status olica_draw_script(olica_env *env, const char *directory, const char *name, bool *found) {
  int ends[2], status = 0;
  char text[512];
  pid_t child;
  *found = true;
  if (pipe2(ends, O_CLOEXEC) != 0)
    return olica_error_set(env, OLICA_ERR_IO, "gnuplot: cannot make a pipe: %s", strerror(errno));
  int error = start(directory, name, ends[1], &child);
  close(ends[1]);
  if (error == 0) read_complaint(ends[0], text, sizeof text);
  close(ends[0]);
  *found = error != ENOENT && error != EACCES;
  if (!*found) return OLICA_OK;
  if (error != 0) return olica_error_set(env, OLICA_ERR_IO, "gnuplot: cannot start it: %s", strerror(error));
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    if (*text) olica_log_warn(env, "gnuplot: %s: %.160s", name, text);
    return OLICA_OK;
  }
  return olica_error_set(env, OLICA_ERR_IO, "gnuplot: %s/%s: failed: %s", directory, name,
                         *text ? text : "it said nothing");
}
