#include "saved.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "about.h"
#include "io/file.h"
#include "io/lock.h"
#include "par/comm.h"

/* Returns the content of the file for this run: the method's arrays. */
static olica_survey survey_of(const olica_saved *saved) {
  olica_survey survey = {0};
  survey.arrays = olica_method_arrays(saved->setup->method, saved->engine->state, survey.array);
  return survey;
}

/* Adds scores of the dense model under their names in the file. *all: the file has all wanted ones. */
static void put_scores(const olica_saved *saved, const olica_survey_file *file,
                       const olica_about_names *known, olica_survey *survey, bool *all) {
  *all = true;
  for (int i = 0; i < olica_about_scores(saved->engine); i++) {
    const olica_rider *rider = &saved->engine->riders->rider[i];
    const char *key;
    json_decref(rider->ops->score(rider->self, NULL, &key, &survey->score[i]));
    survey->score[i].name = known->name[i];
    bool keeps = rider->ops->keeps && rider->ops->keeps(rider->self);
    *all = *all && !keeps && *known->name[i] && olica_survey_has(file, known->name[i]);
  }
  if (*all) survey->scores = olica_about_scores(saved->engine);
}

/* Clears what a damaged file has filled: the survey adds to its arrays. */
static void forget(const olica_survey *survey) {
  for (int i = 0; i < survey->arrays; i++)
    memset(survey->array[i].data, 0,
           (size_t)olica_array_numbers(&survey->array[i]) * sizeof *survey->array[i].data);
  for (int i = 0; i < survey->scores; i++)
    for (int64_t n = 0; n < survey->score[i].shape[0]; n++) survey->score[i].data[n] = NAN;
}

static olica_status take(olica_saved *saved, olica_survey_file *file, const olica_about_names *known) {
  olica_survey survey = survey_of(saved);
  put_scores(saved, file, known, &survey, &saved->dense);
  olica_status status = olica_survey_load(file, &survey);
  if (status != OLICA_OK) {
    forget(&survey);
    saved->dense = false;
  }
  OLICA_TRY(status);
  saved->survey = true;
  for (int i = 0; i < survey.scores; i++)
    if (saved->engine->riders->rider[i].ops->scored)
      saved->engine->riders->rider[i].ops->scored(saved->engine->riders->rider[i].self);
  snprintf(saved->engine->report->survey, sizeof saved->engine->report->survey, "read from %s",
           saved->setup->options->calibration.save);
  olica_log_line(saved->setup->context->env, "survey: %s%s%s", saved->engine->report->survey,
                 saved->dense ? "" : "; the dense model is evaluated anew",
                 saved->engine->riders->compares ? ": [evaluate] kl needs its hidden states" : "");
  return OLICA_OK;
}

/* Takes the statistics of a file, if it fits this run and the run `begins`: else the survey is under way. */
static olica_status use(olica_saved *saved, olica_survey_file *file, bool begins) {
  olica_context *context = saved->setup->context;
  json_t *about;
  olica_about_names known;
  OLICA_AGREE(context, olica_about_read(saved->engine, file, &about));
  olica_status fits = olica_comm_agree(context, context->comm,
                                       olica_about_compare(saved->engine, saved->about, about, &known));
  json_decref(about);
  OLICA_TRY(fits);
  olica_comm_bcast(context, context->comm, &known, sizeof known, 0);
  return saved->setup->options->fresh || !begins ? OLICA_OK : take(saved, file, &known);
}

static olica_status refuse(olica_env *env, olica_status status, const char *way_out) {
  char reason[OLICA_ERROR_TEXT];
  snprintf(reason, sizeof reason, "%s", env->error.text);
  return olica_error_set(env, status, "[calibration] save: %s; %s", reason, way_out);
}

/* Replaces or refuses a file that cannot be used. One that HDF5 cannot open is ours only if its first bytes
 * say so; any other file is never replaced. */
static olica_status give_up(olica_saved *saved, olica_status status, bool opened) {
  olica_context *context = saved->setup->context;
  const olica_options *options = saved->setup->options;
  int ours = opened || (context->rank == 0 && olica_survey_is_ours(options->calibration.save));
  olica_comm_bcast(context, context->comm, &ours, sizeof ours, 0);
  if (!ours)
    return refuse(context->env, status, "no file of saved statistics, it stays: remove it or name another");
  if (!options->output.overwrite && !options->fresh)
    return refuse(context->env, status, "[output] overwrite = yes or --fresh replaces it");
  olica_log_line(context->env, "%s; it is replaced", context->env->error.text);
  olica_error_clear(context->env);
  saved->writes = true;
  return OLICA_OK;
}

static olica_status look(olica_saved *saved, bool begins) {
  olica_survey_file *file = NULL;
  olica_status status =
      olica_survey_open(saved->setup->context, saved->setup->options->calibration.save, &file);
  bool opened = status == OLICA_OK;
  if (opened) status = use(saved, file, begins);
  if (opened) olica_survey_close(file);
  saved->writes = saved->setup->options->fresh;
  bool unusable = status == OLICA_ERR_INPUT || status == OLICA_ERR_CONFIG;
  return unusable ? give_up(saved, status, opened) : status;
}

/* Rank 0 records the file that exists, to recognize one that comes later; returns whether there is one. */
static int find(olica_saved *saved) {
  const char *path = saved->setup->options->calibration.save;
  saved->was_there = lstat(path, &saved->found) == 0;
  return access(path, F_OK) == 0;
}

olica_status olica_saved_open(olica_saved *saved, olica_position from) {
  olica_context *context = saved->setup->context;
  if (olica_setup_passes(saved->setup) == 0) return OLICA_OK;
  if (from.sweep == 1) /* else the restart file says it */
    snprintf(saved->engine->report->survey, sizeof saved->engine->report->survey, "made");
  if (!*saved->setup->options->calibration.save) return OLICA_OK;
  OLICA_TRY(olica_about_make(saved->engine, &saved->about));
  int there = context->rank == 0 && find(saved);
  olica_comm_bcast(context, context->comm, &there, sizeof there, 0);
  saved->writes = !there;
  return there ? look(saved, from.sweep == 1 && from.layer == 0) : OLICA_OK;
}

/* Compares without the tokens, which --check has not read. */
static olica_status foresee(olica_saved *saved, olica_survey_file *file) {
  json_t *about;
  olica_about_names known;
  OLICA_AGREE(saved->setup->context, olica_about_read(saved->engine, file, &about));
  if (saved->setup->context->rank == 0) {
    json_object_set_new(json_object_get(about, "survey"), "tokens", json_object());
    json_object_set_new(json_object_get(saved->about, "survey"), "tokens", json_object());
  }
  olica_status status = olica_comm_agree(saved->setup->context, saved->setup->context->comm,
                                         olica_about_compare(saved->engine, saved->about, about, &known));
  json_decref(about);
  return status;
}

olica_status olica_saved_foresee(olica_saved *saved, bool *reads) {
  olica_context *context = saved->setup->context;
  olica_survey_file *file = NULL;
  *reads = false;
  if (olica_setup_passes(saved->setup) == 0 || !*saved->setup->options->calibration.save) return OLICA_OK;
  int there = context->rank == 0 && find(saved);
  olica_comm_bcast(context, context->comm, &there, sizeof there, 0);
  if (!there) return OLICA_OK;
  OLICA_TRY(olica_about_make(saved->engine, &saved->about));
  olica_status status = olica_survey_open(context, saved->setup->options->calibration.save, &file);
  bool opened = status == OLICA_OK;
  if (opened) status = foresee(saved, file);
  if (opened) olica_survey_close(file);
  *reads = status == OLICA_OK && !saved->setup->options->fresh;
  bool unusable = status == OLICA_ERR_INPUT || status == OLICA_ERR_CONFIG;
  return unusable ? give_up(saved, status, opened) : status;
}

/* Rank 0 returns whether the file is the one that was found at the start, which may be replaced. */
static bool is_found(const olica_saved *saved) {
  const struct stat *then = &saved->found;
  struct stat now;
  return saved->was_there && lstat(saved->setup->options->calibration.save, &now) == 0 &&
         now.st_dev == then->st_dev && now.st_ino == then->st_ino && now.st_size == then->st_size &&
         now.st_mtim.tv_sec == then->st_mtim.tv_sec && now.st_mtim.tv_nsec == then->st_mtim.tv_nsec;
}

static olica_status write_file(olica_saved *saved) {
  olica_context *context = saved->setup->context;
  const char *path = saved->setup->options->calibration.save;
  olica_survey survey = survey_of(saved);
  char *about;
  bool stays;
  for (int i = 0; i < olica_about_scores(saved->engine); i++) {
    const olica_rider *rider = &saved->engine->riders->rider[i];
    const char *key;
    json_decref(rider->ops->score(rider->self, NULL, &key, &survey.score[survey.scores++]));
  }
  char *mine = context->rank == 0 ? json_dumps(saved->about, JSON_INDENT(1)) : NULL;
  OLICA_TRY(olica_comm_share_text(context, mine, "a text", &about, &(size_t){0}));
  bool replace = context->rank == 0 && is_found(saved);
  OLICA_TRY(olica_survey_save(context, path, about, &survey, replace, &stays));
  olica_memory_free(context->env, about);
  if (!stays)
    olica_log_line(context->env, "survey: saved in %s", path);
  else if (context->rank == 0)
    olica_log_warn(context->env,
                   "[calibration] save: %s has come while this job ran: it stays, and this one saves nothing",
                   path);
  return OLICA_OK;
}

/* Rank 0 takes the lock; waits a little, because a job that begins has it for a moment
 * (olica_saved_probe). */
static olica_status lock(olica_saved *saved, int *fd, bool *held) {
  const struct timespec nap = {0, 50 * 1000 * 1000};
  for (int i = 0; i < 10; i++) {
    OLICA_TRY(olica_lock_try(saved->setup->context->env, saved->setup->options->calibration.save, fd, held));
    if (!*held) return OLICA_OK;
    nanosleep(&nap, NULL);
  }
  return OLICA_OK;
}

static olica_status write_locked(olica_saved *saved) {
  olica_context *context = saved->setup->context;
  const char *path = saved->setup->options->calibration.save;
  int fd = -1;
  bool held = false;
  OLICA_AGREE(context, context->rank == 0 ? lock(saved, &fd, &held) : OLICA_OK);
  olica_comm_bcast(context, context->comm, &held, sizeof held, 0);
  if (held && context->rank == 0)
    olica_log_warn(context->env, "[calibration] save: another job is writing %s; this one goes on without",
                   path);
  olica_status status = held ? OLICA_OK : write_file(saved);
  olica_lock_release(context->env, path, fd);
  return status;
}

olica_status olica_saved_write(olica_saved *saved) {
  if (!saved->writes) return OLICA_OK;
  olica_timer_start(&saved->setup->context->env->timers, "write");
  olica_status status = write_locked(saved);
  olica_timer_stop(&saved->setup->context->env->timers);
  return status;
}

olica_status olica_saved_probe(olica_env *env, const char *path, bool touch) {
  int fd = -1;
  bool held = false;
  OLICA_TRY(
      olica_file_probe(env, path, false)); /* before the lock, whose message names no missing directory */
  if (touch) OLICA_TRY(olica_lock_try(env, path, &fd, &held));
  olica_status status = olica_file_probe(env, path, touch && !held);
  olica_lock_release(env, path, fd);
  return status;
}

void olica_saved_close(olica_saved *saved) {
  json_decref(saved->about);
  saved->about = NULL;
}
