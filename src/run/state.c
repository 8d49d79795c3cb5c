/* What a restart file holds of a run. There is no generator's state: a draw depends on its place alone
 * (base/random.h), and the sample is drawn again. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/value.h"
#include "job.h"
#include "par/comm.h"
#include "par/watch.h"

static olica_restart_section *add_section(olica_resume_state *state, const char *name, int64_t bytes) {
  assert(state->count < OLICA_RESUME_SECTIONS);
  olica_restart_section *section = &state->section[state->count++];
  *section = (olica_restart_section){.bytes = bytes};
  snprintf(section->name, sizeof section->name, "%s", name);
  return section;
}

void olica_resume_add_shared(olica_resume_state *state, const char *name, void *data, size_t bytes) {
  olica_restart_piece *piece = &state->shared[state->count];
  olica_restart_section *section = add_section(state, name, (int64_t)bytes);
  *piece = (olica_restart_piece){.data = data, .bytes = (int64_t)bytes};
  section->shared = true;
  section->count = 1;
  section->piece = piece;
}

olica_status olica_resume_add(olica_resume_state *state, olica_env *env, const char *name, int64_t bytes,
                              int64_t count, olica_restart_piece **piece) {
  olica_restart_section *section = add_section(state, name, bytes);
  OLICA_TRY(OLICA_NEW(env, section->piece, (size_t)count));
  section->count = count;
  *piece = section->piece;
  return OLICA_OK;
}

olica_status olica_resume_add_stream(olica_resume_state *state, const char *name, const olica_stream *stream,
                                     float *x) {
  int64_t numbers = (int64_t)stream->tokens * stream->hidden, bytes = numbers * (int64_t)sizeof *x;
  olica_restart_piece *piece;
  OLICA_TRY(
      olica_resume_add(state, stream->context->env, name, stream->sequences * bytes, stream->count, &piece));
  for (int64_t s = 0; s < stream->count; s++)
    piece[s] =
        (olica_restart_piece){.data = x + s * numbers, .offset = (stream->first + s) * bytes, .bytes = bytes};
  return OLICA_OK;
}

/* Sections are found by their names: an array may not be called as one of the run's. */
static olica_status check_names(const olica_job *job, const olica_array *array, int arrays) {
  static const char *const own[] = {"place", "calibration", "evaluation", "dense",
                                    "tasks", "likelihood",  "progress"};
  for (int i = 0; i < arrays; i++) {
    bool taken = strlen(array[i].name) >= OLICA_RESTART_SECTION;
    for (size_t k = 0; k < sizeof own / sizeof *own; k++) taken |= strcmp(array[i].name, own[k]) == 0;
    for (int k = 0; k < i; k++) taken |= strcmp(array[i].name, array[k].name) == 0;
    if (taken)
      return olica_error_set(job->context->env, OLICA_ERR_INTERNAL,
                             "method %s: restart files have another section called %s, expected another name "
                             "for the array, of less than %d characters",
                             job->method->name, array[i].name, OLICA_RESTART_SECTION);
  }
  return OLICA_OK;
}

olica_status olica_resume_sections(olica_job *job, olica_position at, olica_resume_state *state) {
  olica_array array[OLICA_ARRAYS];
  int arrays = olica_method_arrays(job->method, job->state, array);
  bool cuts = at.sweep == olica_job_last_sweep(job);
  *state = (olica_resume_state){0};
  OLICA_TRY(check_names(job, array, arrays));
  job->resume.place = at;
  olica_resume_add_shared(state, "place", &job->resume.place, sizeof job->resume.place);
  for (int i = 0; i < arrays; i++)
    olica_resume_add_shared(state, array[i].name, array[i].data,
                            (size_t)olica_array_numbers(&array[i]) * sizeof *array[i].data);
  if (at.layer > 0 && job->stream)
    OLICA_TRY(olica_resume_add_stream(state, "calibration", job->stream, job->stream->x));
  bool rides = cuts || (at.sweep == 1 && olica_job_scores(job, false));
  OLICA_TRY(olica_riders_save(&job->riders, rides && at.layer > 0, at.sweep > 1, state));
  if (at.layer > 0 && cuts)
    olica_resume_add_shared(state, "progress", job->resume.progress, (size_t)job->resume.progress_bytes);
  return OLICA_OK;
}

void olica_resume_free(olica_job *job, olica_resume_state *state) {
  for (int i = 0; i < state->count; i++)
    if (!state->section[i].shared) olica_memory_free(job->context->env, state->section[i].piece);
}

double olica_resume_bytes(const olica_job *job, double arrays, double riders) {
  const olica_options *o = job->options;
  const olica_arch *arch = &job->source->arch;
  double rows = 0;
  if (job->method->calibrates) rows += (double)o->calibration.samples * (double)o->calibration.length;
  return 4.0 * arch->hidden * rows + riders + arrays + (64 << 10) + 1024.0 * arch->layers;
}

/* ---- the report ---- */

/* [{"layer": 0, "NAME OF A FACT": 0.07, ...}, ...]: what the method has told of the layers that are cut. */
static json_t *cuts_json(const olica_report *report) {
  json_t *array = json_array();
  for (int l = 0; l < report->layers; l++) {
    if (!report->layer[l].cut) continue;
    json_t *cut = json_pack("{s:i}", "layer", l);
    for (int i = 0; cut && i < report->method->fact_count; i++)
      if (isfinite(report->layer[l].fact[i]))
        json_object_set_new(cut, report->method->facts[i].name, json_real(report->layer[l].fact[i]));
    json_array_append_new(array, cut);
  }
  return array;
}

static void recall_cuts(olica_report *report, const json_t *array) {
  size_t n;
  json_t *cut;
  json_array_foreach(array, n, cut) {
    json_int_t layer = json_integer_value(json_object_get(cut, "layer"));
    double fact[OLICA_FACTS];
    for (int i = 0; i < OLICA_FACTS; i++) {
      const json_t *value =
          i < report->method->fact_count ? json_object_get(cut, report->method->facts[i].name) : NULL;
      fact[i] = json_is_number(value) ? json_number_value(value) : NAN;
    }
    if (layer >= 0 && layer < report->layers) olica_report_cut(report, (int)layer, fact);
  }
}

/* Warnings of all ranks, on rank 0; counts add up. */
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

/* They count on rank 0 from here on. */
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

olica_status olica_resume_describe(olica_job *job, olica_position at, json_t **out) {
  olica_context *context = job->context;
  const olica_report *report = job->report;
  json_t *warnings = json_object();
  *out = NULL;
  OLICA_TRY(gather_warnings(context, warnings));
  json_t *state = json_pack("{s:i, s:i, s:i, s:f, s:o, s:o}", "sweep", at.sweep, "layer", at.layer, "runs",
                            job->resume.runs + 1, "seconds",
                            job->resume.seconds + olica_timer_now() - context->env->timers.started,
                            "warnings", warnings, "cuts", cuts_json(report));
  OLICA_TRY(olica_riders_describe(&job->riders, state));
  if (state && *report->survey) json_object_set_new(state, "survey", olica_value_string(report->survey));
  if (context->rank == 0 && state) json_object_set(state, "fingerprint", job->resume.fingerprint);
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

bool olica_resume_place(const olica_job *job, const json_t *state, olica_position *at) {
  if (json_unpack((json_t *)state, "{s:i, s:i}", "sweep", &at->sweep, "layer", &at->layer) != 0) return false;
  bool sweep = at->sweep >= 1 && at->sweep <= olica_job_last_sweep(job), first = at->sweep == 1;
  return sweep && at->layer >= first && at->layer <= job->source->arch.layers;
}

void olica_resume_recall(olica_job *job, olica_position at, const json_t *state) {
  olica_report *report = job->report;
  const char *survey = json_string_value(json_object_get(state, "survey"));
  job->resume.runs = (int)json_integer_value(json_object_get(state, "runs"));
  job->resume.seconds = json_real_value(json_object_get(state, "seconds"));
  if (survey) snprintf(report->survey, sizeof report->survey, "%s", survey);
  recall_cuts(report, json_object_get(state, "cuts"));
  if (job->context->rank == 0) recall_warnings(&job->context->env->log, json_object_get(state, "warnings"));
  olica_riders_recall(&job->riders, at.sweep > 1, state);
}
