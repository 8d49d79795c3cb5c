#include "checks.h"

#include <stdarg.h>
#include <stdio.h>

#include "config/settings.h"
#include "eval/task_files.h"
#include "eval/text_files.h"
#include "text/sources.h"

typedef struct checks {
  olica_env *env;
  const olica_options *options;
  const int *line; /* lines, by number of the setting */
} checks;

const char *olica_checks_place(const char *config, int line, char *text) {
  if (line)
    snprintf(text, OLICA_CHECKS_PLACE, "%s:%d", config, line);
  else
    snprintf(text, OLICA_CHECKS_PLACE, "--set");
  return text;
}

static const char *place_of(const checks *in, const char *section, const char *key, char *text) {
  const olica_setting *setting = olica_settings_find(section, key, OLICA_METHOD_NONE);
  return olica_checks_place(in->options->config, in->line[olica_settings_index(setting)], text);
}

static olica_status refuse(const checks *in, const char *format, ...) __attribute__((format(printf, 2, 3)));

static olica_status refuse(const checks *in, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return olica_error_set(in->env, OLICA_ERR_CONFIG, "%s: %s", in->options->config, text);
}

/* Parses the lists, to refuse bad ones early; the readers of their files parse them again. */
static olica_status check_lists(const checks *in) {
  const olica_options *o = in->options;
  char place[OLICA_CHECKS_PLACE], where[OLICA_CHECKS_PLACE + 32];
  olica_text_sources sources;
  olica_task_files tasks;
  olica_text_files texts;
  if (*o->calibration.text) {
    snprintf(where, sizeof where, "%s: [calibration] text", place_of(in, "calibration", "text", place));
    OLICA_TRY(olica_sources_parse(in->env, where, o->calibration.base, o->calibration.text, &sources));
    olica_sources_free(in->env, &sources);
  }
  place_of(in, "evaluate", "tasks", place);
  OLICA_TRY(olica_task_files_parse(in->env, place, o->evaluate.base, o->evaluate.tasks, &tasks));
  olica_task_files_free(in->env, &tasks);
  place_of(in, "evaluate", "text", place);
  OLICA_TRY(olica_text_files_parse(in->env, place, o->evaluate.text_base, o->evaluate.text, &texts));
  olica_text_files_free(in->env, &texts);
  return OLICA_OK;
}

/* Checks that [evaluate] kl = yes has two models and a text. */
static olica_status check_comparison(const checks *in) {
  const olica_options *o = in->options;
  const olica_method *method = olica_method_at(o->prune.method);
  if (!o->evaluate.kl) return OLICA_OK;
  if (!olica_method_prunes(method))
    return refuse(in,
                  "[evaluate] kl = yes compares the pruned model with the dense one, and [prune] method = %s "
                  "prunes nothing; expected a method that prunes, or kl = no",
                  method->name);
  if (!o->evaluate.dense)
    return refuse(
        in, "[evaluate] kl = yes compares the pruned model with the dense one, and dense = no leaves that "
            "out; expected dense = yes, or kl = no");
  if (!*o->evaluate.text && !*o->evaluate.tokens)
    return refuse(in,
                  "[evaluate] kl = yes compares two models on a text, and there is neither text nor tokens; "
                  "expected one of them, or kl = no");
  return OLICA_OK;
}

/* Checks the settings together, as far as that does not depend on the model. */
static olica_status check_together(const checks *in) {
  const olica_options *o = in->options;
  const olica_method *method = olica_method_at(o->prune.method);
  bool prunes = olica_method_prunes(method);
  if (!*o->model.path)
    return refuse(in, "[model] path is empty, expected a model's directory or a checkpoint");
  if (*o->calibration.tokens && *o->calibration.text)
    return refuse(in, "[calibration] has tokens and text, expected one of them");
  if (*o->evaluate.tokens && *o->evaluate.text)
    return refuse(in, "[evaluate] has tokens and text, expected one of them");
  if (method->calibrates && !*o->calibration.tokens && !*o->calibration.text)
    return refuse(in, "[calibration] has neither tokens nor text, expected one of them to prune on");
  if (o->dump_tokens && !method->calibrates)
    return refuse(in, "[prune] method = %s calibrates on nothing, expected a method with --dump-tokens",
                  method->name);
  if (prunes && !*o->output.checkpoint)
    return refuse(in, "[output] checkpoint is empty, expected the file to write the pruned model to");
  if (!prunes && *o->output.export)
    return refuse(in,
                  "[output] export with [prune] method = none: nothing is written that could be exported; "
                  "olica_mpi --export KIND:PATH FILE.h5 exports a checkpoint that is there");
  if (!prunes && !olica_options_evaluates(o))
    return refuse(in, "nothing to do: [prune] method = none, and [evaluate] has no tokens, text or tasks");
  if (o->predictions && !*o->evaluate.tasks)
    return refuse(in, "[evaluate] tasks is empty, expected some with --predictions");
  if (prunes && o->run.walltime > 0 && !olica_options_restarts(o))
    return refuse(in,
                  "[run] walltime with [restart] every = off would stop for nothing, expected one of them");
  if (o->evaluate.stride > o->evaluate.length)
    return refuse(in, "[evaluate] stride = %lld, expected at most length = %lld",
                  (long long)o->evaluate.stride, (long long)o->evaluate.length);
  return OLICA_OK;
}

olica_status olica_checks_options(olica_env *env, const olica_options *options, const int line[]) {
  const checks in = {env, options, line};
  OLICA_TRY(check_lists(&in));
  OLICA_TRY(check_comparison(&in));
  return check_together(&in);
}
