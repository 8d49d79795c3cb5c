#include "base/env.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

olica_env *olica_env_create(void) {
  olica_env *env = calloc(1, sizeof *env);
  if (env) env->timers.started = olica_timer_now();
  return env;
}

void olica_env_destroy(olica_env *env) {
  if (!env) return;
  olica_log_close(env);
  olica_memory_free_all(env);
  free(env);
}

olica_status olica_error_set(olica_env *env, olica_status code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(env->error.text, sizeof env->error.text, format, arguments);
  va_end(arguments);
  olica_log_printable(env->error.text); /* text quoted from a file must not add lines */
  return env->error.code = code;
}

olica_status olica_error_context(olica_env *env, const char *format, ...) {
  char inner[OLICA_ERROR_TEXT];
  memcpy(inner, env->error.text, sizeof inner);
  va_list arguments;
  va_start(arguments, format);
  int used = vsnprintf(env->error.text, sizeof env->error.text, format, arguments);
  va_end(arguments);
  if (used >= 0 && used < OLICA_ERROR_TEXT)
    snprintf(env->error.text + used, sizeof env->error.text - (size_t)used, "%s", inner);
  olica_log_printable(env->error.text);
  return env->error.code;
}

void olica_error_clear(olica_env *env) {
  env->error.code = OLICA_OK;
  env->error.text[0] = '\0';
}
