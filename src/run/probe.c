#include "probe.h"

#include <unistd.h>

#include "export/kinds.h"
#include "exports.h"
#include "io/file.h"
#include "io/filesystem.h"
#include "par/comm.h"
#include "report/report.h"
#include "restart_files.h"
#include "saved.h"
#include "store/checkpoint.h"
#include "store/writer.h"

static void warn_of_network(const olica_setup *setup, const char *path) {
  const olica_filesystem *found = olica_filesystem_of(path);
  if (found)
    olica_log_warn(setup->context->env, "[output] checkpoint lies on a network file system, %s: %s",
                   found->name, found->advice);
}

/* Probes the report's name: without overwrite = yes a report of a run that ended well, and a file that is no
 * report, stay. */
static olica_status probe_report(olica_env *env, const olica_options *options, bool touch) {
  const char *path = options->output.report;
  OLICA_TRY(olica_file_probe(env, path, touch));
  olica_report_found found = options->output.overwrite ? OLICA_REPORT_NONE : olica_report_look(env, path);
  if (found == OLICA_REPORT_NONE || found == OLICA_REPORT_FAILED) return OLICA_OK;
  if (found == OLICA_REPORT_GOOD)
    return olica_error_set(
        env, OLICA_ERR_CONFIG,
        "[output] report: %s is the report of a run that ended well, expected none; [output] "
        "overwrite = yes would replace it",
        path);
  return olica_error_set(
      env, OLICA_ERR_CONFIG,
      "[output] report: %s exists and is no report that can be read; [output] overwrite = yes "
      "would replace it",
      path);
}

/* Rank 0 of --check checks the directory of --output, which a run would make; *made: it exists. */
static olica_status look_at_directory(const olica_context *context, const olica_options *options,
                                      bool *made) {
  const char *directory = options->directory;
  *made = !directory || access(directory, F_OK) == 0;
  if (!*made) printf("output       %s, which a run makes\n", directory);
  return *made ? OLICA_OK : olica_file_probe_directory(context->env, directory);
}

/* Checks the names under which the writer makes its files. */
static olica_status check_names(const olica_setup *setup) {
  const olica_options *options = setup->options;
  olica_env *env = setup->context->env;
  if (!olica_setup_prunes(setup)) return OLICA_OK;
  OLICA_TRY(
      olica_writer_check_name(env, OLICA_FORMAT_HDF5, "[output] checkpoint", options->output.checkpoint));
  return olica_writer_check_name(env, OLICA_FORMAT_HDF5, "[calibration] save", options->calibration.save);
}

static olica_status probe_exports(const olica_setup *setup, bool replaces) {
  olica_export_list list;
  if (!olica_setup_prunes(setup)) return OLICA_OK;
  OLICA_TRY(olica_exports_list(setup->context->env, setup->options, &list));
  return olica_export_probe(setup->context->env, "[output] export", &list, replaces);
}

olica_status olica_probe_outputs(const olica_setup *setup, double bytes, bool touch, bool own) {
  const olica_options *options = setup->options;
  const bool replaces = options->output.overwrite || own;
  olica_context *context = setup->context;
  const olica_checkpoint_options checkpoint = {.path = options->output.checkpoint,
                                               .dtype = setup->dtype,
                                               .overwrite = replaces,
                                               .hints = MPI_INFO_NULL};
  OLICA_AGREE(context, context->rank == 0 ? check_names(setup) : OLICA_OK);
  bool made = touch; /* --check makes no directory */
  OLICA_AGREE(context, !made && context->rank == 0 ? look_at_directory(context, options, &made) : OLICA_OK);
  olica_comm_bcast(context, context->comm, &made, sizeof made, 0);
  if (!made) return OLICA_OK;
  if (olica_setup_prunes(setup))
    OLICA_TRY(olica_checkpoint_probe(context, &checkpoint, (int64_t)bytes, touch));
  if (olica_setup_prunes(setup) && context->rank == 0) warn_of_network(setup, checkpoint.path);
  OLICA_TRY(olica_restart_files_probe(setup, touch));
  bool report = context->rank == 0 && *options->output.report;
  OLICA_AGREE(context, report ? probe_report(context->env, options, touch) : OLICA_OK);
  bool saves = context->rank == 0 && *options->calibration.save && olica_setup_passes(setup) > 0;
  OLICA_AGREE(context, saves ? olica_saved_probe(context->env, options->calibration.save, touch) : OLICA_OK);
  OLICA_AGREE(context, context->rank == 0 ? probe_exports(setup, replaces) : OLICA_OK);
  bool predictions = context->rank == 0 && options->predictions;
  OLICA_AGREE(context, predictions ? olica_file_probe(context->env, options->predictions, touch) : OLICA_OK);
  return OLICA_OK;
}
