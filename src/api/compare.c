#include "compare.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/targets.h"
#include "identity.h"
#include "io/json.h"
#include "par/comm.h"
#include "par/watch.h"
#include "report/summary.h"
#include "run/pipeline.h"

enum { REPORT_BYTES = 64 << 20 };

typedef struct compare {
  olica *o;
  olica_context *context; /* of the comparison itself */
  const olica_arguments *arguments;
  const olica_session_config *config;
  const olica_pairs *pairs;
  olica_options options; /* of the first pair: names of the outputs as the user gives them */
  olica_summary summary; /* rank 0's */
  char identity[OLICA_PAIRS_MAX][OLICA_IDENTITY_TEXT];
  double began;
} compare;

/* The options of a pair, as its config says. */
static olica_status read_pair(const compare *c, olica_context *context, int i, olica_options *options) {
  olica_arguments arguments = *c->arguments;
  arguments.pair = &c->pairs->pair[i];
  return olica_session_options(context, &arguments, c->config, options);
}

/* ---- options of a pair ---- */

static bool is_last_of_method(const olica_pairs *pairs, int i) {
  return (i + 1) % pairs->sparsities == 0;
}

/* Inserts method and sparsity into the name of an output; NULL stays NULL. */
static olica_status rename_output(olica_env *env, const olica_pair *pair, const char **name) {
  char *renamed;
  if (!*name) return OLICA_OK;
  OLICA_TRY(olica_pairs_name(env, *name, pair->method, pair->sparsity, &renamed));
  *name = renamed;
  return OLICA_OK;
}

static olica_status rename_exports(olica_env *env, const olica_pair *pair, const char **list) {
  char *renamed;
  OLICA_TRY(olica_targets_name(env, pair, *list, &renamed));
  *list = renamed;
  return OLICA_OK;
}

/* The statistics that a method's pairs share; "" where there is one pair, or no calibration. */
static olica_status name_statistics(const compare *c, olica_env *env, const olica_pair *pair,
                                    const olica_options *options, const char **name) {
  const olica_method *method = olica_method_at(options->prune.method);
  const char *given = options->calibration.save;
  char *made;
  *name = "";
  if (!*given && (c->pairs->sparsities == 1 || !method->calibrates || method->passes == 0)) return OLICA_OK;
  OLICA_TRY(olica_pairs_name(env, *given ? given : options->output.checkpoint, pair->method,
                             *given ? NULL : "statistics", &made));
  *name = made;
  return OLICA_OK;
}

/* Rank 0 says whether the dense model's figures are known. */
static bool knows_dense(const compare *c) {
  int known = c->context->rank == 0 && olica_summary_has_dense(&c->summary);
  olica_comm_bcast(c->context, c->context->comm, &known, sizeof known, 0);
  return known;
}

/* Makes the options of a pair's own job from those of the config. */
static olica_status adapt(const compare *c, olica_env *env, int i, olica_options *options, bool dense_known) {
  const olica_pair *pair = &c->pairs->pair[i];
  OLICA_TRY(name_statistics(c, env, pair, options, &options->calibration.save));
  OLICA_TRY(rename_output(env, pair, &options->output.checkpoint));
  OLICA_TRY(rename_output(env, pair, &options->output.report));
  OLICA_TRY(rename_output(env, pair, &options->predictions));
  OLICA_TRY(rename_exports(env, pair, &options->output.export));
  if (i > 0) options->dump_tokens = NULL; /* all pairs calibrate on the same */
  if (dense_known && !options->evaluate.kl) options->evaluate.dense = false;
  if (options->run.walltime > 0) {
    double left = (double)options->run.walltime - (olica_timer_now() - c->began);
    if (left < 1)
      return olica_error_set(env, OLICA_STOPPED, "[run] walltime is over before method %s, sparsity %s",
                             pair->method, pair->sparsity);
    options->run.walltime = (int64_t)left;
  }
  return OLICA_OK;
}

static olica_status run_pair(const compare *c, olica_context *context, int i, const char **report,
                             json_t **answer) {
  olica_options options = {0};
  double resident = olica_report_resident();
  bool known = knows_dense(c);
  OLICA_TRY(read_pair(c, context, i, &options));
  OLICA_AGREE(context, adapt(c, context->env, i, &options, known));
  *report = options.output.report;
  olica_log_line(context->env, "pair %d of %d: method %s, sparsity %s", i + 1, c->pairs->count,
                 c->pairs->pair[i].method, c->pairs->pair[i].sparsity);
  OLICA_TRY(olica_session_check(context, &options, true));
  olica_timer_stop(&context->env->timers); /* "start" */
  return olica_pipeline_run(context, &options, resident, answer);
}

/* Rank 0's: the row of the pair, and the files as they are now. */
static olica_status record(compare *c, int i, const char *report, const json_t *answer, olica_status status,
                           const char *message) {
  olica_env *env = c->context->env;
  OLICA_TRY(olica_summary_add(env, &c->summary, &c->pairs->pair[i], report, c->identity[i], answer, status,
                              message));
  olica_summary_order(&c->summary, c->pairs);
  return olica_summary_write(env, &c->summary);
}

static bool ends_all(olica_status status) {
  return status != OLICA_OK && status != OLICA_ERR_CONFIG && status != OLICA_ERR_NUMERIC;
}

/* Runs a pair and adds its row. *outcome: the pair's status, with its message in the comparison's
 * environment. */
static olica_status add_pair(compare *c, int i, olica_status *outcome) {
  olica_context *own;
  const char *report = "";
  json_t *answer = NULL;
  OLICA_TRY(olica_place_create(c->o, &own));
  *outcome = run_pair(c, own, i, &report, &answer);
  if (*outcome != OLICA_OK) olica_error_set(c->context->env, *outcome, "%s", own->env->error.text);
  olica_status status = OLICA_OK;
  char message[OLICA_ERROR_TEXT];
  snprintf(message, sizeof message, "%s", own->env->error.text);
  if (c->context->rank == 0 && *outcome != OLICA_STOPPED)
    status = record(c, i, report, answer, *outcome, message);
  json_decref(answer);
  if (*outcome != OLICA_OK && !ends_all(*outcome))
    olica_log_warn(own->env, "method %s, sparsity %s: %s", c->pairs->pair[i].method,
                   c->pairs->pair[i].sparsity, message);
  olica_place_destroy(c->o, own, OLICA_OK);
  OLICA_AGREE(c->context, status);
  return OLICA_OK;
}

/* Rank 0 says whether the row is there already, with the settings and inputs of now. */
static bool is_done(const compare *c, int i) {
  int done = c->context->rank == 0 && olica_summary_has(&c->summary, &c->pairs->pair[i], c->identity[i]);
  olica_comm_bcast(c->context, c->context->comm, &done, sizeof done, 0);
  return done;
}

/* Removes the statistics that nobody asked to keep, behind a method's last pair. */
static olica_status remove_statistics(const compare *c, int i) {
  olica_env *env = c->context->env;
  const char *name;
  olica_options options = c->options;
  if (*c->options.calibration.save || c->context->rank != 0) return OLICA_OK;
  options.prune.method = 0;
  for (const olica_method *m; (m = olica_method_at(options.prune.method)); options.prune.method++)
    if (strcmp(m->name, c->pairs->pair[i].method) == 0) break;
  OLICA_TRY(name_statistics(c, env, &c->pairs->pair[i], &options, &name));
  if (*name) unlink(name);
  return OLICA_OK;
}

enum { NAMED = OLICA_ERROR_TEXT + 256 }; /* a message with the pair in front */

static olica_status run_pairs(compare *c) {
  olica_status first = OLICA_OK;
  char message[NAMED] = "";
  for (int i = 0; i < c->pairs->count; i++) {
    olica_status outcome = OLICA_OK;
    if (!is_done(c, i)) OLICA_TRY(add_pair(c, i, &outcome));
    if (ends_all(outcome)) return outcome;
    if (outcome != OLICA_OK && first == OLICA_OK) {
      first = outcome;
      snprintf(message, sizeof message, "method %s, sparsity %s: %s", c->pairs->pair[i].method,
               c->pairs->pair[i].sparsity, c->context->env->error.text);
    }
    if (is_last_of_method(c->pairs, i)) OLICA_AGREE(c->context, remove_statistics(c, i));
  }
  return first == OLICA_OK ? OLICA_OK : olica_error_set(c->context->env, first, "%s", message);
}

/* Reads the options of every pair before the first one works: a method or a sparsity that is none is found
 * now. */
static olica_status read_all(compare *c) {
  for (int i = c->pairs->count - 1; i >= 0; i--) {
    OLICA_TRY(read_pair(c, c->context, i, &c->options));
    olica_identity_text(&c->options, c->identity[i]);
  }
  return OLICA_OK;
}

/* An interrupted comparison is taken up with its own settings and inputs, or replaced. */
static olica_status check_identity(const compare *c) {
  for (int i = 0; i < c->pairs->count && !c->options.output.overwrite; i++) {
    const olica_pair *pair = &c->pairs->pair[i];
    if (!olica_summary_has(&c->summary, pair, NULL) || olica_summary_has(&c->summary, pair, c->identity[i]))
      continue;
    return olica_error_set(
        c->context->env, OLICA_ERR_CONFIG,
        "%s: method %s, sparsity %s was made with other settings, or inputs have changed since; "
        "expected the same, or [output] overwrite = yes, which makes it again",
        c->options.output.report, pair->method, pair->sparsity);
  }
  return OLICA_OK;
}

/* Loads a pair's report; *report NULL: there is none that can be read. */
static void load_report(olica_env *env, const char *path, json_t **report) {
  if (olica_json_load(env, path, REPORT_BYTES, report) != OLICA_OK) olica_error_clear(env);
}

/* Takes over the pairs that jobs of their own have done (jobs/compare.sh), and one that was done when the
 * comparison was killed before it said so: with these settings, after the last change of the inputs. */
static olica_status adopt(compare *c) {
  olica_env *env = c->context->env;
  for (int i = 0; i < c->pairs->count; i++) {
    const olica_pair *pair = &c->pairs->pair[i];
    olica_arguments arguments = *c->arguments;
    olica_options options = {0};
    const char *name;
    json_t *report;
    if (olica_summary_has(&c->summary, pair, NULL)) continue;
    arguments.pair = pair;
    OLICA_TRY(olica_session_read(env, &arguments, c->config, &options));
    name = options.output.report;
    OLICA_TRY(rename_output(env, pair, &name));
    load_report(env, name, &report);
    olica_status status = OLICA_OK;
    bool made = olica_identity_made(&options, report);
    OLICA_TRY(rename_exports(env, pair, &options.output.export)); /* as a pair of this comparison has them */
    if (made || olica_identity_made(&options, report)) {
      olica_log_line(env, "%s: done before, with the same settings", name);
      status = olica_summary_add(env, &c->summary, pair, name, c->identity[i], report, OLICA_OK, "");
    }
    json_decref(report);
    OLICA_TRY(status);
  }
  return OLICA_OK;
}

static olica_status begin(compare *c) {
  olica_env *env = c->context->env;
  bool resumed = false;
  if (c->context->rank != 0) return OLICA_OK;
  OLICA_TRY(olica_summary_begin(env, c->options.output.report, c->options.config, c->options.output.overwrite,
                                c->options.fresh, &c->summary, &resumed));
  if (resumed)
    olica_log_line(env, "%s: an interrupted comparison: pairs that are done are not run again",
                   c->options.output.report);
  OLICA_TRY(check_identity(c));
  if (!c->options.output.overwrite && !c->options.fresh) OLICA_TRY(adopt(c));
  olica_summary_end(&c->summary, "running");
  return olica_summary_write(env, &c->summary);
}

/* Rank 0's. */
static olica_status end(compare *c, olica_status status, json_t **answer) {
  bool stopped = status == OLICA_STOPPED || ends_all(status);
  olica_summary_end(&c->summary, status == OLICA_OK ? "ok" : stopped ? "stopped" : "failed");
  OLICA_TRY(olica_summary_write(c->context->env, &c->summary));
  if (answer)
    *answer = json_incref(c->summary.root);
  else
    olica_summary_table(&c->summary, stdout);
  return OLICA_OK;
}

olica_status olica_compare_run(olica *o, olica_context *context, const olica_arguments *arguments,
                               const olica_session_config *config, const olica_pairs *pairs,
                               json_t **answer) {
  compare c = {o, context, arguments, config, pairs, .began = olica_timer_now()};
  char message[OLICA_ERROR_TEXT];
  OLICA_TRY(read_all(&c));
  OLICA_TRY(olica_session_check(context, &c.options, true));
  olica_watch_stop(context); /* each pair has its own */
  OLICA_AGREE(context, begin(&c));
  olica_status status = run_pairs(&c);
  snprintf(message, sizeof message, "%s", context->env->error.text);
  OLICA_AGREE(context, context->rank == 0 ? end(&c, status, answer) : OLICA_OK);
  olica_summary_free(&c.summary);
  return status == OLICA_OK ? OLICA_OK : olica_error_set(context->env, status, "%s", message);
}

static olica_status check_pair(const compare *c, olica_context *context, int i) {
  olica_options options = {0};
  OLICA_TRY(read_pair(c, context, i, &options));
  OLICA_AGREE(context, adapt(c, context->env, i, &options, i > 0 && c->options.evaluate.dense));
  if (context->rank == 0)
    printf("%smethod %s, sparsity %s\n", i ? "\n" : "", c->pairs->pair[i].method, c->pairs->pair[i].sparsity);
  OLICA_TRY(olica_session_check(context, &options, false));
  return olica_pipeline_check(context, &options, c->arguments->ranks, c->arguments->ranks_per_node);
}

olica_status olica_compare_check(olica *o, olica_context *context, const olica_arguments *arguments,
                                 const olica_session_config *config, const olica_pairs *pairs) {
  compare c = {o, context, arguments, config, pairs, .began = olica_timer_now()};
  OLICA_TRY(read_all(&c));
  olica_watch_stop(context);
  for (int i = 0; i < pairs->count; i++) {
    olica_context *own;
    OLICA_TRY(olica_place_create(o, &own));
    olica_status status = check_pair(&c, own, i);
    if (status != OLICA_OK)
      olica_error_set(context->env, status, "method %s, sparsity %s: %s", pairs->pair[i].method,
                      pairs->pair[i].sparsity, own->env->error.text);
    olica_place_destroy(o, own, OLICA_OK);
    if (status != OLICA_OK) return status;
  }
  return OLICA_OK;
}
