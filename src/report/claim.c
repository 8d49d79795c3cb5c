#include "report/claim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "io/json.h"
#include "io/lock.h"

static olica_report_found judge(const json_t *root) {
  const char *status = json_string_value(json_object_get(root, "status"));
  if (!status || !json_object_get(root, "olica_mpi")) return OLICA_REPORT_OTHER;
  return strcmp(status, "ok") == 0 ? OLICA_REPORT_GOOD : OLICA_REPORT_FAILED;
}

olica_report_found olica_report_look(olica_env *env, const char *path) {
  enum { MOST_BYTES = 256 << 20 };
  double before = env->bytes_read;
  json_t *root;
  olica_report_found found = OLICA_REPORT_OTHER;
  if (access(path, F_OK) != 0 && errno == ENOENT) return OLICA_REPORT_NONE;
  if (olica_json_load(env, path, MOST_BYTES, &root) == OLICA_OK) found = judge(root);
  json_decref(root);
  olica_error_clear(env);
  env->bytes_read = before; /* not an input */
  return found;
}

/* Makes a name beside the report's, with its ending: "out/report.failed.json" for "failed". */
static olica_status name_beside(olica_env *env, const char *path, const char *word, char **name) {
  const char *dot = strrchr(path, '.');
  size_t stem = dot && strcmp(dot, ".json") == 0 ? (size_t)(dot - path) : strlen(path);
  size_t bytes = strlen(path) + strlen(word) + 2;
  OLICA_TRY(OLICA_NEW(env, *name, bytes));
  snprintf(*name, bytes, "%.*s.%s%s", (int)stem, path, word, path + stem);
  return OLICA_OK;
}

/* Drops a failure, unless it is a lack of memory: the probe of the outputs will find and report it. */
static olica_status can_write(olica_env *env, const char *path, bool *can) {
  olica_status status = olica_file_probe(env, path, false);
  *can = status == OLICA_OK;
  if (status == OLICA_ERR_MEMORY) return status;
  olica_error_clear(env);
  return OLICA_OK;
}

/* Takes the lock; *can: the name can be written, and the lock is this run's or another job's. */
static olica_status take_lock(olica_env *env, const char *path, olica_claim *claim, bool *can) {
  OLICA_TRY(can_write(env, path, can));
  if (!*can) return OLICA_OK;
  OLICA_TRY(olica_lock_try(env, path, &claim->lock, &claim->theirs));
  if (!claim->theirs) return OLICA_OK;
  return olica_error_set(
      env, OLICA_ERR_IO,
      "[output] report: %s: another job is writing it (it holds %s.lock), expected one at a "
      "time",
      path, path);
}

/* Returns whether this run's report may replace the file that was found. */
static bool gives_way(const olica_options *options, olica_report_found found) {
  return options->output.overwrite || found == OLICA_REPORT_NONE || found == OLICA_REPORT_FAILED;
}

/* Moves the report of a checkpoint, which exists until this run replaces it, to NAME.previous. */
static void keep_previous(olica_env *env, const char *path) {
  char *name = NULL;
  olica_status status = name_beside(env, path, "previous", &name);
  if (status == OLICA_OK && olica_report_look(env, name) == OLICA_REPORT_OTHER)
    status = olica_error_set(env, OLICA_ERR_IO, "%s: is no report and stays", name);
  if (status == OLICA_OK && rename(path, name) != 0)
    status =
        olica_error_set(env, OLICA_ERR_IO, "%s: cannot rename %s to it: %s", name, path, strerror(errno));
  if (status != OLICA_OK)
    olica_log_warn(env, "[output] report: the one before is not kept: %.160s", env->error.text);
  olica_error_clear(env);
  olica_memory_free(env, name);
}

/* Writes the "running" report. A failure is only a warning: the final report may succeed. */
static olica_status put_marker(olica_env *env, const char *path, olica_report *report, olica_claim *claim) {
  report->running = true;
  olica_status status = olica_report_write(env, report, path);
  report->running = false;
  claim->ours = status == OLICA_OK;
  if (status == OLICA_ERR_MEMORY) return status;
  if (status != OLICA_OK) olica_log_warn(env, "%s", env->error.text);
  olica_error_clear(env);
  return OLICA_OK;
}

olica_status olica_claim_begin(olica_env *env, const olica_options *options, olica_report *report,
                               olica_claim *claim) {
  const char *path = options->output.report;
  if (!*path) return OLICA_OK;
  bool can;
  OLICA_TRY(take_lock(env, path, claim, &can));
  if (!can) return OLICA_OK;
  olica_report_found found = olica_report_look(env, path);
  if (!gives_way(options, found)) return OLICA_OK;
  if (found == OLICA_REPORT_GOOD) keep_previous(env, path);
  return put_marker(env, path, report, claim);
}

/* Removes the copy of the previous report, after a run that ended well: its checkpoint was replaced. */
static void forget_previous(olica_env *env, const char *path) {
  char *name = NULL;
  if (name_beside(env, path, "previous", &name) == OLICA_OK &&
      olica_report_look(env, name) == OLICA_REPORT_GOOD)
    remove(name);
  olica_error_clear(env);
  olica_memory_free(env, name);
}

/* Writes the report of a failed run beside NAME, which stays. */
static olica_status write_beside(olica_env *env, const olica_report *report, const char *path) {
  char *name = NULL;
  OLICA_TRY(name_beside(env, path, "failed", &name));
  olica_report_found found = olica_report_look(env, name);
  olica_status status = OLICA_OK;
  if (found == OLICA_REPORT_OTHER || found == OLICA_REPORT_GOOD)
    status = olica_error_set(env, OLICA_ERR_IO, "%s: exists and stays: this run has no report", name);
  else
    status = olica_report_write(env, report, name);
  if (status == OLICA_OK) olica_log_line(env, "%s stays as it is: the report of this run is %s", path, name);
  olica_memory_free(env, name);
  return status;
}

static olica_status write_report(olica_env *env, const olica_options *options, const olica_report *report,
                                 olica_claim *claim) {
  const char *path = options->output.report;
  bool can;
  if (claim->lock < 0 && !claim->theirs && take_lock(env, path, claim, &can) != OLICA_OK)
    olica_error_clear(env);
  if (claim->theirs) {
    olica_log_line(env, "%s is of another job, which runs: this one has no report", path);
    return OLICA_OK;
  }
  olica_report_found found = olica_report_look(env, path);
  if (gives_way(options, found)) {
    if (found == OLICA_REPORT_GOOD && report->status != OLICA_OK) keep_previous(env, path);
    olica_status status = olica_report_write(env, report, path);
    if (status != OLICA_OK && claim->ours) remove(path); /* "running" is not true any more */
    return status;
  }
  if (report->status != OLICA_OK) return write_beside(env, report, path);
  return olica_error_set(
      env, OLICA_ERR_IO,
      "%s: has come while this job ran and stays; [output] overwrite = yes would replace it", path);
}

olica_status olica_claim_end(olica_env *env, const olica_options *options, const olica_report *report,
                             olica_claim *claim) {
  const char *path = options->output.report;
  if (!*path) return OLICA_OK;
  olica_status status = write_report(env, options, report, claim);
  if (status == OLICA_OK && report->status == OLICA_OK && options->output.overwrite)
    forget_previous(env, path);
  olica_lock_release(env, path, claim->lock);
  claim->lock = -1;
  return status;
}
