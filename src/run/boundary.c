/* Between two layers: is it time for a restart file, or to stop? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/signals.h"
#include "job.h"
#include "par/comm.h"

enum {
  FIRST_RATE =
      1 << 30, /* bytes a second that a restart file is expected to take before one has been written */
  ENDING = 3   /* seconds to tell all about it and leave */
};

/* What rank 0 and the signals of all ranks say. */
typedef enum verdict { SIGNAL, TIME, WRITE, VERDICTS } verdict;

/* "+02:00", "-0930": seconds east of Greenwich. */
static bool read_zone(const char *text, long *east) {
  int hours, minutes, read = 0;
  if (sscanf(text, "%*1[+-]%2d:%2d%n", &hours, &minutes, &read) != 2 || text[read])
    if (sscanf(text, "%*1[+-]%2d%2d%n", &hours, &minutes, &read) != 2 || text[read]) return false;
  *east = (text[0] == '-' ? -60L : 60L) * (60L * hours + minutes);
  return true;
}

/* Seconds since 1970, or a date as ISO 8601 writes it: "2026-01-31T12:00:00" in local time, as Slurm's
 * commands have it, or with Z or an offset behind it. */
static bool read_time(const char *text, double *seconds) {
  struct tm date = {.tm_isdst = -1};
  char *end;
  long east = 0;
  long long number = strtoll(text, &end, 10);
  *seconds = (double)number;
  if (end > text && !*end) return number > 0;
  end = strptime(text, "%Y-%m-%dT%H:%M:%S", &date);
  if (!end) end = strptime(text, "%Y-%m-%d %H:%M:%S", &date);
  if (!end || (*end && strcmp(end, "Z") != 0 && !read_zone(end, &east))) return false;
  *seconds = *end ? (double)(timegm(&date) - east) : (double)mktime(&date);
  return *seconds > 0;
}

/* When the time is up, as olica_timer_now tells; 0: never. */
static double end_of_time(const olica_job *job) {
  olica_env *env = job->context->env;
  int64_t asked = job->options->run.walltime;
  const char *slurm = getenv("SLURM_JOB_END_TIME");
  double end;
  if (asked > 0) return env->timers.started + (double)asked;
  if (asked == 0 || !slurm || !*slurm) return 0;
  if (read_time(slurm, &end)) return olica_timer_now() + end - (double)time(NULL);
  if (job->context->rank == 0)
    olica_log_warn(env,
                   "[run] walltime = auto: SLURM_JOB_END_TIME = \"%.60s\" is no time, expected seconds since "
                   "1970 or 2026-01-31T12:00:00; the run does not stop by itself",
                   slurm);
  return 0;
}

static void begin(olica_job *job, double now) {
  olica_resume *resume = &job->resume;
  if (resume->time.began > 0) return;
  resume->time.began = job->context->env->timers.started;
  resume->time.last = resume->time.saved = now;
  resume->time.end = end_of_time(job);
}

/* The end of the passes over the dense model: nothing is dearer to lose, and next to nothing to write. */
static bool ends_survey(const olica_job *job, olica_position next) {
  return next.sweep == olica_job_last_sweep(job) && next.layer == 0;
}

/* Files that cost little against the time of the run so far, or against what they would lose: at the end of
 * the survey there is next to nothing to write. */
static bool is_cheap(const olica_job *job, olica_position next, double now) {
  const olica_resume *resume = &job->resume;
  double expected = resume->time.dearest > 0 ? resume->time.dearest : resume->bytes / FIRST_RATE;
  double share = job->options->restart.cost;
  if (share >= 1 || ends_survey(job, next)) return true;
  return resume->time.spent + expected <= share * (now - resume->time.began);
}

static bool is_due(const olica_job *job, olica_position next, double now) {
  const olica_cadence *every = &job->options->restart.every;
  const olica_resume *resume = &job->resume;
  bool due = every->layers > 0 ? resume->time.layers >= every->layers
                               : now - resume->time.saved >= 60.0 * (double)every->minutes;
  return (due || ends_survey(job, next)) && is_cheap(job, next, now);
}

/* Is what is left too short for one more layer and a restart file? Both have been measured. */
static bool is_late(const olica_resume *resume, double now) {
  if (resume->time.end == 0) return false;
  return now + 1.5 * resume->time.longest + 2 * resume->time.dearest + ENDING > resume->time.end;
}

/* The largest of all ranks' words. Collective. */
static void judge(olica_job *job, olica_position next, double now, double verdicts[VERDICTS]) {
  const olica_resume *resume = &job->resume;
  bool root = job->context->rank == 0;
  verdicts[SIGNAL] = olica_signals_caught();
  verdicts[TIME] = root && is_late(resume, now);
  verdicts[WRITE] = root && is_due(job, next, now);
  olica_comm_max(job->context, job->context->comm, verdicts, VERDICTS);
}

/* Flushes the checkpoint first: what its progress claims must be on the disk. */
static olica_status flush(olica_job *job) {
  olica_resume *resume = &job->resume;
  olica_env *env = job->context->env;
  OLICA_FREE(env, resume->progress);
  resume->progress_bytes = olica_checkpoint_progress_bytes(job->checkpoint);
  OLICA_AGREE(job->context, OLICA_NEW(env, resume->progress, (size_t)resume->progress_bytes));
  return olica_checkpoint_flush(job->checkpoint, resume->progress);
}

/* *written: whether there is a file now; that there is not is no failure of the run. */
static olica_status write_file(olica_job *job, olica_position next, olica_status *written) {
  olica_resume *resume = &job->resume;
  olica_resume_state sections = {0};
  json_t *state = NULL;
  olica_status status = olica_resume_sections(job, next, &sections);
  *written = olica_comm_agree(job->context, job->context->comm, status);
  if (*written == OLICA_OK) *written = olica_resume_describe(job, next, &state);
  if (*written == OLICA_OK)
    *written = olica_restart_save(resume->files, state, sections.count, sections.section);
  json_decref(state);
  olica_resume_free(job, &sections);
  if (*written == OLICA_OK) resume->kept = next;
  return OLICA_OK;
}

static olica_status save(olica_job *job, olica_position next, olica_status *written) {
  bool cuts = next.sweep == olica_job_last_sweep(job);
  if (!cuts || next.layer == 0) OLICA_TRY(olica_method_settle(job->method, job->state));
  if (cuts && next.layer > 0) OLICA_TRY(flush(job));
  return write_file(job, next, written);
}

static olica_status save_timed(olica_job *job, olica_position next, olica_status *written) {
  olica_resume *resume = &job->resume;
  olica_env *env = job->context->env;
  double since = olica_timer_now();
  olica_timer_start(&env->timers, "restart");
  olica_status status = save(job, next, written);
  olica_timer_stop(&env->timers);
  resume->time.saved = olica_timer_now();
  double took = resume->time.saved - since;
  resume->time.spent += took;
  if (next.layer > 0 && took > resume->time.dearest) resume->time.dearest = took;
  resume->time.layers = 0;
  return status;
}

static olica_status stop(olica_job *job, const double verdicts[VERDICTS], olica_position next,
                         olica_status written) {
  const olica_resume *resume = &job->resume;
  const char *why = verdicts[SIGNAL] > 0 ? olica_signals_name((int)verdicts[SIGNAL]) : "[run] walltime";
  if (resume->kept.sweep == 0) return written; /* nothing that a restart could go on with */
  return olica_error_set(
      job->context->env, OLICA_STOPPED,
      "by %s before layer %d of sweep %d (layers from 0); started again with the same config it goes on "
      "from layer %d of sweep %d",
      why, next.layer, next.sweep, resume->kept.layer, resume->kept.sweep);
}

olica_status olica_resume_boundary(olica_job *job, olica_position next) {
  olica_resume *resume = &job->resume;
  double verdicts[VERDICTS], now = olica_timer_now();
  olica_status written = OLICA_OK;
  if (!resume->files || !resume->writes) return OLICA_OK;
  begin(job, now);
  if (now - resume->time.last > resume->time.longest) resume->time.longest = now - resume->time.last;
  resume->time.layers++;
  judge(job, next, now, verdicts);
  bool stops = verdicts[SIGNAL] > 0 || verdicts[TIME] > 0;
  if (stops || verdicts[WRITE] > 0) OLICA_TRY(save_timed(job, next, &written));
  if (stops) return stop(job, verdicts, next, written);
  if (written != OLICA_OK) {
    olica_log_line(job->context->env, "%s", job->context->env->error.text);
    if (job->context->rank == 0)
      olica_log_warn(job->context->env, "[restart] a restart file could not be written; the run goes on");
    olica_error_clear(job->context->env);
  }
  resume->time.last = olica_timer_now();
  return OLICA_OK;
}
