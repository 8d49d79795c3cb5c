#include "resume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zlib.h>

#include "base/signals.h"
#include "fingerprint.h"
#include "io/file.h"
#include "job.h"
#include "par/comm.h"

static const char *last_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* Rank 0: the checksum of the checkpoint's own place, whichever way the config leads there. */
static olica_status mark_place(olica_env *env, const char *checkpoint, uint32_t *mark) {
  char *directory, whole[PATH_MAX];
  OLICA_TRY(olica_file_resolve(env, checkpoint, ".", &directory));
  const char *found = realpath(directory, whole);
  int error = errno;
  if (!found && error == ENOENT && snprintf(whole, sizeof whole, "%s", directory) < (int)sizeof whole)
    found = whole;
  olica_memory_free(env, directory);
  if (!found)
    return olica_error_set(env, OLICA_ERR_IO, "%s: cannot find its directory: %s", checkpoint,
                           strerror(error));
  uLong crc = crc32_z(0, (const Bytef *)whole, strlen(whole));
  *mark = (uint32_t)crc32_z(crc, (const Bytef *)last_of(checkpoint), strlen(last_of(checkpoint)));
  return OLICA_OK;
}

/* "pruned.h5.restart", beside the checkpoint. The directory that the user names may be that of many jobs,
 * which like to call their checkpoints the same: there it is "pruned.h5.1a2b3c4d.restart". */
olica_status olica_resume_name(olica_context *context, const olica_options *options, char **name) {
  const char *checkpoint = options->output.checkpoint, *directory = options->restart.path;
  uint32_t mark = 0;
  size_t bytes = strlen(directory) + strlen(checkpoint) + sizeof "/.12345678.restart";
  OLICA_AGREE(context, OLICA_NEW(context->env, *name, bytes));
  if (!*directory) {
    snprintf(*name, bytes, "%s.restart", checkpoint);
    return OLICA_OK;
  }
  OLICA_AGREE(context, context->rank == 0 ? mark_place(context->env, checkpoint, &mark) : OLICA_OK);
  olica_comm_bcast(context, context->comm, &mark, sizeof mark, 0);
  snprintf(*name, bytes, "%s/%s.%08x.restart", directory, last_of(checkpoint), mark);
  return OLICA_OK;
}

/* Rank 0: has that directory restart files of another checkpoint of this name? It may be this one, moved. */
static bool has_others(const olica_options *options) {
  const char *last = last_of(options->output.checkpoint);
  bool found = false;
  DIR *directory = opendir(options->restart.path);
  const struct dirent *entry;
  while (directory && !found && (entry = readdir(directory))) {
    unsigned mark;
    int slot;
    found = strncmp(entry->d_name, last, strlen(last)) == 0 &&
            sscanf(entry->d_name + strlen(last), ".%8x.restart.%d", &mark, &slot) == 2;
  }
  if (directory) closedir(directory);
  return found;
}

/* Bytes on the disk of the checkpoint under way that an earlier run has left. */
static double checkpoint_blocks(const char *path) {
  char part[PATH_MAX];
  struct stat info;
  if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part || stat(part, &info) != 0) return 0;
  return 512.0 * (double)info.st_blocks;
}

/* Can files be made in it? */
static olica_status touch_directory(olica_env *env, const char *directory) {
  char *path;
  size_t bytes = strlen(directory) + 48;
  OLICA_TRY(OLICA_NEW(env, path, bytes));
  snprintf(path, bytes, "%s/olica-probe.%ld", directory, (long)getpid());
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), error = errno;
  if (fd >= 0) {
    close(fd);
    unlink(path);
  }
  olica_memory_free(env, path);
  if (fd >= 0 || error == EEXIST) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_IO, "[restart] path: %s: cannot create files in it: %s", directory,
                         strerror(error));
}

static olica_status probe_directory(olica_env *env, const char *directory, bool touch) {
  struct stat info;
  if (stat(directory, &info) != 0)
    return olica_error_set(env, OLICA_ERR_IO, "[restart] path: %s: %s, expected a directory", directory,
                           strerror(errno));
  if (!S_ISDIR(info.st_mode))
    return olica_error_set(env, OLICA_ERR_IO, "[restart] path: %s: is no directory, expected one", directory);
  return touch ? touch_directory(env, directory) : OLICA_OK;
}

/* Beside the checkpoint its own probe has asked. */
olica_status olica_resume_probe(const olica_job *job, bool touch) {
  olica_context *context = job->context;
  const char *directory = job->options->restart.path;
  bool asks =
      context->rank == 0 && *directory && olica_job_prunes(job) && olica_options_restarts(job->options);
  OLICA_AGREE(context, asks ? probe_directory(context->env, directory, touch) : OLICA_OK);
  return OLICA_OK;
}

/* Rank 0: is there room for all files, and for the checkpoint where it lies in the same directory? The blocks
 * of old ones are given back. */
static olica_status look_for_room(const olica_job *job, const char *name, double bytes, double checkpoint,
                                  bool *fits) {
  olica_env *env = job->context->env;
  char *path, *directory;
  size_t room = strlen(name) + 8;
  struct statvfs fs;
  struct stat info;
  double needed = bytes * (double)job->options->restart.keep, own = 0;
  OLICA_TRY(OLICA_NEW(env, path, room));
  for (int i = 0; i < OLICA_RESTART_KEEP_MAX; i++) {
    snprintf(path, room, "%s.%d", name, i);
    if (stat(path, &info) == 0) own += 512.0 * (double)info.st_blocks;
  }
  if (!*job->options->restart.path) needed += checkpoint - checkpoint_blocks(job->options->output.checkpoint);
  OLICA_TRY(olica_file_resolve(env, name, ".", &directory));
  *fits = statvfs(directory, &fs) != 0 || fs.f_blocks == 0 ||
          (double)fs.f_bavail * (double)fs.f_frsize + own >= needed;
  olica_memory_free(env, directory);
  olica_memory_free(env, path);
  return OLICA_OK;
}

static olica_status check_room(olica_job *job, const char *name, double bytes, double checkpoint) {
  olica_context *context = job->context;
  bool fits = true;
  OLICA_AGREE(context, context->rank == 0 ? look_for_room(job, name, bytes, checkpoint, &fits) : OLICA_OK);
  olica_comm_bcast(context, context->comm, &fits, sizeof fits, 0);
  if (fits) return OLICA_OK;
  if (context->rank == 0)
    olica_log_warn(context->env, "[restart] the disk has no room for restart files: none are written");
  job->resume.writes = false;
  return OLICA_OK;
}

/* A refusal, with what can be done about it. */
static olica_status refuse(olica_env *env, olica_status status) {
  char text[OLICA_ERROR_TEXT];
  snprintf(text, sizeof text, "%s", env->error.text);
  return olica_error_set(env, status, "%s (--fresh starts over)", text);
}

/* Files beside the checkpoint are of a run without [restart] path. Nothing is begun on top of its checkpoint
 * under way. */
static olica_status look_beside(olica_job *job) {
  olica_context *context = job->context;
  olica_options plain = *job->options;
  olica_restart *files;
  char *name;
  plain.restart.path = "";
  OLICA_TRY(olica_resume_name(context, &plain, &name));
  OLICA_TRY(olica_restart_open(context, name, (int)job->options->restart.keep, &files));
  bool there = olica_restart_exists(files);
  if (job->options->fresh) olica_restart_remove(files);
  olica_restart_close(files);
  olica_memory_free(context->env, name);
  if (!there || job->options->fresh) return OLICA_OK;
  olica_error_set(
      context->env, OLICA_ERR_CONFIG,
      "[restart] path = %s: %s.restart.* of an earlier run lie beside the checkpoint, expected in "
      "there; without [restart] path the run goes on from them",
      job->options->restart.path, plain.output.checkpoint);
  return refuse(context->env, OLICA_ERR_CONFIG);
}

/* What an earlier run has left. Files that cannot be read may be hours of work: nothing is begun on top of
 * them. */
static olica_status look_at_files(olica_job *job) {
  olica_resume *resume = &job->resume;
  olica_context *context = job->context;
  if (*job->options->restart.path && !olica_restart_exists(resume->files)) OLICA_TRY(look_beside(job));
  if (olica_restart_exists(resume->files) && job->options->fresh) {
    olica_log_line(context->env, "--fresh: restart files of an earlier run are removed");
    olica_restart_remove(resume->files);
    if (context->rank == 0) olica_checkpoint_discard(context->env, job->options->output.checkpoint);
  } else if (!olica_restart_exists(resume->files) && context->rank == 0 && has_others(job->options))
    olica_log_line(context->env,
                   "[restart] path: %s has restart files of other checkpoints of this name; none is of %s",
                   job->options->restart.path, job->options->output.checkpoint);
  olica_status status = olica_restart_look(resume->files);
  return status == OLICA_ERR_IO || status == OLICA_ERR_CONFIG ? refuse(context->env, status) : status;
}

olica_status olica_resume_open(olica_job *job, double bytes, double checkpoint) {
  olica_context *context = job->context;
  const olica_options *o = job->options;
  olica_resume *resume = &job->resume;
  char *name;
  resume->from = (olica_position){1, 0};
  resume->bytes = bytes;
  if (!olica_job_prunes(job)) return olica_signals_release(), OLICA_OK;
  resume->writes = olica_options_restarts(o);
  OLICA_TRY(olica_resume_name(context, o, &name));
  if (resume->writes) OLICA_TRY(check_room(job, name, bytes, checkpoint));
  OLICA_TRY(olica_restart_open(context, name, (int)o->restart.keep, &resume->files));
  olica_memory_free(context->env, name);
  OLICA_TRY(look_at_files(job));
  if (!resume->writes) olica_signals_release();
  return OLICA_OK;
}

/* Copies of both fingerprints without the output's type; *other: it differs. */
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

/* *other: it is of this run but for the output's type, on which nothing of sweep 1 depends. */
static olica_status check_same(olica_job *job, const json_t *state, bool *other) {
  olica_resume *resume = &job->resume;
  olica_context *context = job->context;
  olica_status status = OLICA_OK;
  *other = false;
  if (context->rank == 0) {
    json_t *plain[2];
    forget_dtype(json_object_get(state, "fingerprint"), resume->fingerprint, plain, other);
    status = olica_fingerprint_compare(context->env, resume->files->name, plain[0], plain[1]);
    json_decref(plain[0]);
    json_decref(plain[1]);
  }
  if (status != OLICA_OK) refuse(context->env, status);
  OLICA_AGREE(context, status);
  olica_comm_bcast(context, context->comm, other, sizeof *other, 0);
  return OLICA_OK;
}

/* The place stands in the table and among the sections: numbers of one layer must not go on as another's.
 * Asked before anything else is read into the job. */
static olica_status load_place(olica_job *job, olica_position at, const olica_resume_state *sections,
                               bool *good) {
  olica_resume *resume = &job->resume;
  const olica_position *place = &resume->place;
  char why[160];
  OLICA_TRY(olica_restart_load(resume->files, 1, sections->section, good));
  if (!*good || (at.sweep == place->sweep && at.layer == place->layer)) return OLICA_OK;
  snprintf(why, sizeof why, "its table is of layer %d of sweep %d, its sections of layer %d of sweep %d",
           at.layer, at.sweep, place->layer, place->sweep);
  olica_restart_skip(resume->files, why);
  *good = false;
  return OLICA_OK;
}

/* Makes room for the checkpoint's progress, as large as it is in the file that was found. */
static olica_status make_progress(olica_job *job, olica_position from) {
  olica_resume *resume = &job->resume;
  int64_t bytes = olica_restart_bytes(resume->files, "progress"),
          most = olica_checkpoint_progress_most(&job->source->arch);
  bool wanted = from.sweep == olica_job_last_sweep(job) && from.layer > 0;
  OLICA_FREE(job->context->env, resume->progress);
  resume->progress_bytes = wanted && bytes >= 0 && bytes <= most ? bytes : 0;
  return OLICA_NEW(job->context->env, resume->progress, (size_t)resume->progress_bytes);
}

/* Loads the sections of a file about `at` that a run needs to resume at `from`. */
static olica_status load(olica_job *job, olica_position at, olica_position from, bool *good) {
  olica_resume *resume = &job->resume;
  olica_context *context = job->context;
  olica_resume_state sections = {0};
  olica_status status = make_progress(job, from);
  if (status == OLICA_OK) status = olica_resume_sections(job, from, &sections);
  OLICA_AGREE(context, status);
  OLICA_TRY(load_place(job, at, &sections, good));
  if (*good) OLICA_TRY(olica_restart_load(resume->files, sections.count, sections.section, good));
  olica_resume_free(job, &sections);
  return OLICA_OK;
}

static void take_up(olica_job *job, const json_t *state, olica_position at) {
  olica_resume *resume = &job->resume;
  resume->from = resume->kept = at;
  olica_resume_recall(job, at, state);
  job->report->restart.sweep = at.sweep;
  job->report->restart.layer = at.layer;
  job->report->restart.runs = resume->runs;
  job->report->restart.seconds = resume->seconds;
  olica_log_line(job->context->env, "going on from layer %d of sweep %d (layers from 0; %s.%d)", at.layer,
                 at.sweep, resume->files->name, resume->files->found);
}

/* What the last sweep has cut is of another type: of its state nothing stays but what the survey has found.
 */
static json_t *back_to_survey(const olica_job *job, const json_t *state, olica_position *from) {
  static const char *const behind[] = {"cuts", "warnings", "questions_seconds"};
  json_t *survey = json_copy((json_t *)state);
  for (size_t i = 0; i < sizeof behind / sizeof *behind; i++) json_object_del(survey, behind[i]);
  *from = (olica_position){olica_job_last_sweep(job), 0};
  olica_log_line(job->context->env, "[output] dtype is another one: sweep %d begins anew, the survey is kept",
                 from->sweep);
  return survey;
}

/* Takes up the file that was found, if it can: *good. Else it does not count any more. */
static olica_status try_file(olica_job *job, const json_t *state, bool *good) {
  olica_resume *resume = &job->resume;
  olica_position at, from;
  bool other;
  *good = false;
  OLICA_TRY(check_same(job, state, &other));
  if (!olica_resume_place(job, state, &at)) {
    olica_restart_skip(resume->files, "names a place that a run of this model does not have");
    return OLICA_OK;
  }
  from = at;
  json_t *survey = NULL;
  if (other && at.sweep == olica_job_last_sweep(job) && at.layer > 0)
    survey = back_to_survey(job, state, &from);
  olica_status status = load(job, at, from, good);
  if (status == OLICA_OK && *good) take_up(job, survey ? survey : state, from);
  json_decref(survey);
  return status == OLICA_ERR_IO ? refuse(job->context->env, status) : status;
}

/* There may be files all the same, of which none counts. */
static void begin_anew(const olica_job *job) {
  const olica_restart *files = job->resume.files;
  if (olica_restart_exists(files) && job->context->rank == 0)
    olica_log_warn(job->context->env, "[restart] no restart file can be used: the run begins anew (%s)",
                   files->name);
}

olica_status olica_resume_load(olica_job *job) {
  olica_resume *resume = &job->resume;
  bool good = false;
  if (!resume->files || !(resume->writes || olica_restart_exists(resume->files))) return OLICA_OK;
  OLICA_TRY(olica_fingerprint_make(job, OLICA_FINGERPRINT_RUN, &resume->fingerprint));
  while (!good) {
    json_t *state;
    OLICA_TRY(olica_restart_find(resume->files, &state));
    if (!state) break;
    olica_status status = try_file(job, state, &good);
    json_decref(state);
    OLICA_TRY(status);
  }
  if (!good) begin_anew(job);
  return OLICA_OK;
}

/* The tokens have not been looked at. */
static olica_status foresee(olica_job *job, json_t *state, olica_position *at) {
  json_t *then = json_object_get(state, "fingerprint");
  bool other;
  json_object_set_new(then, "tokens", json_object());
  if (job->resume.fingerprint) json_object_set_new(job->resume.fingerprint, "tokens", json_object());
  OLICA_TRY(check_same(job, state, &other));
  if (!olica_resume_place(job, state, at)) *at = (olica_position){1, 0};
  if (other && at->sweep == olica_job_last_sweep(job)) at->layer = 0;
  return OLICA_OK;
}

olica_status olica_resume_foresee(olica_job *job, olica_position *at) {
  olica_resume *resume = &job->resume;
  json_t *state;
  *at = (olica_position){1, 0};
  if (!resume->files || !olica_restart_exists(resume->files)) return OLICA_OK;
  OLICA_TRY(olica_restart_find(resume->files, &state));
  if (!state) return OLICA_OK;
  olica_status status = olica_fingerprint_make(job, OLICA_FINGERPRINT_RUN, &resume->fingerprint);
  if (status == OLICA_OK) status = foresee(job, state, at);
  json_decref(state);
  return status;
}

bool olica_resume_needs_part(const olica_job *job) {
  return job->resume.files && job->resume.kept.sweep == olica_job_last_sweep(job) &&
         job->resume.kept.layer > 0;
}

void olica_resume_end(olica_job *job, olica_status status) {
  const olica_resume *resume = &job->resume;
  olica_env *env = job->context->env;
  if (resume->files && status == OLICA_OK) olica_restart_remove(resume->files);
  if (status == OLICA_OK || status == OLICA_STOPPED || resume->kept.sweep == 0) return;
  char text[OLICA_ERROR_TEXT];
  snprintf(text, sizeof text, "%s", env->error.text);
  if (status == OLICA_ERR_CONFIG) { /* the same one would end here again */
    olica_error_set(env, status,
                    "%s; restart files are kept: the run goes on once that is mended in the config", text);
    return;
  }
  olica_error_set(
      env, status,
      "%s; restart files are kept: the same config goes on from layer %d of sweep %d (layers from 0)", text,
      resume->kept.layer, resume->kept.sweep);
}

void olica_resume_close(olica_job *job) {
  olica_memory_free(job->context->env, job->resume.progress);
  json_decref(job->resume.fingerprint);
  olica_restart_close(job->resume.files);
}
