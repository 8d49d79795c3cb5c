#include "exports.h"

#include <string.h>
#include <sys/stat.h>

#include "export/export.h"
#include "export/kinds.h"
#include "io/file.h"
#include "io/json.h"
#include "par/comm.h"

enum { REPORT_BYTES = 64 << 20 };

static olica_export_options options_of(const olica_options *options) {
  return (olica_export_options){.type = options->output.export_dtype,
                                .shard = options->output.shard,
                                .overwrite = options->output.overwrite,
                                .model = options->model.path,
                                .command_line = options->command_line};
}

olica_status olica_exports_list(olica_env *env, const olica_options *options, olica_export_list *list) {
  return olica_export_parse(env, "[output] export", options->output.export, list);
}

olica_status olica_exports_write(olica_context *context, const olica_options *options,
                                 const olica_report *report, bool own) {
  olica_export_list list;
  olica_export_options export = options_of(options);
  export.overwrite |= own;
  OLICA_AGREE(context, olica_exports_list(context->env, options, &list));
  if (list.count == 0) return OLICA_OK;
  olica_timer_start(&context->env->timers, "write");
  json_t *figures = context->rank == 0 ? olica_report_json(report) : NULL;
  export.report = figures;
  double read = context->env->bytes_read; /* as for the check of the checkpoint */
  olica_status status = olica_export_run(context, options->output.checkpoint, &list, &export, false);
  context->env->bytes_read = read;
  json_decref(figures);
  olica_timer_stop(&context->env->timers);
  if (status == OLICA_OK) return OLICA_OK;
  return olica_error_context(
      context->env, "the checkpoint %.900s is whole, its export is not (olica_mpi --export can make one): ",
      options->output.checkpoint);
}

/* ---- the command ---- */

static const char *name_in(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* Tells whether a report is of the job that has written the checkpoint: its name and size. */
static bool is_of(const json_t *report, const char *checkpoint) {
  const json_t *its = json_object_get(report, "checkpoint");
  const char *written = json_string_value(json_object_get(its, "path"));
  struct stat info;
  return written && strcmp(name_in(written), name_in(checkpoint)) == 0 && stat(checkpoint, &info) == 0 &&
         json_integer_value(json_object_get(its, "bytes")) == info.st_size;
}

static json_t *load_report(olica_env *env, const char *file, const char *checkpoint) {
  json_t *report;
  if (olica_json_load(env, file, REPORT_BYTES, &report) != OLICA_OK) olica_error_clear(env);
  if (is_of(report, checkpoint)) return report;
  json_decref(report);
  return NULL;
}

/* Rank 0: reads the job's report, as named or beside the checkpoint; NULL: it is not there. */
static json_t *read_report(olica_env *env, const char *path, const char *checkpoint) {
  char *beside;
  json_t *report = *path ? load_report(env, path, checkpoint) : NULL;
  if (report || !*path || olica_file_resolve(env, checkpoint, path, &beside) != OLICA_OK) return report;
  report = load_report(env, beside, checkpoint);
  olica_memory_free(env, beside);
  return report;
}

olica_status olica_exports_command(olica_context *context, const olica_options *options, const char *given,
                                   const char *checkpoint) {
  olica_export_list list;
  olica_export_options export = options_of(options);
  OLICA_AGREE(context, olica_export_parse(context->env, "--export", given, &list));
  json_t *report = context->rank == 0 ? read_report(context->env, options->output.report, checkpoint) : NULL;
  export.report = report;
  olica_status status = olica_export_run(context, checkpoint, &list, &export, true);
  json_decref(report);
  return status;
}
