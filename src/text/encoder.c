#include "olica/text/encoder.h"

#include <string.h>

#include "olica/io/json.h"

/* A tokenizer.model puts BOS in front unless tokenizer_config.json says no; a tokenizer.json speaks for
 * itself. */
static olica_status read_config(olica_env *env, const olica_bundle *bundle, bool *adds) {
  *adds = true;
  if (bundle->part[OLICA_BUNDLE_JSON].data || !bundle->part[OLICA_BUNDLE_CONFIG].data) return OLICA_OK;
  char *name;
  json_t *root;
  OLICA_TRY(olica_bundle_name(env, bundle, OLICA_BUNDLE_CONFIG, &name));
  OLICA_TRY(olica_json_parse(env, name, bundle->part[OLICA_BUNDLE_CONFIG].data,
                             bundle->part[OLICA_BUNDLE_CONFIG].bytes, &root));
  olica_status status = olica_json_boolean(env, name, root, "add_bos_token", false, adds);
  json_decref(root);
  olica_memory_free(env, name);
  return status;
}

static olica_status parse(olica_encoder *encoder, const olica_bundle *bundle) {
  bool is_json = bundle->part[OLICA_BUNDLE_JSON].data != NULL;
  olica_bundle_part part = is_json ? OLICA_BUNDLE_JSON : OLICA_BUNDLE_MODEL;
  OLICA_TRY(olica_bundle_name(encoder->env, bundle, part, &encoder->name));
  return olica_tokenizer_parse(encoder->env, encoder->name,
                               is_json ? OLICA_TOKENIZER_JSON : OLICA_TOKENIZER_MODEL,
                               bundle->part[part].data, bundle->part[part].bytes, &encoder->tokenizer);
}

olica_status olica_encoder_open(olica_env *env, const olica_bundle *bundle, int64_t vocabulary, int32_t bos,
                                olica_encoder **out) {
  if (!olica_bundle_holds(bundle))
    return olica_error_set(
        env, OLICA_ERR_INPUT,
        "%s: has neither tokenizer.json nor tokenizer.model, expected one of them for text "
        "([model] tokenizer names another directory)",
        bundle->place);
  olica_encoder *encoder;
  OLICA_TRY(OLICA_NEW(env, encoder, 1));
  encoder->env = env;
  encoder->vocabulary = vocabulary;
  OLICA_TRY(parse(encoder, bundle));
  OLICA_TRY(read_config(env, bundle, &encoder->adds));
  int32_t own = olica_tokenizer_bos(encoder->tokenizer);
  encoder->bos = own >= 0 ? own : bos;
  *out = encoder;
  return OLICA_OK;
}

void olica_encoder_close(olica_encoder *encoder) {
  if (!encoder) return;
  olica_tokenizer_close(encoder->tokenizer);
  olica_memory_free(encoder->env, encoder->name);
  olica_memory_free(encoder->env, encoder);
}

/* One id in front of all that follow. */
static olica_status append_bos(olica_encoder *encoder, olica_tokens *tokens) {
  olica_env *env = encoder->env;
  if (encoder->bos < 0)
    return olica_error_set(env, OLICA_ERR_INPUT,
                           "[evaluate] bos = yes, but neither %s nor the model's config has a BOS",
                           encoder->name);
  if (tokens->count == tokens->room) {
    int32_t *id;
    size_t room = tokens->room + 64;
    OLICA_TRY(OLICA_NEW(env, id, room));
    if (tokens->count > 0) memcpy(id, tokens->id, tokens->count * sizeof *id);
    olica_memory_free(env, tokens->id);
    tokens->id = id;
    tokens->room = room;
  }
  tokens->id[tokens->count++] = encoder->bos;
  return OLICA_OK;
}

olica_status olica_encoder_encode(olica_encoder *encoder, const char *text, size_t bytes,
                                  olica_special special, olica_tokens *tokens) {
  size_t first = tokens->count;
  if (special == OLICA_SPECIAL_BOS) OLICA_TRY(append_bos(encoder, tokens));
  bool adds = special == OLICA_SPECIAL_AUTO && encoder->adds;
  OLICA_TRY(olica_tokenizer_encode(encoder->tokenizer, text, bytes, adds, tokens));
  for (size_t i = first; i < tokens->count; i++)
    if (tokens->id[i] < 0 || tokens->id[i] >= encoder->vocabulary)
      return olica_error_set(encoder->env, OLICA_ERR_INPUT,
                             "token %zu: %s gives id %d, expected one of the model's vocabulary, [0, %lld)",
                             i - first, encoder->name, tokens->id[i], (long long)encoder->vocabulary);
  return OLICA_OK;
}
