#include "config/reader.h"

#include <errno.h>
#include <mpi.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "checks.h"
#include "config/fields.h"
#include "config/ini.h"
#include "config/pairs.h"
#include "config/settings.h"
#include "config/targets.h"
#include "config/value.h"
#include "eval/text_files.h"
#include "io/file.h"
#include "paths.h"

enum { HINTS_MAX = 256 }; /* keys of [io] */

typedef struct reader {
  olica_env *env;
  const char *config;
  const char *variables; /* rank 0's */
  olica_options *options;
  const olica_pair *pair;       /* the job of a comparison; NULL: the only job */
  bool set[OLICA_SETTINGS_MAX]; /* by number: --set gave the value */
  bool choosing; /* in the first pass, which reads [prune] method alone: the others may be the method's */
  int line[OLICA_SETTINGS_MAX]; /* by number: line of the config file; 0: --set, or the default */
} reader;

/* Returns the place of a setting's value: in the options, or in the struct of its method. */
static void *field(olica_options *options, const olica_setting *setting) {
  int method = olica_settings_method(setting);
  char *base = method == OLICA_METHOD_NONE ? (char *)options : options->prune.own[method];
  return base + setting->at;
}

static olica_status refuse_unknown(reader *in, int line, const char *section, const char *key) {
  char where[OLICA_CHECKS_PLACE], nearest[OLICA_SETTINGS_TEXT], hint[OLICA_SETTINGS_TEXT + 16] = "see --list";
  if (olica_settings_nearest(section, key, nearest)) snprintf(hint, sizeof hint, "did you mean %s?", nearest);
  olica_checks_place(in->config, line, where);
  if (!key)
    return olica_error_set(in->env, OLICA_ERR_CONFIG, "%s: unknown section [%.80s]; %s", where, section,
                           hint);
  return olica_error_set(in->env, OLICA_ERR_CONFIG, "%s: unknown key %.80s in [%s]; %s", where, key, section,
                         hint);
}

/* Adds a free key of [io], or replaces one of the same name. */
static olica_status add_hint(reader *in, int line, const char *key, const char *value) {
  char where[OLICA_CHECKS_PLACE];
  if (strlen(key) >= MPI_MAX_INFO_KEY || strlen(value) >= MPI_MAX_INFO_VAL || !*value || !*key)
    return olica_error_set(
        in->env, OLICA_ERR_CONFIG,
        "%s: [io] %.80s = \"%.80s\", expected a hint of 1 to %d characters, its name of 1 to %d",
        olica_checks_place(in->config, line, where), key, value, MPI_MAX_INFO_VAL - 1, MPI_MAX_INFO_KEY - 1);
  int i = 0;
  while (i < in->options->io.count && strcmp(in->options->io.hint[i].key, key) != 0) i++;
  if (i == HINTS_MAX)
    return olica_error_set(in->env, OLICA_ERR_CONFIG,
                           "%s: [io] %.80s is one too many, expected at most %d hints",
                           olica_checks_place(in->config, line, where), key, HINTS_MAX);
  in->options->io.hint[i] = (olica_hint){key, value};
  if (i == in->options->io.count) in->options->io.count++;
  return OLICA_OK;
}

/* Expands quotation marks, ~ and variables of a path, or of the files of a list. */
static olica_status expand(reader *in, int line, const olica_setting *setting, const char **value) {
  char where[OLICA_CHECKS_PLACE], named[OLICA_CHECKS_PLACE + OLICA_SETTINGS_TEXT], *path;
  bool texts = setting->kind == OLICA_KIND_TEXTS;
  bool list = setting->kind == OLICA_KIND_FILES || (texts && olica_text_files_is_list(*value));
  if (setting->kind != OLICA_KIND_PATH && !texts && !list) return OLICA_OK;
  snprintf(named, sizeof named, "%s: [%s] %s", olica_checks_place(in->config, line, where), setting->section,
           setting->key);
  OLICA_TRY(olica_paths_expand(in->env, named, in->variables, *value, list, &path));
  *value = path;
  return OLICA_OK;
}

static olica_status refuse_other_method(reader *in, int line, const olica_setting *setting) {
  char where[OLICA_CHECKS_PLACE];
  return olica_error_set(
      in->env, OLICA_ERR_CONFIG,
      "%s: [%s] %s belongs to method = %s, but [prune] method = %s; remove it, or choose that method",
      olica_checks_place(in->config, line, where), setting->section, setting->key,
      olica_method_at(olica_settings_method(setting))->name,
      olica_method_at(in->options->prune.method)->name);
}

/* A list of [prune] stands for its element in this pair. */
static const char *element_of(const reader *in, const olica_setting *setting, const char *value) {
  if (!in->pair || strcmp(setting->section, "prune") != 0) return value;
  if (strcmp(setting->key, "method") == 0) return in->pair->method;
  return strcmp(setting->key, "sparsity") == 0 ? in->pair->sparsity : value;
}

/* Returns true for a setting of another method that is compared, too. */
static bool is_of_another_pair(const reader *in, const olica_setting *setting) {
  return in->pair && (in->pair->listed >> olica_settings_method(setting) & 1) != 0;
}

/* Takes one value from a line of the file, or from --set (line 0). */
static olica_status take(reader *in, int line, const char *section, const char *key, const char *value) {
  if (in->choosing && !(key && strcmp(section, "prune") == 0 && strcmp(key, "method") == 0)) return OLICA_OK;
  if (!olica_settings_section(section)) return refuse_unknown(in, line, section, NULL);
  if (!key) return OLICA_OK;
  if (strcmp(section, OLICA_SETTINGS_HINTS) == 0) return add_hint(in, line, key, value);
  int method = in->options->prune.method;
  const olica_setting *setting = olica_settings_find(section, key, method);
  if (!setting) return refuse_unknown(in, line, section, key);
  char where[OLICA_CHECKS_PLACE];
  if (method != OLICA_METHOD_NONE && !olica_options_has(in->options, setting))
    return is_of_another_pair(in, setting) ? OLICA_OK : refuse_other_method(in, line, setting);
  value = element_of(in, setting, value);
  int index = olica_settings_index(setting);
  in->line[index] = line;
  in->set[index] = line == 0;
  OLICA_TRY(expand(in, line, setting, &value));
  return olica_value_parse(in->env, olica_checks_place(in->config, line, where), setting, value,
                           field(in->options, setting));
}

/* Makes memory for the settings of every method. */
static olica_status make_own(reader *in) {
  const olica_method *method;
  for (int m = 0; (method = olica_method_at(m)); m++) {
    if (method->settings_bytes == 0) continue;
    in->options->prune.own[m] = olica_memory_get(in->env, "settings", method->settings_bytes, 1);
    if (!in->options->prune.own[m]) return in->env->error.code;
  }
  return OLICA_OK;
}

static olica_status take_defaults(reader *in) {
  const olica_setting *setting;
  for (int i = 0; (setting = olica_settings_at(i)); i++)
    if (olica_value_parse(in->env, "default", setting, setting->fallback, field(in->options, setting)))
      return olica_error_set(in->env, OLICA_ERR_INTERNAL, "settings: the default of [%s] %s does not parse",
                             setting->section, setting->key);
  return OLICA_OK;
}

static olica_status take_file(reader *in, const olica_ini *ini) {
  for (int i = 0; i < ini->count; i++) {
    const olica_ini_entry *entry = &ini->entry[i];
    OLICA_TRY(take(in, entry->line, entry->section, entry->key, entry->value));
  }
  return OLICA_OK;
}

/* Takes "section.key=value" of --set. */
static olica_status take_set(reader *in, const char *given) {
  char *section = olica_memory_string(in->env, given);
  if (!section) return in->env->error.code;
  char *equals = strchr(section, '=');
  if (equals) *equals = '\0';
  char *dot = strchr(section, '.');
  for (const char *c = given; *c; c++)
    if ((unsigned char)*c < ' ')
      return olica_error_set(in->env, OLICA_ERR_CONFIG,
                             "--set: control character 0x%02x, expected plain text", *c);
  if (!equals || !dot)
    return olica_error_set(in->env, OLICA_ERR_CONFIG, "--set \"%.80s\", expected section.key=value", given);
  *dot = '\0';
  return take(in, 0, olica_ini_trim(section), olica_ini_trim(dot + 1), olica_ini_trim(equals + 1));
}

/* Returns the file that paths in the value of setting i are relative to: the config file; with --set none,
 * "". */
static const char *base_of(const reader *in, int i) {
  return in->set[i] ? "" : in->config;
}

/* Moves an output into the directory of --output, unless --set named it. */
static olica_status move_output(reader *in, int i) {
  const char **path = field(in->options, olica_settings_at(i)), *slash = strrchr(*path, '/');
  const char *directory = in->options->directory;
  char *base, *moved;
  size_t length = strlen(directory), bytes = length + 2;
  OLICA_TRY(OLICA_NEW(in->env, base, bytes));
  snprintf(base, bytes, "%s%s", directory, directory[length - 1] == '/' ? "" : "/");
  OLICA_TRY(olica_file_resolve(in->env, base, slash ? slash + 1 : *path, &moved));
  *path = moved;
  return OLICA_OK;
}

static bool is_moved(const reader *in, int i) {
  const olica_setting *setting = olica_settings_at(i);
  return in->options->directory && !in->set[i] && strcmp(setting->section, "output") == 0;
}

/* Returns whether the value is one path. */
static bool is_path(reader *in, const olica_setting *setting) {
  if (setting->kind != OLICA_KIND_TEXTS) return setting->kind == OLICA_KIND_PATH;
  const char **value = field(in->options, setting);
  return !olica_text_files_is_list(*value);
}

/* Makes paths relative to where the program was started. */
static olica_status resolve_paths(reader *in) {
  const olica_setting *setting;
  for (int i = 0; (setting = olica_settings_at(i)); i++) {
    if (!is_path(in, setting)) continue;
    const char **path = field(in->options, setting);
    char *resolved;
    if (!**path) continue;
    if (is_moved(in, i)) {
      OLICA_TRY(move_output(in, i));
      continue;
    }
    OLICA_TRY(olica_file_resolve(in->env, base_of(in, i), *path, &resolved));
    *path = resolved;
  }
  return OLICA_OK;
}

/* Does the same to the paths of [output] export. */
static olica_status resolve_exports(reader *in) {
  int i = olica_settings_index(olica_settings_find("output", "export", OLICA_METHOD_NONE));
  const char *directory = is_moved(in, i) ? in->options->directory : NULL;
  char *resolved;
  OLICA_TRY(olica_targets_resolve(in->env, base_of(in, i), directory, in->options->output.export, &resolved));
  in->options->output.export = resolved;
  return OLICA_OK;
}

static const char *base_named(const reader *in, const char *section, const char *key) {
  return base_of(in, olica_settings_index(olica_settings_find(section, key, OLICA_METHOD_NONE)));
}

/* Takes the paths of the command line, which are relative to where the program was started. */
static olica_status take_command_paths(reader *in, const olica_arguments *arguments) {
  const char *const given[] = {arguments->dump_tokens, arguments->predictions, arguments->output};
  const char **const to[] = {&in->options->dump_tokens, &in->options->predictions, &in->options->directory};
  static const char *const names[] = {"--dump-tokens", "--predictions", "--output"};
  for (int i = 0; i < 3; i++) {
    char *path;
    if (!given[i]) continue;
    OLICA_TRY(olica_paths_expand(in->env, names[i], in->variables, given[i], false, &path));
    *to[i] = path;
  }
  return OLICA_OK;
}

/* Reads standard input up to its end, or up to the first byte that is too many. */
static olica_status load_stream(olica_env *env, char **text, size_t *bytes) {
  size_t room = 0;
  ssize_t n = 1;
  *bytes = 0;
  while (n > 0 && *bytes <= OLICA_INI_BYTES) {
    OLICA_TRY(OLICA_GROW(env, *text, room, *bytes, *bytes + 4096));
    do n = read(STDIN_FILENO, *text + *bytes, room - *bytes - 1);
    while (n < 0 && errno == EINTR);
    if (n > 0) *bytes += (size_t)n;
  }
  if (n < 0)
    return olica_error_set(env, OLICA_ERR_IO, OLICA_OPTIONS_STDIN ": cannot read the config: %s",
                           strerror(errno));
  (*text)[*bytes] = '\0';
  return OLICA_OK;
}

static bool is_stream(const char *config) {
  return strcmp(config, "-") == 0;
}

olica_status olica_options_load(olica_env *env, const char *path, char **text, size_t *bytes) {
  *text = NULL;
  if (is_stream(path)) return load_stream(env, text, bytes);
  olica_status status = olica_file_load(env, path, OLICA_INI_BYTES, text, bytes);
  return status == OLICA_ERR_INPUT ? env->error.code = OLICA_ERR_CONFIG : status;
}

olica_status olica_options_variables(olica_env *env, const olica_arguments *arguments, const char *text,
                                     char **variables, size_t *bytes) {
  const char **all;
  int count = arguments->sets + 4;
  OLICA_TRY(OLICA_NEW(env, all, (size_t)count));
  for (int i = 0; i < arguments->sets; i++) all[i] = arguments->set[i];
  const char *const own[] = {text, arguments->output, arguments->dump_tokens, arguments->predictions};
  memcpy(all + arguments->sets, own, sizeof own);
  olica_status status = olica_paths_variables(env, count, all, variables, bytes);
  olica_memory_free(env, all);
  return status;
}

olica_status olica_options_read(olica_env *env, const olica_arguments *arguments, const char *text,
                                size_t bytes, olica_options *options) {
  const char *config = is_stream(arguments->config) ? OLICA_OPTIONS_STDIN : arguments->config;
  *options =
      (olica_options){.config = config, .command_line = arguments->command_line, .fresh = arguments->fresh};
  reader in = {.env = env,
               .config = config,
               .variables = arguments->variables,
               .options = options,
               .pair = arguments->pair};
  olica_ini ini;
  OLICA_TRY(olica_ini_parse(env, in.config, text, bytes, &ini));
  OLICA_TRY(OLICA_NEW(env, options->io.hint, (size_t)(ini.count + arguments->sets)));
  OLICA_TRY(make_own(&in));
  OLICA_TRY(take_defaults(&in));
  for (int pass = 0; pass < 2; pass++) {
    in.choosing = pass == 0;
    OLICA_TRY(take_file(&in, &ini));
    for (int i = 0; i < arguments->sets; i++) OLICA_TRY(take_set(&in, arguments->set[i]));
  }
  options->calibration.base = base_named(&in, "calibration", "text");
  options->evaluate.base = base_named(&in, "evaluate", "tasks");
  options->evaluate.text_base = base_named(&in, "evaluate", "text");
  OLICA_TRY(take_command_paths(&in, arguments));
  OLICA_TRY(resolve_paths(&in));
  OLICA_TRY(resolve_exports(&in));
  options->whole = true;
  return arguments->command == OLICA_COMMAND_EXPORT ? OLICA_OK : olica_checks_options(env, options, in.line);
}
