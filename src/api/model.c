/* Models of a session: their tensors layer by layer, and their tokenizer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/source.h"
#include "model/tensors.h"
#include "par/comm.h"
#include "session.h"
#include "text/encoder.h"

struct olica_model {
  olica *session;
  olica_context *context;
  olica_source *source;
  olica_model_info info;
  olica_layer *layer;     /* the one that was read last, NULL: none */
  olica_encoder *encoder; /* once a text has been tokenized */
  char *path;
  olica_model_tensor tensor[OLICA_TENSORS_LAYER];
};

static olica_model_info describe(const olica_source *source) {
  const olica_arch *arch = &source->arch;
  return (olica_model_info){.family = arch->family->name,
                            .is_checkpoint = source->is_checkpoint,
                            .is_pruned = source->is_pruned,
                            .layers = arch->layers,
                            .hidden = arch->hidden,
                            .heads = arch->heads,
                            .kv_heads = arch->kv_heads,
                            .head = arch->head,
                            .ffn = arch->ffn,
                            .vocabulary = arch->vocabulary,
                            .parameters = source->parameters};
}

static olica_status open_model(olica *o, olica_context *context, const char *path, olica_model **out) {
  olica_model *model;
  olica_source_options options = {.output = OLICA_FP32};
  OLICA_AGREE(context, OLICA_NEW(context->env, model, 1));
  model->session = o;
  model->context = context;
  OLICA_AGREE(context,
              (model->path = olica_memory_string(context->env, path)) ? OLICA_OK : context->env->error.code);
  OLICA_TRY(olica_source_open(context, path, &model->source));
  OLICA_TRY(olica_source_begin(model->source, options));
  model->info = describe(model->source);
  *out = model;
  return OLICA_OK;
}

int olica_model_open(olica *o, const char *path, olica_model **model) {
  olica_context *context;
  *model = NULL;
  olica_status status = olica_place_create(o, &context);
  if (status == OLICA_OK) status = open_model(o, context, path, model);
  if (status == OLICA_OK) return olica_session_end(o, context->env, status);
  return olica_place_destroy(o, context, status);
}

const olica_model_info *olica_model_about(const olica_model *model) {
  return &model->info;
}

/* Fills in the tensor of a row of the table; false: the layer has none, or it is a list. */
static bool show(olica_model *model, int layer, olica_tensor_id id, olica_model_tensor *tensor) {
  const olica_arch *arch = &model->source->arch;
  const olica_layer_shape *shape = &model->layer->shape;
  if (olica_tensors_row(id)->is_list || !olica_tensors_present(arch, shape, id)) return false;
  tensor->dims = olica_tensors_extents(arch, shape, id, tensor->shape);
  tensor->data = olica_tensors_data(model->layer, id);
  return olica_tensors_name(arch, OLICA_NAMING_CHECKPOINT, id, layer, tensor->name);
}

static olica_status read_layer(olica_model *model, int layer, int *count) {
  olica_context *context = model->context;
  if (layer < 0 || layer >= model->info.layers)
    return olica_error_set(context->env, OLICA_ERR_CONFIG, "%s: no layer %d, expected 0 to %d", model->path,
                           layer, model->info.layers - 1);
  olica_layer_destroy(context->env, model->layer);
  model->layer = NULL;
  OLICA_TRY(olica_source_layer(model->source, layer, &model->layer));
  for (olica_tensor_id id = OLICA_TENSORS_MODEL; id < OLICA_TENSORS; id++)
    if (show(model, layer, id, &model->tensor[*count])) ++*count;
  return OLICA_OK;
}

int olica_model_layer(olica_model *model, int layer, int *count, const olica_model_tensor **tensors) {
  *count = 0;
  *tensors = model->tensor;
  olica_status status = read_layer(model, layer, count);
  return olica_session_end(model->session, model->context->env, status);
}

/* Opens the model's own tokenizer. */
static olica_status open_encoder(olica_model *model) {
  olica_context *context = model->context;
  olica_source *source = model->source;
  olica_bundle *bundle;
  OLICA_TRY(source->is_checkpoint ? olica_bundle_extract(context, source->catalog, &bundle)
                                  : olica_bundle_load(context, model->path, &bundle));
  OLICA_AGREE(context, olica_encoder_open(context->env, bundle, source->arch.vocabulary,
                                          (int32_t)source->arch.bos, &model->encoder));
  olica_bundle_free(context->env, bundle);
  return OLICA_OK;
}

/* Copies the ids to memory that the caller frees. */
static olica_status hand_out(olica_env *env, const olica_tokens *tokens, int64_t *count, int32_t **ids) {
  *ids = malloc(tokens->count * sizeof **ids + 1);
  if (!*ids) return olica_error_set(env, OLICA_ERR_MEMORY, "no memory for %zu ids", tokens->count);
  if (tokens->count > 0) memcpy(*ids, tokens->id, tokens->count * sizeof **ids);
  *count = (int64_t)tokens->count;
  return OLICA_OK;
}

static olica_status tokenize(olica_model *model, const char *text, size_t bytes, int64_t *count,
                             int32_t **ids) {
  olica_context *context = model->context;
  olica_env *env = context->env;
  olica_tokens tokens = {0};
  if (!model->encoder) OLICA_TRY(open_encoder(model));
  OLICA_AGREE(context, olica_encoder_encode(model->encoder, text, bytes, OLICA_SPECIAL_AUTO, &tokens));
  olica_status status = hand_out(env, &tokens, count, ids);
  OLICA_FREE(env, tokens.id);
  OLICA_AGREE(context, status);
  return OLICA_OK;
}

int olica_tokenize(olica_model *model, const char *text, size_t bytes, int64_t *count, int32_t **ids) {
  *count = 0;
  *ids = NULL;
  olica_status status = tokenize(model, text, bytes, count, ids);
  return olica_session_end(model->session, model->context->env, status);
}

void olica_model_close(olica_model *model) {
  if (!model) return;
  olica_env *env = model->context->env;
  olica_layer_destroy(env, model->layer);
  olica_encoder_close(model->encoder);
  olica_source_close(model->source);
  olica_place_destroy(model->session, model->context, OLICA_OK);
}
