/* Any bytes as the tokenizer_config.json beside a tokenizer: refused with a message, or an encoder that keeps
 * its contract on texts. */
#include "text/encoder.h"
#include "tokenizer_check.h"

/* A byte-level tokenizer, one with Metaspace, and one of Gemma's kind. */
#define HEAD                                                                                                 \
  "{\"added_tokens\": [{\"id\": 3, \"content\": \"<s>\", \"special\": true}, {\"id\": 4, \"content\": "      \
  "\"<x>\", \"lstrip\": true}], \"model\": {\"type\": \"BPE\", \"unk_token\": \"<unk>\", \"vocab\": "        \
  "{\"a\": 0, \"b\": 1, \"ab\": 2, \"<s>\": 3, \"<x>\": 4, \"</s>\": 5, \"<unk>\": 6, "                      \
  "\"\xe2\x96\x81\": 7, \"1\": 8, \"\xc4\xa0\": 9}, \"merges\": [\"a b\"]}, "
static const char *const tokenizers[] = {
    HEAD "\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, \"decoder\": {\"type\": \"ByteLevel\"}}",
    HEAD "\"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"\xe2\x96\x81\", \"split\": false}}",
    HEAD "\"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": "
         "\"\xe2\x96\x81\"}, \"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"String\": \" \"}, "
         "\"behavior\": \"MergedWithPrevious\"}}"};
static const char *const types[] = {"qwen2", "phi3", NULL};

static void look_at(olica_encoder *encoder) {
  static const char text[] = " ab <s>1</s> <x>  a <unk>b\n";
  for (int special = 0; special < 2; special++) {
    char *back;
    size_t bytes;
    fuzz_text(encoder->env, encoder->tokenizer, text, sizeof text - 1, special, &back, &bytes);
    olica_memory_free(encoder->env, back);
  }
}

static void try(const char *tokenizer, const char *type, const uint8_t *data, size_t size) {
  olica_env *env = fuzz_env();
  olica_encoder *encoder = NULL;
  olica_bundle bundle = {.place = (char *)"fuzz", .model_type = (char *)type};
  bundle.part[OLICA_BUNDLE_JSON].data = (char *)tokenizer;
  bundle.part[OLICA_BUNDLE_JSON].bytes = strlen(tokenizer);
  bundle.part[OLICA_BUNDLE_CONFIG].data = (char *)data;
  bundle.part[OLICA_BUNDLE_CONFIG].bytes = size;
  olica_status status = olica_encoder_open(env, &bundle, INT32_MAX, -1, &encoder);
  if (status != OLICA_OK)
    fuzz_expect_message(env, status);
  else
    look_at(encoder);
  olica_encoder_close(encoder);
  FUZZ_EXPECT(env->memory.now == 0);
  olica_env_destroy(env);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  for (size_t i = 0; i < sizeof tokenizers / sizeof *tokenizers; i++)
    try(tokenizers[i], types[i], data, size);
  return 0;
}
