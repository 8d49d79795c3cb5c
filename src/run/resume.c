#include "resume.h"

#include <stdio.h>
#include <string.h>

#include "base/signals.h"
#include "fingerprint.h"
#include "par/comm.h"
#include "restart_files.h"

olica_status olica_resume_open(olica_resume *resume, double bytes, double checkpoint) {
  const olica_setup *setup = resume->setup;
  resume->from = (olica_position){1, 0};
  resume->bytes = bytes;
  if (olica_setup_prunes(setup))
    OLICA_TRY(olica_restart_files_open(setup, bytes, checkpoint, &resume->writes, &resume->files));
  if (!resume->writes) olica_signals_release();
  return OLICA_OK;
}

/* Copies both fingerprints without the output's type; *other: it differs. */
static void forget_dtype(const json_t *then, const json_t *now, json_t *plain[2], bool *other) {
  static const char key[] = "[output] dtype";
  const json_t *its[2];
  plain[0] = json_deep_copy(then);
  plain[1] = json_deep_copy(now);
  for (int i = 0; i < 2; i++) {
    json_t *settings = json_object_get(plain[i], "settings");
    its[i] = json_object_get(i ? json_object_get(now, "settings") : json_object_get(then, "settings"), key);
    json_object_del(settings, key);
  }
  *other = !json_equal(its[0], its[1]);
}

/* Refuses a file of another run. *other: only the output's type differs, on which the dense sweeps do not
 * depend. */
static olica_status check_same(olica_resume *resume, const json_t *state, bool *other) {
  olica_context *context = resume->setup->context;
  olica_status status = OLICA_OK;
  *other = false;
  if (context->rank == 0) {
    json_t *plain[2];
    forget_dtype(json_object_get(state, "fingerprint"), resume->snapshot.fingerprint, plain, other);
    status = olica_fingerprint_compare(context->env, resume->files->name, plain[0], plain[1]);
    json_decref(plain[0]);
    json_decref(plain[1]);
  }
  if (status != OLICA_OK) olica_restart_files_refuse(context->env, status);
  OLICA_AGREE(context, status);
  olica_comm_bcast(context, context->comm, other, sizeof *other, 0);
  return OLICA_OK;
}

/* Checks that the table and the sections name the same place, before anything else is loaded: numbers of one
 * layer must not be taken for another's. */
static olica_status load_place(olica_resume *resume, olica_position at, const olica_sections *sections,
                               bool *good) {
  const olica_position *place = &resume->snapshot.place;
  char why[160];
  OLICA_TRY(olica_restart_load(resume->files, 1, sections->section, good));
  if (!*good || (at.sweep == place->sweep && at.layer == place->layer)) return OLICA_OK;
  snprintf(why, sizeof why, "its table is of layer %d of sweep %d, its sections of layer %d of sweep %d",
           at.layer, at.sweep, place->layer, place->sweep);
  olica_restart_skip(resume->files, why);
  *good = false;
  return OLICA_OK;
}

/* Allocates the checkpoint's progress, as large as it is in the file that was found. */
static olica_status make_progress(olica_resume *resume, olica_position from) {
  olica_snapshot *snapshot = &resume->snapshot;
  olica_env *env = resume->setup->context->env;
  int64_t bytes = olica_restart_bytes(resume->files, "progress"),
          most = olica_checkpoint_progress_most(&resume->setup->source->arch);
  bool wanted = from.sweep == olica_setup_last_sweep(resume->setup) && from.layer > 0;
  OLICA_FREE(env, snapshot->progress);
  snapshot->progress_bytes = wanted && bytes >= 0 && bytes <= most ? bytes : 0;
  return OLICA_NEW(env, snapshot->progress, (size_t)snapshot->progress_bytes);
}

/* Loads the sections of a file about `at` that a run needs to resume at `from`. */
static olica_status load(olica_resume *resume, olica_position at, olica_position from, bool *good) {
  olica_context *context = resume->setup->context;
  olica_sections sections = {0};
  olica_status status = make_progress(resume, from);
  if (status == OLICA_OK) status = olica_snapshot_sections(&resume->snapshot, from, &sections);
  OLICA_AGREE(context, status);
  OLICA_TRY(load_place(resume, at, &sections, good));
  if (*good) OLICA_TRY(olica_restart_load(resume->files, sections.count, sections.section, good));
  olica_sections_free(context->env, &sections);
  return OLICA_OK;
}

static void take_up(olica_resume *resume, const json_t *state, olica_position at) {
  resume->from = resume->kept = at;
  olica_snapshot_recall(&resume->snapshot, at, state);
  resume->snapshot.engine->report->restart.sweep = at.sweep;
  resume->snapshot.engine->report->restart.layer = at.layer;
  resume->snapshot.engine->report->restart.runs = resume->snapshot.runs;
  resume->snapshot.engine->report->restart.seconds = resume->snapshot.seconds;
  olica_log_line(resume->setup->context->env, "going on from layer %d of sweep %d (layers from 0; %s.%d)",
                 at.layer, at.sweep, resume->files->name, resume->files->found);
}

/* Drops the state of the last sweep, whose layers are of another type, and keeps the survey's. */
static json_t *back_to_survey(const olica_resume *resume, const json_t *state, olica_position *from) {
  static const char *const behind[] = {"cuts", "warnings", "questions_seconds"};
  json_t *survey = json_copy((json_t *)state);
  for (size_t i = 0; i < sizeof behind / sizeof *behind; i++) json_object_del(survey, behind[i]);
  *from = (olica_position){olica_setup_last_sweep(resume->setup), 0};
  olica_log_line(resume->setup->context->env,
                 "[output] dtype has changed: sweep %d begins anew, the survey is kept", from->sweep);
  return survey;
}

/* Resumes from the file that was found, if it is good: *good; else skips it. */
static olica_status try_file(olica_resume *resume, const json_t *state, bool *good) {
  olica_position at, from;
  bool other;
  *good = false;
  OLICA_TRY(check_same(resume, state, &other));
  olica_ending_compare(&resume->snapshot.ending, resume->setup->options, state);
  resume->snapshot.ending.agreed &= !other;
  if (!olica_snapshot_place(resume->setup, state, &at)) {
    olica_restart_skip(resume->files, "names a place that a run of this model does not have");
    return OLICA_OK;
  }
  from = at;
  json_t *survey = NULL;
  if (other && at.sweep == olica_setup_last_sweep(resume->setup) && at.layer > 0)
    survey = back_to_survey(resume, state, &from);
  olica_status status = load(resume, at, from, good);
  if (status == OLICA_OK && *good) take_up(resume, survey ? survey : state, from);
  json_decref(survey);
  return status == OLICA_ERR_IO ? olica_restart_files_refuse(resume->setup->context->env, status) : status;
}

/* Warns if there are files, and none is good. */
static void begin_anew(const olica_resume *resume) {
  const olica_restart *files = resume->files;
  if (olica_restart_exists(files) && resume->setup->context->rank == 0)
    olica_log_warn(resume->setup->context->env,
                   "[restart] no restart file can be used: the run begins anew (%s)", files->name);
}

olica_status olica_resume_load(olica_resume *resume) {
  bool good = false;
  if (!resume->files || !(resume->writes || olica_restart_exists(resume->files))) return OLICA_OK;
  OLICA_TRY(
      olica_fingerprint_make(resume->snapshot.engine, OLICA_FINGERPRINT_RUN, &resume->snapshot.fingerprint));
  while (!good) {
    json_t *state;
    OLICA_TRY(olica_restart_find(resume->files, &state));
    if (!state) break;
    olica_status status = try_file(resume, state, &good);
    json_decref(state);
    OLICA_TRY(status);
  }
  if (!good) begin_anew(resume);
  resume->snapshot.ending.agreed &= good;
  return OLICA_OK;
}

/* Compares without the tokens, which --check has not read. */
static olica_status foresee(olica_resume *resume, json_t *state, olica_position *at) {
  json_t *then = json_object_get(state, "fingerprint");
  bool other;
  json_object_set_new(then, "tokens", json_object());
  if (resume->snapshot.fingerprint)
    json_object_set_new(resume->snapshot.fingerprint, "tokens", json_object());
  OLICA_TRY(check_same(resume, state, &other));
  olica_ending_compare(&resume->snapshot.ending, resume->setup->options, state);
  resume->snapshot.ending.agreed &= !other;
  if (!olica_snapshot_place(resume->setup, state, at)) *at = (olica_position){1, 0};
  if (other && at->sweep == olica_setup_last_sweep(resume->setup)) at->layer = 0;
  return OLICA_OK;
}

olica_status olica_resume_foresee(olica_resume *resume, olica_position *at) {
  json_t *state;
  *at = (olica_position){1, 0};
  if (!resume->files || !olica_restart_exists(resume->files)) return OLICA_OK;
  OLICA_TRY(olica_restart_find(resume->files, &state));
  if (!state) return OLICA_OK;
  olica_status status =
      olica_fingerprint_make(resume->snapshot.engine, OLICA_FINGERPRINT_RUN, &resume->snapshot.fingerprint);
  if (status == OLICA_OK) status = foresee(resume, state, at);
  json_decref(state);
  return status;
}

bool olica_resume_needs_part(const olica_resume *resume) {
  return resume->files && resume->kept.sweep == olica_setup_last_sweep(resume->setup) &&
         resume->kept.layer > 0;
}

void olica_resume_end(olica_resume *resume, olica_status status) {
  olica_env *env = resume->setup->context->env;
  if (status == OLICA_OK || status == OLICA_STOPPED || resume->kept.sweep == 0) return;
  char text[OLICA_ERROR_TEXT];
  snprintf(text, sizeof text, "%s", env->error.text);
  if (status == OLICA_ERR_CONFIG) { /* the same config would fail again */
    olica_error_set(env, status,
                    "%s; restart files are kept: the run goes on once that is mended in the config", text);
    return;
  }
  olica_error_set(
      env, status,
      "%s; restart files are kept: the same config goes on from layer %d of sweep %d (layers from 0)", text,
      resume->kept.layer, resume->kept.sweep);
}

void olica_resume_close(olica_resume *resume) {
  olica_memory_free(resume->setup->context->env, resume->snapshot.progress);
  json_decref(resume->snapshot.fingerprint);
  olica_restart_close(resume->files);
}
