#include "par/node_memory.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Returns the number after `key` in a file of lines "key number", or the first number of the file if key is
 * ""; -1 if there is none. */
static double read_number(const char *path, const char *key) {
  FILE *file = fopen(path, "r");
  if (!file) return -1;
  char line[256];
  size_t length = strlen(key);
  double value = -1;
  while (value < 0 && fgets(line, sizeof line, file))
    if (strncmp(line, key, length) == 0 && sscanf(line + length, "%lf", &value) != 1) break;
  fclose(file);
  return value;
}

/* Returns the rest of one control group: its limit less its unreclaimable use; -1: no limit. */
static double group_left(const char *directory, const char *limit, const char *used) {
  char path[PATH_MAX];
  if (snprintf(path, sizeof path, "%s/%s", directory, limit) >= (int)sizeof path) return -1;
  double most = read_number(path, "");
  if (most < 0) return -1; /* "max" */
  if (snprintf(path, sizeof path, "%s/memory.stat", directory) >= (int)sizeof path) return -1;
  double busy = read_number(path, used);
  double left = busy > 0 ? most - busy : most;
  return left > 1 ? left : 1;
}

static double least(double a, double b) {
  if (a < 0) return b;
  return b < 0 || a < b ? a : b;
}

/* Returns the least rest of a group and all its ancestors, whose limits also apply. Truncates `directory` to
 * `base`. */
static double branch_left(char *directory, size_t base, const char *limit, const char *used) {
  double left = -1;
  for (;;) {
    left = least(left, group_left(directory, limit, used));
    char *slash = strrchr(directory, '/');
    if (strlen(directory) <= base || !slash) return left;
    *slash = '\0';
  }
}

/* /proc/self/cgroup has lines "number:controllers:/path"; version 2 has no controllers. */
static double groups_left(const char *root) {
  char path[PATH_MAX], line[PATH_MAX];
  snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
  FILE *file = fopen(path, "r");
  if (!file) return -1;
  double left = -1;
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group) continue;
    *group++ = '\0';
    bool new = !controllers[1];
    if (!new && !strstr(controllers, "memory")) continue;
    int base = snprintf(path, sizeof path, "%s/sys/fs/cgroup%s", root, new ? "" : "/memory");
    if (base < 0 || snprintf(path + base, sizeof path - (size_t)base, "%s", group) >= (int)sizeof path - base)
      continue;
    left = least(left, new ? branch_left(path, (size_t)base, "memory.max", "anon ")
                           : branch_left(path, (size_t)base, "memory.limit_in_bytes", "total_rss "));
  }
  fclose(file);
  return left;
}

double olica_node_memory(const char *root) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/proc/meminfo", root);
  double kibibytes = read_number(path, "MemAvailable:");
  double left = least(kibibytes < 0 ? -1 : kibibytes * 1024, groups_left(root));
  return left > 0 ? left : 0;
}
