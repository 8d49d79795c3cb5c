/* Opening a job: model, ids, method, streams. */
#include "job.h"

#include <unistd.h>

#include "io/file.h"
#include "io/filesystem.h"
#include "par/comm.h"
#include "store/writer.h"

enum { IDS = 1 << 16 }; /* looked at in one piece */

olica_status olica_job_check_length(olica_job *job, const char *section, int64_t length) {
  if (length <= job->source->arch.context) return OLICA_OK;
  return olica_error_set(job->context->env, OLICA_ERR_CONFIG,
                         "[%s] length = %lld, expected at most max_position_embeddings = %d of %s", section,
                         (long long)length, job->source->arch.context, job->options->model.path);
}

static olica_status open_calibration(olica_job *job, olica_ids **ids) {
  const olica_options *options = job->options;
  const char *path = options->calibration.tokens;
  OLICA_TRY(olica_job_check_length(job, "calibration", options->calibration.length));
  if (*options->calibration.text) return olica_job_sample(job, ids);
  OLICA_TRY(olica_ids_open(job->context, path, ids));
  if ((*ids)->npy->dims > 2)
    return olica_error_set(job->context->env, OLICA_ERR_INPUT,
                           "%s: %d dimensions, expected two: sequences and their ids", path,
                           (*ids)->npy->dims);
  if ((*ids)->rows >= options->calibration.samples && (*ids)->cols >= options->calibration.length)
    return OLICA_OK;
  return olica_error_set(
      job->context->env, OLICA_ERR_INPUT,
      "%s: %lld sequence%s of %lld ids, expected at least [calibration] samples = %lld of length = %lld",
      path, (long long)(*ids)->rows, olica_log_plural((*ids)->rows), (long long)(*ids)->cols,
      (long long)options->calibration.samples, (long long)options->calibration.length);
}

/* Texts are read before the plan is made, so that it need not guess what they take. */
static void measure_texts(olica_job *job, size_t before) {
  const olica_memory *memory = &job->context->env->memory;
  double table = (double)job->source->own_count * (double)job->source->kept_stride; /* is planned by itself */
  double bytes[4] = {(double)memory->peak - table, (double)memory->now - (double)before, 0,
                     (double)before - table};
  for (int i = 0; job->bundle && i < OLICA_BUNDLE_PARTS; i++) bytes[2] += (double)job->bundle->part[i].bytes;
  olica_comm_max(job->context, job->context->comm, bytes, 4);
  job->text.peak = bytes[0];
  job->text.open = bytes[1];
  job->text.kept = bytes[2];
  job->text.before = bytes[3];
}

/* bf16 only where every rank has it: all must compute the same. `auto` is fp32, the same on any processor. */
static void choose_precision(olica_job *job) {
  olica_context *context = job->context;
  job->precision = OLICA_FP32;
  if (job->options->compute.precision != OLICA_PRECISION_BF16) return;
  double lacks = !olica_kernel_has_bf16();
  olica_comm_max(context, context->comm, &lacks, 1);
  if (lacks == 0)
    job->precision = OLICA_BF16;
  else
    olica_log_warn(context->env,
                   "[compute] precision = bf16: a processor of this job has neither AVX512_BF16 nor "
                   "AMX; products are in fp32");
}

olica_status olica_job_open(olica_job *job, olica_inputs *inputs) {
  const olica_options *options = job->options;
  olica_context *context = job->context;
  OLICA_TRY(olica_source_open(context, options->model.path, &job->source));
  job->method = olica_method_at(options->prune.method);
  job->dtype = olica_options_dtype(options, job->source->dtype);
  if (olica_job_prunes(job) && job->source->is_pruned)
    return olica_error_set(
        context->env, OLICA_ERR_CONFIG,
        "[model] path = %s is pruned already, expected an unpruned model ([prune] method = none "
        "evaluates this one)",
        options->model.path);
  choose_precision(job);
  size_t before = context->env->memory.now;
  OLICA_TRY(olica_job_open_tokenizer(job));
  if (job->method->calibrates) OLICA_TRY(open_calibration(job, &inputs->calibration));
  OLICA_TRY(olica_riders_open(job));
  OLICA_TRY(olica_job_dump(job, inputs->calibration));
  measure_texts(job, before);
  return OLICA_OK;
}

/* This rank's rows of the calibration ids. */
static olica_status read_ids(olica_job *job, const olica_ids *ids) {
  const olica_stream *stream = job->stream;
  for (int64_t s = 0; s < stream->count; s++)
    OLICA_TRY(olica_ids_read(job->context, ids, stream->first + s, 0, stream->tokens,
                             job->source->arch.vocabulary, stream->ids + s * stream->tokens));
  return OLICA_OK;
}

olica_status olica_job_look_at(olica_job *job, const olica_ids *ids, int64_t row, int64_t col,
                               int64_t count) {
  olica_env *env = job->context->env;
  int32_t *piece;
  OLICA_TRY(OLICA_NEW(env, piece, IDS));
  for (int64_t n; count > 0; count -= n, col += n) {
    n = count < IDS ? count : IDS;
    OLICA_TRY(olica_ids_read(job->context, ids, row, col, n, job->source->arch.vocabulary, piece));
  }
  olica_memory_free(env, piece);
  return OLICA_OK;
}

/* The sequences are dealt out to the ranks. */
static olica_status look_at_all(olica_job *job, const olica_inputs *inputs) {
  const olica_options *o = job->options;
  int rank = job->context->rank, size = job->context->size;
  for (int64_t s = rank; inputs->calibration && s < o->calibration.samples; s += size)
    OLICA_TRY(olica_job_look_at(job, inputs->calibration, s, 0, o->calibration.length));
  return olica_riders_check_ids(job);
}

olica_status olica_job_check_ids(olica_job *job, const olica_inputs *inputs) {
  OLICA_AGREE(job->context, look_at_all(job, inputs));
  return OLICA_OK;
}

static void warn_of_network(const olica_job *job, const char *path) {
  const olica_filesystem *found = olica_filesystem_of(path);
  if (found)
    olica_log_warn(job->context->env, "[output] checkpoint lies on a network file system, %s: %s",
                   found->name, found->advice);
}

/* The report of a run that ended well is a result like the checkpoint; what is no report is somebody's. */
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

/* Rank 0 of --check: *made: outputs have their directory. That of --output a run would make. */
static olica_status look_at_directory(const olica_context *context, const olica_options *options,
                                      bool *made) {
  const char *directory = options->directory;
  *made = !directory || access(directory, F_OK) == 0;
  if (!*made) printf("output       %s, which a run makes\n", directory);
  return *made ? OLICA_OK : olica_file_probe_directory(context->env, directory);
}

/* Checks the names under which the writer makes its files. */
static olica_status check_names(const olica_job *job) {
  const olica_options *options = job->options;
  olica_env *env = job->context->env;
  if (!olica_job_prunes(job)) return OLICA_OK;
  OLICA_TRY(
      olica_writer_check_name(env, OLICA_FORMAT_HDF5, "[output] checkpoint", options->output.checkpoint));
  return olica_writer_check_name(env, OLICA_FORMAT_HDF5, "[calibration] save", options->calibration.save);
}

olica_status olica_job_probe_outputs(olica_job *job, double bytes, bool touch) {
  const olica_options *options = job->options;
  olica_context *context = job->context;
  const olica_checkpoint_options checkpoint = {.path = options->output.checkpoint,
                                               .dtype = job->dtype,
                                               .overwrite = options->output.overwrite,
                                               .hints = MPI_INFO_NULL};
  OLICA_AGREE(context, context->rank == 0 ? check_names(job) : OLICA_OK);
  bool made = touch; /* --check makes no directory */
  OLICA_AGREE(context, !made && context->rank == 0 ? look_at_directory(context, options, &made) : OLICA_OK);
  olica_comm_bcast(context, context->comm, &made, sizeof made, 0);
  if (!made) return OLICA_OK;
  if (olica_job_prunes(job)) OLICA_TRY(olica_checkpoint_probe(context, &checkpoint, (int64_t)bytes, touch));
  if (olica_job_prunes(job) && context->rank == 0) warn_of_network(job, checkpoint.path);
  OLICA_TRY(olica_resume_probe(job, touch));
  bool report = context->rank == 0 && *options->output.report;
  OLICA_AGREE(context, report ? probe_report(context->env, options, touch) : OLICA_OK);
  bool saves = context->rank == 0 && *options->calibration.save && job->method->arrays;
  OLICA_AGREE(context, saves ? olica_saved_probe(context->env, options->calibration.save, touch) : OLICA_OK);
  bool predictions = context->rank == 0 && options->predictions;
  OLICA_AGREE(context, predictions ? olica_file_probe(context->env, options->predictions, touch) : OLICA_OK);
  return OLICA_OK;
}

int olica_job_pack_rows(const olica_job *job, int tokens) {
  return tokens * olica_stream_pack(job->precision, job->context->most_threads, tokens);
}

/* The calibration stream, and what passes layers over it. */
static olica_status prepare_stream(olica_job *job, const olica_ids *ids) {
  const olica_options *options = job->options;
  const olica_arch *arch = &job->source->arch;
  int length = (int)options->calibration.length;
  if (!ids) return OLICA_OK;
  OLICA_TRY(
      olica_stream_create(job->context, arch->hidden, options->calibration.samples, length, &job->stream));
  OLICA_TRY(read_ids(job, ids));
  return olica_forward_create(job->kernel, arch, olica_job_pack_rows(job, length), length, &job->forward);
}

static olica_status prepare_method(olica_job *job, const olica_ids *ids, const olica_layer_shape *largest) {
  olica_context *context = job->context;
  const olica_arch *arch = &job->source->arch;
  olica_pool_options solver = olica_pool_defaults();
  solver.backend = job->options->solver.eigen;
  solver.block = (int)job->options->solver.block;
  OLICA_TRY(olica_pool_create(context, solver, &job->pool));
  olica_status status = prepare_stream(job, ids);
  if (status == OLICA_OK) status = OLICA_NEW(context->env, job->shapes, (size_t)arch->layers);
  if (status == OLICA_OK) status = olica_plan_shapes(job, job->shapes);
  OLICA_AGREE(context, status);
  OLICA_TRY(olica_shared_create(context, "the pruned layer", olica_layer_bytes(arch, largest), &job->pruned));
  const olica_method_job method = {.context = context,
                                   .pool = job->pool,
                                   .model = olica_job_model(job),
                                   .dtype = job->dtype,
                                   .stream = job->stream,
                                   .kernel = job->kernel,
                                   .forward = job->forward,
                                   .pruned = job->pruned,
                                   .shapes = job->shapes};
  return olica_method_create(job->method, &method, &job->state);
}

olica_status olica_job_prepare(olica_job *job, const olica_inputs *inputs, const olica_plan *plan) {
  olica_context *context = job->context;
  const olica_arch *arch = &job->source->arch;
  OLICA_AGREE(context, olica_kernel_create(context->env, job->precision, context->threads, &job->kernel));
  if (olica_job_prunes(job)) OLICA_TRY(prepare_method(job, inputs->calibration, &plan->largest));
  OLICA_TRY(olica_riders_prepare(job));
  size_t panel = (size_t)job->source->panel_rows * (size_t)arch->hidden * sizeof(float);
  OLICA_AGREE(context, OLICA_NEW(context->env, job->gains, (size_t)arch->hidden));
  OLICA_TRY(olica_shared_create(context, "a table's panel", panel, &job->panel));
  if (job->riders.compares)
    OLICA_TRY(olica_shared_create(context, "a panel of the dense model", panel, &job->dense_panel));
  OLICA_TRY(olica_source_begin(job->source, plan->source));
  olica_encoder_close(job->encoder);
  job->encoder = NULL;
  return OLICA_OK;
}

void olica_job_close(olica_job *job) {
  olica_env *env = job->context->env;
  olica_method_destroy(job->method, job->state);
  olica_shared_destroy(job->pruned);
  olica_riders_close(job);
  olica_forward_destroy(job->forward);
  olica_stream_destroy(job->stream);
  olica_kernel_destroy(job->kernel);
  olica_pool_destroy(job->pool);
  olica_source_close(job->source);
  olica_shared_destroy(job->panel);
  olica_shared_destroy(job->dense_panel);
  olica_encoder_close(job->encoder);
  olica_bundle_free(env, job->bundle);
  olica_sources_free(env, &job->sources);
  olica_memory_free(env, job->drawn);
  olica_memory_free(env, job->shapes);
  olica_memory_free(env, job->gains);
  olica_resume_close(job);
  olica_saved_close(job);
}
