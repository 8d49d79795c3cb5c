#include "run/outputs.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval/task_files.h"
#include "eval/text_files.h"
#include "exports.h"
#include "io/file.h"
#include "par/comm.h"
#include "prune/method.h"
#include "restart_files.h"
#include "text/sources.h"

#define REPORT "[output] report"

enum { OUTPUTS_MAX = 6 + OLICA_EXPORTS_MAX };

/* A file with its setting: the canonical path of its directory, and its name there. */
typedef struct place {
  const char *setting;
  char *directory; /* memory of realpath; NULL: no such directory, hence no such file */
  const char *name;
  bool locks; /* NAME.lock is made beside it (io/lock) */
} place;

typedef struct outputs {
  olica_env *env;
  const olica_options *options;
  bool report_only; /* compare only pairs with the report */
  int count;
  place place[OUTPUTS_MAX];
  char *restart_name; /* NAME.restart */
  place restart;      /* its place: every file whose name begins with it is an output */
} outputs;

static olica_status find_place(olica_env *env, const char *setting, const char *path, place *at) {
  const char *slash = strrchr(path, '/');
  char *directory;
  OLICA_TRY(olica_file_resolve(env, path, ".", &directory));
  *at = (place){.setting = setting, .directory = realpath(directory, NULL), .name = slash ? slash + 1 : path};
  olica_memory_free(env, directory);
  return OLICA_OK;
}

static olica_status add(outputs *o, const char *setting, const char *path) {
  if (!path || !*path) return OLICA_OK;
  return find_place(o->env, setting, path, &o->place[o->count++]);
}

static olica_status add_locked(outputs *o, const char *setting, const char *path) {
  if (!path || !*path) return OLICA_OK;
  OLICA_TRY(add(o, setting, path));
  o->place[o->count - 1].locks = true;
  return OLICA_OK;
}

/* Returns whether `at` is the output, or a file that is written beside it. */
static bool takes(const place *output, const place *at) {
  if (!output->directory || !at->directory || strcmp(output->directory, at->directory) != 0) return false;
  size_t length = strlen(output->name);
  if (strncmp(at->name, output->name, length) != 0) return false;
  const char *rest = at->name + length;
  return !*rest || strcmp(rest, ".part") == 0 || (output->locks && strcmp(rest, ".lock") == 0);
}

static bool is_restart(const place *restart, const place *at) {
  return restart->directory && at->directory && strcmp(restart->directory, at->directory) == 0 &&
         strncmp(at->name, restart->name, strlen(restart->name)) == 0;
}

/* Refuses two files at one place; `input`: the other one is read, else it is written too. */
static olica_status clash(const outputs *o, const char *output, const place *at, bool input) {
  const char *format = input ? "%s: %s would be written over %s, %s/%s; expected a file of its own"
                             : "%s: %s and %s are both %s/%s, expected two files";
  return olica_error_set(o->env, OLICA_ERR_CONFIG, format, o->options->config, output, at->setting,
                         at->directory, at->name);
}

static bool concerns(const outputs *o, const place *at) {
  return !o->report_only || strcmp(at->setting, REPORT) == 0;
}

static olica_status check_place(const outputs *o, const place *at, bool input) {
  for (int i = 0; i < o->count; i++)
    if (&o->place[i] != at && (concerns(o, &o->place[i]) || concerns(o, at)) && takes(&o->place[i], at))
      return clash(o, o->place[i].setting, at, input);
  return concerns(o, at) && is_restart(&o->restart, at) ? clash(o, "a restart file", at, input) : OLICA_OK;
}

/* Checks an input under its own name, and the target if it is a link. */
static olica_status check_input(const outputs *o, const char *setting, const char *path) {
  if (!*path) return OLICA_OK;
  char *target = realpath(path, NULL);
  olica_status status = OLICA_OK;
  for (int i = 0; i < 2 && status == OLICA_OK; i++) {
    const char *file = i == 0 ? path : target;
    place at = {0};
    if (!file) continue;
    status = find_place(o->env, setting, file, &at);
    if (status == OLICA_OK) status = check_place(o, &at, true);
    free(at.directory);
  }
  free(target);
  return status;
}

/* Returns whether a file of this name in a model's directory belongs to the model. */
static bool is_of_model(const char *name) {
  static const char *const patterns[] = {
      "config.json",           "*.safetensors",         "*.safetensors.index.json", "tokenizer.json",
      "tokenizer.model",       "tokenizer_config.json", "special_tokens_map.json",  "added_tokens.json",
      "generation_config.json"};
  for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
    if (fnmatch(patterns[i], name, 0) == 0) return true;
  return false;
}

/* Checks a model's or a tokenizer's directory, or a checkpoint. */
static olica_status check_model(const outputs *o, const char *setting, const char *path) {
  OLICA_TRY(check_input(o, setting, path));
  char *directory = *path ? realpath(path, NULL) : NULL;
  olica_status status = OLICA_OK;
  for (int i = 0; i < o->count && directory && status == OLICA_OK; i++) {
    const place *at = &o->place[i];
    if (concerns(o, at) && at->directory && strcmp(at->directory, directory) == 0 && is_of_model(at->name))
      status = clash(o, at->setting,
                     &(place){.setting = setting, .directory = at->directory, .name = at->name}, true);
  }
  free(directory);
  return status;
}

static olica_status check_lists(const outputs *o) {
  olica_text_sources texts = {0};
  olica_task_files tasks = {0};
  olica_status status = OLICA_OK;
  if (*o->options->calibration.text)
    OLICA_TRY(olica_sources_parse(o->env, o->options->config, o->options->calibration.base,
                                  o->options->calibration.text, &texts));
  OLICA_TRY(olica_task_files_parse(o->env, o->options->config, o->options->evaluate.base,
                                   o->options->evaluate.tasks, &tasks));
  for (int i = 0; i < texts.count && status == OLICA_OK; i++)
    status = check_input(o, "[calibration] text", texts.source[i].path);
  for (int i = 0; i < tasks.count && status == OLICA_OK; i++)
    status = check_input(o, "[evaluate] tasks", tasks.file[i].path);
  olica_sources_free(o->env, &texts);
  olica_task_files_free(o->env, &tasks);
  return status;
}

static olica_status check_evaluation_texts(const outputs *o) {
  const olica_options *options = o->options;
  const char *base = options->evaluate.text_base, *value = options->evaluate.text;
  olica_text_files texts;
  if (olica_text_files_is_file(o->env, base, value)) {
    char *whole;
    OLICA_TRY(olica_file_resolve(o->env, base, value, &whole));
    olica_status status = check_input(o, "[evaluate] text", whole);
    olica_memory_free(o->env, whole);
    return status;
  }
  OLICA_TRY(olica_text_files_parse(o->env, options->config, base, value, &texts));
  olica_status status = OLICA_OK;
  for (int i = 0; i < texts.count && status == OLICA_OK; i++)
    status = check_input(o, "[evaluate] text", texts.file[i].path);
  olica_text_files_free(o->env, &texts);
  return status;
}

static olica_status add_exports(outputs *o) {
  olica_export_list list;
  OLICA_TRY(olica_exports_list(o->env, o->options, &list));
  for (int i = 0; i < list.count; i++) OLICA_TRY(add_locked(o, "[output] export", list.target[i].path));
  return OLICA_OK;
}

static olica_status add_all(outputs *o) {
  const olica_options *options = o->options;
  bool prunes = options->prune.method != OLICA_METHOD_NONE;
  OLICA_TRY(add_locked(o, REPORT, options->output.report));
  OLICA_TRY(add(o, "--predictions", options->predictions));
  OLICA_TRY(add(o, "--dump-tokens", options->dump_tokens));
  if (!prunes) return OLICA_OK;
  OLICA_TRY(add_locked(o, "[output] checkpoint", options->output.checkpoint));
  OLICA_TRY(add_exports(o));
  OLICA_TRY(add_locked(o, "[calibration] save", options->calibration.save));
  return find_place(o->env, "a restart file", o->restart_name, &o->restart);
}

static olica_status check(outputs *o) {
  const olica_options *options = o->options;
  OLICA_TRY(add_all(o));
  for (int i = 0; i < o->count; i++) OLICA_TRY(check_place(o, &o->place[i], false));
  OLICA_TRY(check_input(o, "the config file", options->config));
  OLICA_TRY(check_model(o, "[model] path", options->model.path));
  OLICA_TRY(check_model(o, "[model] tokenizer", options->model.tokenizer));
  OLICA_TRY(check_input(o, "[calibration] tokens", options->calibration.tokens));
  OLICA_TRY(check_input(o, "[evaluate] tokens", options->evaluate.tokens));
  OLICA_TRY(check_evaluation_texts(o));
  return check_lists(o);
}

/* Makes a directory, and those above it. */
static olica_status make_directory(olica_env *env, const char *directory) {
  char *path = olica_memory_string(env, directory);
  if (!path) return env->error.code;
  for (char *slash = path; slash; *slash = '/') {
    slash = strchr(slash + 1, '/');
    if (slash) *slash = '\0';
    if (mkdir(path, 0777) != 0 && errno != EEXIST && access(path, F_OK) != 0)
      return olica_error_set(env, OLICA_ERR_IO, "--output: cannot make the directory %s: %s", path,
                             strerror(errno));
    if (!slash) break;
  }
  olica_memory_free(env, path);
  return OLICA_OK;
}

/* Refuses a name that ends in a slash: it would be a directory. */
static olica_status check_name(olica_env *env, const char *setting, const char *path) {
  size_t length = strlen(path);
  if (path[length - 1] != '/') return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_CONFIG, "%s: %s ends in a slash, expected a file's name", setting,
                         path);
}

/* Rank 0 finds the target of an output that is a link. A later check refuses an output that is no regular
 * file. */
static olica_status follow(olica_env *env, const char *setting, const char *path, char **target) {
  struct stat info;
  OLICA_TRY(check_name(env, setting, path));
  bool there = stat(path, &info) == 0, regular = there && S_ISREG(info.st_mode);
  if (there && !regular) return (*target = olica_memory_string(env, path)) ? OLICA_OK : env->error.code;
  if (olica_file_follow(env, path, target) != OLICA_OK) return olica_error_context(env, "%s: ", setting);
  if (strcmp(*target, path) != 0)
    olica_log_line(env, "%s: %s is a link; what is written is %s", setting, path, *target);
  if (regular && info.st_nlink > 1)
    olica_log_warn(env, "%s: %s has other names (hard links): they keep what they have", setting, path);
  return OLICA_OK;
}

/* Gives all ranks rank 0's target. */
static olica_status follow_on_all(olica_context *context, const char *setting, const char **path) {
  if (!*path || !**path) return OLICA_OK;
  char *target = NULL;
  OLICA_AGREE(context, context->rank == 0 ? follow(context->env, setting, *path, &target) : OLICA_OK);
  size_t bytes = target ? strlen(target) + 1 : 0;
  olica_comm_bcast(context, context->comm, &bytes, sizeof bytes, 0);
  OLICA_AGREE(context, target ? OLICA_OK : OLICA_NEW(context->env, target, bytes));
  olica_comm_bcast(context, context->comm, target, bytes, 0);
  *path = target;
  return OLICA_OK;
}

/* Returns whether the checkpoint is a link to no file and overwrite = no: it keeps its name, and the probe
 * refuses it. */
static bool stays(olica_context *context, const olica_options *options) {
  const char *path = options->output.checkpoint;
  struct stat info;
  bool leads_nowhere = context->rank == 0 && !options->output.overwrite && lstat(path, &info) == 0 &&
                       S_ISLNK(info.st_mode) && stat(path, &info) != 0 && errno == ENOENT;
  olica_comm_bcast(context, context->comm, &leads_nowhere, sizeof leads_nowhere, 0);
  return leads_nowhere;
}

olica_status olica_outputs_follow(olica_context *context, olica_options *options, bool make) {
  bool makes = make && options->directory && context->rank == 0;
  OLICA_AGREE(context, makes ? make_directory(context->env, options->directory) : OLICA_OK);
  OLICA_TRY(follow_on_all(context, "[output] report", &options->output.report));
  OLICA_TRY(follow_on_all(context, "--predictions", &options->predictions));
  OLICA_TRY(follow_on_all(context, "--dump-tokens", &options->dump_tokens));
  if (options->prune.method == OLICA_METHOD_NONE) return OLICA_OK;
  OLICA_TRY(follow_on_all(context, "[calibration] save", &options->calibration.save));
  if (stays(context, options)) return OLICA_OK;
  return follow_on_all(context, "[output] checkpoint", &options->output.checkpoint);
}

static olica_status compare(olica_context *context, const olica_options *options, bool report_only) {
  outputs o = {.env = context->env, .options = options, .report_only = report_only};
  if (options->prune.method != OLICA_METHOD_NONE)
    OLICA_TRY(olica_restart_files_name(context, options, &o.restart_name));
  olica_status status = context->rank == 0 ? check(&o) : OLICA_OK;
  for (int i = 0; i < o.count; i++) free(o.place[i].directory);
  free(o.restart.directory);
  olica_memory_free(context->env, o.restart_name);
  OLICA_AGREE(context, status);
  return OLICA_OK;
}

olica_status olica_outputs_check(olica_context *context, const olica_options *options) {
  return compare(context, options, false);
}

olica_status olica_outputs_check_report(olica_context *context, olica_options *options) {
  OLICA_TRY(follow_on_all(context, "[output] report", &options->output.report));
  return compare(context, options, true);
}
