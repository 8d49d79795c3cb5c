/* Regular expressions as tokenizer files write them (Oniguruma's), run by PCRE2. Private to text. */
#ifndef OLICA_TEXT_REGEX_H
#define OLICA_TEXT_REGEX_H

#include "bytes.h"

typedef struct olica_regex olica_regex;

/* `name` is the file, `key` where the pattern stands in it: for messages, the latter kept (a literal). */
olica_status olica_regex_compile(olica_env *env, const char *name, const char *key, olica_span pattern,
                                 olica_regex **regex);
void olica_regex_free(olica_regex *regex); /* NULL allowed */

/* The first match at or behind `from`; *found is false if there is none. A match may be empty. A pattern that
 * takes steps without end is OLICA_ERR_INPUT. `text` must be well-formed. */
olica_status olica_regex_find(olica_regex *regex, olica_span text, size_t from, size_t *begin, size_t *end,
                              bool *found);

/* Appends the pattern in PCRE2's dialect (oniguruma.c). What it does not know it leaves as it is. */
olica_status olica_oniguruma_translate(olica_env *env, olica_span pattern, olica_bytes *out);

#endif
