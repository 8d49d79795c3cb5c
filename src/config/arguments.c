#include "config/arguments.h"

#include <assert.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/settings.h"

/* The effect of an option; its operand stands behind `=` or in the next word. */
typedef enum effect { SET, FLAG, COUNT, TEXT, COMMAND } effect;

#define INTO(effect, field) effect, offsetof(olica_arguments, field), OLICA_COMMAND_RUN
#define RUNS(command) COMMAND, 0, OLICA_COMMAND_##command
#define RUNS_ON(command, field) COMMAND, offsetof(olica_arguments, field), OLICA_COMMAND_##command

static const struct {
  olica_argument argument;
  effect effect;
  size_t at;             /* field of olica_arguments that a FLAG, a COUNT or the operand goes into; 0: none */
  olica_command command; /* COMMAND */
} table[] = {
    {{"--set", "section.key=value",
      "overrides one setting, a path as seen from here; repeatable, the last one counts"},
     INTO(SET, set)},
    {{"--check", "", "prints the plan and what it needs; writes nothing; works without mpirun"}, RUNS(CHECK)},
    {{"--ranks", "N", "with --check: as for mpirun -n N, on this machine alone"}, INTO(COUNT, ranks)},
    {{"--ranks-per-node", "M", "with --check: on several machines, so many on each"},
     INTO(COUNT, ranks_per_node)},
    {{"--verify", "FILE.h5",
      "re-reads a checkpoint, or an exported directory or GGUF file: shapes, checksums; any rank count"},
     RUNS_ON(VERIFY, file)},
    {{"--against", "FILE.h5",
      "with --verify of an export: compares every number with those that this checkpoint gives"},
     INTO(TEXT, against)},
    {{"--inspect", "PATH", "shows what a checkpoint, model, export, GGUF file or report holds"},
     RUNS_ON(INSPECT, file)},
    {{"--diff", "A B", "shows how two of them differ; reads the tensors that both have"},
     RUNS_ON(DIFF, other)},
    {{"--json", "", "with --inspect and --diff: prints JSON"}, INTO(FLAG, json)},
    {{"--export", "KIND:PATH FILE.h5",
      "writes a checkpoint for other tools (doc/export.md), hf:DIR or gguf:FILE; any rank count"},
     RUNS_ON(EXPORT, export)},
    {{"--quiet", "", "warnings and the closing table only"}, INTO(FLAG, quiet)},
    {{"--fresh", "", "starts over: removes restart files, replaces a saved survey"}, INTO(FLAG, fresh)},
    {{"--tokenize", "DIR FILE", "prints the ids of a text as the model's tokenizer gives them"},
     RUNS_ON(TOKENIZE, tokenizer)},
    {{"--detokenize", "DIR FILE", "turns a line of ids back into text"}, RUNS_ON(DETOKENIZE, tokenizer)},
    {{"--special", "",
      "with --tokenize: adds the tokenizer's own special tokens; with --detokenize: leaves them out"},
     INTO(FLAG, special)},
    {{"--dump-tokens", "FILE.npy",
      "writes the calibration's ids, over a file of that name; with --check only them"},
     INTO(TEXT, dump_tokens)},
    {{"--predictions", "FILE.jsonl",
      "writes every question's log-likelihoods and answers, over a file of that name"},
     INTO(TEXT, predictions)},
    {{"--output", "DIR", "checkpoint and report go into DIR, under their own names; made if it is not there"},
     INTO(TEXT, output)},
    {{"--plot", "OUTDIR",
      "draws the reports that follow (report.json...) into OUTDIR, with a page of them; no mpirun"},
     RUNS_ON(PLOT, plot)},
    {{"--list", "", "every setting, and the methods, solvers, model families and tasks known"}, RUNS(LIST)},
    {{"--help", "", "this text"}, RUNS(HELP)},
    {{"--version", "", "version, git hash, libraries"}, RUNS(VERSION)},
};

enum { ARGUMENTS = sizeof table / sizeof *table };

const olica_argument *olica_arguments_at(int i) {
  return i >= 0 && i < ARGUMENTS ? &table[i].argument : NULL;
}

/* Returns the position of an option in the table, its name ending at `=`; -1 if there is none. */
static int find(const char *word) {
  size_t length = strcspn(word, "=");
  for (int i = 0; i < ARGUMENTS; i++)
    if (strlen(table[i].argument.name) == length && strncmp(word, table[i].argument.name, length) == 0)
      return i;
  return -1;
}

static olica_status refuse_unknown(olica_env *env, const char *word) {
  char name[32];
  snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
  int best = 0, least = INT_MAX;
  for (int i = 0; i < ARGUMENTS; i++) {
    int distance = olica_settings_distance(name, table[i].argument.name);
    if (distance < least) best = i, least = distance;
  }
  bool near = least <= 4 && 2 * least < (int)strlen(name);
  return olica_error_set(env, OLICA_ERR_CONFIG, "unknown option %s; try %s", name,
                         near ? table[best].argument.name : "--help");
}

static olica_status read_count(olica_env *env, const char *name, const char *text, int *count) {
  assert(text);
  char *end;
  long number = strtol(text, &end, 10);
  if (end == text || *end || number < 1 || number > 1 << 24)
    return olica_error_set(env, OLICA_ERR_CONFIG, "%s \"%s\", expected a whole number from 1 to %d", name,
                           text, 1 << 24);
  *count = (int)number;
  return OLICA_OK;
}

/* Sets the command; refuses a second one (--check --verify FILE). */
static olica_status take_command(olica_env *env, const char *name, olica_command command,
                                 olica_arguments *out) {
  if (out->command != OLICA_COMMAND_RUN)
    return olica_error_set(env, OLICA_ERR_CONFIG, "%s %s, expected one command; try --help", name,
                           out->command == command ? "twice" : "beside another command");
  out->command = command;
  return OLICA_OK;
}

static olica_status take(olica_env *env, int option, const char *operand, olica_arguments *out) {
  const char *name = table[option].argument.name;
  void *field = (char *)out + table[option].at;
  switch (table[option].effect) {
  case SET:
    out->set[out->sets++] = operand;
    return OLICA_OK;
  case FLAG:
    *(bool *)field = true;
    return OLICA_OK;
  case COUNT:
    return read_count(env, name, operand, field);
  case TEXT:
    *(const char **)field = operand;
    return OLICA_OK;
  case COMMAND:
    if (table[option].at > 0) *(const char **)field = operand;
    return take_command(env, name, table[option].command, out);
  }
  return OLICA_OK;
}

/* Takes the option at argv[*i] and moves *i over its operand. */
static bool is_option(const char *word) {
  return word && strncmp(word, "--", 2) == 0;
}

static olica_status take_option(olica_env *env, int argc, char **argv, int *i, olica_arguments *out) {
  const char *word = argv[*i];
  int option = find(word);
  if (option < 0) return refuse_unknown(env, word);
  const olica_argument *known = &table[option].argument;
  const char *operand = strchr(word, '=');
  if (operand) operand++;
  if (operand && !*known->operand)
    return olica_error_set(env, OLICA_ERR_CONFIG, "%s takes no value, found \"%s\"", known->name, operand);
  if (!operand && *known->operand) {
    if (++*i >= argc)
      return olica_error_set(env, OLICA_ERR_CONFIG, "%s needs %s behind it", known->name, known->operand);
    operand = argv[*i];
  }
  if (operand && operand == argv[*i] && table[option].effect == COMMAND && is_option(operand))
    return olica_error_set(env, OLICA_ERR_CONFIG, "%s needs %s behind it, found %s", known->name,
                           known->operand, operand);
  if (strchr(known->operand, ' ')) {
    if (++*i >= argc || is_option(operand) || is_option(argv[*i]))
      return olica_error_set(env, OLICA_ERR_CONFIG, "%s needs %s behind it", known->name, known->operand);
    out->file = argv[*i];
  }
  return take(env, option, operand, out);
}

/* The words that are no options: one config file, or reports to plot. */
static olica_status check_words(olica_env *env, olica_arguments *out) {
  if (out->command == OLICA_COMMAND_PLOT)
    return out->words > 0
               ? OLICA_OK
               : olica_error_set(env, OLICA_ERR_CONFIG,
                                 "--plot needs reports behind its directory, expected olica_mpi --plot "
                                 "OUTDIR report.json...; try --help");
  if (out->words > 1)
    return olica_error_set(env, OLICA_ERR_CONFIG, "two config files, %s and %s, expected one", out->word[0],
                           out->word[1]);
  if (out->words == 1) out->config = out->word[0];
  return OLICA_OK;
}

/* Of the settings, --export takes those that concern it. */
static olica_status check_export_sets(olica_env *env, const olica_arguments *out) {
  static const char *const known[] = {
      "output.export_dtype=", "output.shard=", "output.overwrite=", "model.path=", "output.report="};
  for (int i = 0; out->command == OLICA_COMMAND_EXPORT && i < out->sets; i++) {
    size_t k = 0, count = sizeof known / sizeof *known;
    while (k < count && strncmp(out->set[i], known[k], strlen(known[k])) != 0) k++;
    if (k == count)
      return olica_error_set(env, OLICA_ERR_CONFIG,
                             "--set %.80s with --export, expected output.export_dtype, output.shard, "
                             "output.overwrite, model.path (the source model's directory) or output.report "
                             "(the job's report)",
                             out->set[i]);
  }
  return OLICA_OK;
}

static olica_status check_whole(olica_env *env, const olica_arguments *out) {
  bool needs_config = out->command == OLICA_COMMAND_RUN || out->command == OLICA_COMMAND_CHECK;
  if (needs_config && !out->config)
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "no config file, expected olica_mpi [options] config.ini; try --help");
  if (out->dump_tokens && (!needs_config || !*out->dump_tokens))
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "--dump-tokens belongs to a run or --check, and needs a file's name; try --help");
  if (out->predictions && (!needs_config || !*out->predictions))
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "--predictions belongs to a run, and needs a file's name; try --help");
  if (out->output && (!needs_config || !*out->output))
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "--output belongs to a run or --check, and needs a directory; try --help");
  if (out->command == OLICA_COMMAND_VERIFY && out->config)
    return olica_error_set(env, OLICA_ERR_CONFIG, "--verify needs no config file, found %s", out->config);
  if (out->against && (out->command != OLICA_COMMAND_VERIFY || !*out->against))
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "--against belongs to --verify, and needs a checkpoint's name; try --help");
  if ((out->command == OLICA_COMMAND_INSPECT || out->command == OLICA_COMMAND_DIFF) && out->config)
    return olica_error_set(env, OLICA_ERR_CONFIG, "--inspect and --diff need no config file, found %s",
                           out->config);
  if (out->json && out->command != OLICA_COMMAND_INSPECT && out->command != OLICA_COMMAND_DIFF)
    return olica_error_set(env, OLICA_ERR_CONFIG, "--json belongs to --inspect and --diff; try --help");
  if (out->command == OLICA_COMMAND_EXPORT && out->config)
    return olica_error_set(env, OLICA_ERR_CONFIG, "--export needs no config file, found %s", out->config);
  OLICA_TRY(check_export_sets(env, out));
  if (out->tokenizer && out->config)
    return olica_error_set(env, OLICA_ERR_CONFIG, "--tokenize and --detokenize need no config file, found %s",
                           out->config);
  if (out->special && !out->tokenizer)
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "--special belongs to --tokenize and --detokenize; try --help");
  if ((out->ranks || out->ranks_per_node) && out->command != OLICA_COMMAND_CHECK)
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "--ranks and --ranks-per-node belong to --check; try --help");
  if (out->ranks && out->ranks_per_node > out->ranks)
    return olica_error_set(env, OLICA_ERR_CONFIG, "--ranks-per-node %d, expected at most the %d of --ranks",
                           out->ranks_per_node, out->ranks);
  return OLICA_OK;
}

/* Returns whether that option stands on the line: a request for help counts, whatever else stands there. */
static bool asks_for(int argc, char **argv, const char *name) {
  for (int i = 1; i < argc; i++)
    if (strcmp(argv[i], name) == 0) return true;
  return false;
}

/* Quotes a word for a shell: 'two words', 'that'\''s'. A word takes at most four bytes for each of its own,
 * two marks and a blank. */
static char *quote(char *to, const char *word) {
  bool plain =
      *word && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:%@") ==
                   strlen(word);
  if (!plain) *to++ = '\'';
  for (; *word; word++) {
    if (*word == '\'') to = stpcpy(to, "'\\'");
    *to++ = *word;
  }
  if (!plain) *to++ = '\'';
  return to;
}

static olica_status take_command_line(olica_env *env, int argc, char **argv, olica_arguments *out) {
  size_t bytes = 1;
  for (int i = 0; i < argc; i++) bytes += 4 * strlen(argv[i]) + strlen("'' ");
  OLICA_TRY(OLICA_NEW(env, out->command_line, bytes));
  char *to = out->command_line;
  for (int i = 0; i < argc; i++) {
    if (i > 0) *to++ = ' ';
    to = quote(to, argv[i]);
  }
  return OLICA_OK;
}

olica_status olica_arguments_parse(olica_env *env, int argc, char **argv, olica_arguments *arguments) {
  *arguments = (olica_arguments){.command = OLICA_COMMAND_RUN};
  if (asks_for(argc, argv, "--help") || asks_for(argc, argv, "-h")) {
    arguments->command = OLICA_COMMAND_HELP;
    return OLICA_OK;
  }
  OLICA_TRY(take_command_line(env, argc, argv, arguments));
  OLICA_TRY(OLICA_NEW(env, arguments->set, (size_t)(argc > 0 ? argc : 1)));
  OLICA_TRY(OLICA_NEW(env, arguments->word, (size_t)(argc > 0 ? argc : 1)));
  for (int i = 1; i < argc; i++) {
    if (argv[i][0] == '-' && argv[i][1])
      OLICA_TRY(take_option(env, argc, argv, &i, arguments));
    else
      arguments->word[arguments->words++] = argv[i];
  }
  OLICA_TRY(check_words(env, arguments));
  return check_whole(env, arguments);
}
