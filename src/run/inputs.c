#include "inputs.h"

#include "io/file.h"
#include "io/json.h"
#include "par/comm.h"
#include "text/look.h"

enum { TEXT_BYTES = 1 << 30 }; /* limit of an evaluation text */

/* Loads the tokenizer's files: those of [model] tokenizer, else the model's own. */
static olica_status load_bundle(olica_inputs *inputs) {
  olica_context *context = inputs->setup->context;
  const char *directory = inputs->setup->options->model.tokenizer;
  if (!*directory && inputs->setup->source->is_checkpoint)
    return olica_bundle_extract(context, inputs->setup->source->catalog, &inputs->bundle);
  OLICA_TRY(olica_bundle_load(context, *directory ? directory : inputs->setup->options->model.path,
                              &inputs->bundle));
  if (!*directory || olica_bundle_holds(inputs->bundle)) return OLICA_OK;
  return olica_error_set(context->env, OLICA_ERR_INPUT,
                         "%s: has neither tokenizer.json nor tokenizer.model, expected one of them ([model] "
                         "tokenizer)",
                         directory);
}

/* Reads bos_token_id of config.json; -1 if there is none, or several. */
static olica_status read_bos(const olica_inputs *inputs, int32_t *bos) {
  json_t *root;
  *bos = -1;
  OLICA_TRY(olica_json_parse(inputs->setup->context->env, inputs->setup->options->model.path,
                             inputs->setup->source->config, inputs->setup->source->config_bytes, &root));
  const json_t *id = json_object_get(root, "bos_token_id");
  if (json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) < INT32_MAX)
    *bos = (int32_t)json_integer_value(id);
  json_decref(root);
  return OLICA_OK;
}

static olica_status open_encoder(olica_inputs *inputs) {
  int32_t bos;
  char text[OLICA_ENCODER_TEXT];
  olica_env *env = inputs->setup->context->env;
  OLICA_TRY(read_bos(inputs, &bos));
  OLICA_TRY(
      olica_encoder_open(env, inputs->bundle, inputs->setup->source->arch.vocabulary, bos, &inputs->encoder));
  olica_encoder_describe(inputs->encoder, text);
  olica_log_line(env, "tokenizer: %s", text);
  return OLICA_OK;
}

static bool has_text(const olica_text_sources *sources) {
  for (int i = 0; i < sources->count; i++)
    if (sources->source[i].kind != OLICA_TEXT_NPY) return true;
  return false;
}

/* The options have parsed the list before; only memory can fail here. */
static olica_status parse_sources(olica_inputs *inputs) {
  const olica_options *o = inputs->setup->options;
  olica_env *env = inputs->setup->context->env;
  if (!inputs->setup->method->calibrates || !*o->calibration.text) return OLICA_OK;
  OLICA_TRY(olica_sources_parse(env, o->config, o->calibration.base, o->calibration.text, &inputs->sources));
  return OLICA_NEW(env, inputs->drawn, (size_t)inputs->sources.count);
}

olica_status olica_inputs_create(const olica_setup *setup, olica_inputs *inputs) {
  *inputs = (olica_inputs){.setup = setup};
  OLICA_AGREE(setup->context, parse_sources(inputs));
  return OLICA_OK;
}

olica_status olica_inputs_open_tokenizer(olica_inputs *inputs, bool others) {
  bool needed = has_text(&inputs->sources) || others;
  if (needed || olica_setup_prunes(inputs->setup)) OLICA_TRY(load_bundle(inputs));
  OLICA_AGREE(inputs->setup->context, needed ? open_encoder(inputs) : OLICA_OK);
  return OLICA_OK;
}

static olica_status sample(olica_inputs *inputs) {
  const olica_options *o = inputs->setup->options;
  const olica_sample_options options = {.sources = &inputs->sources,
                                        .samples = o->calibration.samples,
                                        .length = (int)o->calibration.length,
                                        .seed = (uint64_t)o->calibration.seed,
                                        .vocabulary = inputs->setup->source->arch.vocabulary};
  int32_t *id;
  olica_timer_start(&inputs->setup->context->env->timers, "read.sample");
  OLICA_TRY(olica_sample_draw(inputs->setup->context, &options, inputs->encoder, inputs->drawn, &id));
  OLICA_AGREE(inputs->setup->context,
              olica_ids_hold(inputs->setup->context, o->calibration.text, options.samples, options.length, id,
                             &inputs->calibration));
  olica_timer_stop(&inputs->setup->context->env->timers);
  return OLICA_OK;
}

static olica_status check_size(const olica_inputs *inputs) {
  const olica_options *options = inputs->setup->options;
  const olica_ids *ids = inputs->calibration;
  olica_env *env = inputs->setup->context->env;
  const char *path = options->calibration.tokens;
  if (ids->npy->dims > 2)
    return olica_error_set(env, OLICA_ERR_INPUT, "%s: %d dimensions, expected two: sequences and their ids",
                           path, ids->npy->dims);
  if (ids->rows >= options->calibration.samples && ids->cols >= options->calibration.length) return OLICA_OK;
  return olica_error_set(
      env, OLICA_ERR_INPUT,
      "%s: %lld sequence%s of %lld ids, expected at least [calibration] samples = %lld of length = %lld",
      path, (long long)ids->rows, olica_log_plural(ids->rows), (long long)ids->cols,
      (long long)options->calibration.samples, (long long)options->calibration.length);
}

olica_status olica_inputs_open_calibration(olica_inputs *inputs) {
  const olica_setup *setup = inputs->setup;
  const olica_options *options = setup->options;
  if (!setup->method->calibrates) return OLICA_OK;
  OLICA_TRY(olica_setup_check_length(setup, "calibration", options->calibration.length));
  if (*options->calibration.text) return sample(inputs);
  OLICA_TRY(olica_ids_open(setup->context, options->calibration.tokens, &inputs->calibration));
  return check_size(inputs);
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

/* Rank 0 tokenizes a text whole: the tokens of a part depend on the text around it. */
static olica_status tokenize(const olica_inputs *inputs, const char *path, olica_tokens *tokens) {
  olica_env *env = inputs->setup->context->env;
  char *text;
  size_t bytes;
  OLICA_TRY(olica_look_file(env, path, OLICA_LOOK_EVALUATION));
  OLICA_TRY(olica_file_load(env, path, TEXT_BYTES, &text, &bytes));
  size_t mark = olica_look_mark(text, bytes);
  olica_timer_work(&env->timers, 0, (double)bytes);
  olica_status status = olica_encoder_encode(inputs->encoder, text + mark, bytes - mark,
                                             special_of(inputs->setup->options), tokens);
  olica_memory_free(env, text);
  return status == OLICA_OK ? OLICA_OK : olica_error_context(env, "%s: ", path);
}

olica_status olica_inputs_tokenize(const olica_inputs *inputs, const char *path, olica_ids **ids) {
  olica_context *context = inputs->setup->context;
  olica_tokens tokens = {0};
  olica_timer_start(&context->env->timers, "read.tokenize");
  OLICA_AGREE(context, context->rank == 0 ? tokenize(inputs, path, &tokens) : OLICA_OK);
  olica_comm_bcast(context, context->comm, &tokens.count, sizeof tokens.count, 0);
  OLICA_AGREE(context, tokens.id ? OLICA_OK : OLICA_NEW(context->env, tokens.id, tokens.count));
  olica_comm_bcast(context, context->comm, tokens.id, tokens.count * sizeof *tokens.id, 0);
  OLICA_AGREE(context, olica_ids_hold(context, path, 1, (int64_t)tokens.count, tokens.id, ids));
  olica_timer_stop(&context->env->timers);
  return OLICA_OK;
}

/* Rank 0 writes the ids that the calibration uses. */
static olica_status dump(const olica_inputs *inputs) {
  olica_env *env = inputs->setup->context->env;
  int64_t rows = inputs->setup->options->calibration.samples,
          length = inputs->setup->options->calibration.length;
  int32_t *id;
  OLICA_TRY(OLICA_NEW(env, id, (size_t)(rows * length)));
  for (int64_t row = 0; row < rows; row++)
    OLICA_TRY(olica_ids_read(inputs->setup->context, inputs->calibration, row, 0, length,
                             inputs->setup->source->arch.vocabulary, id + row * length));
  OLICA_TRY(olica_npy_write(env, inputs->setup->options->dump_tokens, rows, length, id));
  olica_memory_free(env, id);
  return OLICA_OK;
}

olica_status olica_inputs_dump(const olica_inputs *inputs) {
  bool asked = inputs->setup->options->dump_tokens && inputs->setup->context->rank == 0;
  OLICA_AGREE(inputs->setup->context, asked ? olica_file_probe(inputs->setup->context->env,
                                                               inputs->setup->options->dump_tokens, false)
                                            : OLICA_OK);
  OLICA_AGREE(inputs->setup->context, asked ? dump(inputs) : OLICA_OK);
  return OLICA_OK;
}

void olica_inputs_measure(olica_inputs *inputs, size_t before) {
  olica_context *context = inputs->setup->context;
  const olica_memory *memory = &context->env->memory;
  const olica_source *source = inputs->setup->source;
  double table = (double)source->own_count * (double)source->kept_stride; /* the plan counts it separately */
  double bytes[4] = {(double)memory->peak - table, (double)memory->now - (double)before, 0,
                     (double)before - table};
  for (int i = 0; inputs->bundle && i < OLICA_BUNDLE_PARTS; i++)
    bytes[2] += (double)inputs->bundle->part[i].bytes;
  olica_comm_max(context, context->comm, bytes, 4);
  inputs->text.peak = bytes[0];
  inputs->text.open = bytes[1];
  inputs->text.kept = bytes[2];
  inputs->text.before = bytes[3];
}

/* Checks the calibration's ids: rank r those of sequences r, r + ranks, ... */
olica_status olica_inputs_check_ids(const olica_inputs *inputs) {
  olica_context *context = inputs->setup->context;
  const olica_options *o = inputs->setup->options;
  int64_t vocabulary = inputs->setup->source->arch.vocabulary;
  for (int64_t s = context->rank; inputs->calibration && s < o->calibration.samples; s += context->size)
    OLICA_TRY(olica_ids_check(context, inputs->calibration, s, 0, o->calibration.length, vocabulary));
  return OLICA_OK;
}

olica_status olica_inputs_fill(const olica_inputs *inputs, const olica_stream *stream) {
  for (int64_t s = 0; s < stream->count; s++)
    OLICA_TRY(olica_ids_read(inputs->setup->context, inputs->calibration, stream->first + s, 0,
                             stream->tokens, inputs->setup->source->arch.vocabulary,
                             stream->ids + s * stream->tokens));
  return OLICA_OK;
}

void olica_inputs_release(olica_inputs *inputs) {
  olica_encoder_close(inputs->encoder);
  olica_ids_close(inputs->setup->context, inputs->calibration);
  inputs->encoder = NULL;
  inputs->calibration = NULL;
}

void olica_inputs_close(olica_inputs *inputs) {
  olica_env *env = inputs->setup->context->env;
  olica_inputs_release(inputs);
  olica_bundle_free(env, inputs->bundle);
  olica_sources_free(env, &inputs->sources);
  olica_memory_free(env, inputs->drawn);
}
