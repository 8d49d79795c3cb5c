/* Any bytes as a text of a tokenizer in SentencePiece's manner, with every normalizer on its way: nothing
 * breaks, the same ids come again, and they can be turned back. */
#include "tokenizer_check.h"

static const char head[] =
    "{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFKC\"}, {\"type\": \"NFD\"}, "
    "{\"type\": \"Lowercase\"}, {\"type\": \"Strip\"}, {\"type\": \"Replace\", \"pattern\": {\"Regex\": "
    "\"\\\\s{2,}\"}, "
    "\"content\": \"  \"}, {\"type\": \"Prepend\", \"prepend\": \"_\"}, {\"type\": \"Replace\", "
    "\"pattern\": {\"String\": \" \"}, \"content\": \"_\"}]}, \"decoder\": {\"type\": \"Sequence\", "
    "\"decoders\": ["
    "{\"type\": \"Replace\", \"pattern\": {\"String\": \"_\"}, \"content\": \" \"}, {\"type\": "
    "\"ByteFallback\"}, "
    "{\"type\": \"Fuse\"}, {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}]}, "
    "\"added_tokens\": ["
    "{\"id\": 0, \"content\": \"<s>\", \"special\": true, \"rstrip\": true}, {\"id\": 1, \"content\": "
    "\"mask\", "
    "\"normalized\": false, \"single_word\": true, \"lstrip\": true}], \"model\": {\"type\": \"BPE\", "
    "\"byte_fallback\": true, \"unk_token\": \"<s>\", \"vocab\": {\"<s>\": 0, \"mask\": 1, \"_\": 2, \"a\": "
    "3, \"b\": 4, "
    "\"_a\": 5, \"ab\": 6, \"_ab\": 7, \"aa\": 8, \"aaaa\": 9, \"__\": 10";
static const char tail[] =
    "}, \"merges\": [\"_ a\", \"_a b\", \"a b\", \"_ ab\", \"a a\", \"aa aa\", \"_ _\"]}}";

static olica_tokenizer *make(olica_env *env) {
  char *text = NULL;
  size_t bytes;
  olica_tokenizer *tokenizer;
  FILE *file = open_memstream(&text, &bytes);
  fputs(head, file);
  for (unsigned i = 0; i < 256; i++) fprintf(file, ", \"<0x%02X>\": %u", i, 11 + i);
  fputs(tail, file);
  fclose(file);
  olica_status status = olica_tokenizer_parse(env, "pieces", OLICA_TOKENIZER_JSON, text, bytes, &tokenizer);
  if (status != OLICA_OK) fprintf(stderr, "%s\n", env->error.text);
  FUZZ_EXPECT(status == OLICA_OK);
  free(text);
  return tokenizer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static olica_env *env;
  static olica_tokenizer *tokenizer;
  char *back;
  size_t bytes;
  if (!env) tokenizer = make(env = fuzz_env());
  fuzz_text(env, tokenizer, (const char *)data, size, true, &back, &bytes);
  FUZZ_EXPECT(back);
  olica_memory_free(env, back);
  return 0;
}
