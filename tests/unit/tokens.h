/* Helpers of the tokenizer tests: short JSON, ids as text. */
#ifndef OLICA_TESTS_TOKENS_H
#define OLICA_TESTS_TOKENS_H

#include "fixture.h"

#include "text/tokenizer.h"

enum { FILE_BYTES = 1 << 16, TEXT = 512 };

/* Replaces ' by ", so that JSON is easier to read in the source. */
static inline void quote(char *text) {
  for (; *text; text++)
    if (*text == '\'') *text = '"';
}

static inline olica_status parse(fixture *f, const char *json, olica_tokenizer **tokenizer) {
  char *text = olica_memory_string(f->env, json);
  quote(text);
  olica_status status =
      olica_tokenizer_parse(f->env, "t.json", OLICA_TOKENIZER_JSON, text, strlen(text), tokenizer);
  olica_memory_free(f->env, text);
  return status;
}

static inline olica_tokenizer *open_json(fixture *f, const char *json) {
  olica_tokenizer *tokenizer;
  if (parse(f, json, &tokenizer) != OLICA_OK) fail_msg("%s", f->env->error.text);
  return tokenizer;
}

/* Returns the ids of a text as "1 2 3". */
static inline const char *ids(fixture *f, olica_tokenizer *tokenizer, const char *text, size_t bytes,
                              bool special) {
  olica_tokens tokens = {0};
  static char line[FILE_BYTES];
  size_t n = 0;
  if (olica_tokenizer_encode(tokenizer, text, bytes, special, &tokens) != OLICA_OK)
    fail_msg("%s", f->env->error.text);
  line[0] = '\0';
  for (size_t i = 0; i < tokens.count && n < sizeof line - 16; i++)
    n += (size_t)snprintf(line + n, sizeof line - n, "%s%d", i ? " " : "", tokens.id[i]);
  OLICA_FREE(f->env, tokens.id);
  return line;
}

#define VOCABULARY                                                                                           \
  "'vocab': {'a': 0, 'b': 1, 'c': 2, 'ab': 3, 'abc': 4, 'bc': 5, '<unk>': 6, '<0xC3>': 7, '<0xA9>': 8}"

#endif
