/* A session of the library, and the environment of one of its jobs or models. Private to api. */
#ifndef OLICA_API_SESSION_H
#define OLICA_API_SESSION_H

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

/* Reads the options of a command line, whose config file (NULL: none) and variables are rank 0's. The
 * options' strings live as long as the context's environment. Collective. */
olica_status olica_session_options(olica_context *context, const olica_arguments *arguments,
                                   olica_options *options);

/* Checks the paths of the options, and restarts the watchdog with their limit. `make`: makes the directory of
 * --output. Collective. */
olica_status olica_session_check(olica_context *context, olica_options *options, bool make);

#endif
