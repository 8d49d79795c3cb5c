#include "paths.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHOWN = 120 }; /* characters of a path that a message repeats */

/* A growing text, always followed by a NUL. */
typedef struct writer {
  olica_env *env;
  const char *where, *variables, *given;
  bool list;
  char *data;
  size_t bytes, room;
} writer;

static olica_status put(writer *w, const char *text, size_t bytes) {
  OLICA_TRY(OLICA_GROW(w->env, w->data, w->room, w->bytes, w->bytes + bytes + 1));
  memcpy(w->data + w->bytes, text, bytes);
  w->bytes += bytes;
  w->data[w->bytes] = '\0';
  return OLICA_OK;
}

static olica_status refuse(const writer *w, const char *expected) {
  return olica_error_set(w->env, OLICA_ERR_CONFIG, "%s = %.*s, expected %s", w->where, SHOWN, w->given,
                         expected);
}

static bool is_name(char c, bool first) {
  return c == '_' || isalpha((unsigned char)c) || (!first && isdigit((unsigned char)c));
}

static size_t name_length(const char *text) {
  size_t n = 0;
  while (is_name(text[n], n == 0)) n++;
  return n;
}

/* Returns the value of a variable of rank 0, or NULL. */
static const char *value_of(const char *variables, const char *name, size_t length) {
  for (const char *v = variables; v && *v; v += strlen(v) + 1)
    if (strncmp(v, name, length) == 0 && v[length] == '=') return v + length + 1;
  return NULL;
}

static olica_status put_variable(writer *w, const char *name, size_t length) {
  const char *value = value_of(w->variables, name, length);
  if (!value || !*value)
    return olica_error_set(
        w->env, OLICA_ERR_CONFIG,
        "%s = %.*s: the variable %.*s is not set where the job was started, expected a value "
        "($$ is a dollar sign)",
        w->where, SHOWN, w->given, (int)length, name);
  if (w->list && strchr(value, ','))
    return olica_error_set(w->env, OLICA_ERR_CONFIG,
                           "%s: the value of %.*s has a comma, which ends an entry of a list", w->where,
                           (int)length, name);
  return put(w, value, strlen(value));
}

/* Replaces "$NAME", "${NAME}" or "$$" at `text`; *used: its bytes. */
static olica_status put_dollar(writer *w, const char *text, size_t *used) {
  bool braces = text[1] == '{';
  const char *name = text + 1 + braces;
  size_t length = name_length(name);
  *used = 2;
  if (text[1] == '$') return put(w, "$", 1);
  if (length == 0 || (braces && name[length] != '}'))
    return refuse(w, "$NAME or ${NAME} behind a dollar sign ($$ is the sign itself)");
  *used = (size_t)(name - text) + length + braces;
  return put_variable(w, name, length);
}

static bool is_url(const char *text, size_t bytes) {
  size_t n = 0;
  while (n < bytes && (isalnum((unsigned char)text[n]) || strchr("+-.", text[n]))) n++;
  if (n == 0 || n >= bytes || text[n] != ':') return false;
  return (n == 4 && strncmp(text, "file", 4) == 0) ||
         (n + 2 < bytes && text[n + 1] == '/' && text[n + 2] == '/');
}

/* Expands one path, without its quotation marks. */
static olica_status put_path(writer *w, const char *text, size_t bytes) {
  size_t at = 0;
  if (is_url(text, bytes)) return refuse(w, "a path, no URL");
  if (bytes > 0 && *text == '~') {
    if (bytes > 1 && text[1] != '/')
      return refuse(w, "~/ for your own home (another's is not looked up; ./~name is a file of that name)");
    OLICA_TRY(put_variable(w, "HOME", 4));
    at = 1;
  }
  for (size_t used; at < bytes; at += used) {
    used = 1;
    OLICA_TRY(text[at] == '$' ? put_dollar(w, text + at, &used) : put(w, text + at, 1));
  }
  return OLICA_OK;
}

static bool is_quote(char c) {
  return c == '"' || c == '\'';
}

/* Cuts a pair of quotation marks off both ends; false: there is one without its partner. */
static bool unquote(const char **text, size_t *bytes) {
  size_t n = *bytes;
  if (n == 0 || (!is_quote((*text)[0]) && !is_quote((*text)[n - 1]))) return true;
  if (n < 2 || !is_quote((*text)[0]) || memchr(*text + 1, (*text)[0], n - 1) != *text + n - 1) return false;
  *text += 1;
  *bytes -= 2;
  return true;
}

static const char *const UNPAIRED =
    "quotation marks around all of it or none (a # or ; behind a blank begins a comment)";

static size_t blanks(const char *text, size_t bytes) {
  size_t n = 0;
  while (n < bytes && (text[n] == ' ' || text[n] == '\t')) n++;
  return n;
}

/* Expands the file of an entry, in quotation marks or not; copies the rest (a weight, a field). */
static olica_status put_file(writer *w, const char *text, size_t bytes) {
  size_t skip = blanks(text, bytes);
  text += skip, bytes -= skip;
  while (bytes > 0 && (text[bytes - 1] == ' ' || text[bytes - 1] == '\t')) bytes--;
  const char *close = bytes > 1 && is_quote(*text) ? memchr(text + 1, *text, bytes - 1) : NULL;
  if (!close) return unquote(&text, &bytes) ? put_path(w, text, bytes) : refuse(w, UNPAIRED);
  OLICA_TRY(put_path(w, text + 1, (size_t)(close - text) - 1));
  return put(w, close + 1, bytes - (size_t)(close - text) - 1);
}

static olica_status put_entry(writer *w, const char *text, size_t bytes) {
  size_t skip = blanks(text, bytes);
  text += skip, bytes -= skip;
  while (bytes > 0 && (text[bytes - 1] == ' ' || text[bytes - 1] == '\t')) bytes--;
  if (bytes > 0 && is_quote(*text) && !unquote(&text, &bytes)) return refuse(w, UNPAIRED);
  const char *colon = bytes > 0 ? memchr(text, ':', bytes) : NULL;
  if (!colon) return put(w, text, bytes);
  OLICA_TRY(put(w, text, (size_t)(colon - text) + 1));
  return put_file(w, colon + 1, bytes - (size_t)(colon - text) - 1);
}

static olica_status put_list(writer *w, const char *text, size_t bytes) {
  bool plain = bytes > 0 && !memchr(text, '"', bytes) && !memchr(text, '\'', bytes) &&
               !memchr(text, '$', bytes) && !memchr(text, '~', bytes);
  if (plain) return put(w, text, bytes); /* nothing to expand */
  for (const char *end = text + bytes; text <= end;) {
    const char *comma = memchr(text, ',', (size_t)(end - text)), *stop = comma ? comma : end;
    OLICA_TRY(put_entry(w, text, (size_t)(stop - text)));
    if (comma) OLICA_TRY(put(w, ",", 1));
    text = stop + 1;
  }
  return OLICA_OK;
}

olica_status olica_paths_expand(olica_env *env, const char *where, const char *variables, const char *given,
                                bool list, char **path) {
  writer w = {.env = env, .where = where, .variables = variables, .given = given, .list = list};
  const char *text = given;
  size_t bytes = strlen(given);
  bool paired = unquote(&text, &bytes); /* a list's entries may have marks of their own */
  OLICA_TRY(put(&w, "", 0));
  if (!paired && !list) return refuse(&w, UNPAIRED);
  OLICA_TRY(list ? put_list(&w, text, bytes) : put_path(&w, text, bytes));
  *path = w.data;
  return OLICA_OK;
}

/* Adds a variable, if it is set and not in the list yet. */
static olica_status add_variable(writer *w, const char *name, size_t length) {
  char *copy, directory[4096];
  if (value_of(w->data, name, length)) return OLICA_OK;
  OLICA_TRY(OLICA_NEW(w->env, copy, length + 1));
  memcpy(copy, name, length);
  bool here = strcmp(copy, "PWD") == 0;
  const char *value = here ? getcwd(directory, sizeof directory) : getenv(copy);
  olica_memory_free(w->env, copy);
  if (!value) return OLICA_OK;
  OLICA_TRY(put(w, name, length));
  OLICA_TRY(put(w, "=", 1));
  return put(w, value, strlen(value) + 1);
}

olica_status olica_paths_variables(olica_env *env, int count, const char *const *text, char **variables,
                                   size_t *bytes) {
  writer w = {.env = env};
  OLICA_TRY(put(&w, "", 0));
  OLICA_TRY(add_variable(&w, "HOME", 4));
  for (int i = 0; i < count; i++)
    for (const char *at = text[i]; at && (at = strchr(at, '$')); at++) {
      const char *name = at + 1 + (at[1] == '{');
      if (name_length(name) > 0) OLICA_TRY(add_variable(&w, name, name_length(name)));
    }
  *variables = w.data;
  *bytes = w.bytes + 1;
  return OLICA_OK;
}
