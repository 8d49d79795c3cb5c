/* A command line, as olica_mpi runs it. */
#include <stdio.h>

#include "config/reader.h"
#include "par/comm.h"
#include "par/watch.h"
#include "run/outputs.h"
#include "run/pipeline.h"
#include "run/tokenize.h"
#include "session.h"
#include "store/checkpoint.h"

enum { STALL = 600 }; /* [run] stall's default, while no config says otherwise */

/* Gives all ranks what rank 0 has: `*bytes` of it, and a NUL. */
static olica_status share(olica_context *context, char **text, size_t *bytes) {
  olica_comm_bcast(context, context->comm, bytes, sizeof *bytes, 0);
  OLICA_AGREE(context, *text ? OLICA_OK : OLICA_NEW(context->env, *text, *bytes + 1));
  olica_comm_bcast(context, context->comm, *text, *bytes, 0);
  return OLICA_OK;
}

/* Rank 0: the config, and the variables that its paths name. */
static olica_status load_options(olica_env *env, const olica_arguments *arguments, char **text, size_t *bytes,
                                 char **variables, size_t *variables_bytes) {
  if (arguments->config)
    OLICA_TRY(olica_options_load(env, arguments->config, text, bytes));
  else
    OLICA_TRY(OLICA_NEW(env, *text, 1));
  return olica_options_variables(env, arguments, *text, variables, variables_bytes);
}

olica_status olica_session_options(olica_context *context, const olica_arguments *arguments,
                                   olica_options *options) {
  char *text = NULL, *variables = NULL;
  size_t bytes = 0, variables_bytes = 0;
  olica_arguments all = *arguments;
  OLICA_AGREE(context, context->rank == 0 ? load_options(context->env, arguments, &text, &bytes, &variables,
                                                         &variables_bytes)
                                          : OLICA_OK);
  OLICA_TRY(share(context, &text, &bytes));
  OLICA_TRY(share(context, &variables, &variables_bytes));
  all.variables = variables;
  if (!all.config) all.config = "settings";
  OLICA_AGREE(context, olica_options_read(context->env, &all, text, bytes, options));
  olica_context_set_threads(context, (int)options->compute.threads);
  return OLICA_OK;
}

olica_status olica_session_check(olica_context *context, olica_options *options, bool make) {
  OLICA_TRY(olica_outputs_follow(context, options, make));
  OLICA_TRY(olica_outputs_check(context, options));
  olica_watch_stop(context);
  OLICA_AGREE(context, olica_watch_start(context, (double)options->run.stall));
  return OLICA_OK;
}

/* Writes the report of a run that is refused, once it is known where. */
static olica_status refuse(olica_context *context, olica_options *options, double resident,
                           olica_status status) {
  double unknown = !options->whole;
  olica_comm_max(context, context->comm, &unknown, 1);
  if (unknown == 0) return olica_pipeline_refuse(context, options, resident, status);
  olica_log_line(context->env, "no report is written: the settings could not be read");
  return status;
}

static olica_status verify(olica_context *context, const char *path) {
  int64_t datasets, bytes;
  OLICA_TRY(olica_checkpoint_verify(context, path, &datasets, &bytes));
  if (context->rank == 0)
    printf("%s: ok, %lld datasets, %lld bytes checked\n", path, (long long)datasets, (long long)bytes);
  return OLICA_OK;
}

static olica_status command(olica_context *context, const olica_arguments *arguments, double resident) {
  olica_options options = {0};
  bool runs = arguments->command == OLICA_COMMAND_RUN;
  OLICA_AGREE(context, olica_watch_start(context, STALL));
  if (arguments->command == OLICA_COMMAND_VERIFY) return verify(context, arguments->file);
  if (arguments->command == OLICA_COMMAND_TOKENIZE)
    return olica_tokenize_run(context, arguments->tokenizer, arguments->file, arguments->special);
  if (arguments->command == OLICA_COMMAND_DETOKENIZE)
    return olica_tokenize_reverse(context, arguments->tokenizer, arguments->file, arguments->special);
  olica_status status = olica_session_options(context, arguments, &options);
  if (status == OLICA_OK) status = olica_session_check(context, &options, runs);
  if (status != OLICA_OK) return runs ? refuse(context, &options, resident, status) : status;
  if (!runs) return olica_pipeline_check(context, &options, arguments->ranks, arguments->ranks_per_node);
  olica_timer_stop(&context->env->timers); /* "start" */
  return olica_pipeline_run(context, &options, resident, NULL);
}

static olica_status command_and_answer(olica *o) {
  olica_context *context = o->context;
  OLICA_TRY(command(context, &o->arguments, olica_report_resident()));
  if (o->arguments.command != OLICA_COMMAND_RUN) OLICA_AGREE(context, olica_session_flush(context->env));
  return OLICA_OK;
}

int olica_command_run(olica *o) {
  o->status = command_and_answer(o);
  if (o->status != OLICA_OK) olica_log_failure(o->env);
  return olica_session_end(o, o->env, o->status);
}
