/* A session of the library, and the environment of one of its jobs or models. Private to api. */
#ifndef OLICA_API_SESSION_H
#define OLICA_API_SESSION_H

#include <jansson.h>

#include "config/arguments.h"
#include "config/options.h"
#include "olica.h"
#include "par/launch.h"

struct olica {
  olica_env *env;         /* of the session and of its command line */
  olica_context *context; /* NULL: not attached */
  olica_status status;    /* of the last start, attach or command_run */
  int argc;
  char **argv;
  olica_arguments arguments; /* of a command line, argc > 0 */
  olica_launch launch;
  bool chooses;  /* the kernel of BLAS has been looked at: */
  int no_kernel; /* errno of the new start that failed, 0: none did */
  char message[OLICA_ERROR_TEXT];
};

/* Keeps the message of a failure and returns its code. */
int olica_session_end(olica *o, const olica_env *env, olica_status status);

/* Flushes standard output: an answer that nobody could read is OLICA_ERR_IO. Not collective. */
olica_status olica_session_flush(olica_env *env);

/* Creates an environment and a context for one job or model of the session, so that timers, warnings and
 * counted memory are its own. OLICA_ERR_MEMORY is the session's failure. Collective. */
olica_status olica_place_create(olica *o, olica_context **context);

/* Frees both, keeps the message of a failure, and returns its code. NULL allowed. Collective. */
int olica_place_destroy(olica *o, olica_context *context, olica_status status);

/* The text of a config file, and the variables that its paths name: rank 0's, on every rank. */
typedef struct olica_session_config {
  char *text, *variables; /* counted in the context's environment */
  size_t bytes;
} olica_session_config;

/* Loads the config file of a command line (none: an empty text). Collective. */
olica_status olica_session_load(olica_context *context, const olica_arguments *arguments,
                                olica_session_config *config);

/* Reads the options of a command line with that config. Not collective. */
olica_status olica_session_read(olica_env *env, const olica_arguments *arguments,
                                const olica_session_config *config, olica_options *options);

/* Does so on every rank, and sets the threads. The options' strings live as
 * long as the context's environment and the config. Collective. */
olica_status olica_session_options(olica_context *context, const olica_arguments *arguments,
                                   const olica_session_config *config, olica_options *options);

/* Runs the job of a command line, or the jobs of a comparison. With answer NULL rank 0
 * prints the closing table; else *answer is the report, or the summary, on rank 0: a new reference.
 * `refused`: a job that is refused before its work has a report. Collective. */
olica_status olica_session_run(olica *o, olica_context *context, const olica_arguments *arguments,
                               bool refused, json_t **answer);

/* Checks the paths of the options, and restarts the watchdog with their limit. `make`: makes the directory of
 * --output. Collective. */
olica_status olica_session_check(olica_context *context, olica_options *options, bool make);

#endif
