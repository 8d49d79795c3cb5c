/* The environment: what a process would otherwise keep in globals. Message of the failure under way, counted
 * memory, log, timers. One per process, created by main (or a test), handed down by pointer. Nothing here
 * knows about MPI; all functions are not collective. */
#ifndef OLICA_BASE_ENV_H
#define OLICA_BASE_ENV_H

#include "olica/base/log.h"
#include "olica/base/memory.h"
#include "olica/base/status.h"
#include "olica/base/timer.h"

enum { OLICA_ERROR_TEXT = 2048 };

typedef struct olica_env {
  struct {
    olica_status code;
    char text[OLICA_ERROR_TEXT]; /* outermost context first: "layer 3: model.safetensors: ..." */
  } error;
  olica_memory memory;
  olica_log log;
  olica_timers timers;
  double bytes_read; /* from files, through olica_file_read and olica_file_load */
} olica_env;

/* Returns a fresh environment, or NULL when there is no memory. Freed with olica_env_destroy, which also
 * frees every block still counted in it: code on an error path need not clean its memory up. */
olica_env *olica_env_create(void);
void olica_env_destroy(olica_env *env);

/* Records a failure: code and message replace what was there. Returns `code`, so that a function can end with
 *     return olica_error_set(env, OLICA_ERR_INPUT, "%s: no tensor %s", file, name); */
olica_status olica_error_set(olica_env *env, olica_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts context in front of the message of the failure under way ("layer 3: " before what it says) and returns
 * its code. */
olica_status olica_error_context(olica_env *env, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Forgets the failure under way, for a caller that handles it. */
void olica_error_clear(olica_env *env);

#endif
