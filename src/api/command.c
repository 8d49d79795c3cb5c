/* A command line, as olica_mpi runs it. */
#include <stdio.h>
#include <sys/stat.h>

#include "compare.h"
#include "config/reader.h"
#include "export/export.h"
#include "inspect/inspect.h"
#include "par/comm.h"
#include "par/watch.h"
#include "run/exports.h"
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

olica_status olica_session_load(olica_context *context, const olica_arguments *arguments,
                                olica_session_config *config) {
  size_t variables = 0;
  *config = (olica_session_config){0};
  OLICA_AGREE(context, context->rank == 0 ? load_options(context->env, arguments, &config->text,
                                                         &config->bytes, &config->variables, &variables)
                                          : OLICA_OK);
  OLICA_TRY(share(context, &config->text, &config->bytes));
  return share(context, &config->variables, &variables);
}

/* With a name for messages where there is no file. */
static olica_arguments with_config(const olica_arguments *arguments, const olica_session_config *config) {
  olica_arguments all = *arguments;
  all.variables = config->variables;
  if (!all.config) all.config = "settings";
  return all;
}

olica_status olica_session_read(olica_env *env, const olica_arguments *arguments,
                                const olica_session_config *config, olica_options *options) {
  const olica_arguments all = with_config(arguments, config);
  return olica_options_read(env, &all, config->text, config->bytes, options);
}

olica_status olica_session_options(olica_context *context, const olica_arguments *arguments,
                                   const olica_session_config *config, olica_options *options) {
  OLICA_AGREE(context, olica_session_read(context->env, arguments, config, options));
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

static olica_status verify(olica_context *context, const char *path, const char *against) {
  int64_t count, bytes;
  bool export = olica_export_is(context, path);
  if (against && !export)
    return olica_error_set(context->env, OLICA_ERR_CONFIG,
                           "--against %.300s: %.300s is neither a directory nor a GGUF file, expected an "
                           "export (--diff compares checkpoints)",
                           against, path);
  OLICA_TRY(export ? olica_export_verify(context, path, against, &count, &bytes)
                   : olica_checkpoint_verify(context, path, &count, &bytes));
  if (context->rank == 0)
    printf("%s: ok, %lld %s, %lld bytes checked%s%s\n", path, (long long)count,
           export ? "tensors" : "datasets", (long long)bytes, against ? ", the numbers are those of " : "",
           against ? against : "");
  return OLICA_OK;
}

/* Runs the only job of a config. */
static olica_status run_job(olica_context *context, const olica_arguments *arguments,
                            const olica_session_config *config, bool refused, json_t **answer) {
  olica_options options = {0};
  double resident = olica_report_resident();
  olica_status status = olica_session_options(context, arguments, config, &options);
  if (status == OLICA_OK) status = olica_session_check(context, &options, true);
  if (status != OLICA_OK) return refused ? refuse(context, &options, resident, status) : status;
  olica_timer_stop(&context->env->timers); /* "start" */
  return olica_pipeline_run(context, &options, resident, answer);
}

static olica_status check_job(olica_context *context, const olica_arguments *arguments,
                              const olica_session_config *config) {
  olica_options options = {0};
  OLICA_TRY(olica_session_options(context, arguments, config, &options));
  OLICA_TRY(olica_session_check(context, &options, false));
  return olica_pipeline_check(context, &options, arguments->ranks, arguments->ranks_per_node);
}

/* Loads the config, and the lists of a comparison in it. */
static olica_status load(olica_context *context, const olica_arguments *arguments,
                         olica_session_config *config, olica_pairs *pairs) {
  OLICA_TRY(olica_session_load(context, arguments, config));
  const olica_arguments all = with_config(arguments, config);
  OLICA_AGREE(context, olica_pairs_read(context->env, &all, config->text, config->bytes, pairs));
  return OLICA_OK;
}

static olica_arguments of_only_job(const olica_arguments *arguments, const olica_pairs *pairs) {
  olica_arguments only = *arguments;
  only.pair = pairs->chosen ? &pairs->pair[0] : NULL;
  return only;
}

/* A config that cannot be read has no report. */
static olica_status say_no_report(olica_context *context, bool refused, olica_status status) {
  if (status != OLICA_OK && refused)
    olica_log_line(context->env, "no report is written: the settings could not be read");
  return status;
}

olica_status olica_session_run(olica *o, olica_context *context, const olica_arguments *arguments,
                               bool refused, json_t **answer) {
  olica_session_config config;
  olica_pairs pairs;
  OLICA_TRY(say_no_report(context, refused, load(context, arguments, &config, &pairs)));
  if (pairs.count == 0) {
    const olica_arguments only = of_only_job(arguments, &pairs);
    return run_job(context, &only, &config, refused, answer);
  }
  return olica_compare_run(o, context, arguments, &config, &pairs, answer);
}

static olica_status check(olica *o, olica_context *context, const olica_arguments *arguments) {
  olica_session_config config;
  olica_pairs pairs;
  OLICA_TRY(load(context, arguments, &config, &pairs));
  if (pairs.count == 0) {
    const olica_arguments only = of_only_job(arguments, &pairs);
    return check_job(context, &only, &config);
  }
  return olica_compare_check(o, context, arguments, &config, &pairs);
}

static olica_status export(olica_context *context, const olica_arguments *arguments) {
  olica_session_config config;
  olica_options options = {0};
  OLICA_TRY(olica_session_load(context, arguments, &config));
  OLICA_TRY(olica_session_options(context, arguments, &config, &options));
  return olica_exports_command(context, &options, arguments->export, arguments->file);
}

static olica_status command(olica *o, olica_context *context, const olica_arguments *arguments) {
  OLICA_AGREE(context, olica_watch_start(context, STALL));
  if (arguments->command == OLICA_COMMAND_VERIFY) return verify(context, arguments->file, arguments->against);
  if (arguments->command == OLICA_COMMAND_EXPORT) return export(context, arguments);
  if (arguments->command == OLICA_COMMAND_TOKENIZE)
    return olica_tokenize_run(context, arguments->tokenizer, arguments->file, arguments->special);
  if (arguments->command == OLICA_COMMAND_DETOKENIZE)
    return olica_tokenize_reverse(context, arguments->tokenizer, arguments->file, arguments->special);
  if (arguments->command == OLICA_COMMAND_INSPECT)
    return olica_inspect(context, arguments->file, arguments->json, stdout);
  if (arguments->command == OLICA_COMMAND_DIFF)
    return olica_inspect_diff(context, arguments->other, arguments->file, arguments->json, stdout);
  if (arguments->command == OLICA_COMMAND_CHECK) return check(o, context, arguments);
  return olica_session_run(o, context, arguments, true, NULL);
}

static olica_status command_and_answer(olica *o) {
  olica_context *context = o->context;
  OLICA_TRY(command(o, context, &o->arguments));
  if (o->arguments.command != OLICA_COMMAND_RUN) OLICA_AGREE(context, olica_session_flush(context->env));
  return OLICA_OK;
}

int olica_command_run(olica *o) {
  o->status = command_and_answer(o);
  if (o->status != OLICA_OK) olica_log_failure(o->env);
  return olica_session_end(o, o->env, o->status);
}
