#include "regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <time.h>

/* Limits on hostile patterns: steps of a single start, and processor time of all starts, checked each time
 * STARTS starts have failed. */
enum { STARTS = 1024, MATCH_LIMIT = 1000000, DEPTH_LIMIT = 20000, HEAP_KIB = 65536, STACK = 1 << 23 };
static const double SECONDS = 20, SECONDS_PER_BYTE = 5e-6;

struct olica_regex {
  olica_env *env;
  const char *name, *key;
  pcre2_general_context *general;
  pcre2_code *code;
  pcre2_match_data *match;
  pcre2_match_context *context;
  pcre2_jit_stack *stack;
  bool jit;
  double spent; /* seconds of failed searches in the current text */
};

static void *get(size_t bytes, void *env) {
  return olica_memory_get(env, "regular expression", bytes, 1);
}

static void give(void *block, void *env) {
  olica_memory_free(env, block);
}

static olica_status no_memory(olica_regex *regex) {
  return olica_error_set(regex->env, OLICA_ERR_MEMORY, "%s: %s: no memory for its pattern", regex->name,
                         regex->key);
}

static olica_status compile(olica_regex *regex, olica_span pattern) {
  int error;
  PCRE2_SIZE at;
  pcre2_compile_context *context = pcre2_compile_context_create(regex->general);
  if (!context) return no_memory(regex);
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context, 64);
  uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C |
                     PCRE2_USE_OFFSET_LIMIT | PCRE2_NO_UTF_CHECK;
  regex->code = pcre2_compile((PCRE2_SPTR)pattern.data, pattern.bytes, options, &error, &at, context);
  pcre2_compile_context_free(context);
  if (regex->code) return OLICA_OK;
  if (error == PCRE2_ERROR_HEAP_FAILED) return no_memory(regex);
  char reason[128];
  pcre2_get_error_message(error, (PCRE2_UCHAR *)reason, sizeof reason);
  return olica_error_set(regex->env, OLICA_ERR_INPUT, "%s: %s: byte %zu of the pattern: %s", regex->name,
                         regex->key, (size_t)at, reason);
}

static olica_status prepare(olica_regex *regex) {
  regex->match = pcre2_match_data_create_from_pattern(regex->code, regex->general);
  regex->context = pcre2_match_context_create(regex->general);
  if (!regex->match || !regex->context) return no_memory(regex);
  pcre2_set_match_limit(regex->context, MATCH_LIMIT);
  pcre2_set_depth_limit(regex->context, DEPTH_LIMIT);
  pcre2_set_heap_limit(regex->context, HEAP_KIB);
  /* If machine code cannot be generated, the interpreter gives the same results. */
  regex->jit = pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE) == 0;
  if (regex->jit) regex->stack = pcre2_jit_stack_create(STACK / 256, STACK, regex->general);
  if (regex->stack) pcre2_jit_stack_assign(regex->context, NULL, regex->stack);
  return OLICA_OK;
}

olica_status olica_regex_compile(olica_env *env, const char *name, const char *key, olica_span pattern,
                                 olica_regex **out) {
  olica_regex *regex;
  olica_bytes translated = {0};
  OLICA_TRY(OLICA_NEW(env, regex, 1));
  regex->env = env;
  regex->name = name;
  regex->key = key;
  regex->general = pcre2_general_context_create(get, give, env);
  olica_status status =
      regex->general ? olica_oniguruma_translate(env, pattern, &translated) : no_memory(regex);
  if (status == OLICA_OK) status = compile(regex, olica_bytes_span(&translated));
  if (status == OLICA_OK) status = prepare(regex);
  olica_memory_free(env, translated.data);
  if (status != OLICA_OK) olica_regex_free(regex);
  *out = status == OLICA_OK ? regex : NULL;
  return status;
}

void olica_regex_free(olica_regex *regex) {
  if (!regex) return;
  if (regex->stack) pcre2_jit_stack_free(regex->stack);
  pcre2_match_context_free(regex->context);
  pcre2_match_data_free(regex->match);
  pcre2_code_free(regex->code);
  pcre2_general_context_free(regex->general);
  olica_memory_free(regex->env, regex);
}

static olica_status refuse(olica_regex *regex, int code) {
  if (code == PCRE2_ERROR_NOMEMORY) return no_memory(regex);
  char reason[128];
  pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof reason);
  return olica_error_set(regex->env, OLICA_ERR_INPUT, "%s: %s: the pattern on this text: %s", regex->name,
                         regex->key, reason);
}

static int search(olica_regex *regex, olica_span text, size_t from, size_t limit) {
  pcre2_set_offset_limit(regex->context, limit);
  PCRE2_SPTR subject = (PCRE2_SPTR)text.data;
  int code = PCRE2_ERROR_JIT_STACKLIMIT;
  if (regex->jit)
    code =
        pcre2_match(regex->code, subject, text.bytes, from, PCRE2_NO_UTF_CHECK, regex->match, regex->context);
  if (code == PCRE2_ERROR_JIT_STACKLIMIT)
    code = pcre2_match(regex->code, subject, text.bytes, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                       regex->match, regex->context);
  return code;
}

static double processor_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Skips STARTS failed starts, if text and time are left. */
static olica_status go_on(olica_regex *regex, olica_span text, size_t *from, double *since) {
  double now = processor_seconds();
  if (*since > 0) regex->spent += now - *since;
  *since = now;
  if (regex->spent > SECONDS + SECONDS_PER_BYTE * (double)text.bytes)
    return olica_error_set(regex->env, OLICA_ERR_INPUT, "%s: %s: the pattern takes too long on this text",
                           regex->name, regex->key);
  *from += STARTS;
  while (*from < text.bytes && ((unsigned char)text.data[*from] & 0xc0) == 0x80) ++*from;
  return OLICA_OK;
}

olica_status olica_regex_find(olica_regex *regex, olica_span text, size_t from, size_t *begin, size_t *end,
                              bool *found) {
  double since = 0;
  *found = false;
  if (from == 0) regex->spent = 0;
  while (from <= text.bytes) {
    size_t limit = text.bytes - from > STARTS ? from + STARTS : text.bytes;
    int code = search(regex, text, from, limit);
    if (code == PCRE2_ERROR_NOMATCH) {
      if (limit == text.bytes) return OLICA_OK;
      OLICA_TRY(go_on(regex, text, &from, &since));
      continue;
    }
    if (code < 0) return refuse(regex, code);
    const PCRE2_SIZE *pair = pcre2_get_ovector_pointer(regex->match);
    *found = pair[0] <= pair[1] && pair[0] >= from;
    *begin = pair[0];
    *end = pair[1];
    return OLICA_OK;
  }
  return OLICA_OK;
}
