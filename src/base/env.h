/* The environment of a process: the message of the current failure, counted memory, log and timers. It
 * replaces global variables. main (or a test) creates one per process and hands it down by pointer. It knows
 * nothing of MPI; no function here is collective. */
#ifndef OLICA_BASE_ENV_H
#define OLICA_BASE_ENV_H

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/timer.h"

enum { OLICA_ERROR_TEXT = 2048 };

typedef struct olica_env {
  struct {
    olica_status code;
    char text[OLICA_ERROR_TEXT]; /* outermost context first: "layer 3: model.safetensors: ..." */
  } error;
  olica_memory memory;
  olica_log log;
  olica_timers timers;
  double bytes_read; /* bytes read from files by olica_file_read and olica_file_load */
} olica_env;

/* Creates an environment; returns NULL if memory is exhausted. Free it with olica_env_destroy, which also
 * frees every block still counted in it: code on an error path need not free its blocks. */
olica_env *olica_env_create(void);
void olica_env_destroy(olica_env *env);

/* Records a failure: code and message replace the previous ones. Returns `code`, so that a function can end
 * with
 *     return olica_error_set(env, OLICA_ERR_INPUT, "%s: no tensor %s", file, name); */
olica_status olica_error_set(olica_env *env, olica_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Prepends context to the message of the current failure ("layer 3: ") and returns its code. */
olica_status olica_error_context(olica_env *env, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Clears the current failure, for a caller that handles it. */
void olica_error_clear(olica_env *env);

#endif
