/* The report as JSON: report.json, and the answer of a library's job. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/usage.h"
#include "config/value.h"
#include "la/blas_kernel.h"
#include "la/blas_start.h"
#include "report/report.h"

/* Sets members whose values are known: JSON has no NaN. */
static void put(json_t *object, const char *key, json_t *value) {
  if (value) json_object_set_new(object, key, value);
}

static void put_integer(json_t *object, const char *key, int64_t value) {
  put(object, key, json_integer(value));
}

/* Sets a number; omits NaN (not known), sets infinity as null. */
static void put_real(json_t *object, const char *key, double value) {
  if (!isnan(value)) put(object, key, isinf(value) ? json_null() : json_real(value));
}

static void put_bytes(json_t *object, const char *key, double value) {
  put(object, key, json_integer((json_int_t)value));
}

/* Sets seconds, to the microsecond. */
static void put_seconds(json_t *object, const char *key, double value) {
  put_real(object, key, rint(value * 1e6) / 1e6);
}

static void put_text(json_t *object, const char *key, const char *value) {
  if (value && *value) put(object, key, olica_value_string(value));
}

static void put_spread(json_t *object, const char *key, olica_report_spread spread) {
  json_t *member = json_object();
  put_bytes(member, "min", spread.min);
  put_bytes(member, "mean", spread.mean);
  put_bytes(member, "max", spread.max);
  put(object, key, member);
}

static const char *status_word(olica_status status) {
  return status == OLICA_OK ? "ok" : status == OLICA_STOPPED ? "stopped" : "failed";
}

static json_t *program_json(void) {
  json_t *object = json_object();
  put_text(object, "version", olica_usage_release());
  put_text(object, "git", olica_usage_git());
  put(object, "libraries", olica_usage_libraries());
  return object;
}

static double cpu_seconds(const olica_report *report) {
  double sum = 0;
  for (int r = 0; r < report->ranks_count; r++) sum += report->ranks[r].cpu_s;
  return sum;
}

/* Describes OpenBLAS's kernel on the rank that writes the report. */
static json_t *blas_kernel_json(void) {
  return json_pack("{s:s, s:s}", "name", olica_blas_kernel_name(), "chosen_by", olica_blas_start_chooser());
}

static json_t *run_json(const olica_report *report) {
  json_t *object = json_object();
  if (report->job_ranks) put_integer(object, "ranks", report->job_ranks);
  if (report->nodes) put_integer(object, "nodes", report->nodes);
  if (report->run.threads) put_integer(object, "threads", report->run.threads);
  put_text(object, "precision", report->run.precision);
  put_text(object, "kernel", report->run.kernel);
  put(object, "blas_kernel", blas_kernel_json());
  put_text(object, "started", report->started);
  if (!report->running) put_seconds(object, "wall_s", report->wall_s);
  if (report->running) put_text(object, "host", report->mine.host);
  if (report->running) put_integer(object, "pid", getpid());
  if (report->ranks_count) put_seconds(object, "cpu_s", cpu_seconds(report));
  put_text(object, "command_line", report->run.command_line);
  put_text(object, "config", report->run.config);
  return object;
}

static json_t *restart_json(const olica_report *report) {
  json_t *object = json_object();
  put_integer(object, "sweep", report->restart.sweep);
  put_integer(object, "layer", report->restart.layer);
  put_integer(object, "runs_before", report->restart.runs);
  put_seconds(object, "seconds_before", report->restart.seconds);
  return object;
}

static json_t *parameters_json(const olica_report *report) {
  json_t *object = json_object();
  if (report->dense) put_integer(object, olica_report_name(report, false), report->dense);
  if (report->pruned) put_integer(object, olica_report_name(report, true), report->pruned);
  if (report->evaluates_only) return object;
  put_real(object, "sparsity_requested", report->sparsity_requested);
  put_real(object, "sparsity_reached", report->sparsity_reached);
  return object;
}

/* Returns the finding: numbers of the layers, or layers. */
static json_t *finding_json(const olica_report_finding *finding) {
  json_t *array = json_array();
  for (int i = 0; i < finding->count; i++)
    json_array_append_new(array, finding->kind == OLICA_FINDING_LAYERS
                                     ? json_integer((json_int_t)finding->value[i])
                                     : json_real(finding->value[i]));
  return array;
}

static void put_facts(json_t *object, const olica_method *method, const double *value) {
  for (int i = 0; i < method->fact_count; i++) {
    const olica_fact *fact = &method->facts[i];
    if (!fact->whole)
      put_real(object, fact->name, value[i]);
    else if (isfinite(value[i]) && value[i] != 0)
      put_integer(object, fact->name, (int64_t)value[i]);
  }
}

/* Puts a layer's curves that are known, to six digits: they are for the eye. */
static void put_curves(json_t *object, const olica_method *method, const olica_report_layer *layer) {
  for (int i = 0; i < method->curve_count; i++) {
    json_t *array = json_array();
    for (int p = 0; p < OLICA_CURVE && isfinite(layer->curve[i][p]); p++) {
      char text[32];
      snprintf(text, sizeof text, "%.6g", layer->curve[i][p]);
      json_array_append_new(array, json_real(strtod(text, NULL)));
    }
    if (json_array_size(array) == OLICA_CURVE) json_object_set(object, method->curves[i].name, array);
    json_decref(array);
  }
}

static json_t *checkpoint_json(const olica_report *report) {
  json_t *object = json_object();
  put_text(object, "path", report->checkpoint);
  if (report->checkpoint_bytes > 0) put_bytes(object, "bytes", report->checkpoint_bytes);
  return object;
}

/* Ranks of maps that few methods cut, where they are cut. */
static void put_ranks(json_t *object, const olica_layer_shape *shape) {
  static const char *const names[] = {[OLICA_V] = "v_rank",
                                      [OLICA_O] = "o_rank",
                                      [OLICA_GATE] = "gate_rank",
                                      [OLICA_UP] = "up_rank",
                                      [OLICA_DOWN] = "down_rank"};
  for (int p = OLICA_V; p < OLICA_PROJECTIONS; p++)
    if (shape->rank[p] > 0) put_integer(object, names[p], shape->rank[p]);
}

static json_t *layers_json(const olica_report *report) {
  json_t *array = json_array();
  for (int l = 0; l < report->layers; l++) {
    const olica_report_layer *layer = &report->layer[l];
    const olica_layer_shape *shape = &layer->shape;
    if (!layer->cut) continue;
    json_t *object = json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "layer", l, "q_rank", shape->rank[OLICA_Q],
                               "k_rank", shape->rank[OLICA_K], "vo_width", shape->kv_heads * shape->values,
                               "ffn_width", shape->ffn, "branch_rank", shape->branch);
    if (shape->kv_heads < report->kv_heads) put_integer(object, "kv_heads", shape->kv_heads);
    put_ranks(object, shape);
    put_facts(object, report->method, layer->fact);
    put_curves(object, report->method, layer);
    json_array_append_new(array, object);
  }
  return array;
}

static json_t *perplexity_json(const olica_report *report, const olica_report_text *text) {
  json_t *object = json_object();
  put_real(object, olica_report_name(report, false), text->dense);
  put_real(object, olica_report_name(report, true), text->pruned);
  put_real(object, "kl", text->kl);
  put_integer(object, "tokens", text->tokens);
  put_integer(object, "windows", text->windows);
  return object;
}

/* Returns values by the names of the texts. */
static json_t *perplexities_json(const olica_report *report) {
  json_t *object = json_object();
  for (int i = 0; i < report->texts; i++)
    put(object, report->text[i].name, perplexity_json(report, &report->text[i]));
  return object;
}

static json_t *score_json(const olica_score *score) {
  json_t *object = json_object();
  put_real(object, "acc", score->acc);
  put_real(object, "acc_norm", score->acc_norm);
  put_real(object, "stderr", score->acc_stderr);
  put_real(object, "stderr_norm", score->acc_norm_stderr);
  return object;
}

static json_t *tasks_json(const olica_report *report) {
  const olica_report_tasks *tasks = &report->tasks;
  const char *const models[2] = {olica_report_name(report, false), olica_report_name(report, true)};
  json_t *object = json_object(), *mean = json_object();
  for (int t = 0; t < tasks->count; t++) {
    const olica_report_task *task = &tasks->task[t];
    json_t *member = json_object();
    put_integer(member, "n", task->n);
    put_integer(member, "truncated", task->truncated.pairs);
    put_integer(member, "tokens_cut", task->truncated.tokens);
    for (int m = 0; m < 2; m++)
      if (task->known[m]) put(member, models[m], score_json(&task->score[m]));
    put(object, task->task->name, member);
  }
  for (int m = 0; m < 2; m++)
    if (tasks->known[m]) put_real(mean, models[m], tasks->mean[m]);
  put(object, "mean", mean);
  return object;
}

/* Returns questions a second. */
static json_t *speed_json(const olica_report *report) {
  json_t *object = json_object();
  for (int m = 0; m < 2; m++)
    if (report->tasks.known[m]) put_real(object, olica_report_name(report, m), report->tasks.per_second[m]);
  return object;
}

static json_t *phases_json(const olica_report *report) {
  json_t *array = json_array();
  for (int i = 0; i < report->phases_count; i++) {
    const olica_report_phase *phase = &report->phases[i];
    json_t *object = json_object();
    put_text(object, "name", phase->name);
    put_integer(object, "calls", phase->calls);
    put_seconds(object, "min_s", phase->seconds.min);
    put_seconds(object, "mean_s", phase->seconds.mean);
    put_seconds(object, "max_s", phase->seconds.max);
    put_integer(object, "slowest_rank", phase->slowest);
    put_text(object, "slowest_host", olica_report_host(report, phase->slowest));
    put_real(object, "gflops", phase->gflops);
    if (phase->tokens > 0 && phase->seconds.max > 0 && report->layers)
      put_real(object, "tokens_per_s", phase->tokens / report->layers / phase->seconds.max);
    put_bytes(object, "bytes", phase->bytes);
    put_seconds(object, "comm_s", phase->comm.mean);
    put_seconds(object, "comm_max_s", phase->comm.max);
    put_integer(object, "comm_calls", phase->comm.calls);
    put_bytes(object, "comm_bytes", phase->comm.bytes);
    json_array_append_new(array, object);
  }
  return array;
}

static json_t *ranks_json(const olica_report *report) {
  json_t *array = json_array();
  for (int r = 0; r < report->ranks_count; r++) {
    const olica_report_rank *rank = &report->ranks[r];
    json_t *object = json_object();
    put_integer(object, "rank", r);
    put_text(object, "host", rank->host);
    put_text(object, "processor", rank->processor);
    put_text(object, "blas_kernel", rank->blas_kernel);
    put_seconds(object, "cpu_s", rank->cpu_s);
    put_integer(object, "sequences", rank->sequences);
    put_bytes(object, "bytes_read", rank->bytes_read);
    put_bytes(object, "bytes_written", rank->bytes_written);
    put_bytes(object, "peak_memory", rank->counted);
    put_integer(object, "eigenproblems", rank->eigenproblems);
    json_array_append_new(array, object);
  }
  return array;
}

static json_t *memory_json(const olica_report *report) {
  json_t *object = json_object();
  if (report->estimate > 0) put_bytes(object, "estimate", report->estimate);
  if (report->ranks_count) put_spread(object, "counted", report->counted);
  if (report->resident.max > 0) put_spread(object, "resident", report->resident);
  return object;
}

static json_t *solvers_json(const olica_report *report) {
  json_t *array = json_array();
  for (int i = 0; i < report->solvers_count; i++) {
    const olica_pool_record *s = &report->solvers[i];
    json_array_append_new(array, json_pack("{s:s, s:[i,i], s:[i,i], s:i, s:I, s:i, s:I, s:I}", "backend",
                                           olica_backend_name(s->place.backend), "ranks", s->place.first,
                                           s->place.first + s->place.count - 1, "grid", s->grid_rows,
                                           s->grid_cols, "block", s->block, "problems",
                                           (json_int_t)s->problems, "largest", s->largest, "mixed",
                                           (json_int_t)s->mixed, "again_in_double", (json_int_t)s->again));
  }
  return array;
}

static json_t *warnings_json(const olica_report *report) {
  json_t *array = json_array();
  for (int i = 0; i < report->warnings_count; i++) {
    json_t *object = json_object();
    put_text(object, "text", report->warnings[i].text);
    put_integer(object, "count", report->warnings[i].count);
    json_array_append_new(array, object);
  }
  return array;
}

json_t *olica_report_json(const olica_report *report) {
  json_t *root = json_object();
  put(root, "olica_mpi", program_json());
  put_text(root, "status", report->running ? "running" : status_word(report->status));
  if (!report->running) put_integer(root, "exit_code", report->status);
  if (report->status != OLICA_OK) put_text(root, "message", report->message);
  put(root, "run", run_json(report));
  if (report->restart.runs) put(root, "restart", restart_json(report));
  put(root, "settings", json_incref(report->settings));
  put(root, "model", json_incref(report->model));
  put(root, "parameters", parameters_json(report));
  put_text(root, "survey", report->survey);
  for (int i = 0; i < report->findings; i++)
    put(root, report->finding[i].name, finding_json(&report->finding[i]));
  put(root, "layers", layers_json(report));
  put(root, "layer_times", olica_passages_json(&report->passages));
  if (report->texts) put(root, "perplexity", perplexity_json(report, &report->text[0]));
  if (report->texts && *report->text[0].name) put(root, "perplexities", perplexities_json(report));
  if (report->tasks.count) put(root, "tasks", tasks_json(report));
  if (report->tasks.count) put(root, "questions_per_s", speed_json(report));
  put(root, "phases", phases_json(report));
  put(root, "ranks", ranks_json(report));
  put(root, "memory", memory_json(report));
  if (report->checkpoint) put(root, "checkpoint", checkpoint_json(report));
  if (report->solvers_count) put(root, "solvers", solvers_json(report));
  put(root, "warnings", warnings_json(report));
  return root;
}
