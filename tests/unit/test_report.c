/* The report of one rank: the JSON's members, what is left out, and the closing table. Several ranks:
 * tests/mpi/test_report.c. */
#include "fixture.h"

#include <jansson.h>
#include <math.h>

#include "report/report.h"

enum { LAYERS = 3 };

/* A method that tells an error and a count of every layer, and has found two things in the model. */
static int findings(void *state, olica_finding finding[OLICA_FINDINGS]) {
  static const double score[LAYERS] = {0, 0.25, 0.5}, chosen[2] = {0, 2};
  (void)state;
  finding[0] = (olica_finding){"linearity_score", OLICA_FINDING_NUMBERS, LAYERS, score};
  finding[1] = (olica_finding){"calibrated_layers", OLICA_FINDING_LAYERS, 2, chosen};
  return 2;
}

static const olica_fact facts[] = {{"q_error", "", false}, {"silent_channels", "", true}};
static const olica_curve curves[] = {{"ffn_importance", ""}, {"q_spectrum", ""}};
static const olica_method method = {.name = "test",
                                    .facts = facts,
                                    .fact_count = 2,
                                    .curves = curves,
                                    .curve_count = 2,
                                    .findings = findings};
static const olica_family family = {.name = "llama"};
static const olica_arch arch = {
    .family = &family, .layers = LAYERS, .hidden = 64, .heads = 8, .kv_heads = 4, .head = 8};

/* A run that went well: three layers, two of them with a branch. */
static olica_report *fill(fixture *f) {
  olica_layer_shape shapes[LAYERS] = {0};
  olica_report *report;
  assert_int_equal(olica_report_create(f->env, &report), OLICA_OK);
  assert_int_equal(olica_report_layers(f->env, report, &arch, &method, 2), OLICA_OK);
  olica_report_model(report, &arch, "huggingface");
  report->settings = json_pack("{s:{s:f}}", "prune", "sparsity", 0.2);
  strcpy(report->run.precision, "fp32");
  strcpy(report->run.kernel, "OpenBLAS SkylakeX");
  report->dense = 134515008;
  report->pruned = 107612345;
  report->sparsity_requested = 0.2;
  report->sparsity_reached = 0.199996;
  report->text[0].dense = 17.25;
  report->text[0].pruned = 25.5;
  report->text[0].tokens = 2032;
  report->text[0].windows = 16;
  report->texts = 1;
  for (int l = 0; l < LAYERS; l++)
    shapes[l] = (olica_layer_shape){.rank = {[OLICA_Q] = 20}, .kv_heads = 4, .values = 6};
  assert_int_equal(olica_report_choice(f->env, report, shapes, NULL), OLICA_OK);
  for (int l = 0; l < LAYERS; l++) {
    olica_cut_record record = olica_cut_unknown();
    record.fact[0] = 0.125;
    record.fact[1] = l;
    for (int p = 0; p < OLICA_CURVE && l != 1; p++) record.curve[0][p] = 1 + p / 3.0;
    olica_report_cut(report, l, &record);
  }
  report->checkpoint = "out/pruned.h5";
  report->checkpoint_bytes = 215.3 * 1024 * 1024;
  report->estimate = 1.5 * 1024 * 1024 * 1024;
  report->mine.sequences = 256;
  report->mine.bytes_read = 1e9;
  return report;
}

static void work(fixture *f) {
  olica_timer_start(&f->env->timers, "read");
  olica_timer_stop(&f->env->timers);
  olica_timer_start(&f->env->timers, "solve");
  olica_timer_start(&f->env->timers, "solve.query");
  usleep(20000);
  olica_timer_work(&f->env->timers, 4e9, 1000);
  olica_timer_stop(&f->env->timers);
  olica_timer_stop(&f->env->timers);
  olica_timer_start(&f->env->timers, "write");
  olica_timer_start(&f->env->timers, "solve");
  olica_timer_start(&f->env->timers, "solve.key");
  olica_log_warn(f->env, "a test's warning");
  olica_log_warn(f->env, "a test's warning");
}

static json_t *at(json_t *root, const char *first, const char *second) {
  json_t *value = json_object_get(root, first);
  return second ? json_object_get(value, second) : value;
}

static json_t *finish(fixture *f, olica_report *report, olica_status status) {
  olica_report_end(f->env, report, status);
  assert_int_equal(olica_report_gather(f->context, f->context->comm, report), OLICA_OK);
  json_t *root = olica_report_json(report);
  assert_non_null(root);
  return root;
}

static void has_every_member(void **state) {
  fixture *f = *state;
  work(f);
  olica_report *report = fill(f);
  json_t *root = finish(f, report, OLICA_OK);
  assert_string_equal(json_string_value(at(root, "status", NULL)), "ok");
  assert_int_equal(json_integer_value(at(root, "exit_code", NULL)), 0);
  assert_null(at(root, "message", NULL));
  assert_null(at(root, "message", NULL));
  assert_non_null(at(root, "olica_mpi", "version"));
  assert_non_null(at(root, "olica_mpi", "git"));
  assert_non_null(json_object_get(at(root, "olica_mpi", "libraries"), "HDF5"));
  assert_int_equal(json_integer_value(at(root, "run", "ranks")), 1);
  assert_int_equal(json_integer_value(at(root, "run", "nodes")), 1);
  assert_int_equal(json_integer_value(at(root, "run", "threads")), 1);
  assert_string_equal(json_string_value(at(root, "run", "precision")), "fp32");
  assert_int_equal(strlen(json_string_value(at(root, "run", "started"))), 20);
  assert_true(json_real_value(at(root, "settings", "prune")
                                  ? json_object_get(at(root, "settings", "prune"), "sparsity")
                                  : NULL) == 0.2);
  assert_string_equal(json_string_value(at(root, "model", "family")), "llama");
  assert_int_equal(json_integer_value(at(root, "parameters", "dense")), 134515008);
  assert_true(json_real_value(at(root, "parameters", "sparsity_reached")) == 0.199996);
  assert_int_equal(json_array_size(at(root, "linearity_score", NULL)), LAYERS);
  assert_int_equal(json_integer_value(json_array_get(at(root, "calibrated_layers", NULL), 1)), 2);
  json_t *layer = json_array_get(at(root, "layers", NULL), 1);
  assert_int_equal(json_integer_value(json_object_get(layer, "q_rank")), 20);
  assert_int_equal(json_integer_value(json_object_get(layer, "vo_width")), 4 * 6);
  assert_true(json_real_value(json_object_get(layer, "q_error")) == 0.125);
  assert_true(json_is_integer(json_object_get(layer, "silent_channels")));
  assert_null(json_object_get(json_array_get(at(root, "layers", NULL), 0), "silent_channels")); /* 0 */
  const json_t *first = json_array_get(at(root, "layers", NULL), 0),
               *second = json_array_get(at(root, "layers", NULL), 1),
               *curve = json_object_get(first, "ffn_importance");
  assert_int_equal(json_array_size(curve), OLICA_CURVE);
  assert_true(json_real_value(json_array_get(curve, 1)) == 1.33333); /* six digits */
  assert_null(json_object_get(first, "q_spectrum"));                 /* not known */
  assert_null(json_object_get(second, "ffn_importance"));
  assert_true(json_real_value(at(root, "perplexity", "pruned")) == 25.5);
  assert_int_equal(
      json_integer_value(json_object_get(json_array_get(at(root, "ranks", NULL), 0), "sequences")), 256);
  assert_true(json_integer_value(json_object_get(at(root, "memory", "counted"), "max")) > 0);
  assert_true(json_integer_value(json_object_get(at(root, "memory", "resident"), "max")) > 0);
  json_t *warning = json_array_get(at(root, "warnings", NULL), 0);
  assert_string_equal(json_string_value(json_object_get(warning, "text")), "a test's warning");
  assert_int_equal(json_integer_value(json_object_get(warning, "count")), 2);
  json_decref(root);
  olica_report_destroy(f->env, report);
}

static void phases_are_ordered_and_closed(void **state) {
  fixture *f = *state;
  work(f); /* leaves timers running, as a failure does */
  olica_report *report = fill(f);
  json_t *root = finish(f, report, OLICA_OK), *phase;
  const char *const names[] = {"read", "solve", "solve.query", "solve.key", "write"};
  size_t i;
  double sum = 0;
  json_array_foreach(at(root, "phases", NULL), i, phase) {
    assert_string_equal(json_string_value(json_object_get(phase, "name")), names[i]);
    if (!strchr(names[i], '.')) sum += json_real_value(json_object_get(phase, "mean_s"));
  }
  assert_int_equal(i, 5);
  assert_int_equal(f->env->timers.depth, 0);
  phase = json_array_get(at(root, "phases", NULL), 2);
  assert_int_equal(json_integer_value(json_object_get(phase, "slowest_rank")), 0);
  assert_string_equal(json_string_value(json_object_get(phase, "slowest_host")), f->context->host);
  assert_true(sum <= report->wall_s && sum > 0.019);
  json_t *query = json_array_get(at(root, "phases", NULL), 2);
  double gflops = json_real_value(json_object_get(query, "gflops")),
         seconds = json_real_value(json_object_get(query, "max_s"));
  assert_true(fabs(gflops * seconds - 4) < 0.01);
  assert_int_equal(json_integer_value(json_object_get(query, "bytes")), 1000);
  json_decref(root);
  olica_report_destroy(f->env, report);
}

/* A layer's passage has what the timers have gained since it began. */
static void layers_have_their_times(void **state) {
  fixture *f = *state;
  olica_timers *timers = &f->env->timers;
  olica_report *report = fill(f);
  olica_timer_start(timers, "read");
  olica_timer_stop(timers);
  timers->timer[0].seconds = 8; /* before any layer */
  olica_passages_begin(&report->passages);
  olica_timer_start(timers, "solve");
  olica_timer_stop(timers);
  timers->timer[0].seconds += 0.25;
  timers->timer[1].seconds = 0.5;
  olica_passages_end(&report->passages, 2, 2);
  json_t *root = finish(f, report, OLICA_OK), *times = at(root, "layer_times", NULL);
  assert_int_equal(json_array_size(times), 1);
  json_t *layer = json_array_get(times, 0);
  assert_int_equal(json_integer_value(json_object_get(layer, "layer")), 2);
  assert_string_equal(json_string_value(json_object_get(layer, "sweep")), "prune");
  assert_true(json_real_value(json_object_get(layer, "read_s")) == 0.25);
  assert_true(json_real_value(json_object_get(layer, "solve_s")) == 0.5);
  assert_non_null(json_object_get(layer, "wall_s"));
  json_decref(root);
  olica_report_destroy(f->env, report);
}

static void unknown_numbers_are_left_out(void **state) {
  fixture *f = *state;
  olica_report *report;
  assert_int_equal(olica_report_create(f->env, &report), OLICA_OK);
  assert_int_equal(olica_report_layers(f->env, report, &arch, &method, 2), OLICA_OK);
  report->text[0].pruned = INFINITY; /* is known: beyond any number */
  report->text[0].windows = 1;
  report->texts = 1;
  const olica_cut_record unknown = olica_cut_unknown();
  olica_report_cut(report, 1, &unknown);
  olica_error_set(f->env, OLICA_STOPPED, "SIGUSR1 in layer 2");
  json_t *root = finish(f, report, OLICA_STOPPED);
  assert_string_equal(json_string_value(at(root, "status", NULL)), "stopped");
  assert_int_equal(json_integer_value(at(root, "exit_code", NULL)), 75);
  assert_string_equal(json_string_value(at(root, "message", NULL)), "SIGUSR1 in layer 2");
  assert_null(at(root, "parameters", "dense"));
  assert_null(at(root, "perplexity", "dense"));
  assert_true(json_is_null(at(root, "perplexity", "pruned")));
  assert_null(at(root, "calibrated_layers", NULL));
  assert_null(at(root, "settings", NULL));
  assert_null(at(root, "linearity_score", NULL));
  assert_int_equal(json_array_size(at(root, "layers", NULL)), 1);
  assert_null(json_object_get(json_array_get(at(root, "layers", NULL), 0), "q_error"));
  json_decref(root);
  olica_report_destroy(f->env, report);
}

static void is_written_after_a_failure(void **state) {
  fixture *f = *state;
  olica_report *report;
  assert_int_equal(olica_report_create(f->env, &report), OLICA_OK);
  f->env->memory.limit = f->env->memory.now + 4096; /* gathering must not need counted memory */
  olica_error_set(f->env, OLICA_ERR_INPUT, "mod\xc3\xa8le\xff\xc3.safetensors: no tensor x");
  json_decref(finish(f, report, OLICA_ERR_INPUT));
  f->env->memory.limit = 0;
  const char *path = fixture_path(f, "report.json");
  assert_int_equal(olica_report_write(f->env, report, path), OLICA_OK);
  json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
  assert_non_null(root);
  assert_string_equal(json_string_value(at(root, "status", NULL)), "failed");
  assert_int_equal(json_integer_value(at(root, "exit_code", NULL)), 3);
  assert_true(json_integer_value(at(root, "memory", "counted")
                                     ? json_object_get(at(root, "memory", "counted"), "max")
                                     : NULL) > 0);
  assert_string_equal(json_string_value(at(root, "message", NULL)),
                      "mod\xc3\xa8le\\xff\\xc3.safetensors: no tensor x");
  json_decref(root);
  assert_int_equal(olica_report_write(f->env, report, fixture_path(f, "no/such/report.json")), OLICA_ERR_IO);
  assert_int_equal(olica_report_write(f->env, report, ""), OLICA_OK);
  olica_report_destroy(f->env, report);
}

/* Every line of the table fits, and says what it should. */
static void table_fits(void **state) {
  fixture *f = *state;
  work(f);
  olica_report *report = fill(f);
  report->wall_s = 0;
  strcpy(f->context->host, "node1234.cluster.of.a-very-long-name.example.org");
  olica_log_warn(f->env, "%0120d", 1);
  json_decref(finish(f, report, OLICA_OK));
  char *text = NULL;
  size_t bytes;
  FILE *to = open_memstream(&text, &bytes);
  olica_report_table(report, to);
  fclose(to);
  if (getenv("SHOW")) printf("%s", text);
  const char *const wanted[] = {"134,515,008",   "17.2500",     "25.5000",
                                "0.2000",        "215.30 MiB",  "query",
                                "3, of 2 kinds", "0 node1234 ", "2 x  a test's warning"};
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
    if (!strstr(text, wanted[i])) fail_msg("no \"%s\" in\n%s", wanted[i], text);
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
    if (strlen(line) > 100) fail_msg("%zu columns: %s", strlen(line), line);
  free(text);
  olica_report_destroy(f->env, report);
}

static void bare_table_fits(void **state) {
  fixture *f = *state;
  olica_report *report;
  assert_int_equal(olica_report_create(f->env, &report), OLICA_OK);
  char *text = NULL;
  size_t bytes;
  FILE *to = open_memstream(&text, &bytes);
  olica_report_table(report, to); /* nothing known, nothing gathered */
  fclose(to);
  assert_null(strstr(text, "nan"));
  free(text);
  olica_report_destroy(f->env, report);
  olica_report_destroy(f->env, NULL);
}

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(has_every_member),
      FIXTURE_TEST(phases_are_ordered_and_closed),
      FIXTURE_TEST(layers_have_their_times),
      FIXTURE_TEST(unknown_numbers_are_left_out),
      FIXTURE_TEST(is_written_after_a_failure),
      FIXTURE_TEST(table_fits),
      FIXTURE_TEST(bare_table_fits),
  };
  int failed = cmocka_run_group_tests_name("report", tests, NULL, NULL);
  MPI_Finalize();
  return failed;
}
