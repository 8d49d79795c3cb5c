#include "olica/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "olica/base/env.h"

void olica_log_line(olica_env *env, const char *format, ...) {
  if (!env->log.speaks || env->log.quiet) return;
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
}

void olica_log_warn(olica_env *env, const char *format, ...) {
  olica_log *log = &env->log;
  char text[OLICA_WARNING_TEXT];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  for (int i = 0; i < log->warning_count; i++) {
    if (strcmp(log->warnings[i].text, text) != 0) continue;
    log->warnings[i].count++;
    return;
  }
  if (log->warning_count < OLICA_WARNINGS_MAX) {
    olica_warning *warning = &log->warnings[log->warning_count++];
    memcpy(warning->text, text, sizeof text);
    warning->count = 1;
  }
  if (log->speaks) fprintf(stderr, "warning: %s\n", text);
}
