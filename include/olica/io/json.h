/* JSON through jansson, with the reader's guards (size, depth, duplicate keys, numbers out of range) and
 * typed access whose errors name the file, the key, what was found and what was expected. Not collective. */
#ifndef OLICA_IO_JSON_H
#define OLICA_IO_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "olica/base/env.h"

/* Parses a text; `name` (a file) is for messages. The root must be an object. Free with json_decref.
 * An integer past int64 becomes a real here (tokenizer_config.json likes 1e30 as "no limit") and an error of
 * the getter that wants it as an integer; where every number counts, the strict form refuses it at once. */
olica_status olica_json_parse(olica_env *env, const char *name, const char *text, size_t bytes,
                              json_t **root);
olica_status olica_json_parse_strict(olica_env *env, const char *name, const char *text, size_t bytes,
                                     json_t **root);

/* An object among others in a file: `line` is its first one there, for messages. Strings may hold NULs
 * (json_string_length). */
olica_status olica_json_parse_row(olica_env *env, const char *name, int64_t line, const char *text,
                                  size_t bytes, json_t **root);

/* Typed members of an object. A missing key or null gives the default through the pointer's old value when
 * `required` is false. Integers must lie in [low, high]; 64.0 and 1e3 count as integers, 1.5 does not. */
olica_status olica_json_integer(olica_env *env, const char *name, const json_t *object, const char *key,
                                bool required, int64_t low, int64_t high, int64_t *value);
olica_status olica_json_real(olica_env *env, const char *name, const json_t *object, const char *key,
                             bool required, double low, double high, double *value);
olica_status olica_json_boolean(olica_env *env, const char *name, const json_t *object, const char *key,
                                bool required, bool *value);
/* Borrowed from the object. */
olica_status olica_json_string(olica_env *env, const char *name, const json_t *object, const char *key,
                               bool required, const char **value);

/* The same, required, of a row of data: where it is missing the message names the members that are there. */
olica_status olica_json_member(olica_env *env, const char *name, const json_t *object, const char *key,
                               const char **value);

enum { OLICA_JSON_TEXT = 80 };

/* "an array", "the string \"x\"", "3.5", ...: what a message says it found, printable and on one line; NULL
 * is "missing". `text` [OLICA_JSON_TEXT]. */
void olica_json_describe(const json_t *value, char *text);

#endif
