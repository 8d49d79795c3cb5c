/* JSON through jansson, with limits (size, depth, duplicate keys, range of numbers) and typed access whose
 * errors name the file, the key, the value found and the value expected. Not collective. */
#ifndef OLICA_IO_JSON_H
#define OLICA_IO_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"

/* Parses a text; `name` (a file) is for messages. The root must be an object. Free with json_decref. An
 * integer past int64 becomes a real (tokenizer_config.json uses 1e30 as "no limit"), which olica_json_integer
 * refuses; the strict form refuses it at once, for files in which every number counts. */
olica_status olica_json_parse(olica_env *env, const char *name, const char *text, size_t bytes,
                              json_t **root);
olica_status olica_json_parse_strict(olica_env *env, const char *name, const char *text, size_t bytes,
                                     json_t **root);

/* Loads and parses a file of at most `limit` bytes. A failure leaves *root NULL. Errors of olica_file_load
 * and olica_json_parse. */
olica_status olica_json_load(olica_env *env, const char *path, size_t limit, json_t **root);

/* Parses one of many objects of a file: `line` is its first line there, for messages. Strings may contain NUL
 * (json_string_length). */
olica_status olica_json_parse_row(olica_env *env, const char *name, int64_t line, const char *text,
                                  size_t bytes, json_t **root);

/* Get typed members of an object. If `required` is false and the key is missing or null, the pointer's old
 * value stays as the default. Integers must lie in [low, high]; 64.0 and 1e3 count as integers, 1.5 does
 * not. */
olica_status olica_json_integer(olica_env *env, const char *name, const json_t *object, const char *key,
                                bool required, int64_t low, int64_t high, int64_t *value);
olica_status olica_json_real(olica_env *env, const char *name, const json_t *object, const char *key,
                             bool required, double low, double high, double *value);
olica_status olica_json_boolean(olica_env *env, const char *name, const json_t *object, const char *key,
                                bool required, bool *value);
/* The string is borrowed from the object. */
olica_status olica_json_string(olica_env *env, const char *name, const json_t *object, const char *key,
                               bool required, const char **value);

/* Gets a required member of a row of data: if it is missing, the message lists the members that exist. */
olica_status olica_json_member(olica_env *env, const char *name, const json_t *object, const char *key,
                               const char **value);

enum { OLICA_JSON_TEXT = 80 };

/* Describes a value for messages, printable and on one line: "an array", "the string \"x\"", "3.5", ...; NULL
 * is "missing". `text` [OLICA_JSON_TEXT]. */
void olica_json_describe(const json_t *value, char *text);

#endif
