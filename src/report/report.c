#include "report/report.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "io/file.h"

olica_status olica_report_create(olica_env *env, olica_report **out) {
  olica_report *report;
  OLICA_TRY(OLICA_NEW(env, report, 1));
  report->sparsity_requested = report->sparsity_reached = NAN;
  for (int i = 0; i < OLICA_TEXTS_MAX; i++)
    report->text[i].dense = report->text[i].pruned = report->text[i].kl = NAN;
  time_t started = time(NULL) - (time_t)(olica_timer_now() - env->timers.started);
  struct tm utc;
  strftime(report->started, sizeof report->started, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&started, &utc));
  *out = report;
  return OLICA_OK;
}

void olica_report_destroy(olica_env *env, olica_report *report) {
  if (!report) return;
  json_decref(report->settings);
  json_decref(report->model);
  free(report->ranks);
  free(report->phases);
  free(report->warnings);
  olica_memory_free(env, report->layer);
  for (int i = 0; i < report->findings; i++) olica_memory_free(env, report->finding[i].value);
  olica_passages_destroy(env, &report->passages);
  olica_memory_free(env, report);
}

olica_status olica_report_layers(olica_env *env, olica_report *report, const olica_arch *arch,
                                 const olica_method *method, int sweeps) {
  OLICA_TRY(OLICA_NEW(env, report->layer, (size_t)arch->layers));
  OLICA_TRY(olica_passages_create(env, arch->layers, sweeps, &report->passages));
  report->method = method;
  report->kv_heads = arch->kv_heads;
  report->layers = arch->layers;
  return OLICA_OK;
}

olica_status olica_report_choice(olica_env *env, olica_report *report, const olica_layer_shape *shapes,
                                 void *state) {
  olica_finding found[OLICA_FINDINGS];
  int count = olica_method_findings(report->method, state, found);
  for (int l = 0; l < report->layers; l++) report->layer[l].shape = shapes[l];
  for (int i = 0; i < count; i++) {
    olica_report_finding *finding = &report->finding[i];
    *finding = (olica_report_finding){found[i].name, found[i].kind, found[i].count, NULL};
    OLICA_TRY(OLICA_NEW(env, finding->value, (size_t)found[i].count));
    memcpy(finding->value, found[i].value, (size_t)found[i].count * sizeof *finding->value);
    report->findings = i + 1;
  }
  return OLICA_OK;
}

void olica_report_model(olica_report *report, const olica_arch *arch, const char *kind) {
  json_decref(report->model);
  report->model = json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b}", "kind", kind, "family",
                            arch->family->name, "layers", arch->layers, "hidden", arch->hidden, "heads",
                            arch->heads, "kv_heads", arch->kv_heads, "head", arch->head, "ffn", arch->ffn,
                            "vocabulary", arch->vocabulary, "context", arch->context, "tied", arch->tied);
  if (arch->text_of) json_object_set_new(report->model, "text_of", json_string(arch->text_of));
}

void olica_report_cut(olica_report *report, int layer, const olica_cut_record *record) {
  assert(layer >= 0 && layer < report->layers);
  report->layer[layer].cut = true;
  memcpy(report->layer[layer].fact, record->fact, sizeof record->fact);
  memcpy(report->layer[layer].curve, record->curve, sizeof record->curve);
}

const char *olica_report_name(const olica_report *report, bool pruned) {
  return report->evaluates_only ? "model" : pruned ? "pruned" : "dense";
}

const char *olica_report_host(const olica_report *report, int rank) {
  return rank >= 0 && rank < report->ranks_count ? report->ranks[rank].host : "";
}

double olica_report_resident(void) {
  FILE *file = fopen("/proc/self/status", "r");
  if (!file) return 0;
  char line[256];
  double kilobytes = 0;
  while (fgets(line, sizeof line, file))
    if (sscanf(line, "VmHWM: %lf kB", &kilobytes) == 1) break;
  fclose(file);
  return 1024 * kilobytes;
}

void olica_report_end(olica_env *env, olica_report *report, olica_status status) {
  while (env->timers.depth > 0) olica_timer_stop(&env->timers);
  report->wall_s = olica_timer_now() - env->timers.started;
  report->status = status;
  env->memory.limit = 0; /* reporting may need memory that the limit refuses */
  if (status != OLICA_OK) memcpy(report->message, env->error.text, sizeof report->message);
}

olica_status olica_report_write(olica_env *env, const olica_report *report, const char *path) {
  if (!*path) return OLICA_OK;
  json_t *root = olica_report_json(report);
  /* 15 digits, which a double keeps: 0.2 stays 0.2. */
  char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL;
  json_decref(root);
  if (!text) return olica_error_set(env, OLICA_ERR_MEMORY, "%s: no memory for the report", path);
  olica_status status = olica_file_save(env, path, text, strlen(text));
  free(text);
  return status;
}
