#include "metadata.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/fields.h"
#include "config/usage.h"
#include "config/value.h"
#include "par/comm.h"

static char *dump(json_t *object) {
  char *text = object ? json_dumps(object, JSON_INDENT(1)) : NULL;
  json_decref(object);
  return text;
}

/* Describes the texts that the calibration was drawn from. */
static json_t *texts_of(const olica_inputs *inputs) {
  json_t *texts = json_array();
  for (int i = 0; i < inputs->sources.count; i++) {
    const olica_text_source *source = &inputs->sources.source[i];
    json_array_append_new(
        texts, json_pack("{s:s, s:o, s:o, s:I, s:I}", "kind", olica_sources_kind(source->kind), "file",
                         olica_value_string(source->path), "field", olica_value_string(source->field), "rows",
                         (json_int_t)inputs->drawn[i].rows, "sequences", (json_int_t)inputs->drawn[i].drawn));
  }
  return texts;
}

static char *provenance(const olica_engine *engine, const char *job) {
  char when[32];
  time_t now = time(NULL);
  struct tm utc;
  strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
  return dump(json_pack("{s:s, s:s, s:s, s:o, s:s, s:o, s:i, s:i, s:i, s:s, s:I, s:o, s:s, s:s}", "program",
                        "olica_mpi", "version", olica_usage_release(), "git", olica_usage_git(), "libraries",
                        olica_usage_libraries(), "written", when, "model",
                        olica_value_string(engine->setup->options->model.path), "ranks",
                        engine->setup->context->size, "nodes", engine->setup->context->nodes, "threads",
                        engine->setup->context->threads, "host", engine->setup->context->host, "seed",
                        (json_int_t)engine->setup->options->calibration.seed, "texts",
                        texts_of(engine->inputs), "kernel", olica_kernel_name(engine->kernel), "job", job));
}

/* Gives every rank rank 0's text: times and hosts differ. */
static olica_status share_text(olica_context *context, char *mine, char **text,
                               olica_checkpoint_text *shared) {
  size_t bytes;
  OLICA_TRY(olica_comm_share_text(context, mine, "metadata", text, &bytes));
  *shared = (olica_checkpoint_text){*text, bytes};
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

static olica_checkpoint_text text_of(const olica_bundle *bundle, olica_bundle_part part) {
  return (olica_checkpoint_text){bundle->part[part].data, bundle->part[part].bytes};
}

/* Resumes the checkpoint of an earlier run, if this run resumes in the last sweep. */
static olica_status reopen(olica_engine *engine, olica_resume *resume,
                           const olica_checkpoint_options *options, const olica_checkpoint_text *texts) {
  const olica_setup *setup = engine->setup;
  olica_env *env = setup->context->env;
  if (resume->from.sweep < olica_setup_last_sweep(setup) || resume->from.layer == 0) return OLICA_OK;
  olica_status status =
      olica_checkpoint_open(setup->context, options, &setup->source->arch, engine->shapes, texts,
                            resume->snapshot.progress, resume->snapshot.progress_bytes, &engine->checkpoint);
  if (status != OLICA_ERR_IO) return status;
  if (setup->context->rank == 0)
    olica_log_warn(env, "[restart] the checkpoint under way cannot be resumed, sweep %d begins anew: %s",
                   resume->from.sweep, env->error.text);
  olica_error_clear(env);
  resume->from.layer = resume->kept.layer = 0;
  return OLICA_OK;
}

/* Resumes the checkpoint, or else creates it with these texts. */
static olica_status open_checkpoint(olica_engine *engine, olica_resume *resume,
                                    const olica_checkpoint_text *texts) {
  const olica_setup *setup = engine->setup;
  const olica_options *options = setup->options;
  olica_checkpoint_options checkpoint = {
      .path = options->output.checkpoint, .dtype = setup->dtype, .overwrite = options->output.overwrite};
  OLICA_TRY(make_hints(options, &checkpoint.hints));
  olica_status status = reopen(engine, resume, &checkpoint, texts);
  if (status == OLICA_OK && !engine->checkpoint)
    status = olica_checkpoint_open(setup->context, &checkpoint, &setup->source->arch, engine->shapes, texts,
                                   NULL, 0, &engine->checkpoint);
  if (checkpoint.hints != MPI_INFO_NULL) MPI_Info_free(&checkpoint.hints);
  return status;
}

olica_status olica_metadata_create_checkpoint(olica_engine *engine, olica_resume *resume) {
  const olica_setup *setup = engine->setup;
  olica_context *context = setup->context;
  const olica_bundle *bundle = engine->inputs->bundle;
  olica_checkpoint_text texts[OLICA_TEXTS] = {
      [OLICA_TEXT_CONFIG] = {setup->source->config, setup->source->config_bytes},
      [OLICA_TEXT_TOKENIZER_JSON] = text_of(bundle, OLICA_BUNDLE_JSON),
      [OLICA_TEXT_TOKENIZER_MODEL] = text_of(bundle, OLICA_BUNDLE_MODEL),
      [OLICA_TEXT_TOKENIZER_CONFIG] = text_of(bundle, OLICA_BUNDLE_CONFIG),
      [OLICA_TEXT_SPECIAL_TOKENS] = text_of(bundle, OLICA_BUNDLE_MAP),
      [OLICA_TEXT_ADDED_TOKENS] = text_of(bundle, OLICA_BUNDLE_ADDED)};
  char *settings, *origin;
  bool root = context->rank == 0;
  OLICA_TRY(share_text(context, root ? dump(olica_options_json(setup->options)) : NULL, &settings,
                       &texts[OLICA_TEXT_SETTINGS]));
  OLICA_TRY(share_text(context, root ? provenance(engine, resume->snapshot.ending.job) : NULL, &origin,
                       &texts[OLICA_TEXT_PROVENANCE]));
  olica_status status = open_checkpoint(engine, resume, texts);
  olica_memory_free(context->env, settings);
  olica_memory_free(context->env, origin);
  return status;
}
