#include "report/summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "config/usage.h"
#include "io/file.h"
#include "io/json.h"
#include "plot/style.h"

enum { LARGEST = 64 << 20 };

/* ---- rows ---- */

static json_t *rows(const olica_summary *summary) {
  return json_object_get(summary->root, "pairs");
}

static const char *text_of(const json_t *row, const char *key) {
  const char *text = json_string_value(json_object_get(row, key));
  return text ? text : "";
}

static double number_of(const json_t *object, const char *key) {
  const json_t *number = json_object_get(object, key);
  return json_is_number(number) ? json_number_value(number) : NAN;
}

static json_t *row_of(const olica_summary *summary, const olica_pair *pair) {
  size_t i;
  json_t *row;
  json_array_foreach(rows(summary), i, row) {
    if (strcmp(text_of(row, "method"), pair->method) == 0 &&
        number_of(row, "sparsity") == strtod(pair->sparsity, NULL))
      return row;
  }
  return NULL;
}

bool olica_summary_has(const olica_summary *summary, const olica_pair *pair, const char *identity) {
  const json_t *row = row_of(summary, pair);
  return strcmp(text_of(row, "status"), "ok") == 0 &&
         (!identity || strcmp(text_of(row, "identity"), identity) == 0);
}

bool olica_summary_has_dense(const olica_summary *summary) {
  return json_object_size(json_object_get(summary->root, "dense")) > 1;
}

/* Puts member `model` of each text's figures under the text's name; a text without a name is "text". */
static void put_texts(json_t *row, const char *as, const json_t *report, const char *model) {
  const json_t *several = json_object_get(report, "perplexities");
  const json_t *one = json_object_get(report, "perplexity");
  json_t *figures = json_object(), *text;
  const char *name;
  json_object_foreach((json_t *)several, name, text) {
    const json_t *figure = json_object_get(text, model);
    if (figure) json_object_set(figures, name, (json_t *)figure);
  }
  if (!several && json_object_get(one, model)) json_object_set(figures, "text", json_object_get(one, model));
  if (json_object_size(figures) > 0)
    json_object_set_new(row, as, figures);
  else
    json_decref(figures);
}

static void put_member(json_t *row, const char *as, const json_t *object, const char *key) {
  json_t *value = json_object_get(object, key);
  if (value) json_object_set(row, as, value);
}

/* The dense model's figures, of the first report that has them. */
static void add_dense(olica_summary *summary, const json_t *report) {
  json_t *dense = json_object_get(summary->root, "dense");
  put_member(dense, "parameters", json_object_get(report, "parameters"), "dense");
  if (!json_object_get(dense, "perplexity")) put_texts(dense, "perplexity", report, "dense");
  json_t *mean = json_object_get(json_object_get(report, "tasks"), "mean");
  if (!json_object_get(dense, "tasks_mean")) put_member(dense, "tasks_mean", mean, "dense");
}

static void fill(json_t *row, const json_t *report) {
  const json_t *parameters = json_object_get(report, "parameters");
  put_member(row, "parameters", parameters, "pruned");
  put_member(row, "sparsity_reached", parameters, "sparsity_reached");
  put_texts(row, "perplexity", report, "pruned");
  put_texts(row, "kl", report, "kl");
  put_member(row, "tasks_mean", json_object_get(json_object_get(report, "tasks"), "mean"), "pruned");
  put_member(row, "wall_s", json_object_get(report, "run"), "wall_s");
  put_member(row, "checkpoint", json_object_get(report, "checkpoint"), "path");
}

olica_status olica_summary_add(olica_env *env, olica_summary *summary, const olica_pair *pair,
                               const char *name, const char *identity, const json_t *report,
                               olica_status status, const char *message) {
  json_t *old = row_of(summary, pair), *row = old ? old : json_object();
  json_object_clear(row);
  json_object_set_new(row, "method", json_string(pair->method));
  json_object_set_new(row, "sparsity", json_real(strtod(pair->sparsity, NULL)));
  json_object_set_new(row, "identity", json_string(identity));
  json_object_set_new(row, "status", json_string(status == OLICA_OK ? "ok" : olica_status_name(status)));
  if (status != OLICA_OK) json_object_set_new(row, "message", json_string(message));
  if (*name) json_object_set_new(row, "report", json_string(name));
  if (report) fill(row, report);
  if (report) add_dense(summary, report);
  if (!old && json_array_append_new(rows(summary), row) != 0)
    return olica_error_set(env, OLICA_ERR_MEMORY, "no memory for the summary");
  return OLICA_OK;
}

/* ---- its life ---- */

static olica_status refuse(olica_env *env, const char *path, const char *what) {
  return olica_error_set(env, OLICA_ERR_CONFIG,
                         "[output] report: %s is %s; expected a free name, or [output] overwrite = yes", path,
                         what);
}

/* *root stays NULL where there is nothing to take up. */
static olica_status take_up(olica_env *env, const char *path, bool replace, json_t **root) {
  struct stat info;
  json_t *found;
  if (!*path || stat(path, &info) != 0) return OLICA_OK;
  bool read = olica_json_load(env, path, LARGEST, &found) == OLICA_OK;
  if (!read) olica_error_clear(env);
  const char *status = text_of(found, "status");
  bool ours =
      json_is_array(json_object_get(found, "pairs")) && json_is_object(json_object_get(found, "dense"));
  bool open = ours && (strcmp(status, "running") == 0 || strcmp(status, "stopped") == 0);
  if (open)
    *root = found;
  else
    json_decref(found);
  if (open || replace) return OLICA_OK;
  return refuse(env, path,
                ours ? "the summary of a comparison that has ended" : "no summary of a comparison");
}

olica_status olica_summary_begin(olica_env *env, const char *path, const char *config, bool replace,
                                 bool fresh, olica_summary *summary, bool *resumed) {
  char now[32];
  time_t seconds = time(NULL);
  struct tm utc;
  *summary = (olica_summary){.path = path};
  OLICA_TRY(take_up(env, path, replace || fresh, &summary->root));
  if (fresh) olica_summary_free(summary);
  *resumed = summary->root != NULL;
  if (*resumed) return OLICA_OK;
  strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &utc));
  summary->root = json_pack("{s:s, s:s, s:s, s:s, s:{}, s:[]}", "olica_mpi", olica_usage_release(), "status",
                            "running", "started", now, "config", config, "dense", "pairs");
  if (summary->root) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_MEMORY, "no memory for the summary");
}

void olica_summary_free(olica_summary *summary) {
  json_decref(summary->root);
  summary->root = NULL;
}

void olica_summary_order(olica_summary *summary, const olica_pairs *pairs) {
  json_t *ordered = json_array();
  for (int i = 0; i < pairs->count; i++) {
    json_t *row = row_of(summary, &pairs->pair[i]);
    if (row) json_array_append(ordered, row);
  }
  json_object_set_new(summary->root, "pairs", ordered);
}

void olica_summary_end(olica_summary *summary, const char *status) {
  json_object_set_new(summary->root, "status", json_string(status));
}

/* ---- files and table ---- */

/* Names of the texts, as the dense model's figures or the first row's have them. */
static const json_t *texts(const olica_summary *summary) {
  const json_t *dense = json_object_get(json_object_get(summary->root, "dense"), "perplexity");
  size_t i;
  json_t *row;
  if (dense) return dense;
  json_array_foreach(rows(summary), i, row) {
    if (json_object_get(row, "perplexity")) return json_object_get(row, "perplexity");
  }
  return NULL;
}

static bool has_member(const olica_summary *summary, const char *key) {
  size_t i;
  json_t *row;
  json_array_foreach(rows(summary), i, row) {
    if (json_object_get(row, key)) return true;
  }
  return false;
}

static void csv_number(FILE *to, const json_t *object, const char *key) {
  const json_t *value = json_object_get(object, key);
  if (json_is_integer(value))
    fprintf(to, ",%lld", (long long)json_integer_value(value));
  else if (json_is_number(value))
    fprintf(to, ",%.15g", json_number_value(value));
  else
    fprintf(to, json_is_null(value) ? ",inf" : ",");
}

static void csv_row(const olica_summary *summary, const json_t *row, const char *method, FILE *to) {
  const char *name;
  json_t *text;
  fprintf(to, "%s", method);
  csv_number(to, row, "sparsity");
  fprintf(to, ",%s", text_of(row, "status"));
  csv_number(to, row, "sparsity_reached");
  csv_number(to, row, "parameters");
  json_object_foreach((json_t *)texts(summary), name, text)
      csv_number(to, json_object_get(row, "perplexity"), name);
  json_object_foreach((json_t *)texts(summary), name, text) csv_number(to, json_object_get(row, "kl"), name);
  csv_number(to, row, "tasks_mean");
  csv_number(to, row, "wall_s");
  fputc('\n', to);
}

static void csv(const olica_summary *summary, FILE *to) {
  const char *name;
  json_t *text, *row;
  size_t i;
  fprintf(to, "method,sparsity,status,sparsity_reached,parameters");
  json_object_foreach((json_t *)texts(summary), name, text) fprintf(to, ",perplexity.%s", name);
  json_object_foreach((json_t *)texts(summary), name, text) fprintf(to, ",kl.%s", name);
  fprintf(to, ",tasks_mean,wall_s\n");
  csv_row(summary, json_object_get(summary->root, "dense"), "dense", to);
  json_array_foreach(rows(summary), i, row) csv_row(summary, row, text_of(row, "method"), to);
}

/* A line for each method: perplexity of the first text over the sparsity that was reached. */
static void script(const olica_summary *summary, const char *stem, FILE *to) {
  const char *slash = strrchr(stem, '/'), *bare = slash ? slash + 1 : stem, *drawn = "";
  char *data = NULL;
  json_t *row;
  size_t i;
  if (asprintf(&data, "%s.csv", bare) < 0) return;
  olica_style_begin(to, bare, data, "Perplexity and sparsity");
  free(data);
  fprintf(to, "set datafile separator ','\nset xlabel \"reached sparsity: share of the parameters that is "
              "removed\"\nset ylabel \"perplexity (lower is better)\"\n");
  olica_style_draw(to, bare, OLICA_STYLE_HEIGHT);
  fprintf(to, "  plot for [m in \"");
  json_array_foreach(rows(summary), i, row) {
    if (strcmp(text_of(row, "method"), drawn) != 0)
      fprintf(to, "%s%s", *drawn ? " " : "", text_of(row, "method"));
    drawn = text_of(row, "method");
  }
  fprintf(to, "\"] '%s.csv' skip 1 using (strcol(1) eq m ? $4 : NaN):6 with linespoints title m\n", bare);
  olica_style_end(to);
}

typedef void content(const olica_summary *summary, const char *stem, FILE *to);

static void csv_content(const olica_summary *summary, const char *stem, FILE *to) {
  (void)stem;
  csv(summary, to);
}

static olica_status save(olica_env *env, const olica_summary *summary, const char *stem,
                         const char *extension, content *write) {
  char *text = NULL, *path;
  size_t bytes = 0, length = strlen(stem) + strlen(extension) + 1;
  OLICA_TRY(OLICA_NEW(env, path, length));
  snprintf(path, length, "%s%s", stem, extension);
  FILE *to = open_memstream(&text, &bytes);
  if (!to) return olica_error_set(env, OLICA_ERR_MEMORY, "no memory for the summary");
  write(summary, stem, to);
  fclose(to);
  olica_status status = olica_file_save(env, path, text, bytes);
  olica_memory_free(env, path);
  free(text);
  return status;
}

static void json_content(const olica_summary *summary, const char *stem, FILE *to) {
  (void)stem;
  json_dumpf(summary->root, to, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
}

olica_status olica_summary_write(olica_env *env, const olica_summary *summary) {
  if (!*summary->path) return OLICA_OK;
  char *stem = olica_memory_string(env, summary->path);
  if (!stem) return env->error.code;
  char *slash = strrchr(stem, '/'), *dot = strrchr(slash ? slash : stem, '.');
  if (dot && strcmp(dot, ".json") == 0) *dot = '\0';
  OLICA_TRY(save(env, summary, stem, ".csv", csv_content));
  OLICA_TRY(save(env, summary, stem, ".gp", script));
  olica_memory_free(env, stem);
  return save(env, summary, summary->path, "", json_content);
}

static void cell(FILE *to, const json_t *object, const char *key, int digits) {
  double value = number_of(object, key);
  if (json_is_null(json_object_get(object, key)))
    fprintf(to, " %12s", "inf");
  else if (isnan(value))
    fprintf(to, " %12s", "-");
  else
    fprintf(to, " %12.*f", digits, value);
}

static void print_row(const olica_summary *summary, const json_t *row, const char *method, FILE *to) {
  const char *name, *status = text_of(row, "status");
  json_t *text;
  fprintf(to, "%-12s", method);
  cell(to, row, "sparsity", 3);
  cell(to, row, "sparsity_reached", 4);
  cell(to, row, "parameters", 0);
  json_object_foreach((json_t *)texts(summary), name, text) {
    cell(to, json_object_get(row, "perplexity"), name, 3);
    if (has_member(summary, "kl")) cell(to, json_object_get(row, "kl"), name, 4);
  }
  if (has_member(summary, "tasks_mean")) cell(to, row, "tasks_mean", 4);
  cell(to, row, "wall_s", 1);
  bool failed = *status && strcmp(status, "ok") != 0;
  fprintf(to, "%s%s\n", failed ? "  " : "", failed ? status : "");
}

void olica_summary_table(const olica_summary *summary, FILE *to) {
  const char *name;
  json_t *text, *row;
  size_t i;
  fprintf(to, "%-12s %12s %12s %12s", "method", "sparsity", "reached", "parameters");
  json_object_foreach((json_t *)texts(summary), name, text) {
    fprintf(to, " %12.12s", strcmp(name, "text") ? name : "perplexity");
    if (has_member(summary, "kl")) fprintf(to, " %12s", "KL");
  }
  if (has_member(summary, "tasks_mean")) fprintf(to, " %12s", "tasks");
  fprintf(to, " %12s\n", "seconds");
  print_row(summary, json_object_get(summary->root, "dense"), "dense", to);
  json_array_foreach(rows(summary), i, row) print_row(summary, row, text_of(row, "method"), to);
  if (*summary->path) fprintf(to, "%-22s %s\n", "report", summary->path);
}
