#include "ending.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "exports.h"
#include "io/file.h"
#include "io/hdf5.h"
#include "io/json.h"
#include "io/lock.h"
#include "par/comm.h"
#include "probe.h"
#include "report/report.h"
#include "restart_files.h"
#include "store/checkpoint.h"

enum { TEXT_BYTES = 1 << 20 };

static bool is_there(const char *path) {
  struct stat info;
  return lstat(path, &info) == 0;
}

/* Rank 0: *taken: the checkpoint or an export has its final name. */
static olica_status look_at_names(const olica_setup *setup, bool *taken) {
  olica_export_list list;
  OLICA_TRY(olica_exports_list(setup->context->env, setup->options, &list));
  *taken = is_there(setup->options->output.checkpoint);
  for (int i = 0; i < list.count; i++) *taken |= is_there(list.target[i].path);
  return OLICA_OK;
}

/* Rank 0: has the run of this checkpoint ended well, and is no other at work? */
static bool ended_well(const olica_setup *setup) {
  const olica_options *o = setup->options;
  olica_env *env = setup->context->env;
  return *o->output.report && olica_report_look(env, o->output.report) == OLICA_REPORT_GOOD &&
         is_there(o->output.checkpoint) && !olica_lock_held(env, o->output.checkpoint);
}

/* Time, process and host of the start. */
static void make_mark(const olica_context *context, char mark[OLICA_JOB_TEXT]) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  uLong where = crc32(crc32(0, (const Bytef *)context->host, (uInt)strlen(context->host)),
                      (const Bytef *)&(pid_t){getpid()}, sizeof(pid_t));
  snprintf(mark, OLICA_JOB_TEXT, "%08lx%08lx", where & 0xffffffff,
           crc32(0, (const Bytef *)&now, sizeof now) & 0xffffffff);
}

/* Rank 0: removes a lock file that a killed run has left. */
static olica_status forget_lock(olica_env *env, const olica_options *options) {
  int lock;
  OLICA_TRY(olica_lock_take(env, options->output.checkpoint, &lock));
  olica_lock_release(env, options->output.checkpoint, lock);
  return OLICA_OK;
}

olica_status olica_ending_look(const olica_setup *setup, bool cleans, olica_ending *ending) {
  enum { TAKEN, ENDED, FACTS };
  olica_context *context = setup->context;
  const olica_options *o = setup->options;
  bool facts[FACTS] = {false}, there;
  *ending = (olica_ending){0};
  make_mark(context, ending->job);
  if (!olica_setup_prunes(setup)) return OLICA_OK;
  OLICA_AGREE(context, context->rank == 0 ? look_at_names(setup, &facts[TAKEN]) : OLICA_OK);
  facts[ENDED] = context->rank == 0 && facts[TAKEN] && ended_well(setup);
  olica_comm_bcast(context, context->comm, facts, sizeof facts, 0);
  ending->free = !facts[TAKEN];
  if (!facts[TAKEN] || o->output.overwrite || o->fresh) return OLICA_OK;
  OLICA_TRY(olica_restart_files_look(context, o, facts[ENDED] && cleans, &there));
  if (facts[ENDED] && cleans)
    OLICA_AGREE(context, context->rank == 0 ? forget_lock(context->env, o) : OLICA_OK);
  if (there && facts[ENDED] && cleans)
    olica_log_line(context->env, "%s: its run ended well; restart files that it left are removed",
                   o->output.checkpoint);
  ending->waits = there && !facts[ENDED];
  return OLICA_OK;
}

void olica_ending_describe(const olica_ending *ending, const olica_options *options, json_t *state) {
  json_object_set_new(state, "outputs_free", json_boolean(ending->free));
  json_object_set_new(state, "exports", json_string(options->output.export));
  json_object_set_new(state, "job", json_string(ending->job));
}

void olica_ending_compare(olica_ending *ending, const olica_options *options, const json_t *state) {
  const char *exports = json_string_value(json_object_get(state, "exports"));
  const char *job = json_string_value(json_object_get(state, "job"));
  ending->agreed = json_is_true(json_object_get(state, "outputs_free")) && exports &&
                   strcmp(exports, options->output.export) == 0 && job;
  if (job) snprintf(ending->job, sizeof ending->job, "%s", job);
}

/* Rank 0: *mine: the provenance of the checkpoint in the catalog has the run's mark. */
static olica_status compare_mark(olica_catalog *catalog, const char *path, const char *job, bool *mine) {
  olica_env *env = catalog->context->env;
  const olica_tensor *tensor = olica_catalog_find(catalog, "meta/provenance_json");
  char *text;
  json_t *is = NULL;
  if (!tensor || tensor->dims != 1 || tensor->bytes > TEXT_BYTES) return OLICA_OK;
  OLICA_TRY(OLICA_NEW(env, text, (size_t)tensor->bytes + 1));
  olica_status status = olica_catalog_read(catalog, tensor, 0, tensor->bytes, text);
  if (status == OLICA_OK) status = olica_json_parse(env, path, text, (size_t)tensor->bytes, &is);
  const char *its = json_string_value(json_object_get(is, "job"));
  *mine = its && strcmp(its, job) == 0;
  json_decref(is);
  olica_memory_free(env, text);
  return status;
}

/* *mine: there is no checkpoint, or it has the run's mark. One that cannot be read is another's. */
static olica_status is_mine(olica_context *context, const char *path, const char *job, bool *mine) {
  olica_catalog *catalog;
  bool root = context->rank == 0;
  *mine = root && !is_there(path);
  olica_comm_bcast(context, context->comm, mine, sizeof *mine, 0);
  if (*mine) return OLICA_OK;
  OLICA_TRY(olica_catalog_create(context, &catalog));
  olica_status status =
      root ? olica_hdf5_index(catalog, path, OLICA_CHECKPOINT_FORMAT, OLICA_CHECKPOINT_SCHEMA) : OLICA_OK;
  status = olica_catalog_share(catalog, status);
  if (status == OLICA_OK && root) status = compare_mark(catalog, path, job, mine);
  olica_catalog_destroy(catalog);
  olica_error_clear(context->env);
  olica_comm_bcast(context, context->comm, mine, sizeof *mine, 0);
  return OLICA_OK;
}

/* Rank 0. A checkpoint beside a .part file is of no unfinished run: that one has given its own a name. */
static olica_status take_back(olica_env *env, const char *path) {
  if (!is_there(path)) return OLICA_OK;
  char *part = olica_file_part(env, path);
  if (!part) return env->error.code;
  olica_status status = OLICA_OK;
  if (rename(path, part) != 0)
    status =
        olica_error_set(env, OLICA_ERR_IO, "%s: cannot be taken back as %s: %s", path, part, strerror(errno));
  else
    olica_log_line(env, "%s: its run was interrupted before its report: it is %s again", path, part);
  olica_memory_free(env, part);
  return status;
}

olica_status olica_ending_settle(const olica_setup *setup, double bytes, bool touch, olica_ending *ending) {
  olica_context *context = setup->context;
  if (!ending->waits) return OLICA_OK;
  bool mine = false;
  if (ending->agreed) OLICA_TRY(is_mine(context, setup->options->output.checkpoint, ending->job, &mine));
  ending->agreed = mine;
  if (!mine) return olica_probe_outputs(setup, bytes, touch, false);
  ending->free = true;
  OLICA_AGREE(context, context->rank == 0 && touch
                           ? take_back(context->env, setup->options->output.checkpoint)
                           : OLICA_OK);
  return OLICA_OK;
}

olica_status olica_ending_close(olica_context *context, const olica_options *options, olica_status status,
                                int lock) {
  bool there;
  if (status == OLICA_OK) status = olica_restart_files_look(context, options, true, &there);
  olica_lock_release(context->env, options->output.checkpoint, lock);
  return status;
}
