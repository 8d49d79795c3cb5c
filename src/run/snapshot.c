#include "snapshot.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/value.h"
#include "par/comm.h"
#include "par/watch.h"

/* Refuses an array of the method with the name of another section: sections are found by their names. */
static olica_status check_names(const olica_setup *setup, const char *const *name, int names) {
  static const char *const own[] = {"place", "calibration", "evaluation", "dense",
                                    "tasks", "likelihood",  "progress"};
  for (int i = 0; i < names; i++) {
    bool taken = strlen(name[i]) >= OLICA_RESTART_SECTION;
    for (size_t k = 0; k < sizeof own / sizeof *own; k++) taken |= strcmp(name[i], own[k]) == 0;
    for (int k = 0; k < i; k++) taken |= strcmp(name[i], name[k]) == 0;
    if (taken)
      return olica_error_set(setup->context->env, OLICA_ERR_INTERNAL,
                             "method %s: restart files have another section called %s, expected another name "
                             "for the array or stream, of less than %d characters",
                             setup->method->name, name[i], OLICA_RESTART_SECTION);
  }
  return OLICA_OK;
}

/* The method's arrays and, within a pass, its own streams. */
static olica_status add_method(const olica_engine *engine, bool within, olica_sections *sections) {
  const olica_method *method = engine->setup->method;
  olica_array array[OLICA_ARRAYS];
  olica_own_stream own[OLICA_OWN_STREAMS];
  const char *name[OLICA_ARRAYS + OLICA_OWN_STREAMS] = {NULL};
  int arrays = olica_method_arrays(method, engine->state, array);
  int streams = olica_method_streams(method, engine->state, own);
  assert(arrays >= 0 && streams >= 0);
  for (int i = 0; i < arrays; i++) name[i] = array[i].name;
  for (int i = 0; i < streams; i++) name[arrays + i] = own[i].name;
  OLICA_TRY(check_names(engine->setup, name, arrays + streams));
  for (int i = 0; i < arrays; i++)
    olica_sections_add_shared(sections, array[i].name, array[i].data,
                              (size_t)olica_array_numbers(&array[i]) * sizeof *array[i].data);
  for (int i = 0; within && i < streams; i++)
    OLICA_TRY(olica_sections_add_stream(sections, own[i].name, own[i].stream, own[i].stream->x));
  return OLICA_OK;
}

olica_status olica_snapshot_sections(olica_snapshot *snapshot, olica_position at, olica_sections *sections) {
  olica_engine *engine = snapshot->engine;
  bool cuts = at.sweep == olica_setup_last_sweep(engine->setup);
  *sections = (olica_sections){0};
  snapshot->place = at;
  olica_sections_add_shared(sections, "place", &snapshot->place, sizeof snapshot->place);
  OLICA_TRY(add_method(engine, !cuts && at.layer > 0, sections));
  if (at.layer > 0 && engine->stream)
    OLICA_TRY(olica_sections_add_stream(sections, "calibration", engine->stream, engine->stream->x));
  bool rides = cuts || (at.sweep == 1 && olica_setup_scores(engine->setup, false));
  OLICA_TRY(olica_riders_save(engine->riders, rides && at.layer > 0, at.sweep > 1, sections));
  if (at.layer > 0 && cuts)
    olica_sections_add_shared(sections, "progress", snapshot->progress, (size_t)snapshot->progress_bytes);
  return OLICA_OK;
}

/* ---- the report ---- */

/* A curve's known points. */
static json_t *curve_json(const double *curve) {
  json_t *array = json_array();
  for (int p = 0; p < OLICA_CURVE && isfinite(curve[p]); p++)
    json_array_append_new(array, json_real(curve[p]));
  return array;
}

static void recall_curve(const json_t *array, double *curve) {
  for (size_t p = 0; p < OLICA_CURVE; p++) {
    const json_t *value = json_array_get(array, p);
    if (json_is_number(value)) curve[p] = json_number_value(value);
  }
}

/* Returns the method's facts and curves of the pruned layers: [{"layer": 0, "NAME OF A FACT": 0.07, ...},
 * ...]. */
static json_t *cuts_json(const olica_report *report) {
  json_t *array = json_array();
  for (int l = 0; l < report->layers; l++) {
    if (!report->layer[l].cut) continue;
    json_t *cut = json_pack("{s:i}", "layer", l);
    for (int i = 0; cut && i < report->method->fact_count; i++)
      if (isfinite(report->layer[l].fact[i]))
        json_object_set_new(cut, report->method->facts[i].name, json_real(report->layer[l].fact[i]));
    for (int i = 0; cut && i < report->method->curve_count; i++)
      json_object_set_new(cut, report->method->curves[i].name, curve_json(report->layer[l].curve[i]));
    json_array_append_new(array, cut);
  }
  return array;
}

static void recall_cuts(olica_report *report, const json_t *array) {
  size_t n;
  json_t *cut;
  json_array_foreach(array, n, cut) {
    json_int_t layer = json_integer_value(json_object_get(cut, "layer"));
    olica_cut_record record = olica_cut_unknown();
    for (int i = 0; i < report->method->fact_count; i++) {
      const json_t *value = json_object_get(cut, report->method->facts[i].name);
      if (json_is_number(value)) record.fact[i] = json_number_value(value);
    }
    for (int i = 0; i < report->method->curve_count; i++)
      recall_curve(json_object_get(cut, report->method->curves[i].name), record.curve[i]);
    if (layer >= 0 && layer < report->layers) olica_report_cut(report, (int)layer, &record);
  }
}

/* Gathers the warnings of all ranks on rank 0; adds up their counts. */
static olica_status gather_warnings(olica_context *context, json_t *object) {
  const olica_log *log = &context->env->log;
  olica_warning *all = NULL;
  bool root = context->rank == 0;
  size_t each = OLICA_WARNINGS_MAX * sizeof *all;
  int counts[2] = {log->warning_count, 0};
  olica_watch_enter(context, "a maximum of all");
  MPI_Allreduce(&counts[0], &counts[1], 1, MPI_INT, MPI_MAX, context->comm);
  olica_watch_leave(context);
  if (counts[1] == 0) return OLICA_OK;
  OLICA_AGREE(context,
              root ? OLICA_NEW(context->env, all, (size_t)context->size * OLICA_WARNINGS_MAX) : OLICA_OK);
  olica_watch_enter(context, "a gather of warnings");
  MPI_Gather(log->warnings, (int)each, MPI_BYTE, all, (int)each, MPI_BYTE, 0, context->comm);
  olica_watch_leave(context);
  for (size_t i = 0; root && i < (size_t)context->size * OLICA_WARNINGS_MAX; i++) {
    if (all[i].count == 0) continue;
    json_t *text = olica_value_string(all[i].text);
    json_int_t before = json_integer_value(json_object_get(object, json_string_value(text)));
    json_object_set_new(object, json_string_value(text), json_integer(before + all[i].count));
    json_decref(text);
  }
  olica_memory_free(context->env, all);
  return OLICA_OK;
}

/* Adds the warnings to rank 0's. */
static void recall_warnings(olica_log *log, json_t *object) {
  const char *text;
  json_t *count;
  json_object_foreach(object, text, count) {
    int i = 0;
    while (i < log->warning_count && strcmp(log->warnings[i].text, text) != 0) i++;
    if (i == OLICA_WARNINGS_MAX) return;
    if (i == log->warning_count) {
      snprintf(log->warnings[i].text, sizeof log->warnings[i].text, "%s", text);
      log->warnings[log->warning_count++].count = 0;
    }
    log->warnings[i].count += (long)json_integer_value(count);
  }
}

olica_status olica_snapshot_describe(olica_snapshot *snapshot, olica_position at, json_t **out) {
  olica_engine *engine = snapshot->engine;
  olica_context *context = engine->setup->context;
  const olica_report *report = engine->report;
  json_t *warnings = json_object();
  *out = NULL;
  OLICA_TRY(gather_warnings(context, warnings));
  json_t *state = json_pack("{s:i, s:i, s:i, s:f, s:o, s:o}", "sweep", at.sweep, "layer", at.layer, "runs",
                            snapshot->runs + 1, "seconds",
                            snapshot->seconds + olica_timer_now() - context->env->timers.started, "warnings",
                            warnings, "cuts", cuts_json(report));
  OLICA_TRY(olica_riders_describe(engine->riders, state));
  if (state) olica_ending_describe(&snapshot->ending, engine->setup->options, state);
  if (state && *report->survey) json_object_set_new(state, "survey", olica_value_string(report->survey));
  if (context->rank == 0 && state) json_object_set(state, "fingerprint", snapshot->fingerprint);
  OLICA_AGREE(context, state ? OLICA_OK
                             : olica_error_set(context->env, OLICA_ERR_MEMORY,
                                               "memory: no room for the "
                                               "restart file's state"));
  if (context->rank == 0)
    *out = state;
  else
    json_decref(state);
  return OLICA_OK;
}

bool olica_snapshot_place(const olica_setup *setup, const json_t *state, olica_position *at) {
  if (json_unpack((json_t *)state, "{s:i, s:i}", "sweep", &at->sweep, "layer", &at->layer) != 0) return false;
  bool sweep = at->sweep >= 1 && at->sweep <= olica_setup_last_sweep(setup), first = at->sweep == 1;
  return sweep && at->layer >= first && at->layer <= setup->source->arch.layers;
}

void olica_snapshot_recall(olica_snapshot *snapshot, olica_position at, const json_t *state) {
  olica_engine *engine = snapshot->engine;
  olica_report *report = engine->report;
  const char *survey = json_string_value(json_object_get(state, "survey"));
  snapshot->runs = (int)json_integer_value(json_object_get(state, "runs"));
  snapshot->seconds = json_real_value(json_object_get(state, "seconds"));
  if (survey) snprintf(report->survey, sizeof report->survey, "%s", survey);
  recall_cuts(report, json_object_get(state, "cuts"));
  if (engine->setup->context->rank == 0)
    recall_warnings(&engine->setup->context->env->log, json_object_get(state, "warnings"));
  olica_riders_recall(engine->riders, at.sweep > 1, state);
}
