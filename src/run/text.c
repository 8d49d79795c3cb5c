/* From texts to ids: the model's tokenizer, the calibration sample, the evaluation's text. */

#include "io/file.h"
#include "io/json.h"
#include "job.h"
#include "par/comm.h"
#include "text/look.h"

enum { TEXT_BYTES = 1 << 30 }; /* of an evaluation's text */

/* The tokenizer's files: those of [model] tokenizer, else the model's own. */
static olica_status load_bundle(olica_job *job) {
  olica_context *context = job->context;
  const char *directory = job->options->model.tokenizer;
  if (!*directory && job->source->is_checkpoint)
    return olica_bundle_extract(context, job->source->catalog, &job->bundle);
  OLICA_TRY(olica_bundle_load(context, *directory ? directory : job->options->model.path, &job->bundle));
  if (!*directory || olica_bundle_holds(job->bundle)) return OLICA_OK;
  return olica_error_set(context->env, OLICA_ERR_INPUT,
                         "%s: has neither tokenizer.json nor tokenizer.model, expected one of them ([model] "
                         "tokenizer)",
                         directory);
}

/* bos_token_id of config.json; -1 if there is none, or several. */
static olica_status read_bos(const olica_job *job, int32_t *bos) {
  json_t *root;
  *bos = -1;
  OLICA_TRY(olica_json_parse(job->context->env, job->options->model.path, job->source->config,
                             job->source->config_bytes, &root));
  const json_t *id = json_object_get(root, "bos_token_id");
  if (json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) < INT32_MAX)
    *bos = (int32_t)json_integer_value(id);
  json_decref(root);
  return OLICA_OK;
}

static olica_status open_encoder(olica_job *job) {
  int32_t bos;
  char text[OLICA_ENCODER_TEXT];
  olica_env *env = job->context->env;
  OLICA_TRY(read_bos(job, &bos));
  OLICA_TRY(olica_encoder_open(env, job->bundle, job->source->arch.vocabulary, bos, &job->encoder));
  olica_encoder_describe(job->encoder, text);
  olica_log_line(env, "tokenizer: %s", text);
  return OLICA_OK;
}

static bool has_text(const olica_text_sources *sources) {
  for (int i = 0; i < sources->count; i++)
    if (sources->source[i].kind != OLICA_TEXT_NPY) return true;
  return false;
}

/* The options have parsed the list before; only memory can fail here. */
static olica_status parse_sources(olica_job *job) {
  const olica_options *o = job->options;
  olica_env *env = job->context->env;
  if (!job->method->calibrates || !*o->calibration.text) return OLICA_OK;
  OLICA_TRY(olica_sources_parse(env, o->config, o->calibration.base, o->calibration.text, &job->sources));
  return OLICA_NEW(env, job->drawn, (size_t)job->sources.count);
}

olica_status olica_job_open_tokenizer(olica_job *job) {
  OLICA_AGREE(job->context, parse_sources(job));
  OLICA_TRY(olica_riders_parse(job));
  bool needed = has_text(&job->sources) || olica_riders_tokenize(job);
  if (needed || olica_job_prunes(job)) OLICA_TRY(load_bundle(job));
  OLICA_AGREE(job->context, needed ? open_encoder(job) : OLICA_OK);
  return OLICA_OK;
}

olica_status olica_job_sample(olica_job *job, olica_ids **ids) {
  const olica_options *o = job->options;
  const olica_sample_options options = {.sources = &job->sources,
                                        .samples = o->calibration.samples,
                                        .length = (int)o->calibration.length,
                                        .seed = (uint64_t)o->calibration.seed,
                                        .vocabulary = job->source->arch.vocabulary};
  int32_t *id;
  olica_timer_start(&job->context->env->timers, "read.sample");
  OLICA_TRY(olica_sample_draw(job->context, &options, job->encoder, job->drawn, &id));
  OLICA_AGREE(job->context,
              olica_ids_hold(job->context, o->calibration.text, options.samples, options.length, id, ids));
  olica_timer_stop(&job->context->env->timers);
  return OLICA_OK;
}

static olica_special special_of(const olica_options *options) {
  switch (options->evaluate.bos) {
  case OLICA_BOS_YES:
    return OLICA_SPECIAL_BOS;
  case OLICA_BOS_NO:
    return OLICA_SPECIAL_NONE;
  case OLICA_BOS_AUTO:
    break;
  }
  return OLICA_SPECIAL_AUTO;
}

/* Rank 0's part: a text is tokenized whole, because what a tokenizer makes of a part depends on what is
 * around it. */
static olica_status tokenize(olica_job *job, const char *path, olica_tokens *tokens) {
  olica_env *env = job->context->env;
  char *text;
  size_t bytes;
  OLICA_TRY(olica_look_file(env, path, OLICA_LOOK_EVALUATION));
  OLICA_TRY(olica_file_load(env, path, TEXT_BYTES, &text, &bytes));
  size_t mark = olica_look_mark(text, bytes);
  olica_timer_work(&env->timers, 0, (double)bytes);
  olica_status status =
      olica_encoder_encode(job->encoder, text + mark, bytes - mark, special_of(job->options), tokens);
  olica_memory_free(env, text);
  return status == OLICA_OK ? OLICA_OK : olica_error_context(env, "%s: ", path);
}

olica_status olica_job_tokenize(olica_job *job, const char *path, olica_ids **ids) {
  olica_context *context = job->context;
  olica_tokens tokens = {0};
  olica_timer_start(&context->env->timers, "read.tokenize");
  OLICA_AGREE(context, context->rank == 0 ? tokenize(job, path, &tokens) : OLICA_OK);
  olica_comm_bcast(context, context->comm, &tokens.count, sizeof tokens.count, 0);
  OLICA_AGREE(context, tokens.id ? OLICA_OK : OLICA_NEW(context->env, tokens.id, tokens.count));
  olica_comm_bcast(context, context->comm, tokens.id, tokens.count * sizeof *tokens.id, 0);
  OLICA_AGREE(context, olica_ids_hold(context, path, 1, (int64_t)tokens.count, tokens.id, ids));
  olica_timer_stop(&context->env->timers);
  return OLICA_OK;
}

/* Rank 0's part: what the calibration begins with, in a table of its own. */
static olica_status dump(olica_job *job, const olica_ids *ids) {
  olica_env *env = job->context->env;
  int64_t rows = job->options->calibration.samples, length = job->options->calibration.length;
  int32_t *id;
  OLICA_TRY(OLICA_NEW(env, id, (size_t)(rows * length)));
  for (int64_t row = 0; row < rows; row++)
    OLICA_TRY(
        olica_ids_read(job->context, ids, row, 0, length, job->source->arch.vocabulary, id + row * length));
  OLICA_TRY(olica_npy_write(env, job->options->dump_tokens, rows, length, id));
  olica_memory_free(env, id);
  return OLICA_OK;
}

olica_status olica_job_dump(olica_job *job, const olica_ids *ids) {
  bool asked = job->options->dump_tokens && job->context->rank == 0;
  OLICA_AGREE(job->context,
              asked ? olica_file_probe(job->context->env, job->options->dump_tokens, false) : OLICA_OK);
  OLICA_AGREE(job->context, asked ? dump(job, ids) : OLICA_OK);
  return OLICA_OK;
}
