#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/env.h"
#include "base/terminal.h"

enum { LINE = OLICA_ERROR_TEXT + 64 };

typedef enum log_level { INFO, WARN, ERROR } log_level;

#define ERASE "\r\033[K" /* return to the beginning of the line and clear it */

void olica_log_open(olica_env *env) {
  olica_log *log = &env->log;
  log->terminal = olica_terminal_open();
  log->on_terminal = log->terminal >= 0;
  log->colour = log->on_terminal && olica_terminal_colour();
}

void olica_log_close(olica_env *env) {
  olica_log_bar(env, "");
  if (env->log.on_terminal) olica_terminal_close(env->log.terminal);
  env->log.on_terminal = env->log.colour = false;
}

const char *olica_log_plural(long count) {
  return count == 1 ? "" : "s";
}

void olica_log_printable(char *text) {
  for (unsigned char *c = (unsigned char *)text; *c; c++)
    if (*c < 0x20 || *c == 0x7f) *c = '?';
}

/* Writes one line in one call, above the bar if there is one. */
static void write_line(const olica_log *log, log_level level, char *text) {
  static const char *const names[] = {"INFO ", "WARN ", "ERROR"}, *const colours[] = {"", "\033[33m",
                                                                                      "\033[31m"};
  char when[32], line[LINE + 128 + OLICA_LOG_BAR];
  time_t now = time(NULL);
  struct tm utc;
  bool colour = log->colour && *colours[level], bar = *log->bar;
  strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
  olica_log_printable(text);
  snprintf(line, sizeof line, "%s%s %s%s%s %s\n%s", bar ? ERASE : "", when, colour ? colours[level] : "",
           names[level], colour ? "\033[0m" : "", text, log->bar);
  fputs(line, stderr);
  fflush(stderr);
}

void olica_log_line(olica_env *env, const char *format, ...) {
  char text[LINE];
  if (!env->log.speaks || env->log.quiet) return;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  write_line(&env->log, INFO, text);
}

static olica_warning *find(olica_log *log, const char *text) {
  for (int i = 0; i < log->warning_count; i++)
    if (strncmp(log->warnings[i].text, text, OLICA_WARNING_TEXT - 1) == 0) return &log->warnings[i];
  return NULL;
}

static void say_warning(const olica_log *log, const char *text) {
  char copy[OLICA_WARNING_TEXT];
  snprintf(copy, sizeof copy, "%s", text);
  if (log->speaks) write_line(log, WARN, copy);
}

void olica_log_warn_times(olica_env *env, long times, const char *text) {
  olica_log *log = &env->log;
  olica_warning *warning = find(log, text);
  if (times <= 0) return;
  if (!warning) say_warning(log, text);
  if (!warning && log->warning_count < OLICA_WARNINGS_MAX) {
    warning = &log->warnings[log->warning_count++];
    snprintf(warning->text, sizeof warning->text, "%s", text);
    warning->count = 0;
  }
  if (warning) warning->count += times;
}

void olica_log_warn(olica_env *env, const char *format, ...) {
  char text[OLICA_WARNING_TEXT];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  olica_log_warn_times(env, 1, text);
}

void olica_log_pass_on(olica_env *env, const char *text) {
  if (!find(&env->log, text)) say_warning(&env->log, text);
}

void olica_log_failure(olica_env *env) {
  char text[LINE];
  olica_log_bar(env, "");
  if (!env->log.speaks) return;
  snprintf(text, sizeof text, "olica_mpi: %s: %s", olica_status_name(env->error.code), env->error.text);
  write_line(&env->log, env->error.code == OLICA_STOPPED ? WARN : ERROR, text);
}

void olica_log_bar(olica_env *env, const char *bar) {
  olica_log *log = &env->log;
  if (!log->on_terminal || (!*bar && !*log->bar)) return;
  snprintf(log->bar, sizeof log->bar, "%s", bar);
  fprintf(stderr, ERASE "%s", log->bar);
  fflush(stderr);
}
