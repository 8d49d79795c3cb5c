#include "text/encoder.h"

#include <stdio.h>
#include <string.h>

#include "surroundings.h"

/* tekken.json: AutoTokenizer would take mistral-common, which writes no tokenizer.json. */
static olica_status no_tokenizer(olica_env *env, const olica_bundle *bundle) {
  bool tekken = bundle->other && strstr(bundle->other, "tekken.json");
  if (bundle->other)
    return olica_error_set(
        env, OLICA_ERR_INPUT,
        "%s: has neither tokenizer.json nor tokenizer.model, but %s, which is not read: %s makes a "
        "tokenizer.json of it (%s.from_pretrained(...).save_pretrained(...)), or [model] "
        "tokenizer "
        "names another directory",
        bundle->place, bundle->other, tekken ? "transformers 5 with mistral-common" : "transformers",
        tekken ? "TokenizersBackend" : "AutoTokenizer");
  return olica_error_set(env, OLICA_ERR_INPUT,
                         "%s: has neither tokenizer.json nor tokenizer.model, expected one of them for text "
                         "([model] tokenizer names another directory)",
                         bundle->place);
}

/* `does`: how the tokenizer produces the id. */
static olica_status refuse_id(const olica_encoder *encoder, int32_t id, const char *does) {
  const olica_tokenizer *t = encoder->tokenizer;
  olica_span text = id >= 0 && id < t->size && t->text[id].data ? t->text[id] : (olica_span){"", 0};
  return olica_error_set(encoder->env, OLICA_ERR_INPUT,
                         "%s %s id %d (\"%.*s\"), expected one of the model's vocabulary, [0, %lld)",
                         encoder->name, does, id, text.bytes < 60 ? (int)text.bytes : 60, text.data,
                         (long long)encoder->vocabulary);
}

static olica_status parse(olica_encoder *encoder, const olica_bundle *bundle) {
  bool is_json = bundle->part[OLICA_BUNDLE_JSON].data != NULL;
  olica_bundle_part part = is_json ? OLICA_BUNDLE_JSON : OLICA_BUNDLE_MODEL;
  OLICA_TRY(olica_bundle_name(encoder->env, bundle, part, &encoder->name));
  return olica_tokenizer_parse(encoder->env, encoder->name,
                               is_json ? OLICA_TOKENIZER_JSON : OLICA_TOKENIZER_MODEL,
                               bundle->part[part].data, bundle->part[part].bytes, &encoder->tokenizer);
}

/* Warns if the model's config or generation_config.json names another BOS, since texts begin with the
 * tokenizer's. encoder->bos is initially the config's. */
static olica_status check_bos(olica_encoder *encoder, const olica_surroundings *s) {
  int32_t own = olica_tokenizer_bos(encoder->tokenizer), config = encoder->bos;
  const json_t *generation = json_object_get(s->root[OLICA_BUNDLE_GENERATION], "bos_token_id");
  if (own >= 0) encoder->bos = own;
  if (own >= 0 && config >= 0 && own != config)
    olica_surroundings_warn(encoder->env,
                            "config.json: bos_token_id is %d, but the tokenizer's BOS is %d: texts get the "
                            "tokenizer's",
                            config, own);
  if (encoder->bos >= 0 && json_is_integer(generation) && json_integer_value(generation) != encoder->bos)
    olica_surroundings_warn(
        encoder->env, "generation_config.json: bos_token_id is %lld, but texts get BOS %d, the %s's",
        (long long)json_integer_value(generation), encoder->bos, own >= 0 ? "tokenizer" : "config");
  return OLICA_OK;
}

static olica_status surround(olica_encoder *encoder, const olica_bundle *bundle) {
  olica_surroundings s;
  olica_status status =
      olica_surroundings_read(encoder->env, bundle, !bundle->part[OLICA_BUNDLE_JSON].data, &s);
  if (status == OLICA_OK) status = olica_surround(encoder->tokenizer, &s);
  if (status == OLICA_OK) status = olica_tell_rebuilt(encoder->tokenizer, &s, bundle->model_type);
  if (status == OLICA_OK) status = check_bos(encoder, &s);
  olica_surroundings_free(&s);
  return status;
}

/* Warns if a tokenizer.model beside the tokenizer.json in use gives other ids or cannot be read: programs
 * that use it get other numbers. */
static olica_status compare(olica_encoder *encoder, const olica_bundle *bundle) {
  olica_env *env = encoder->env;
  if (!bundle->part[OLICA_BUNDLE_JSON].data || !bundle->part[OLICA_BUNDLE_MODEL].data) return OLICA_OK;
  char *name, why[OLICA_TOKENIZER_WHY] = "";
  OLICA_TRY(olica_bundle_name(env, bundle, OLICA_BUNDLE_MODEL, &name));
  OLICA_TRY(olica_tokenizer_compare(encoder->tokenizer, name, bundle->part[OLICA_BUNDLE_MODEL].data,
                                    bundle->part[OLICA_BUNDLE_MODEL].bytes, why));
  olica_memory_free(env, name);
  if (*why) olica_surroundings_warn(env, "tokenizer.json is read; tokenizer.model beside it %s", why);
  return OLICA_OK;
}

/* Checks for ids without an embedding in the model: refuses those that every text would get, warns of the
 * others; encoding a text that contains one fails. */
static olica_status check_vocabulary(olica_encoder *encoder) {
  olica_tokenizer *t = encoder->tokenizer;
  const olica_tokens *sides[] = {&t->before, &t->after};
  for (int i = 0; i < 2; i++)
    for (size_t k = 0; k < sides[i]->count; k++)
      if (sides[i]->id[k] >= encoder->vocabulary)
        return refuse_id(encoder, sides[i]->id[k], i == 0 ? "puts in front of a text" : "puts behind a text");
  int64_t beyond = 0;
  const olica_added_token *first = NULL;
  for (size_t i = 0; i < t->added_count; i++) {
    if (t->added[i].id < encoder->vocabulary) continue;
    if (!first || t->added[i].id < first->id) first = &t->added[i];
    beyond++;
  }
  if (first)
    olica_surroundings_warn(
        encoder->env,
        "the tokenizer has %lld added tokens beyond the model's vocabulary of %lld, the first "
        "is \"%.*s\" (id %d): a text that has one is refused",
        (long long)beyond, (long long)encoder->vocabulary,
        first->text.bytes < 40 ? (int)first->text.bytes : 40, first->text.data, first->id);
  return OLICA_OK;
}

static olica_status fill(olica_encoder *encoder, const olica_bundle *bundle) {
  OLICA_TRY(parse(encoder, bundle));
  OLICA_TRY(compare(encoder, bundle)); /* compares the files before settings are applied */
  OLICA_TRY(surround(encoder, bundle));
  return check_vocabulary(encoder);
}

olica_status olica_encoder_open(olica_env *env, const olica_bundle *bundle, int64_t vocabulary, int32_t bos,
                                olica_encoder **out) {
  if (!olica_bundle_holds(bundle)) return no_tokenizer(env, bundle);
  olica_encoder *encoder;
  OLICA_TRY(OLICA_NEW(env, encoder, 1));
  encoder->env = env;
  encoder->vocabulary = vocabulary;
  encoder->bos = bos;
  olica_status status = fill(encoder, bundle);
  if (status != OLICA_OK)
    olica_encoder_close(encoder);
  else
    *out = encoder;
  return status;
}

/* "<s> (id 1)", "nothing", "<s> (id 1) and more" */
static void describe_side(const olica_tokenizer *t, const olica_tokens *side, char text[96]) {
  snprintf(text, 96, "nothing");
  if (side->count == 0) return;
  olica_span token = t->text[side->id[0]];
  snprintf(text, 96, "%.*s (id %d)%s", token.bytes < 40 ? (int)token.bytes : 40, token.data ? token.data : "",
           side->id[0], side->count > 1 ? " and more" : "");
}

void olica_encoder_describe(const olica_encoder *encoder, char text[OLICA_ENCODER_TEXT]) {
  const olica_tokenizer *t = encoder->tokenizer;
  char before[96], behind[96];
  describe_side(t, &t->before, before);
  describe_side(t, &t->after, behind);
  snprintf(text, OLICA_ENCODER_TEXT, "%s: %s before a text, %s behind it, %zu added tokens",
           t->is_model ? "tokenizer.model" : "tokenizer.json", before, behind, t->added_count);
}

void olica_encoder_close(olica_encoder *encoder) {
  if (!encoder) return;
  olica_tokenizer_close(encoder->tokenizer);
  olica_memory_free(encoder->env, encoder->name);
  olica_memory_free(encoder->env, encoder);
}

/* Inserts one id before those that follow. */
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
  OLICA_TRY(olica_tokenizer_encode(encoder->tokenizer, text, bytes, special == OLICA_SPECIAL_AUTO, tokens));
  for (size_t i = first; i < tokens->count; i++)
    if (tokens->id[i] < 0 || tokens->id[i] >= encoder->vocabulary) {
      olica_status status = refuse_id(encoder, tokens->id[i], "gives");
      olica_error_context(encoder->env, "token %zu: ", i - first);
      return status;
    }
  return OLICA_OK;
}
