#include "base/terminal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Opens the launcher's standard error. On the launcher's own machine it is our parent process; on other
 * machines the parent is a daemon without a terminal. */
static int open_launchers(void) {
  char path[64];
  struct stat info;
  if (!getenv("OMPI_COMM_WORLD_RANK") && !getenv("PMIX_RANK") && !getenv("PMI_RANK")) return -1;
  if (fstat(STDERR_FILENO, &info) != 0 || !(S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode))) return -1;
  snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)getppid(), STDERR_FILENO);
  if (stat(path, &info) != 0 || !S_ISCHR(info.st_mode)) return -1;
  int fd = open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (fd >= 0 && isatty(fd)) return fd;
  olica_terminal_close(fd);
  return -1;
}

int olica_terminal_open(void) {
  const char *kind = getenv("TERM");
  if (!kind || !*kind || strcmp(kind, "dumb") == 0) return -1;
  return isatty(STDERR_FILENO) ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0) : open_launchers();
}

void olica_terminal_close(int terminal) {
  if (terminal >= 0) close(terminal);
}

int olica_terminal_columns(int terminal) {
  struct winsize window;
  bool known = ioctl(terminal, TIOCGWINSZ, &window) == 0 && window.ws_col > 0;
  return known ? window.ws_col : 80;
}

bool olica_terminal_colour(void) {
  const char *no = getenv("NO_COLOR");
  return !no || !*no;
}
