/* The checkpoint's metadata: the model's own texts, the settings, and where it all came from. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "job.h"
#include "olica/io/file.h"
#include "olica/par/comm.h"
#include "olica/run/usage.h"
#include "olica/run/value.h"

enum { TOKENIZER_BYTES = 256 << 20 };

/* A file beside the model, on every rank: *text is NULL where there is none. */
static olica_status load_beside(olica_job *job, const char *name, char **text, size_t *bytes) {
  olica_context *context = job->context;
  char path[OLICA_CATALOG_PATH + 64];
  snprintf(path, sizeof path, "%s/%s", job->options->model.path, name);
  olica_status status = OLICA_OK;
  int64_t size = -1;
  *text = NULL;
  if (context->rank == 0) {
    struct stat there;
    if (stat(path, &there) == 0) { /* whatever it is: a pipe is refused, not waited for */
      status = olica_file_load(context->env, path, TOKENIZER_BYTES, text, bytes);
      size = (int64_t)*bytes;
    }
  }
  OLICA_AGREE(context, status);
  olica_comm_bcast(context, context->comm, &size, sizeof size, 0);
  if (size < 0) return OLICA_OK;
  *bytes = (size_t)size;
  if (context->rank != 0) status = OLICA_NEW(context->env, *text, *bytes + 1);
  OLICA_AGREE(context, status);
  olica_comm_bcast(context, context->comm, *text, *bytes, 0);
  return OLICA_OK;
}

static char *dump(json_t *object) {
  char *text = object ? json_dumps(object, JSON_INDENT(1)) : NULL;
  json_decref(object);
  return text;
}

static char *provenance(const olica_job *job) {
  char when[32];
  time_t now = time(NULL);
  struct tm utc;
  strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
  return dump(json_pack("{s:s, s:s, s:s, s:o, s:s, s:o, s:i, s:i, s:i, s:s, s:s}", "program", "olica_mpi",
                        "version", olica_usage_release(), "git", olica_usage_git(), "libraries",
                        olica_usage_libraries(), "written", when, "model",
                        olica_value_string(job->options->model.path), "ranks", job->context->size, "nodes",
                        job->context->nodes, "threads", job->context->threads, "host", job->context->host,
                        "kernel", job->report->run.kernel));
}

/* Rank 0's text on every rank (times and hosts differ), in counted memory. */
static olica_status share_text(olica_context *context, char *mine, char **text) {
  int64_t bytes = mine ? (int64_t)strlen(mine) : -1;
  olica_comm_bcast(context, context->comm, &bytes, sizeof bytes, 0);
  *text = NULL;
  olica_status status = bytes < 0
                            ? olica_error_set(context->env, OLICA_ERR_MEMORY, "memory: no room for metadata")
                            : OLICA_NEW(context->env, *text, (size_t)bytes + 1);
  if (status == OLICA_OK && mine) memcpy(*text, mine, (size_t)bytes);
  free(mine);
  OLICA_AGREE(context, status);
  olica_comm_bcast(context, context->comm, *text, (size_t)bytes, 0);
  return OLICA_OK;
}

static olica_status make_hints(const olica_options *options, MPI_Info *hints) {
  *hints = MPI_INFO_NULL;
  if (options->io.count == 0) return OLICA_OK;
  MPI_Info_create(hints);
  for (int i = 0; i < options->io.count; i++)
    MPI_Info_set(*hints, options->io.hint[i].key, options->io.hint[i].value);
  return OLICA_OK;
}

olica_status olica_job_create_checkpoint(olica_job *job) {
  olica_context *context = job->context;
  const olica_options *options = job->options;
  char *settings, *origin, *tokenizer_json, *tokenizer_model;
  size_t json_bytes = 0, model_bytes = 0;
  bool root = context->rank == 0;
  OLICA_TRY(share_text(context, root ? dump(olica_options_json(options)) : NULL, &settings));
  OLICA_TRY(share_text(context, root ? provenance(job) : NULL, &origin));
  OLICA_TRY(load_beside(job, "tokenizer.json", &tokenizer_json, &json_bytes));
  OLICA_TRY(load_beside(job, "tokenizer.model", &tokenizer_model, &model_bytes));
  olica_checkpoint_meta meta = {.config_json = job->source->config,
                                .settings_json = settings,
                                .provenance_json = origin,
                                .tokenizer_json = tokenizer_json,
                                .tokenizer_model = tokenizer_model,
                                .tokenizer_model_bytes = model_bytes};
  olica_checkpoint_options checkpoint = {
      .path = options->output.checkpoint, .dtype = job->dtype, .overwrite = options->output.overwrite};
  OLICA_TRY(make_hints(options, &checkpoint.hints));
  olica_status status =
      olica_checkpoint_create(context, &checkpoint, &job->source->arch, job->shapes, &meta, &job->checkpoint);
  if (checkpoint.hints != MPI_INFO_NULL) MPI_Info_free(&checkpoint.hints);
  olica_memory_free(context->env, settings);
  olica_memory_free(context->env, origin);
  olica_memory_free(context->env, tokenizer_json);
  olica_memory_free(context->env, tokenizer_model);
  return status;
}
