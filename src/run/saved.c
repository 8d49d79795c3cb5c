#include "saved.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fingerprint.h"
#include "job.h"
#include "olica/par/comm.h"
#include "olica/store/survey.h"

/* The arrays that a method keeps of its survey, as the file has them; false: another method's. */
static bool survey_of(olica_job *job, olica_survey *survey) {
  const olica_arch *arch = &job->source->arch;
  size_t layers = (size_t)arch->layers, d = (size_t)arch->hidden;
  olica_method_memory memory[OLICA_METHOD_MEMORIES];
  *survey = (olica_survey){.layers = arch->layers, .hidden = arch->hidden, .perplexity = NAN};
  return job->method->memory(job->state, memory) == 2 && memory[0].bytes == layers * d * sizeof(double) &&
         memory[1].bytes == layers * sizeof(double) && (survey->energy = memory[0].data) != NULL &&
         (survey->score = memory[1].data) != NULL;
}

static bool wants_perplexity(const olica_job *job) {
  return job->perplexity && olica_job_scores(job, false);
}

static bool wants_tasks(const olica_job *job) {
  return job->tasks.choices && olica_job_scores(job, false);
}

/* What the dense model's scores are of, from the fingerprint of the whole run; NULL members: not scored. */
static void put_dense(const olica_job *job, json_t *about, const json_t *run) {
  const json_t *tokens = json_object_get(run, "tokens");
  if (wants_perplexity(job))
    json_object_set_new(about, "perplexity",
                        json_pack("{s:O, s:I, s:I}", "ids", json_object_get(tokens, "evaluation"), "length",
                                  (json_int_t)job->windows.length, "stride",
                                  (json_int_t)job->windows.stride));
  if (wants_tasks(job)) json_object_set(about, "tasks", json_object_get(tokens, "tasks"));
}

static olica_status describe(olica_job *job) {
  json_t *survey, *run;
  OLICA_TRY(olica_fingerprint_make(job, OLICA_FINGERPRINT_STATISTICS, &survey));
  OLICA_TRY(olica_fingerprint_make(job, OLICA_FINGERPRINT_RUN, &run));
  if (job->context->rank == 0) {
    job->saved.about = json_pack("{s:o}", "survey", survey);
    put_dense(job, job->saved.about, run);
    json_decref(run);
  }
  return OLICA_OK;
}

/* What the file says that it is of: rank 0's, NULL elsewhere. */
static olica_status read_about(olica_job *job, const olica_survey_file *file, json_t **about) {
  *about = NULL;
  if (job->context->rank != 0) return OLICA_OK;
  *about = json_loads(file->about, JSON_REJECT_DUPLICATES, NULL);
  if (json_is_object(json_object_get(*about, "survey"))) return OLICA_OK;
  json_decref(*about);
  return olica_error_set(job->context->env, OLICA_ERR_INPUT, "%s: does not say what its statistics are of",
                         job->options->calibration.save);
}

/* Does it fit this run, and which of the wanted scores does it have? Rank 0 knows. */
static olica_status compare(olica_job *job, const json_t *about, int known[2]) {
  static const char *const parts[2] = {"perplexity", "tasks"};
  if (job->context->rank != 0) return OLICA_OK;
  for (int i = 0; i < 2; i++) {
    const json_t *mine = json_object_get(job->saved.about, parts[i]), *its = json_object_get(about, parts[i]);
    known[i] = mine && its && json_equal(mine, its);
  }
  return olica_fingerprint_compare(job->context->env, job->options->calibration.save,
                                   json_object_get(about, "survey"),
                                   json_object_get(job->saved.about, "survey"));
}

/* The dense model's scores, if the file has all that are wanted. */
static void take_dense(olica_job *job, double perplexity) {
  job->saved.dense = true;
  if (wants_perplexity(job)) job->report->perplexity.dense = perplexity;
  if (wants_tasks(job)) olica_job_report_tasks(job, false, NAN);
}

static olica_status take(olica_job *job, olica_survey_file *file, const int known[2]) {
  olica_survey survey;
  bool dense = (!wants_perplexity(job) || (known[0] && file->has_perplexity)) &&
               (!wants_tasks(job) || (known[1] && file->choices > 0));
  if (!survey_of(job, &survey)) return OLICA_OK;
  if (dense && wants_tasks(job)) {
    survey.choices = job->tasks.questions->choices;
    survey.likelihood = job->tasks.likelihood[0];
  }
  OLICA_TRY(olica_survey_load(file, &survey));
  job->saved.survey = true;
  if (dense) take_dense(job, survey.perplexity);
  snprintf(job->report->survey, sizeof job->report->survey, "read from %s", job->options->calibration.save);
  olica_log_line(job->context->env, "survey: %s%s", job->report->survey,
                 dense ? "" : "; the dense model is evaluated anew");
  return OLICA_OK;
}

static olica_status refuse(olica_env *env, olica_status status) {
  char reason[OLICA_ERROR_TEXT];
  snprintf(reason, sizeof reason, "%s", env->error.text);
  return olica_error_set(env, status,
                         "[calibration] save: %s; [output] overwrite = yes or --fresh replaces it", reason);
}

/* What is to become of a file that is there. */
static olica_status judge(olica_job *job, olica_survey_file *file) {
  olica_context *context = job->context;
  olica_env *env = context->env;
  const olica_options *options = job->options;
  json_t *about;
  int known[2] = {0};
  OLICA_AGREE(context, read_about(job, file, &about));
  olica_status fits = olica_comm_agree(context, context->comm, compare(job, about, known));
  json_decref(about);
  olica_comm_bcast(context, context->comm, known, sizeof known, 0);
  if (fits != OLICA_OK && !options->output.overwrite && !options->fresh) return refuse(env, fits);
  if (fits != OLICA_OK) olica_log_line(env, "%s; it is replaced", env->error.text);
  olica_error_clear(env);
  job->saved.writes = fits != OLICA_OK || options->fresh;
  bool begins = job->resume.from.sweep == 1 && job->resume.from.layer == 0; /* else the survey is under way */
  return job->saved.writes || !begins ? OLICA_OK : take(job, file, known);
}

static olica_status look(olica_job *job) {
  olica_survey_file *file;
  OLICA_TRY(olica_survey_open(job->context, job->options->calibration.save, &file));
  OLICA_TRY(judge(job, file));
  olica_survey_close(file);
  return OLICA_OK;
}

olica_status olica_saved_open(olica_job *job) {
  olica_context *context = job->context;
  const char *path = job->options->calibration.save;
  if (!job->method->survey) return OLICA_OK;
  if (job->resume.from.sweep == 1) /* else whoever was interrupted knows */
    snprintf(job->report->survey, sizeof job->report->survey, "made");
  if (!*path) return OLICA_OK;
  OLICA_TRY(describe(job));
  int there = context->rank == 0 && access(path, F_OK) == 0;
  olica_comm_bcast(context, context->comm, &there, sizeof there, 0);
  job->saved.writes = !there;
  return there ? look(job) : OLICA_OK;
}

/* Rank 0's text on every rank, in counted memory. */
static olica_status share_about(olica_job *job, char **about) {
  olica_context *context = job->context;
  char *mine = context->rank == 0 ? json_dumps(job->saved.about, JSON_INDENT(1)) : NULL;
  int64_t bytes = mine ? (int64_t)strlen(mine) + 1 : 0;
  *about = NULL;
  olica_comm_bcast(context, context->comm, &bytes, sizeof bytes, 0);
  olica_status status = bytes ? OLICA_NEW(context->env, *about, (size_t)bytes)
                              : olica_error_set(context->env, OLICA_ERR_MEMORY, "memory: no room for a text");
  if (status == OLICA_OK && mine) memcpy(*about, mine, (size_t)bytes);
  free(mine);
  OLICA_AGREE(context, status);
  olica_comm_bcast(context, context->comm, *about, (size_t)bytes, 0);
  return OLICA_OK;
}

static olica_status write_file(olica_job *job) {
  olica_survey survey;
  char *about;
  if (!survey_of(job, &survey)) return OLICA_OK;
  if (wants_perplexity(job)) survey.perplexity = job->report->perplexity.dense;
  if (wants_tasks(job)) {
    survey.choices = job->tasks.questions->choices;
    survey.likelihood = job->tasks.likelihood[0];
  }
  OLICA_TRY(share_about(job, &about));
  OLICA_TRY(olica_survey_save(job->context, job->options->calibration.save, about, &survey));
  olica_memory_free(job->context->env, about);
  olica_log_line(job->context->env, "survey: saved in %s", job->options->calibration.save);
  return OLICA_OK;
}

olica_status olica_saved_write(olica_job *job) {
  if (!job->saved.writes) return OLICA_OK;
  olica_timer_start(&job->context->env->timers, "write");
  olica_status status = write_file(job);
  olica_timer_stop(&job->context->env->timers);
  return status;
}

void olica_saved_close(olica_job *job) {
  json_decref(job->saved.about);
  job->saved.about = NULL;
}
