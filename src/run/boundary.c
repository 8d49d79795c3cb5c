#include "boundary.h"

#include "base/signals.h"
#include "par/comm.h"
#include "walltime.h"

enum {
  FIRST_RATE = 1 << 30, /* expected bytes a second of a restart file, before one has been written */
  ENDING = 3            /* seconds for the report and the exit */
};

/* Reasons to act at a boundary: signals of all ranks, and two decisions of rank 0. */
typedef enum verdict { SIGNAL, TIME, WRITE, VERDICTS } verdict;

static void begin(olica_resume *resume, double now) {
  if (resume->time.began > 0) return;
  resume->time.began = resume->setup->context->env->timers.started;
  resume->time.last = resume->time.saved = now;
  resume->time.end = olica_walltime_end(resume->setup);
}

/* Returns whether this is the end of the passes over the dense model: its restart file saves most and is
 * smallest. */
static bool ends_survey(const olica_resume *resume, olica_position next) {
  return next.sweep == olica_setup_last_sweep(resume->setup) && next.layer == 0;
}

/* Returns whether restart files stay within [restart] cost of the run's time; the one at the end of the
 * survey is always written. */
static bool is_cheap(const olica_resume *resume, olica_position next, double now) {
  double expected = resume->time.dearest > 0 ? resume->time.dearest : resume->bytes / FIRST_RATE;
  double share = resume->setup->options->restart.cost;
  if (share >= 1 || ends_survey(resume, next)) return true;
  return resume->time.spent + expected <= share * (now - resume->time.began);
}

/* Returns whether a restart file now would make some ranks wait for what all of them soon do together, and is
 * not yet overdue. */
static bool is_early(const olica_resume *resume, double now) {
  const double overdue = 600; /* seconds */
  return olica_method_gathers(resume->setup->method, resume->snapshot.engine->state) &&
         now - resume->time.saved < overdue;
}

static bool is_due(const olica_resume *resume, olica_position next, double now) {
  const olica_cadence *every = &resume->setup->options->restart.every;
  bool due = every->layers > 0 ? resume->time.layers >= every->layers
                               : now - resume->time.saved >= 60.0 * (double)every->minutes;
  if (ends_survey(resume, next)) return is_cheap(resume, next, now);
  return due && is_cheap(resume, next, now) && !is_early(resume, now);
}

/* Returns whether the time left is too short for one more layer and a restart file, as measured so far. */
static bool is_late(const olica_resume *resume, double now) {
  if (resume->time.end == 0) return false;
  return now + 1.5 * resume->time.longest + 2 * resume->time.dearest + ENDING > resume->time.end;
}

/* Makes every rank's verdicts the maximum over the ranks. Collective. */
static void judge(olica_resume *resume, olica_position next, double now, double verdicts[VERDICTS]) {
  bool root = resume->setup->context->rank == 0;
  verdicts[SIGNAL] = olica_signals_caught();
  verdicts[TIME] = root && is_late(resume, now);
  verdicts[WRITE] = root && is_due(resume, next, now);
  olica_comm_max(resume->setup->context, resume->setup->context->comm, verdicts, VERDICTS);
}

/* Flushes the checkpoint first: what its progress claims must be on the disk. */
static olica_status flush(olica_resume *resume) {
  olica_snapshot *snapshot = &resume->snapshot;
  olica_checkpoint *checkpoint = snapshot->engine->checkpoint;
  olica_env *env = resume->setup->context->env;
  OLICA_FREE(env, snapshot->progress);
  snapshot->progress_bytes = olica_checkpoint_progress_bytes(checkpoint);
  OLICA_AGREE(resume->setup->context, OLICA_NEW(env, snapshot->progress, (size_t)snapshot->progress_bytes));
  return olica_checkpoint_flush(checkpoint, snapshot->progress);
}

/* *written: the status of the file; a failure to write it is no failure of the run. */
static olica_status write_file(olica_resume *resume, olica_position next, olica_status *written) {
  olica_sections sections = {0};
  json_t *state = NULL;
  olica_status status = olica_snapshot_sections(&resume->snapshot, next, &sections);
  *written = olica_comm_agree(resume->setup->context, resume->setup->context->comm, status);
  if (*written == OLICA_OK) *written = olica_snapshot_describe(&resume->snapshot, next, &state);
  if (*written == OLICA_OK)
    *written = olica_restart_save(resume->files, state, sections.count, sections.section);
  json_decref(state);
  olica_sections_free(resume->setup->context->env, &sections);
  if (*written == OLICA_OK) resume->kept = next;
  return OLICA_OK;
}

static olica_status save(olica_resume *resume, olica_position next, olica_status *written) {
  bool cuts = next.sweep == olica_setup_last_sweep(resume->setup);
  if (!cuts || next.layer == 0)
    OLICA_TRY(olica_method_settle(resume->setup->method, resume->snapshot.engine->state));
  if (cuts && next.layer > 0) OLICA_TRY(flush(resume));
  return write_file(resume, next, written);
}

static olica_status save_timed(olica_resume *resume, olica_position next, olica_status *written) {
  olica_env *env = resume->setup->context->env;
  double since = olica_timer_now();
  olica_timer_start(&env->timers, "restart");
  olica_status status = save(resume, next, written);
  olica_timer_stop(&env->timers);
  resume->time.saved = olica_timer_now();
  double took = resume->time.saved - since;
  resume->time.spent += took;
  if (next.layer > 0 && took > resume->time.dearest) resume->time.dearest = took;
  resume->time.layers = 0;
  return status;
}

static olica_status stop(olica_resume *resume, const double verdicts[VERDICTS], olica_position next,
                         olica_status written) {
  const char *why = verdicts[SIGNAL] > 0 ? olica_signals_name((int)verdicts[SIGNAL]) : "[run] walltime";
  if (resume->kept.sweep == 0) return written; /* no restart file to resume from */
  return olica_error_set(
      resume->setup->context->env, OLICA_STOPPED,
      "by %s before layer %d of sweep %d (layers from 0); started again with the same config it goes on "
      "from layer %d of sweep %d",
      why, next.layer, next.sweep, resume->kept.layer, resume->kept.sweep);
}

olica_status olica_boundary_pass(olica_resume *resume, olica_position next) {
  double verdicts[VERDICTS], now = olica_timer_now();
  olica_status written = OLICA_OK;
  if (!resume->files || !resume->writes) return OLICA_OK;
  begin(resume, now);
  if (now - resume->time.last > resume->time.longest) resume->time.longest = now - resume->time.last;
  resume->time.layers++;
  judge(resume, next, now, verdicts);
  bool stops = verdicts[SIGNAL] > 0 || verdicts[TIME] > 0;
  if (stops || verdicts[WRITE] > 0) OLICA_TRY(save_timed(resume, next, &written));
  if (stops) return stop(resume, verdicts, next, written);
  if (written != OLICA_OK) {
    olica_log_line(resume->setup->context->env, "%s", resume->setup->context->env->error.text);
    if (resume->setup->context->rank == 0)
      olica_log_warn(resume->setup->context->env,
                     "[restart] a restart file could not be written; the run goes on");
    olica_error_clear(resume->setup->context->env);
  }
  resume->time.last = olica_timer_now();
  return OLICA_OK;
}
