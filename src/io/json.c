#include "io/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "io/file.h"

enum { EXPECTATION = 96, NAMES = 256 };

/* A text to parse: its place in a file, and the allowed forms. */
typedef struct document {
  const char *name;
  int64_t line; /* lines of the file before its first line */
  bool strict;  /* integers past int64 are an error */
  size_t flags; /* jansson's flags */
} document;

static olica_status malformed(olica_env *env, const document *from, json_error_t *error) {
  const char *name = from->name;
  /* If jansson cannot allocate its own buffers, it sets neither code nor place. */
  if (json_error_code(error) == json_error_out_of_memory || error->line < 0)
    return olica_error_set(env, OLICA_ERR_MEMORY, "%s: no memory to parse it", name);
  return olica_error_set(env, OLICA_ERR_INPUT, "%s: line %lld, column %d: %s; expected JSON%s", name,
                         (long long)(from->line + error->line), error->column, error->text,
                         json_error_code(error) == json_error_invalid_utf8
                             ? " in UTF-8 (iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW recodes)"
                             : "");
}

static olica_status parse(olica_env *env, const document *from, const char *text, size_t bytes,
                          json_t **root) {
  const char *name = from->name;
  if (bytes == 0) return olica_error_set(env, OLICA_ERR_INPUT, "%s: is empty, expected a JSON object", name);
  if (bytes > 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) text += 3, bytes -= 3; /* a byte order mark */
  json_error_t error;
  json_t *value = json_loadb(text, bytes, from->flags, &error);
  /* As reals, integers up to 2^53 stay exact, and the getters take integral reals. */
  if (!value && !from->strict && json_error_code(&error) == json_error_numeric_overflow)
    value = json_loadb(text, bytes, from->flags | JSON_DECODE_INT_AS_REAL, &error);
  if (!value) return malformed(env, from, &error);
  if (!json_is_object(value)) {
    char found[OLICA_JSON_TEXT];
    olica_json_describe(value, found);
    json_decref(value);
    if (from->line > 0)
      return olica_error_set(env, OLICA_ERR_INPUT, "%s: line %lld: is %s, expected an object", name,
                             (long long)from->line + 1, found);
    return olica_error_set(env, OLICA_ERR_INPUT, "%s: holds %s, expected an object", name, found);
  }
  *root = value;
  return OLICA_OK;
}

olica_status olica_json_parse(olica_env *env, const char *name, const char *text, size_t bytes,
                              json_t **root) {
  const document from = {.name = name, .flags = JSON_REJECT_DUPLICATES};
  return parse(env, &from, text, bytes, root);
}

olica_status olica_json_parse_strict(olica_env *env, const char *name, const char *text, size_t bytes,
                                     json_t **root) {
  const document from = {.name = name, .strict = true, .flags = JSON_REJECT_DUPLICATES};
  return parse(env, &from, text, bytes, root);
}

olica_status olica_json_load(olica_env *env, const char *path, size_t limit, json_t **root) {
  char *text;
  size_t bytes;
  *root = NULL;
  OLICA_TRY(olica_file_load(env, path, limit, &text, &bytes));
  olica_status status = olica_json_parse(env, path, text, bytes, root);
  olica_memory_free(env, text);
  return status;
}

olica_status olica_json_parse_row(olica_env *env, const char *name, int64_t line, const char *text,
                                  size_t bytes, json_t **root) {
  const document from = {.name = name, .line = line - 1, .flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL};
  return parse(env, &from, text, bytes, root);
}

/* Shortens a string for a message, never inside a UTF-8 character. */
static void describe_string(const char *string, char *text) {
  int keep = OLICA_JSON_TEXT - 24, length = (int)strnlen(string, OLICA_JSON_TEXT);
  bool cut = length > keep;
  if (cut) {
    while (keep > 0 && ((unsigned char)string[keep] & 0xc0) == 0x80) keep--;
    length = keep;
  }
  snprintf(text, OLICA_JSON_TEXT, "the string \"%.*s%s\"", length, string, cut ? "..." : "");
  olica_log_printable(text);
}

/* Shows 1.0 as such, so that it differs from an integer. */
static void describe_real(double real, char *text) {
  int length = snprintf(text, OLICA_JSON_TEXT - 2, "%.15g", real);
  if (text[strspn(text, "-0123456789")] == '\0') memcpy(text + length, ".0", 3);
}

void olica_json_describe(const json_t *value, char *text) {
  const char *word = "missing";
  if (value) switch (json_typeof(value)) {
    case JSON_STRING:
      describe_string(json_string_value(value), text);
      return;
    case JSON_INTEGER:
      snprintf(text, OLICA_JSON_TEXT, "%lld", (long long)json_integer_value(value));
      return;
    case JSON_REAL:
      describe_real(json_real_value(value), text);
      return;
    case JSON_OBJECT:
      word = "an object";
      break;
    case JSON_ARRAY:
      word = "an array";
      break;
    case JSON_TRUE:
      word = "true";
      break;
    case JSON_FALSE:
      word = "false";
      break;
    case JSON_NULL:
      word = "null";
      break;
    }
  snprintf(text, OLICA_JSON_TEXT, "%s", word);
}

static olica_status unexpected(olica_env *env, const char *name, const char *key, const json_t *found,
                               const char *expected) {
  char text[OLICA_JSON_TEXT];
  olica_json_describe(found, text);
  return olica_error_set(env, OLICA_ERR_INPUT, "%s: %s is %s, expected %s", name, key, text, expected);
}

/* Returns true for a missing or null optional member: the default stays. */
static bool is_default(const json_t *value, bool required) {
  return !required && (!value || json_is_null(value));
}

/* Converts a value to an integer, also one written as a real (64.0, 1e3). Past 2^53 reals are not exact
 * integers. */
static bool as_integer(const json_t *value, int64_t *integer) {
  const double exact = 9007199254740992.0;
  if (json_is_integer(value)) {
    *integer = json_integer_value(value);
    return true;
  }
  if (!json_is_real(value)) return false;
  double real = json_real_value(value);
  if (!(fabs(real) <= exact) || floor(real) != real) return false;
  *integer = (int64_t)real;
  return true;
}

olica_status olica_json_integer(olica_env *env, const char *name, const json_t *object, const char *key,
                                bool required, int64_t low, int64_t high, int64_t *value) {
  const json_t *found = json_object_get(object, key);
  if (is_default(found, required)) return OLICA_OK;
  int64_t integer;
  if (as_integer(found, &integer) && integer >= low && integer <= high) {
    *value = integer;
    return OLICA_OK;
  }
  char expected[EXPECTATION];
  if (low > INT64_MIN && high < INT64_MAX)
    snprintf(expected, sizeof expected, "an integer in [%lld, %lld]", (long long)low, (long long)high);
  else if (low > INT64_MIN)
    snprintf(expected, sizeof expected, "an integer from %lld on", (long long)low);
  else
    snprintf(expected, sizeof expected, "an integer up to %lld", (long long)high);
  return unexpected(env, name, key, found, expected);
}

olica_status olica_json_real(olica_env *env, const char *name, const json_t *object, const char *key,
                             bool required, double low, double high, double *value) {
  const json_t *found = json_object_get(object, key);
  if (is_default(found, required)) return OLICA_OK;
  double real = json_number_value(found);
  if (json_is_number(found) && real >= low && real <= high) {
    *value = real;
    return OLICA_OK;
  }
  char expected[EXPECTATION];
  snprintf(expected, sizeof expected, "a number in [%.10g, %.10g]", low, high);
  return unexpected(env, name, key, found, expected);
}

olica_status olica_json_boolean(olica_env *env, const char *name, const json_t *object, const char *key,
                                bool required, bool *value) {
  const json_t *found = json_object_get(object, key);
  if (is_default(found, required)) return OLICA_OK;
  if (!json_is_boolean(found)) return unexpected(env, name, key, found, "true or false");
  *value = json_boolean_value(found);
  return OLICA_OK;
}

olica_status olica_json_string(olica_env *env, const char *name, const json_t *object, const char *key,
                               bool required, const char **value) {
  const json_t *found = json_object_get(object, key);
  if (is_default(found, required)) return OLICA_OK;
  if (!json_is_string(found)) return unexpected(env, name, key, found, "a string");
  *value = json_string_value(found);
  return OLICA_OK;
}

/* Lists the first names of an object's members, printable: "content, id, ...". */
static void list_names(const json_t *object, char *text, size_t room) {
  const char *key;
  json_t *value;
  size_t used = 0;
  text[0] = '\0';
  json_object_foreach((json_t *)object, key, value) {
    if (used > room - 48) {
      snprintf(text + used, room - used, ", ...");
      break;
    }
    used += (size_t)snprintf(text + used, room - used, "%s%.32s", used ? ", " : "", key);
  }
  olica_log_printable(text);
}

olica_status olica_json_member(olica_env *env, const char *name, const json_t *object, const char *key,
                               const char **value) {
  char names[NAMES];
  if (json_object_get(object, key)) return olica_json_string(env, name, object, key, true, value);
  list_names(object, names, sizeof names);
  return olica_error_set(env, OLICA_ERR_INPUT, "%s: %s is missing, expected a string (there %s%s)", name, key,
                         *names ? "is " : "is nothing", names);
}
