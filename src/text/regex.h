/* Regular expressions in the dialect of tokenizer files (Oniguruma's), run by PCRE2. Private to text. */
#ifndef OLICA_TEXT_REGEX_H
#define OLICA_TEXT_REGEX_H

#include "bytes.h"

typedef struct olica_regex olica_regex;

/* Compiles a pattern. `name` is the file and `key` the pattern's path in it, for messages; `key` must be a
 * literal. */
olica_status olica_regex_compile(olica_env *env, const char *name, const char *key, olica_span pattern,
                                 olica_regex **regex);
void olica_regex_free(olica_regex *regex); /* NULL allowed */

/* Finds the first match at or after `from`; *found is false if there is none. A match may be empty.
 * OLICA_ERR_INPUT if a pattern exceeds its limit of steps. `text` must be well-formed. */
olica_status olica_regex_find(olica_regex *regex, olica_span text, size_t from, size_t *begin, size_t *end,
                              bool *found);

/* Appends the pattern in PCRE2's dialect (oniguruma.c). Leaves unknown constructs unchanged. */
olica_status olica_oniguruma_translate(olica_env *env, olica_span pattern, olica_bytes *out);

#endif
