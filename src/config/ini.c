#include "config/ini.h"

#include <stdlib.h>
#include <string.h>

#include "text/look.h"

enum { SHOWN = 60 }; /* characters of a bad line that a message repeats */

static int is_space(char c) {
  return c == ' ' || c == '\t';
}

char *olica_ini_trim(char *text) {
  while (is_space(*text)) text++;
  size_t n = strlen(text);
  while (n > 0 && is_space(text[n - 1])) text[--n] = '\0';
  return text;
}

/* Cuts a comment, which begins at `#` or `;` at the start of the line or after white space. */
static void cut_comment(char *line) {
  for (char *c = line; *c; c++)
    if ((*c == '#' || *c == ';') && (c == line || is_space(c[-1]))) {
      *c = '\0';
      return;
    }
}

/* Ends the line at `text`, without its CR; returns the start of the next one, or NULL after the last. */
static char *cut_line(char *text, char *end) {
  char *newline = memchr(text, '\n', (size_t)(end - text));
  char *stop = newline ? newline : end;
  *stop = '\0';
  if (stop > text && stop[-1] == '\r') stop[-1] = '\0';
  return newline ? newline + 1 : NULL;
}

/* Refuses control characters, NUL included: text behind them would be lost or misread. */
static olica_status check_characters(olica_env *env, const char *name, const char *text, size_t bytes) {
  int line = 1;
  for (size_t i = 0; i < bytes; i++) {
    unsigned char c = (unsigned char)text[i];
    if (c == '\n') line++;
    if (c >= ' ' || c == '\t' || c == '\n') continue;
    if (c == '\r' && (i + 1 == bytes || text[i + 1] == '\n')) continue;
    return olica_error_set(env, OLICA_ERR_CONFIG, "%s:%d: control character 0x%02x, expected plain text",
                           name, line, c);
  }
  return OLICA_OK;
}

static olica_status read_section(olica_env *env, const char *name, char *line, olica_ini_entry *entry) {
  char *close = strchr(line, ']');
  if (!close)
    return olica_error_set(env, OLICA_ERR_CONFIG, "%s:%d: \"%.*s\" has no ']', expected [section]", name,
                           entry->line, SHOWN, line);
  if (close[1])
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "%s:%d: \"%.*s\" behind the section's ']', expected a new line", name, entry->line,
                           SHOWN, olica_ini_trim(close + 1));
  *close = '\0';
  entry->section = olica_ini_trim(line + 1);
  if (!*entry->section)
    return olica_error_set(env, OLICA_ERR_CONFIG, "%s:%d: a section without a name, expected [section]", name,
                           entry->line);
  return OLICA_OK;
}

static olica_status read_key(olica_env *env, const char *name, char *line, olica_ini_entry *entry) {
  char *equals = strchr(line, '=');
  if (!equals)
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "%s:%d: \"%.*s\" has no '=', expected key = value or [section]", name, entry->line,
                           SHOWN, line);
  if (!entry->section)
    return olica_error_set(env, OLICA_ERR_CONFIG,
                           "%s:%d: \"%.*s\" stands before any section, expected [section]", name, entry->line,
                           SHOWN, line);
  *equals = '\0';
  entry->key = olica_ini_trim(line);
  entry->value = olica_ini_trim(equals + 1);
  if (!*entry->key)
    return olica_error_set(env, OLICA_ERR_CONFIG, "%s:%d: nothing before the '=', expected key = value", name,
                           entry->line);
  return OLICA_OK;
}

static olica_status read_lines(olica_env *env, const char *name, char *text, char *end, olica_ini *ini) {
  const char *section = NULL;
  for (int line = 1; text; line++) {
    char *next = cut_line(text, end);
    cut_comment(text);
    text = olica_ini_trim(text);
    if (*text) {
      olica_ini_entry *entry = &ini->entry[ini->count];
      *entry = (olica_ini_entry){.section = section, .value = "", .line = line};
      OLICA_TRY(*text == '[' ? read_section(env, name, text, entry) : read_key(env, name, text, entry));
      section = entry->section;
      ini->count++;
    }
    text = next;
  }
  return OLICA_OK;
}

/* Compares by name, then by line. */
static int compare(const void *left, const void *right) {
  const olica_ini_entry *a = left, *b = right;
  int order = strcmp(a->section, b->section);
  if (order == 0) order = strcmp(a->key ? a->key : "", b->key ? b->key : "");
  return order ? order : (a->line > b->line) - (a->line < b->line);
}

/* Finds duplicates by sorting a copy, not by comparing every pair: a hostile file may have 300 000 keys. */
static olica_status check_duplicates(olica_env *env, const char *name, const olica_ini *ini) {
  olica_ini_entry *sorted;
  OLICA_TRY(OLICA_NEW(env, sorted, (size_t)ini->count));
  memcpy(sorted, ini->entry, (size_t)ini->count * sizeof *sorted);
  qsort(sorted, (size_t)ini->count, sizeof *sorted, compare);
  for (int i = 1; i < ini->count; i++) {
    const olica_ini_entry *a = &sorted[i - 1], *b = &sorted[i];
    if (!a->key || !b->key || strcmp(a->section, b->section) != 0 || strcmp(a->key, b->key) != 0) continue;
    return olica_error_set(env, OLICA_ERR_CONFIG, "%s:%d: [%.*s] %.*s again, expected only that of line %d",
                           name, b->line, SHOWN, b->section, SHOWN, b->key, a->line);
  }
  OLICA_FREE(env, sorted);
  return OLICA_OK;
}

olica_status olica_ini_parse(olica_env *env, const char *name, const char *text, size_t bytes,
                             olica_ini *ini) {
  *ini = (olica_ini){0};
  if (bytes > OLICA_INI_BYTES)
    return olica_error_set(env, OLICA_ERR_CONFIG, "%s: %zu bytes, expected a config file of at most %d", name,
                           bytes, OLICA_INI_BYTES);
  size_t mark = olica_look_mark(text, bytes);
  text += mark;
  bytes -= mark;
  OLICA_TRY(check_characters(env, name, text, bytes));
  size_t lines = 1;
  for (size_t i = 0; i < bytes; i++) lines += text[i] == '\n';
  OLICA_TRY(OLICA_NEW(env, ini->text, bytes + 1));
  OLICA_TRY(OLICA_NEW(env, ini->entry, lines));
  memcpy(ini->text, text, bytes);
  OLICA_TRY(read_lines(env, name, ini->text, ini->text + bytes, ini));
  return check_duplicates(env, name, ini);
}

void olica_ini_free(olica_env *env, olica_ini *ini) {
  OLICA_FREE(env, ini->entry);
  OLICA_FREE(env, ini->text);
  ini->count = 0;
}
