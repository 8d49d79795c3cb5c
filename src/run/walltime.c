#include "walltime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Reads "+02:00", "-0930" as seconds east of Greenwich. */
static bool read_zone(const char *text, long *east) {
  int hours, minutes, read = 0;
  if (sscanf(text, "%*1[+-]%2d:%2d%n", &hours, &minutes, &read) != 2 || text[read])
    if (sscanf(text, "%*1[+-]%2d%2d%n", &hours, &minutes, &read) != 2 || text[read]) return false;
  *east = (text[0] == '-' ? -60L : 60L) * (60L * hours + minutes);
  return true;
}

/* Reads seconds since 1970, or a date in ISO 8601: "2026-01-31T12:00:00" in local time, as Slurm's commands
 * print it, or with Z or an offset behind it. */
static bool read_time(const char *text, double *seconds) {
  struct tm date = {.tm_isdst = -1};
  char *end;
  long east = 0;
  long long number = strtoll(text, &end, 10);
  *seconds = (double)number;
  if (end > text && !*end) return number > 0;
  end = strptime(text, "%Y-%m-%dT%H:%M:%S", &date);
  if (!end) end = strptime(text, "%Y-%m-%d %H:%M:%S", &date);
  if (!end || (*end && strcmp(end, "Z") != 0 && !read_zone(end, &east))) return false;
  *seconds = *end ? (double)(timegm(&date) - east) : (double)mktime(&date);
  return *seconds > 0;
}

double olica_walltime_end(const olica_setup *setup) {
  olica_env *env = setup->context->env;
  int64_t asked = setup->options->run.walltime;
  const char *slurm = getenv("SLURM_JOB_END_TIME");
  double end;
  if (asked > 0) return env->timers.started + (double)asked;
  if (asked == 0 || !slurm || !*slurm) return 0;
  if (read_time(slurm, &end)) return olica_timer_now() + end - (double)time(NULL);
  if (setup->context->rank == 0)
    olica_log_warn(env,
                   "[run] walltime = auto: SLURM_JOB_END_TIME = \"%.60s\" is no time, expected seconds since "
                   "1970 or 2026-01-31T12:00:00; the run does not stop by itself",
                   slurm);
  return 0;
}
