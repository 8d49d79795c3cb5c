/* Any bytes as a text of a byte-level tokenizer: turning the ids back gives the text, with what is no UTF-8
 * as U+FFFD. */
#include "tokenizer_check.h"

/* All 256 bytes and a few merges. */
static char *make_file(size_t *bytes) {
  static const char *const merges[] = {
      "t h", "th e", "\xc4\xa0 t", "a a", "aa aa", "\xc4\x8a \xc4\x8a", "\xc3\x83 \xc2\xa9"};
  char *text = NULL;
  FILE *file = open_memstream(&text, bytes);
  fputs("{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false},"
        "\"decoder\": {\"type\": \"ByteLevel\"}, \"added_tokens\": [{\"id\": 263, \"content\": \"<s>\", "
        "\"special\": true,"
        "\"normalized\": false}], \"model\": {\"type\": \"BPE\", \"vocab\": {",
        file);
  for (unsigned i = 0; i < 256; i++) {
    bool shown = (i >= '!' && i <= '~') || (i >= 0xa1 && i <= 0xac) || i >= 0xae;
    unsigned hidden = i <= ' ' ? i : i <= 0xa0 ? i - 0x7f + 33 : 67;
    fprintf(file, "\"\\u%04x\": %u, ", shown ? i : 0x100 + hidden, i);
  }
  for (unsigned i = 0; i < sizeof merges / sizeof *merges; i++) {
    const char *space = strchr(merges[i], ' ');
    fprintf(file, "\"%.*s%s\": %u%s", (int)(space - merges[i]), merges[i], space + 1, 256 + i,
            i < 6 ? ", " : "},");
  }
  fputs("\"merges\": [", file);
  for (unsigned i = 0; i < sizeof merges / sizeof *merges; i++)
    fprintf(file, "\"%s\"%s", merges[i], i < 6 ? ", " : "]}}");
  fclose(file);
  return text;
}

/* How many bytes from here are one character, 0: none; for the judge's own repair. */
static size_t character(const uint8_t *p, size_t left, size_t *bad) {
  size_t length = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
  *bad = 1;
  for (size_t i = 1; i < length; i++) {
    uint32_t second = i == 1 ? (uint32_t)p[0] << 8 | (left > 1 ? p[1] : 0) : 0;
    if (i >= left || (p[i] & 0xc0) != 0x80) return *bad = i, (size_t)0;
    if ((second >> 8 == 0xe0 && second < 0xe0a0) || (second >> 8 == 0xed && second > 0xed9f) ||
        (second >> 8 == 0xf0 && second < 0xf090) || (second >> 8 == 0xf4 && second > 0xf48f))
      return 0;
  }
  return length;
}

static void expect_back(const uint8_t *data, size_t size, const char *back, size_t bytes) {
  size_t at = 0;
  for (size_t i = 0, bad; i < size;) {
    size_t length = character(data + i, size - i, &bad);
    const void *wanted = length ? (const void *)(data + i) : "\xef\xbf\xbd";
    size_t count = length ? length : 3;
    FUZZ_EXPECT(bytes - at >= count && memcmp(back + at, wanted, count) == 0);
    at += count;
    i += length ? length : bad;
  }
  FUZZ_EXPECT(at == bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static olica_env *env;
  static olica_tokenizer *tokenizer;
  char *back;
  size_t bytes;
  if (!env) {
    env = fuzz_env();
    char *file = make_file(&bytes);
    olica_status status = olica_tokenizer_parse(env, "bytes", OLICA_TOKENIZER_JSON, file, bytes, &tokenizer);
    if (status != OLICA_OK) fprintf(stderr, "%s\n", env->error.text);
    FUZZ_EXPECT(status == OLICA_OK);
    free(file);
  }
  fuzz_text(env, tokenizer, (const char *)data, size, true, &back, &bytes);
  FUZZ_EXPECT(back);
  expect_back(data, size, back, bytes);
  olica_memory_free(env, back);
  return 0;
}
