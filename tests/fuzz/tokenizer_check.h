/* Checks that hold for any tokenizer and any text. */
#ifndef OLICA_TESTS_FUZZ_TOKENIZER_CHECK_H
#define OLICA_TESTS_FUZZ_TOKENIZER_CHECK_H

#include "fuzz.h"
#include "text/tokenizer.h"

/* Checks that ids lie in the vocabulary, that encoding the text again (now with cached words) gives the same
 * ids, and that they can be decoded. *back is counted memory, NULL if the text is refused. */
static inline void fuzz_text(olica_env *env, olica_tokenizer *tokenizer, const char *text, size_t bytes,
                             bool special, char **back, size_t *back_bytes) {
  olica_tokens first = {0}, again = {0};
  *back = NULL;
  olica_status status = olica_tokenizer_encode(tokenizer, text, bytes, special, &first);
  if (status != OLICA_OK) {
    fuzz_expect_message(env, status);
  } else {
    status = olica_tokenizer_encode(tokenizer, text, bytes, special, &again);
    FUZZ_EXPECT(status == OLICA_OK && first.count == again.count);
    for (size_t i = 0; i < first.count; i++)
      FUZZ_EXPECT(first.id[i] >= 0 && first.id[i] < olica_tokenizer_size(tokenizer) &&
                  first.id[i] == again.id[i]);
    status = olica_tokenizer_decode(tokenizer, first.id, first.count, special, back, back_bytes);
    if (status != OLICA_OK) fuzz_expect_message(env, status);
    FUZZ_EXPECT(status != OLICA_OK || (*back)[*back_bytes] == '\0');
  }
  OLICA_FREE(env, first.id);
  OLICA_FREE(env, again.id);
}

static inline void fuzz_tokenizer(olica_tokenizer_format format, const uint8_t *data, size_t size) {
  static const char *const texts[] = {
      "", "Hello, world! Don't  you 123 <s>a</s> <x>\n",
      " \xe2\x96\x81\xc3\xa9 caf\xc3\xa9 e\xcc\x81 \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80\xff",
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ab abc"};
  olica_env *env = fuzz_env();
  olica_tokenizer *tokenizer;
  olica_status status = olica_tokenizer_parse(env, "fuzz", format, (const char *)data, size, &tokenizer);
  if (status != OLICA_OK) {
    fuzz_expect_message(env, status);
    FUZZ_EXPECT(!tokenizer);
  }
  for (size_t i = 0; tokenizer && i < 2 * sizeof texts / sizeof *texts; i++) {
    char *back;
    size_t bytes;
    fuzz_text(env, tokenizer, texts[i / 2], strlen(texts[i / 2]), i % 2, &back, &bytes);
    olica_memory_free(env, back);
  }
  olica_tokenizer_close(tokenizer);
  FUZZ_EXPECT(env->memory.now == 0);
  olica_env_destroy(env);
}

#endif
