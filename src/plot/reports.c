#include "reports.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"

enum { LARGEST = 256 << 20, LAYERS_MOST = 100000 };

/* ---- members ---- */

double olica_reports_in(const json_t *row, const char *key) {
  const json_t *number = json_object_get(row, key);
  return json_is_number(number) ? json_number_value(number) : NAN;
}

double olica_reports_at(const json_t *array, size_t i) {
  const json_t *number = json_array_get(array, i);
  return json_is_number(number) ? json_number_value(number) : NAN;
}

static const json_t *section_of(const olica_plot_report *report, const char *section) {
  return section ? json_object_get(report->root, section) : report->root;
}

double olica_reports_number(const olica_plot_report *report, const char *section, const char *key) {
  return olica_reports_in(section_of(report, section), key);
}

const char *olica_reports_text(const olica_plot_report *report, const char *section, const char *key) {
  const char *text = json_string_value(json_object_get(section_of(report, section), key));
  return text ? text : "";
}

const json_t *olica_reports_array(const olica_plot_report *report, const char *key) {
  return json_object_get(report->root, key);
}

int olica_reports_layers(const olica_plot_report *report) {
  double layers = olica_reports_number(report, "model", "layers");
  return isnan(layers) ? 0 : (int)layers;
}

const char *olica_reports_method(const olica_plot_report *report) {
  const json_t *prune = json_object_get(json_object_get(report->root, "settings"), "prune");
  const char *method = json_string_value(json_object_get(prune, "method"));
  return method ? method : "none";
}

/* ---- checks ---- */

static olica_status wrong(olica_env *env, const char *path, const char *key, const json_t *found,
                          const char *expected) {
  char text[OLICA_JSON_TEXT];
  olica_json_describe(found, text);
  return olica_error_set(env, OLICA_ERR_INPUT, "%s: %s is %s, expected %s, as in a report of olica_mpi", path,
                         key, text, expected);
}

/* All members of an object are numbers, strings or arrays of numbers: those that are drawn are. */
static olica_status check_row(olica_env *env, const char *path, const char *name, const json_t *row) {
  static const char *const texts[] = {"name", "sweep", "slowest_host"};
  const char *key;
  json_t *value;
  if (!json_is_object(row)) return wrong(env, path, name, row, "an array of objects");
  json_object_foreach((json_t *)row, key, value) {
    bool text = false;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) text |= strcmp(key, texts[i]) == 0;
    bool numbers = json_is_array(value);
    for (size_t i = 0; numbers && i < json_array_size(value); i++)
      numbers = json_is_number(json_array_get(value, i));
    if (text ? json_is_string(value) : numbers || json_is_number(value) || json_is_null(value)) continue;
    char where[128];
    snprintf(where, sizeof where, "%s: %.64s", name, key);
    return wrong(env, path, where, value, text ? "a string" : "a number");
  }
  return OLICA_OK;
}

static olica_status check_rows(olica_env *env, const char *path, const json_t *root, const char *name) {
  const json_t *rows = json_object_get(root, name);
  size_t i;
  json_t *row;
  if (!rows) return OLICA_OK;
  if (!json_is_array(rows)) return wrong(env, path, name, rows, "an array of objects");
  json_array_foreach((json_t *)rows, i, row) OLICA_TRY(check_row(env, path, name, row));
  return OLICA_OK;
}

static olica_status check_numbers(olica_env *env, const char *path, const json_t *root, const char *name) {
  const json_t *array = json_object_get(root, name), *row;
  size_t i;
  if (!array) return OLICA_OK;
  if (!json_is_array(array)) return wrong(env, path, name, array, "an array of numbers");
  for (i = 0; i < json_array_size(array); i++) {
    row = json_array_get(array, i);
    if (!json_is_number(row)) return wrong(env, path, name, row, "an array of numbers");
  }
  return OLICA_OK;
}

static olica_status check_objects(olica_env *env, const char *path, const json_t *root) {
  static const char *const names[] = {"run", "settings", "model", "parameters", "perplexity"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const json_t *object = json_object_get(root, names[i]);
    if (object && !json_is_object(object)) return wrong(env, path, names[i], object, "an object");
  }
  return OLICA_OK;
}

static olica_status check(olica_env *env, const char *path, const json_t *root) {
  const json_t *status = json_object_get(root, "status"), *model = json_object_get(root, "model");
  int64_t layers = 0;
  if (!json_is_object(json_object_get(root, "olica_mpi")))
    return wrong(env, path, "olica_mpi", json_object_get(root, "olica_mpi"), "an object");
  if (!json_is_string(status)) return wrong(env, path, "status", status, "a string");
  OLICA_TRY(check_objects(env, path, root));
  if (model) OLICA_TRY(olica_json_integer(env, path, model, "layers", false, 1, LAYERS_MOST, &layers));
  OLICA_TRY(check_rows(env, path, root, "layers"));
  OLICA_TRY(check_rows(env, path, root, "layer_times"));
  OLICA_TRY(check_rows(env, path, root, "phases"));
  OLICA_TRY(check_numbers(env, path, root, "linearity_score"));
  OLICA_TRY(check_numbers(env, path, root, "calibrated_layers"));
  OLICA_TRY(check_numbers(env, path, root, "probe_kl"));
  return check_numbers(env, path, root, "block_influence");
}

/* ---- reading ---- */

static olica_status add(olica_env *env, const char *path, json_t *root, olica_plot_reports *reports) {
  const char *status = json_string_value(json_object_get(root, "status"));
  if (reports->count == OLICA_PLOT_REPORTS) {
    json_decref(root);
    return olica_error_set(env, OLICA_ERR_CONFIG, "--plot: more than %d reports", OLICA_PLOT_REPORTS);
  }
  olica_plot_report *report = &reports->report[reports->count++];
  *report = (olica_plot_report){.path = olica_memory_string(env, path), .root = root};
  if (!report->path) return env->error.code;
  OLICA_TRY(check(env, path, root));
  if (status && strcmp(status, "ok") != 0)
    olica_log_warn(env, "%s: its run has the status %s: what it had not come to is not drawn", path, status);
  return OLICA_OK;
}

/* Adds the reports of a comparison's pairs, which lie where the summary does. */
static olica_status add_pairs(olica_env *env, const char *path, const json_t *pairs,
                              olica_plot_reports *reports) {
  size_t i;
  json_t *pair, *root;
  char *name;
  json_array_foreach((json_t *)pairs, i, pair) {
    const char *report = json_string_value(json_object_get(pair, "report"));
    if (!report) {
      olica_log_warn(env, "%s: pair %zu has no report, and is not drawn", path, i);
      continue;
    }
    OLICA_TRY(olica_file_resolve(env, path, report, &name));
    OLICA_TRY(olica_json_load(env, name, LARGEST, &root));
    olica_status status = add(env, name, root, reports);
    olica_memory_free(env, name);
    OLICA_TRY(status);
  }
  return OLICA_OK;
}

static bool is_taken(const olica_plot_reports *reports, int count, const char *label) {
  for (int i = 0; i < count; i++)
    if (strcmp(reports->report[i].label, label) == 0) return true;
  return false;
}

/* Method and sparsity; at the second try also the file, at the third the number. */
static void write_label(const olica_plot_report *report, int number, int attempt, char *label) {
  double sparsity = olica_reports_number(report, "parameters", "sparsity_requested");
  const char *method = olica_reports_method(report), *slash = strrchr(report->path, '/');
  char of[24] = "", file[28] = "";
  if (!isnan(sparsity)) snprintf(of, sizeof of, " %.4g %%", 100 * sparsity);
  if (attempt == 1) snprintf(file, sizeof file, ", %.24s", slash ? slash + 1 : report->path);
  if (attempt == 2) snprintf(file, sizeof file, ", no. %d", number);
  snprintf(label, OLICA_PLOT_LABEL, "%.10s%s%s", strcmp(method, "none") == 0 ? "model" : method, of, file);
  for (; *label; label++)
    if ((unsigned char)*label < ' ' || (unsigned char)*label > '~') *label = '?';
}

static void name_all(olica_plot_reports *reports) {
  for (int i = 0; i < reports->count; i++) {
    olica_plot_report *report = &reports->report[i];
    for (int attempt = 0; attempt < 3; attempt++) {
      write_label(report, i + 1, attempt, report->label);
      if (!is_taken(reports, i, report->label)) break;
    }
  }
}

olica_status olica_reports_read(olica_env *env, int count, const char *const *paths,
                                olica_plot_reports *reports) {
  reports->count = 0;
  for (int i = 0; i < count; i++) {
    json_t *root = NULL;
    OLICA_TRY(olica_json_load(env, paths[i], LARGEST, &root));
    const json_t *pairs = json_object_get(root, "pairs");
    if (!json_is_array(pairs)) {
      OLICA_TRY(add(env, paths[i], root, reports));
      continue;
    }
    olica_status status = add_pairs(env, paths[i], pairs, reports);
    json_decref(root);
    OLICA_TRY(status);
  }
  if (reports->count == 0)
    return olica_error_set(env, OLICA_ERR_INPUT, "%s: holds no pair with a report, expected one at least",
                           paths[0]);
  name_all(reports);
  return OLICA_OK;
}

void olica_reports_free(olica_env *env, olica_plot_reports *reports) {
  for (int i = 0; i < reports->count; i++) {
    json_decref(reports->report[i].root);
    olica_memory_free(env, reports->report[i].path);
  }
  reports->count = 0;
}
