#include "text/sources.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"

enum { WEIGHT_MAX = 1000000, SHOWN = 80 };

static const char *const kinds[] = {
    [OLICA_TEXT_ALPACA] = "alpaca",
    [OLICA_TEXT_JSONL] = "jsonl",
    [OLICA_TEXT_PLAIN] = "plain",
    [OLICA_TEXT_NPY] = "npy",
};

const char *olica_sources_kind(olica_text_kind kind) {
  return kinds[kind];
}

static olica_status refuse(olica_env *env, const char *where, const char *entry, const char *expected) {
  return olica_error_set(env, OLICA_ERR_CONFIG, "%s: \"%.*s\", expected %s", where, SHOWN, entry, expected);
}

/* Trims white space at both ends, in place. */
static char *trim(char *text) {
  text += strspn(text, " \t");
  for (size_t n = strlen(text); n > 0 && strchr(" \t", text[n - 1]); n--) text[n - 1] = '\0';
  return text;
}

/* Reads the weight after the last asterisk; `file` then ends before it. */
static bool take_weight(char *file, int64_t *weight) {
  char *asterisk = strrchr(file, '*'), *end;
  *weight = 1;
  if (!asterisk) return true;
  *asterisk = '\0';
  const char *digits = trim(asterisk + 1);
  if (*digits < '0' || *digits > '9') return false;
  *weight = strtoll(digits, &end, 10); /* too many digits: LLONG_MAX */
  return !*end && *weight >= 1 && *weight <= WEIGHT_MAX;
}

/* Returns the field of a jsonl file: the text after the last colon of the last part of its path. */
static const char *take_field(char *file) {
  char *colon = strrchr(file, ':');
  if (!colon || strchr(colon, '/')) return "text";
  *colon = '\0';
  return trim(colon + 1);
}

/* Parses one entry; modifies `text`. */
static olica_status parse_entry(olica_env *env, const char *where, const char *base, const char *entry,
                                char *text, olica_text_source *source) {
  char *file = strchr(text, ':');
  if (!file) return refuse(env, where, entry, "KIND:FILE");
  *file++ = '\0';
  const char *kind = trim(text), *field = "";
  size_t k = 0;
  while (k < sizeof kinds / sizeof *kinds && strcmp(kinds[k], kind) != 0) k++;
  if (k == sizeof kinds / sizeof *kinds)
    return refuse(env, where, entry, "one of alpaca:FILE, jsonl:FILE, plain:FILE, npy:FILE");
  source->kind = (olica_text_kind)k;
  if (!take_weight(file, &source->weight))
    return refuse(env, where, entry, "a weight from 1 to 1000000 behind the asterisk");
  if (source->kind == OLICA_TEXT_JSONL && !*(field = take_field(file)))
    return refuse(env, where, entry, "the name of a field behind the last colon");
  file = trim(file);
  if (!*file) return refuse(env, where, entry, "a file's name");
  if (!(source->field = olica_memory_string(env, field))) return env->error.code;
  return olica_file_resolve(env, base, file, &source->path);
}

static olica_status check_twice(olica_env *env, const char *where, const olica_text_sources *sources) {
  const olica_text_source *last = &sources->source[sources->count - 1];
  for (const olica_text_source *s = sources->source; s < last; s++)
    if (s->kind == last->kind && strcmp(s->path, last->path) == 0 && strcmp(s->field, last->field) == 0)
      return olica_error_set(env, OLICA_ERR_CONFIG,
                             "%s: %s:%s twice, expected it once (FILE*2 counts it twice)", where,
                             kinds[s->kind], s->path);
  return OLICA_OK;
}

olica_status olica_sources_parse(olica_env *env, const char *where, const char *base, const char *list,
                                 olica_text_sources *sources) {
  size_t entries = 1;
  for (const char *c = list; *c; c++) entries += *c == ',';
  *sources = (olica_text_sources){0};
  OLICA_TRY(OLICA_NEW(env, sources->source, entries));
  char *copy = olica_memory_string(env, list), *text = olica_memory_string(env, list);
  if (!copy || !text) return env->error.code;
  for (char *entry = copy, *next; entry; entry = next) {
    if ((next = strchr(entry, ','))) *next++ = '\0';
    memcpy(text, entry, strlen(entry) + 1); /* the original, for messages */
    OLICA_TRY(parse_entry(env, where, base, trim(entry), text, &sources->source[sources->count]));
    sources->count++;
    OLICA_TRY(check_twice(env, where, sources));
  }
  olica_memory_free(env, text);
  olica_memory_free(env, copy);
  return OLICA_OK;
}

void olica_sources_free(olica_env *env, olica_text_sources *sources) {
  for (int i = 0; i < sources->count; i++) {
    olica_memory_free(env, sources->source[i].path);
    olica_memory_free(env, sources->source[i].field);
  }
  OLICA_FREE(env, sources->source);
  sources->count = 0;
}

/* Returns the number of sequences of sources [0, end): rounded up, so that earlier sources get the
 * remainder. */
static int64_t before(const olica_text_sources *sources, int64_t samples, int end) {
  int64_t part = 0, all = 0;
  assert(sources->count > 0);
  for (int i = 0; i < sources->count; i++) {
    all += sources->source[i].weight;
    if (i < end) part += sources->source[i].weight;
  }
  return (int64_t)(((unsigned __int128)samples * (uint64_t)part + (uint64_t)all - 1) / (uint64_t)all);
}

int64_t olica_sources_share(const olica_text_sources *sources, int64_t samples, int i) {
  return before(sources, samples, i + 1) - before(sources, samples, i);
}
