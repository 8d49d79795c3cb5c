/* The command line, the table of settings, and options read from a config file. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/fields.h"
#include "config/options.h"
#include "config/reader.h"
#include "config/usage.h"
#include "config/value.h"
#include "prune/method.h"

#define LEAST "[model]\npath = m\n[calibration]\ntokens = c.npy\n"

static int setup(void **state) {
  *state = olica_env_create();
  return *state ? 0 : -1;
}

static int teardown(void **state) {
  olica_env_destroy(*state);
  return 0;
}

/* Words of a command line, cut at blanks. */
static olica_status command(olica_env *env, const char *line, olica_arguments *arguments) {
  char *argv[16] = {"olica_mpi"}, *copy = olica_memory_string(env, line);
  int argc = 1;
  for (char *word = strtok(copy, " "); word && argc < 16; word = strtok(NULL, " ")) argv[argc++] = word;
  return olica_arguments_parse(env, argc, argv, arguments);
}

static void command_fails(olica_env *env, const char *line, const char *why) {
  olica_arguments arguments;
  if (command(env, line, &arguments) != OLICA_ERR_CONFIG || !strstr(env->error.text, why))
    fail_msg("%s: \"%s\", expected \"... %s ...\"", line, env->error.text, why);
}

static olica_status read_with(olica_env *env, const char *text, const char *set, olica_options *options) {
  olica_arguments arguments = {.config = "run/x.ini", .sets = set != NULL, .set = &set};
  return olica_options_read(env, &arguments, text, strlen(text), options);
}

static olica_options options_of(olica_env *env, const char *text, const char *set) {
  olica_options options;
  olica_status status = read_with(env, text, set, &options);
  if (status != OLICA_OK) print_error("%s\n", env->error.text);
  assert_int_equal(status, OLICA_OK);
  return options;
}

static void is_refused(olica_env *env, const char *text, const char *set, const char *why) {
  olica_options options;
  olica_status status = read_with(env, text, set, &options);
  if (status != OLICA_ERR_CONFIG || !strstr(env->error.text, why))
    fail_msg("%s%s: status %d \"%s\", expected \"... %s ...\"", text, set ? set : "", status, env->error.text,
             why);
}

/* LEAST with one setting more, which must be refused for that reason. */
static void set_refused(olica_env *env, const char *set, const char *why) {
  is_refused(env, LEAST, set, why);
}

static void command_line_commands(void **state) {
  olica_arguments a;
  assert_int_equal(command(*state, "--quiet x.ini --set a.b=c --fresh --set=d.e=f", &a), OLICA_OK);
  assert_int_equal(a.command, OLICA_COMMAND_RUN);
  assert_true(a.quiet && a.fresh && a.sets == 2);
  assert_string_equal(a.config, "x.ini");
  assert_string_equal(a.set[0], "a.b=c");
  assert_string_equal(a.set[1], "d.e=f");
  assert_int_equal(command(*state, "--check --ranks 64 --ranks-per-node=16 x.ini", &a), OLICA_OK);
  assert_true(a.command == OLICA_COMMAND_CHECK && a.ranks == 64 && a.ranks_per_node == 16);
  assert_int_equal(command(*state, "--verify x.h5", &a), OLICA_OK);
  assert_int_equal(a.command, OLICA_COMMAND_VERIFY);
  assert_string_equal(a.file, "x.h5");
  assert_int_equal(command(*state, "--against x.h5 --verify x.gguf", &a), OLICA_OK);
  assert_string_equal(a.against, "x.h5");
  assert_int_equal(command(*state, "--inspect x.h5 --json", &a), OLICA_OK);
  assert_true(a.command == OLICA_COMMAND_INSPECT && a.json && strcmp(a.file, "x.h5") == 0);
  assert_int_equal(command(*state, "--diff a b", &a), OLICA_OK);
  assert_true(a.command == OLICA_COMMAND_DIFF && !a.json && strcmp(a.other, "a") == 0 &&
              strcmp(a.file, "b") == 0);
  assert_int_equal(command(*state, "a.json --plot out b.json --quiet", &a), OLICA_OK);
  assert_true(a.command == OLICA_COMMAND_PLOT && a.quiet && a.words == 2 && !a.config);
  assert_string_equal(a.plot, "out");
  assert_string_equal(a.word[0], "a.json");
  assert_string_equal(a.word[1], "b.json");
  assert_int_equal(command(*state, "--list", &a), OLICA_OK);
  assert_int_equal(a.command, OLICA_COMMAND_LIST);
  assert_int_equal(command(*state, "--version", &a), OLICA_OK);
  assert_int_equal(a.command, OLICA_COMMAND_VERSION);
  assert_int_equal(command(*state, "--nonsense x.ini y.ini --help", &a), OLICA_OK);
  assert_int_equal(a.command, OLICA_COMMAND_HELP);
}

static void command_line_errors(void **state) {
  command_fails(*state, "", "no config file");
  command_fails(*state, "--check", "no config file");
  command_fails(*state, "x.ini y.ini", "two config files, x.ini and y.ini");
  command_fails(*state, "--chekc x.ini", "unknown option --chekc; try --check");
  command_fails(*state, "-q x.ini", "unknown option -q; try --help");
  command_fails(*state, "x.ini --set", "--set needs section.key=value");
  command_fails(*state, "--quiet=3 x.ini", "takes no value");
  command_fails(*state, "--verify x.h5 x.ini", "needs no config");
  command_fails(*state, "--against x.h5 x.ini", "--against belongs to --verify");
  command_fails(*state, "--verify x.gguf --against=", "needs a checkpoint's name");
  command_fails(*state, "--inspect x.h5 x.ini", "need no config");
  command_fails(*state, "--inspect --json x.h5", "--inspect needs PATH behind it, found --json");
  command_fails(*state, "--diff a --json", "--diff needs A B behind it");
  command_fails(*state, "--json x.ini", "--json belongs to --inspect and --diff");
  command_fails(*state, "--verify x.h5 --check x.ini", "--check beside another command");
  command_fails(*state, "--ranks 4 x.ini", "belong to --check");
  command_fails(*state, "--check --ranks 4x x.ini", "\"4x\", expected a whole number");
  command_fails(*state, "--check --ranks 0 x.ini", "expected a whole number");
  command_fails(*state, "--check --ranks 99999999999999999999 x.ini", "expected a whole number");
  command_fails(*state, "--check --ranks 4 --ranks-per-node 8 x.ini", "at most the 4");
  command_fails(*state, "--tokenize dir", "--tokenize needs DIR FILE behind it");
  command_fails(*state, "--detokenize dir file x.ini", "need no config file");
  command_fails(*state, "--special x.ini", "--special belongs to");
  command_fails(*state, "--plot out", "--plot needs reports");
  command_fails(*state, "--plot out r.json --output d", "--output belongs to a run");
  command_fails(*state, "x.ini --dump-tokens", "--dump-tokens needs FILE.npy");
  command_fails(*state, "--dump-tokens= x.ini", "needs a file's name");
  command_fails(*state, "--dump-tokens d.npy --verify x.h5", "belongs to a run or --check");
  command_fails(*state, "--predictions= x.ini", "needs a file's name");
  command_fails(*state, "--output= x.ini", "needs a directory");
  command_fails(*state, "--verify x.h5 --output d", "--output belongs to a run");
  command_fails(*state, "--verify x.h5 --predictions p.jsonl", "--predictions belongs to a run");
}

static void defaults_are_those_of_the_interface(void **state) {
  olica_options o = options_of(*state, LEAST, NULL);
  assert_true(o.calibration.samples == 256 && o.calibration.length == 128 && o.calibration.seed == 0);
  assert_true(strcmp(olica_method_at(o.prune.method)->name, "olica") == 0 && o.prune.sparsity == 0.2);
  json_t *settings = olica_options_json(&o), *prune = json_object_get(settings, "prune");
  assert_true(json_number_value(json_object_get(prune, "k")) == 3);
  assert_true(json_number_value(json_object_get(prune, "mlp_num")) == 6);
  assert_true(json_number_value(json_object_get(prune, "ratio")) == 0.03);
  assert_true(json_number_value(json_object_get(prune, "percdamp")) == 0.5);
  assert_true(json_number_value(json_object_get(prune, "skip_lowest")) == 0.01);
  assert_string_equal(json_string_value(json_object_get(prune, "ond")), "fast");
  assert_true(json_is_false(json_object_get(prune, "count_branches")));
  json_decref(settings);
  assert_true(o.solver.eigen == OLICA_BACKEND_AUTO && o.solver.block == 64);
  assert_true(o.solver.precision == OLICA_SOLVER_AUTO);
  assert_true(o.compute.precision == OLICA_PRECISION_AUTO && o.compute.threads == 0 && o.compute.memory == 0);
  assert_true(o.compute.keep_weights == OLICA_KEEP_AUTO);
  assert_true(o.evaluate.length == 128 && o.evaluate.windows == 0 && o.evaluate.stride == 0 &&
              o.evaluate.dense);
  assert_true(o.output.dtype == 0 && !o.output.overwrite);
  assert_string_equal(o.output.checkpoint, "run/pruned.h5");
  assert_string_equal(o.output.report, "run/report.json");
  assert_string_equal(o.model.tokenizer, "");
  assert_true(o.restart.every.layers == 1 && o.restart.keep == 2);
  assert_true(o.run.walltime == -1 && o.run.stall == 600 && o.io.count == 0);
  assert_false(olica_options_evaluates(&o));
}

static void values_of_every_kind(void **state) {
  olica_options o =
      options_of(*state,
                 "[model]\npath = /abs/m\n[calibration]\ntokens = ../c.npy\nsamples=2\n"
                 "[prune]\nsparsity = 3.3e-1\nmethod = olica\n[solver]\neigen = slepc\n"
                 "[compute]\nthreads = 12\nmemory = 1.5 GiB\n[output]\ndtype = bf16\noverwrite = on\n"
                 "[evaluate]\ndense = No\ntokens = e.npy\n[io]\ncb_nodes = 4\n[restart]\nevery = off\n"
                 "[run]\nwalltime = off\n",
                 NULL);
  assert_string_equal(o.model.path, "/abs/m");
  assert_string_equal(o.calibration.tokens, "run/../c.npy");
  assert_true(o.calibration.samples == 2 && o.prune.sparsity == 0.33 &&
              o.solver.eigen == OLICA_BACKEND_SLEPC);
  assert_true(o.compute.threads == 12 && o.compute.memory == 1610612736 && o.output.overwrite);
  assert_true(!o.evaluate.dense && olica_options_evaluates(&o));
  assert_int_equal(olica_options_dtype(&o, OLICA_FP32), OLICA_BF16);
  assert_true(o.restart.every.layers == 0 && o.restart.every.minutes == 0 && o.run.walltime == 0);
  assert_int_equal(o.io.count, 1);
  assert_string_equal(o.io.hint[0].key, "cb_nodes");
  assert_string_equal(o.io.hint[0].value, "4");
}

static void files_of_a_list_stay_as_given(void **state) {
  olica_options o = options_of(*state, "[model]\npath=m\n",
                               "calibration.text= plain:a b.txt*3 ,alpaca: /x/y , jsonl:../z:w");
  assert_string_equal(o.calibration.text, "plain:a b.txt*3 ,alpaca: /x/y , jsonl:../z:w");
  assert_string_equal(o.config, "run/x.ini");
}

static void set_overrides_the_file(void **state) {
  const char *set[] = {"prune.sparsity=0.5", "prune.sparsity = 0.33 ", "model.path=n", "io.cb_nodes=8",
                       "io.a=b=c"};
  olica_arguments arguments = {.config = "x.ini", .sets = 5, .set = set};
  const char *text = LEAST "[prune]\nsparsity = 0.1\n[io]\ncb_nodes = 4\n";
  olica_options o;
  assert_int_equal(olica_options_read(*state, &arguments, text, strlen(text), &o), OLICA_OK);
  assert_true(o.prune.sparsity == 0.33);
  assert_string_equal(o.model.path, "n");
  assert_int_equal(o.io.count, 2);
  assert_string_equal(o.io.hint[0].value, "8");
  assert_string_equal(o.io.hint[1].value, "b=c");
}

/* Rank 0's variables, and what a path means with them. */
static void paths_are_expanded(void **state) {
  const char *const set[] = {"output.checkpoint=$A/p.h5", "calibration.save = \"${A}/b c.h5\"",
                             "output.report=~/r"};
  olica_arguments arguments = {.config = "x/c.ini", .sets = 3, .set = (const char **)set, .output = "d/"};
  const char *text = LEAST "[evaluate]\ntokens = '$A$$/e.npy'\n[restart]\npath = $PWD\n";
  char *variables, directory[4096];
  size_t bytes;
  setenv("A", "/a", 1);
  setenv("HOME", "/home/me", 1);
  assert_int_equal(olica_options_variables(*state, &arguments, text, &variables, &bytes), OLICA_OK);
  setenv("A", "another rank's", 1);
  assert_true(bytes > 2 && variables[bytes - 1] == '\0' && variables[bytes - 2] == '\0');
  arguments.variables = variables;
  olica_options o;
  assert_int_equal(olica_options_read(*state, &arguments, text, strlen(text), &o), OLICA_OK);
  assert_string_equal(o.output.checkpoint, "/a/p.h5");
  assert_string_equal(o.calibration.save, "/a/b c.h5");
  assert_string_equal(o.output.report, "/home/me/r");
  assert_string_equal(o.evaluate.tokens, "/a$/e.npy");
  assert_string_equal(o.restart.path, getcwd(directory, sizeof directory));
  assert_string_equal(o.model.path, "x/m");
  arguments.sets = 0;
  assert_int_equal(olica_options_read(*state, &arguments, text, strlen(text), &o), OLICA_OK);
  assert_string_equal(o.output.checkpoint, "d/pruned.h5");
  arguments.config = "-";
  assert_int_equal(olica_options_read(*state, &arguments, text, strlen(text), &o), OLICA_OK);
  assert_string_equal(o.model.path, "m");
  assert_string_equal(o.config, OLICA_OPTIONS_STDIN);
  set_refused(*state, "output.report=$A", "--set: [output] report = $A: the variable A is not set");
}

static void wrong_values_are_named(void **state) {
  is_refused(*state, LEAST "[prune]\nsparsity = 1.5\n", NULL,
             "run/x.ini:6: [prune] sparsity = \"1.5\", expected a number in [0, 1)");
  set_refused(*state, "prune.sparsity=1", "--set: [prune] sparsity = \"1\", expected a number in [0, 1)");
  set_refused(*state, "prune.sparsity=", "[prune] sparsity = \"\"");
  set_refused(*state, "prune.sparsity=-0.1", "expected a number");
  set_refused(*state, "prune.sparsity=nan", "\"nan\"");
  set_refused(*state, "prune.k=inf", "\"inf\"");
  set_refused(*state, "prune.k=1e400", "\"1e400\"");
  set_refused(*state, "prune.k=0x10", "\"0x10\"");
  set_refused(*state, "prune.k=0X10", "\"0X10\"");
  set_refused(*state, "prune.k=-0X.8p1", "\"-0X.8p1\"");
  set_refused(*state, "prune.k=0", "in (0, 1000000]");
  set_refused(*state, "prune.sparsity=0.2x", "\"0.2x\"");
  set_refused(*state, "prune.sparsity=0,2", "\"0,2\"");
  set_refused(*state, "prune.method=Olica", "one of none, olica, magnitude");
  set_refused(*state, "solver.eigen=elpa", "one of auto, lapack, scalapack, slepc");
  set_refused(*state, "solver.precision=fp32", "one of auto, double, mixed");
  set_refused(*state, "solver.block=0", "a whole number from 1 to 1024");
  set_refused(*state, "solver.block=64.0", "a whole number");
  set_refused(*state, "calibration.samples=0", "a whole number from 1 to 1000000000");
  set_refused(*state, "calibration.samples=1000000001", "a whole number from 1 to 1000000000");
  set_refused(*state, "calibration.seed=-1", "a whole number from 0 to 9007199254740992");
  set_refused(*state, "calibration.samples=99999999999999999999", "a whole number");
  set_refused(*state, "evaluate.length=1", "from 2");
  set_refused(*state, "compute.threads=0", "auto or a whole number");
  set_refused(*state, "compute.memory=4", "a size");
  set_refused(*state, "compute.memory=4GB", "a size");
  set_refused(*state, "compute.memory=0X10MiB", "a size");
  set_refused(*state, "compute.memory=1025TiB", "a size from 1MiB to 1024TiB");
  set_refused(*state, "compute.memory=1KiB", "a size");
  set_refused(*state, "compute.memory=-1GiB", "a size");
  set_refused(*state, "output.overwrite=maybe", "yes or no");
  set_refused(*state, "output.dtype=fp64", "one of as-input, fp32, fp16, bf16");
  set_refused(*state, "run.walltime=1:99:00", "HH:MM:SS");
  set_refused(*state, "run.walltime=00:00:00", "HH:MM:SS");
  set_refused(*state, "restart.every=2 hours", "N layers or N min");
  set_refused(*state, "restart.every=1000001 layers", "N layers or N min with N from 1 to 1000000");
  set_refused(*state, "io.cb_nodes=", "a hint of 1 to");
  const char *const lists[] = {"x.txt", "plain:", "plain: ,jsonl:y", ":x", "plain:x,", ",plain:x", "Plain:x"};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
    char set[64];
    snprintf(set, sizeof set, "calibration.text=%s", lists[i]);
    set_refused(*state, set, "expected a list of kind:FILE");
  }
}

static void unknown_names_get_a_suggestion(void **state) {
  is_refused(*state, "[modle]\n", NULL, "run/x.ini:1: unknown section [modle]; did you mean [model]?");
  is_refused(*state, "[xyzzy]\n", NULL, "unknown section [xyzzy]; see --list");
  is_refused(*state, LEAST "\n[prune]\nsparcity = 0.2\n", NULL,
             "run/x.ini:7: unknown key sparcity in [prune]; did you mean [prune] sparsity?");
  set_refused(*state, "solver.sparsity=0.2", "did you mean [prune] sparsity?");
  set_refused(*state, "evaluate.lenght=3", "did you mean [evaluate] length?");
  set_refused(*state, "prune.quux=3", "unknown key quux in [prune]; see --list");
  set_refused(*state, "sparsity=0.2", "expected section.key=value");
  set_refused(*state, "prune.sparsity", "expected section.key=value");
  set_refused(*state, "model.path=a\nb", "control character 0x0a");
  set_refused(*state, "=", "expected section.key=value");
}

static void settings_must_fit_each_other(void **state) {
  is_refused(*state, "", NULL, "[model] path is empty");
  is_refused(*state, "[model]\npath=m\n", NULL, "neither tokens nor text");
  is_refused(*state, "[model]\npath=m\n[prune]\nmethod=none\n", NULL, "nothing to do");
  set_refused(*state, "output.checkpoint=", "checkpoint is empty");
  set_refused(*state, "evaluate.stride=129", "at most length = 128");
  options_of(*state, "[model]\npath=m\n[prune]\nmethod=none\n[evaluate]\ntokens=e.npy\n",
             "output.checkpoint=");
}

/* What a list of texts says is refused before anything is opened. */
static void texts_are_named(void **state) {
  const char *const model = "[model]\npath=m\n";
  is_refused(*state, "[model]\npath=m\n[calibration]\ntext = plain:x, jsnl:y\n", NULL,
             "run/x.ini:4: [calibration] text: \"jsnl:y\", expected one of alpaca:FILE");
  is_refused(*state, model, "calibration.text=plain:x*0", "--set: [calibration] text: \"plain:x*0\"");
  is_refused(*state, LEAST, "calibration.text=plain:x", "tokens and text");
  is_refused(*state, LEAST "[evaluate]\ntokens=e\ntext=t\n", NULL, "[evaluate] has tokens and text");
  olica_options o = options_of(*state, model, "calibration.text=plain:x");
  assert_null(o.dump_tokens);
}

static void settings_of_a_batch_job(void **state) {
  const char *const fine[] = {"prune.ond=standard",    "evaluate.bos=no",       "evaluate.limit=0",
                              "restart.every=1 layer", "restart.every=off",     "restart.keep=3",
                              "restart.path=d",        "run.walltime=auto",     "run.walltime=01:00:00",
                              "run.stall=60",          "calibration.save=s.h5", "compute.precision=fp32",
                              "compute.precision=bf16"};
  for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) options_of(*state, LEAST, fine[i]);
  set_refused(*state, "restart.keep=1", "16");
  is_refused(*state, LEAST "[restart]\nevery = off\n", "run.walltime=01:00:00",
             "[run] walltime with [restart] every");
  /* What counts is the value in the end. */
  options_of(*state, LEAST "[evaluate]\ntasks = boolq:b.jsonl\n", "evaluate.tasks=");
}

static void settings_of_methods(void **state) {
  is_refused(*state, LEAST "[prune]\nmlp_num = 1\nmethod = magnitude\n", NULL,
             "run/x.ini:6: [prune] mlp_num belongs to method = olica, but [prune] method = magnitude");
  is_refused(*state, LEAST "[prune]\nk = 2\n", "prune.method=magnitude",
             "run/x.ini:6: [prune] k belongs to method = olica");
  is_refused(*state, LEAST "[prune]\nmethod = magnitude\n", "prune.k=2", "--set: [prune] k belongs to");
  /* Which method it is, is known before any of its settings is read. */
  options_of(*state, LEAST "[prune]\nk = 2\nmethod = magnitude\n", "prune.method=olica");
  /* It calibrates on nothing. */
  options_of(*state, "[model]\npath=m\n[prune]\nmethod=magnitude\n", NULL);
  olica_options o = options_of(*state, LEAST "[prune]\nmethod = magnitude\n", NULL);
  json_t *settings = olica_options_json(&o);
  assert_null(json_object_get(json_object_get(settings, "prune"), "k"));
  json_decref(settings);
}

static void durations_and_cadences(void **state) {
  int64_t seconds;
  olica_cadence cadence;
  const olica_setting *walltime = olica_settings_find("run", "walltime", OLICA_METHOD_NONE),
                      *every = olica_settings_find("restart", "every", OLICA_METHOD_NONE);
  assert_int_equal(olica_value_parse(*state, "", walltime, "01:02:03", &seconds), OLICA_OK);
  assert_int_equal(seconds, 3723);
  assert_int_equal(olica_value_parse(*state, "", walltime, "2-00:00:01", &seconds), OLICA_OK);
  assert_int_equal(seconds, 172801);
  assert_int_equal(olica_value_parse(*state, "", every, "10 min", &cadence), OLICA_OK);
  assert_true(cadence.minutes == 10 && cadence.layers == 0);
  assert_int_equal(olica_value_parse(*state, "", every, "3 layers", &cadence), OLICA_OK);
  assert_true(cadence.layers == 3 && cadence.minutes == 0);
}

static void hints_are_counted(void **state) {
  char text[16384] = LEAST "[io]\n";
  for (int i = 0; i < 257; i++) sprintf(text + strlen(text), "hint%d = 1\n", i);
  is_refused(*state, text, NULL, "[io] hint256 is one too many");
}

static void json_has_every_setting(void **state) {
  olica_options o =
      options_of(*state, LEAST "[io]\nstriping = 4\n[compute]\nmemory = 2GiB\n", "prune.sparsity=0.33");
  json_t *root = olica_options_json(&o);
  const olica_setting *setting;
  for (int i = 0; (setting = olica_settings_at(i)); i++)
    if (olica_options_has(&o, setting) &&
        !json_object_get(json_object_get(root, setting->section), setting->key))
      fail_msg("[%s] %s is missing", setting->section, setting->key);
  char *text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(15));
  assert_non_null(strstr(text, "\"prune\":{\"method\":\"olica\",\"sparsity\":0.33,\"k\":3.0,\"mlp_num\":6,"));
  assert_non_null(strstr(text, "\"compute\":{\"precision\":\"auto\",\"threads\":\"auto\",\"memory\":"
                               "2147483648,\"keep_weights\":\"auto\"}"));
  assert_non_null(strstr(text, "\"every\":\"1 layer\""));
  assert_non_null(strstr(text, "\"walltime\":\"auto\""));
  assert_non_null(strstr(text, "\"io\":{\"striping\":\"4\"}"));
  free(text);
  json_decref(root);
}

static void table_is_sound(void **state) {
  (void)state;
  const olica_setting *setting;
  for (int i = 0; (setting = olica_settings_at(i)); i++) {
    assert_true(i < OLICA_SETTINGS_MAX);
    char expected[OLICA_VALUE_TEXT];
    int method = olica_settings_method(setting);
    size_t bytes = method ? olica_method_at(method)->settings_bytes : sizeof(olica_options);
    if (method) assert_string_equal(setting->section, "prune");
    assert_ptr_equal(olica_settings_find(setting->section, setting->key, method),
                     setting); /* no name twice */
    assert_int_equal(olica_settings_index(setting), i);
    assert_true(setting->at + (setting->kind == OLICA_KIND_BOOL ? sizeof(bool) : sizeof(int)) <= bytes);
    assert_true(strlen(olica_value_expected(setting, expected)) > 3 && strlen(setting->about) > 3);
    assert_int_equal(setting->kind == OLICA_KIND_CHOICE, setting->choice != NULL);
    if (setting->kind == OLICA_KIND_INTEGER || setting->kind == OLICA_KIND_REAL)
      assert_true(setting->low < setting->high);
  }
  assert_int_equal(olica_settings_distance("kitten", "sitting"), 3);
  assert_int_equal(olica_settings_distance("", "abc"), 3);
}

static void load_tells_a_missing_file(void **state) {
  olica_env *env = *state;
  char *text;
  size_t bytes;
  assert_int_equal(olica_options_load(env, "no/such.ini", &text, &bytes), OLICA_ERR_CONFIG);
  assert_int_equal(env->error.code, OLICA_ERR_CONFIG);
  assert_non_null(strstr(env->error.text, "no/such.ini"));
  assert_int_equal(olica_options_load(env, ".", &text, &bytes), OLICA_ERR_CONFIG);
}

/* The examples in input/ are read with the program's own eyes. */
static void examples_are_valid(void **state) {
  const char *const files[] = {"input/example.ini", "input/smollm2.ini", "input/evaluate.ini",
                               "input/from-text.ini", "input/demo/config.ini"};
  if (access(files[0], R_OK) != 0) skip();
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    char *text;
    size_t bytes;
    assert_int_equal(olica_options_load(*state, files[i], &text, &bytes), OLICA_OK);
    options_of(*state, text, NULL);
  }
}

/* input/example.ini names every setting, in its section, with its default where it has one. Those of a method
 * that it does not choose are comments: "; key = ...". */
static void example_is_complete(void **state) {
  char *text;
  size_t bytes;
  const olica_setting *setting;
  if (access("input/example.ini", R_OK) != 0) skip();
  assert_int_equal(olica_options_load(*state, "input/example.ini", &text, &bytes), OLICA_OK);
  for (int i = 0; (setting = olica_settings_at(i)); i++) {
    char head[64], line[64];
    snprintf(head, sizeof head, "\n[%s]", setting->section);
    int method = olica_settings_method(setting);
    bool chosen = method == OLICA_METHOD_NONE || strcmp(olica_method_at(method)->name, "olica") == 0;
    snprintf(line, sizeof line, "\n%s%s =", chosen ? "" : "; ", setting->key);
    const char *section = strstr(text, head), *key = section ? strstr(section, line) : NULL;
    const char *next = section ? strstr(section + 2, "\n[") : NULL;
    if (!key || (next && key > next))
      fail_msg("input/example.ini lacks [%s] %s", setting->section, setting->key);
    if (setting->kind == OLICA_KIND_PATH) continue; /* names of files are examples */
    const char *value = key + strlen(line) + strspn(key + strlen(line), " ");
    size_t length = strlen(setting->fallback);
    if (strncmp(value, setting->fallback, length) != 0 || !strchr(" ;\n", value[length]))
      fail_msg("input/example.ini has not the default of [%s] %s", setting->section, setting->key);
  }
}

static void usage_prints(void **state) {
  (void)state;
  char *text = NULL;
  size_t bytes;
  FILE *to = open_memstream(&text, &bytes);
  olica_usage_help(to);
  olica_usage_list(to);
  olica_usage_version(to);
  fclose(to);
  const char *const wanted[] = {"--set section.key=value",
                                "--ranks-per-node",
                                "sparsity = 0.2",
                                "scalapack",
                                "HDF5",
                                "jansson",
                                "llama",
                                "exit codes"};
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
    if (!strstr(text, wanted[i])) fail_msg("no \"%s\"", wanted[i]);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(command_line_commands, setup, teardown),
      cmocka_unit_test_setup_teardown(command_line_errors, setup, teardown),
      cmocka_unit_test_setup_teardown(defaults_are_those_of_the_interface, setup, teardown),
      cmocka_unit_test_setup_teardown(values_of_every_kind, setup, teardown),
      cmocka_unit_test_setup_teardown(files_of_a_list_stay_as_given, setup, teardown),
      cmocka_unit_test_setup_teardown(set_overrides_the_file, setup, teardown),
      cmocka_unit_test_setup_teardown(paths_are_expanded, setup, teardown),
      cmocka_unit_test_setup_teardown(wrong_values_are_named, setup, teardown),
      cmocka_unit_test_setup_teardown(unknown_names_get_a_suggestion, setup, teardown),
      cmocka_unit_test_setup_teardown(settings_must_fit_each_other, setup, teardown),
      cmocka_unit_test_setup_teardown(texts_are_named, setup, teardown),
      cmocka_unit_test_setup_teardown(settings_of_a_batch_job, setup, teardown),
      cmocka_unit_test_setup_teardown(settings_of_methods, setup, teardown),
      cmocka_unit_test_setup_teardown(durations_and_cadences, setup, teardown),
      cmocka_unit_test_setup_teardown(hints_are_counted, setup, teardown),
      cmocka_unit_test_setup_teardown(json_has_every_setting, setup, teardown),
      cmocka_unit_test(table_is_sound),
      cmocka_unit_test_setup_teardown(load_tells_a_missing_file, setup, teardown),
      cmocka_unit_test_setup_teardown(examples_are_valid, setup, teardown),
      cmocka_unit_test_setup_teardown(example_is_complete, setup, teardown),
      cmocka_unit_test(usage_prints),
  };
  return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
