#include "gguf_pre.h"

#include <string.h>

#include "text/known_patterns.h"

enum { STEPS = 4 };

/* Steps as a row has them: a regular expression that isolates what it matches, or one of these. */
#define DIGITS "digits"        /* Digits, each by itself */
#define GPT2 "GPT-2's pattern" /* ByteLevel with its regular expression */
#define BYTES "bytes"          /* ByteLevel without */

#define CONTRACTIONS OLICA_PATTERN_CONTRACTIONS
#define BEHIND OLICA_PATTERN_BEHIND
#define CL100K OLICA_PATTERN_CL100K
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(after, digits)                                                                                 \
  "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" after "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" after     \
  "|" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" BEHIND

typedef struct row {
  const char *name;
  bool ignore_merges; /* what llama.cpp does under this name */
  bool other_letters; /* llama.cpp's pattern is not the file's for all letters */
  const char *step[STEPS];
} row;

/* Names with the same steps are one to llama.cpp: one of them stands here. */
static const row rows[] = {
    {"gpt-2", false, false, {GPT2}},
    {"smollm", false, false, {DIGITS, GPT2}},
    {"smollm", false, false, {"\\p{N}", GPT2}},
    {"llama-bpe", true, false, {CL100K("\\p{N}{1,3}"), BYTES}},
    {"dbrx", false, false, {CL100K("\\p{N}{1,3}"), BYTES}},
    {"qwen2", false, false, {CL100K("\\p{N}"), BYTES}},
    {"qwen35", false, false, {OLICA_PATTERN_MARKS, BYTES}},
    {"tekken", true, true, {CASED("", "\\p{N}"), BYTES}},
    {"gpt-4o", false, true, {CASED(CONTRACTIONS "?", "\\p{N}{1,3}"), BYTES}},
    {"tiny_aya", false, false, {"\\d{1,3}(?=(?:\\d{3})*\\b)", CASED(CONTRACTIONS "?", "\\p{N}{1,3}"), BYTES}},
    {"seed-coder",
     false,
     false,
     {CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" BEHIND, BYTES}},
    {"exaone-moe",
     false,
     false,
     {CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| "
                   "?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
      BYTES}},
    {"minicpm5", true, false, {"\\p{N}{1,3}", CL100K("\\p{N}+"), BYTES}},
    {"deepseek-v3",
     false,
     false,
     {"\\p{N}{1,3}", "[\xe4\xb8\x80-\xe9\xbe\xa5\xe3\x81\x80-\xe3\x82\x9f\xe3\x82\xa0-\xe3\x83\xbf]+",
      "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
      "?[\\p{P}\\p{S}]+[\\r\\n]*" BEHIND,
      BYTES}},
};

/* ---- the steps of a file ---- */

static bool is_type(const json_t *part, const char *type) {
  const char *name = json_string_value(json_object_get(part, "type"));
  return name && strcmp(name, type) == 0;
}

/* A missing switch of ByteLevel is true. */
static bool is_set(const json_t *part, const char *key) {
  return !json_is_false(json_object_get(part, key));
}

/* Returns the pattern of a Split that isolates what it matches; one that removes the rest, too: the patterns
 * of the rows match every character. */
static const char *isolated(const json_t *part) {
  const char *behavior = json_string_value(json_object_get(part, "behavior"));
  bool inverted = json_is_true(json_object_get(part, "invert"));
  const json_t *pattern = json_object_get(part, "pattern");
  const char *regex = json_string_value(json_object_get(pattern, "Regex"));
  if (!behavior || !regex) return NULL;
  bool isolates = strcmp(behavior, "Isolated") == 0 && !inverted;
  bool keeps = strcmp(behavior, "Removed") == 0 && inverted;
  return isolates || keeps ? regex : NULL;
}

static const char *step_of(const json_t *part) {
  if (is_type(part, "Digits"))
    return json_is_true(json_object_get(part, "individual_digits")) ? DIGITS : NULL;
  if (is_type(part, "ByteLevel")) return is_set(part, "use_regex") ? GPT2 : BYTES;
  return is_type(part, "Split") ? isolated(part) : NULL;
}

/* Lists the steps; returns false if there is one that no row has, or there are too many. */
static bool list_steps(const json_t *part, const char **step, int *count) {
  if (is_type(part, "Sequence")) {
    const json_t *list = json_object_get(part, "pretokenizers");
    for (size_t i = 0; i < json_array_size(list); i++)
      if (!list_steps(json_array_get(list, i), step, count)) return false;
    return true;
  }
  if (*count == STEPS || !(step[*count] = step_of(part))) return false;
  (*count)++;
  return true;
}

/* ---- comparing ---- */

/* A pattern character by character; a line end counts as its escape, which other files have. */
typedef struct cursor {
  const char *at;
  char pending;
} cursor;

static char next(cursor *c) {
  char letter = c->pending ? c->pending : *c->at;
  if (!c->pending && letter) c->at++;
  c->pending = '\0';
  if (letter != '\n' && letter != '\r') return letter;
  c->pending = letter == '\n' ? 'n' : 'r';
  return '\\';
}

static bool same_pattern(const char *a, const char *b) {
  cursor x = {.at = a}, y = {.at = b};
  for (char letter = 1; letter;)
    if ((letter = next(&x)) != next(&y)) return false;
  return true;
}

static bool same_steps(const row *r, const char *const *step, int count) {
  for (int i = 0; i < STEPS; i++) {
    const char *own = i < count ? step[i] : NULL;
    if (!own != !r->step[i]) return false;
    if (own && !same_pattern(own, r->step[i])) return false;
  }
  return true;
}

olica_gguf_pre_name olica_gguf_pre(const json_t *pre_tokenizer, bool ignore_merges) {
  const char *step[STEPS] = {0};
  const row *other = NULL;
  int count = 0;
  if (!list_steps(pre_tokenizer, step, &count)) return (olica_gguf_pre_name){0};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (!same_steps(&rows[i], step, count)) continue;
    if (rows[i].ignore_merges == ignore_merges)
      return (olica_gguf_pre_name){rows[i].name, false, rows[i].other_letters};
    if (!other) other = &rows[i];
  }
  return other ? (olica_gguf_pre_name){other->name, true, other->other_letters} : (olica_gguf_pre_name){0};
}
