#include "config/value.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

enum { SHOWN = 120 }; /* characters of a bad value that a message repeats */

static bool in_range(const olica_setting *setting, double x) {
  bool above = setting->open[0] == '(' ? x > setting->low : x >= setting->low;
  bool below = setting->open[0] && setting->open[1] == ')' ? x < setting->high : x <= setting->high;
  return above && below; /* false for NaN */
}

/* Reads a whole number and nothing behind it. */
static bool read_integer(const char *text, int64_t *value) {
  char *end;
  errno = 0;
  long long number = strtoll(text, &end, 10);
  *value = number;
  return errno == 0 && end > text && *end == '\0';
}

/* Reads a decimal number, unlike strtod no "nan", "inf" or hexadecimal. *end is behind it. */
static bool read_decimal(const char *text, double *value, char **end) {
  *end = (char *)text;
  size_t decimal = strspn(text, "+-.0123456789eE");
  if (!strchr("+-.0123456789", *text) || text[decimal] == 'x' || text[decimal] == 'X') return false;
  errno = 0;
  *value = strtod(text, end);
  return errno == 0 && *end > text && isfinite(*value);
}

static bool read_ranged(const olica_setting *setting, const char *text, int64_t *value) {
  return read_integer(text, value) && in_range(setting, (double)*value);
}

static bool read_bool(const char *text, bool *value) {
  static const char *const words[] = {"no", "yes", "false", "true", "off", "on"};
  for (int i = 0; i < 6; i++)
    if (strcasecmp(text, words[i]) == 0) {
      *value = i % 2;
      return true;
    }
  return false;
}

static bool read_choice(const olica_setting *setting, const char *text, int *value) {
  const char *name;
  for (int i = 0; (name = setting->choice(i)); i++)
    if (strcmp(text, name) == 0) {
      *value = i;
      return true;
    }
  return false;
}

/* Reads "512MiB", "1.5 GiB"; on a disk also "5GB", as Hugging Face counts. Refuses a bare number: it is more
 * often a forgotten unit than bytes. */
static bool read_size(const olica_setting *setting, const char *text, int64_t *value) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  static const char *const decimal[] = {"B", "KB", "MB", "GB", "TB"};
  char *end;
  double number, scale = 1, thousands = 1;
  if (!read_decimal(text, &number, &end)) return false;
  while (*end == ' ') end++;
  for (int i = 0; i < 5; i++, scale *= 1024, thousands *= 1000) {
    bool is_decimal = setting->kind == OLICA_KIND_DISK && strcasecmp(end, decimal[i]) == 0;
    if (is_decimal) scale = thousands;
    if (!is_decimal && strcasecmp(end, units[i]) != 0) continue;
    if (!in_range(setting, number * scale)) return false;
    *value = (int64_t)(number * scale);
    return true;
  }
  return false;
}

/* Reads "[D-]HH:MM:SS", as Slurm writes it. */
static bool read_duration(const char *text, int64_t *seconds) {
  int days = 0, hours, minutes, rest, used = 0;
  if (text[strspn(text, "0123456789:-")] || strlen(text) > 16) return false;
  if (sscanf(text, "%4d-%2d:%2d:%2d%n", &days, &hours, &minutes, &rest, &used) != 4 || text[used]) {
    days = 0;
    if (sscanf(text, "%4d:%2d:%2d%n", &hours, &minutes, &rest, &used) != 3 || text[used]) return false;
  }
  if (days < 0 || hours < 0 || minutes < 0 || minutes > 59 || rest < 0 || rest > 59) return false;
  *seconds = ((days * 24LL + hours) * 60 + minutes) * 60 + rest;
  return *seconds > 0;
}

/* Reads "1 layer", "3 layers", "10 min". */
static bool read_cadence(const olica_setting *setting, const char *text, olica_cadence *value) {
  char *unit;
  errno = 0;
  long long number = strtoll(text, &unit, 10);
  if (errno || unit == text || !in_range(setting, (double)number)) return false;
  while (*unit == ' ') unit++;
  if (strcmp(unit, "layer") == 0 || strcmp(unit, "layers") == 0)
    *value = (olica_cadence){.layers = number};
  else if (strcmp(unit, "min") == 0)
    *value = (olica_cadence){.minutes = number};
  else
    return false;
  return true;
}

/* Reads a word of the kind that stands for a number. */
static bool read_word(const olica_setting *setting, const char *text, void *to) {
  bool is_auto = strcmp(text, "auto") == 0, is_off = strcmp(text, "off") == 0;
  switch (setting->kind) {
  case OLICA_KIND_COUNT:
  case OLICA_KIND_SIZE:
    if (is_auto) *(int64_t *)to = 0;
    return is_auto;
  case OLICA_KIND_DURATION:
    if (is_auto || is_off) *(int64_t *)to = is_auto ? -1 : 0;
    return is_auto || is_off;
  case OLICA_KIND_CADENCE:
    if (is_off) *(olica_cadence *)to = (olica_cadence){0};
    return is_off;
  default:
    return false;
  }
}

/* Checks a list "alpaca:a.json, plain:b.txt": every entry is a word, a colon, and something behind it. */
static bool is_files(const char *text) {
  for (const char *at = text; *at; at++) {
    at += strspn(at, " \t");
    size_t word = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_");
    const char *file = at + word + 1, *end = at + strcspn(at, ",");
    if (word == 0 || at[word] != ':' || file + strspn(file, " \t") >= end) return false;
    at = end;
    if (!*at) return true;
  }
  return !*text;
}

static bool read_value(const olica_setting *setting, const char *text, void *to) {
  char *end;
  if (read_word(setting, text, to)) return true;
  switch (setting->kind) {
  case OLICA_KIND_STRING:
  case OLICA_KIND_PATH:
  case OLICA_KIND_TEXTS:
    *(const char **)to = text;
    return true;
  case OLICA_KIND_FILES:
    *(const char **)to = text;
    return is_files(text);
  case OLICA_KIND_INTEGER:
  case OLICA_KIND_COUNT:
    return read_ranged(setting, text, to);
  case OLICA_KIND_REAL:
    return read_decimal(text, to, &end) && !*end && in_range(setting, *(double *)to);
  case OLICA_KIND_BOOL:
    return read_bool(text, to);
  case OLICA_KIND_CHOICE:
    return read_choice(setting, text, to);
  case OLICA_KIND_SIZE:
  case OLICA_KIND_DISK:
    return read_size(setting, text, to);
  case OLICA_KIND_DURATION:
    return read_duration(text, to);
  case OLICA_KIND_CADENCE:
    return read_cadence(setting, text, to);
  }
  return false;
}

olica_status olica_value_parse(olica_env *env, const char *where, const olica_setting *setting,
                               const char *text, void *to) {
  if (read_value(setting, text, to)) return OLICA_OK;
  char expected[OLICA_VALUE_TEXT];
  return olica_error_set(env, OLICA_ERR_CONFIG, "%s: [%s] %s = \"%.*s\", expected %s", where,
                         setting->section, setting->key, SHOWN, text,
                         olica_value_expected(setting, expected));
}

static const char *expect_choice(const olica_setting *setting, char *text) {
  const char *name;
  size_t used = (size_t)snprintf(text, OLICA_VALUE_TEXT, "one of");
  for (int i = 0; (name = setting->choice(i)) && used < OLICA_VALUE_TEXT; i++)
    used += (size_t)snprintf(text + used, OLICA_VALUE_TEXT - used, "%s %s", i ? "," : "", name);
  return text;
}

/* Describes "a whole number from 1 to 1024", "a number in [0, 1)". */
static const char *expect_number(const olica_setting *setting, const char *what, char *text) {
  const char *open = setting->open[0] ? setting->open : "[]";
  if (setting->kind == OLICA_KIND_REAL)
    snprintf(text, OLICA_VALUE_TEXT, "%s in %c%.10g, %.10g%c", what, open[0], setting->low, setting->high,
             open[1]);
  else
    snprintf(text, OLICA_VALUE_TEXT, "%s from %.16g to %.16g", what, setting->low, setting->high);
  return text;
}

/* Describes sizes: units and bounds are powers of two. */
static const char *expect_size(const olica_setting *setting, char *text) {
  snprintf(text, OLICA_VALUE_TEXT, "auto or a size from %.10gMiB to %.10gTiB, as 512MiB or 4GiB",
           setting->low / 0x1p20, setting->high / 0x1p40);
  return text;
}

static const char *expect_words(const char *words, char *text) {
  snprintf(text, OLICA_VALUE_TEXT, "%s", words);
  return text;
}

const char *olica_value_expected(const olica_setting *setting, char *text) {
  switch (setting->kind) {
  case OLICA_KIND_STRING:
    return expect_words("text", text);
  case OLICA_KIND_PATH:
    return expect_words("a path", text);
  case OLICA_KIND_FILES:
    return expect_words("a list of kind:FILE, separated by commas", text);
  case OLICA_KIND_TEXTS:
    return expect_words("a path, or a list of NAME:FILE, separated by commas", text);
  case OLICA_KIND_INTEGER:
    return expect_number(setting, "a whole number", text);
  case OLICA_KIND_COUNT:
    return expect_number(setting, "auto or a whole number", text);
  case OLICA_KIND_REAL:
    return expect_number(setting, "a number", text);
  case OLICA_KIND_BOOL:
    return expect_words("yes or no", text);
  case OLICA_KIND_CHOICE:
    return expect_choice(setting, text);
  case OLICA_KIND_SIZE:
    return expect_size(setting, text);
  case OLICA_KIND_DISK:
    snprintf(text, OLICA_VALUE_TEXT, "a size from %.10gMB to %.10gTB, as 5GB or 512MiB", setting->low / 1e6,
             setting->high / 1e12);
    return text;
  case OLICA_KIND_DURATION:
    return expect_words("auto, off or a time as HH:MM:SS", text);
  case OLICA_KIND_CADENCE:
    snprintf(text, OLICA_VALUE_TEXT, "off, N layers or N min with N from %.16g to %.16g", setting->low,
             setting->high);
    return text;
  }
  return expect_words("a value", text);
}

/* Returns the bytes of the UTF-8 character at `text`; 0: it is none. */
static size_t character(const char *text) {
  utf8proc_int32_t code;
  utf8proc_ssize_t bytes = utf8proc_iterate((const utf8proc_uint8_t *)text, -1, &code);
  return bytes > 0 ? (size_t)bytes : 0;
}

bool olica_value_is_text(const char *text) {
  for (size_t bytes; *text; text += bytes)
    if ((bytes = character(text)) == 0) return false;
  return true;
}

json_t *olica_value_string(const char *text) {
  json_t *string = json_string(text);
  if (string || olica_value_is_text(text)) return string;
  char *escaped = malloc(strlen(text) * strlen("\\xff") + 1), *to = escaped;
  if (!escaped) return NULL;
  while (*text) {
    size_t bytes = character(text);
    if (bytes == 0) to += sprintf(to, "\\x%02x", (unsigned char)*text++);
    for (; bytes > 0; bytes--) *to++ = *text++;
  }
  *to = '\0';
  string = json_string(escaped);
  free(escaped);
  return string;
}

static json_t *duration_json(int64_t seconds) {
  if (seconds <= 0) return json_string(seconds < 0 ? "auto" : "off");
  return json_sprintf("%02lld:%02lld:%02lld", (long long)seconds / 3600, (long long)seconds / 60 % 60,
                      (long long)seconds % 60);
}

static json_t *cadence_json(const olica_cadence *cadence) {
  if (cadence->minutes) return json_sprintf("%lld min", (long long)cadence->minutes);
  if (!cadence->layers) return json_string("off");
  return json_sprintf("%lld layer%s", (long long)cadence->layers, cadence->layers > 1 ? "s" : "");
}

json_t *olica_value_json(const olica_setting *setting, const void *from) {
  switch (setting->kind) {
  case OLICA_KIND_STRING:
  case OLICA_KIND_PATH:
  case OLICA_KIND_FILES:
  case OLICA_KIND_TEXTS:
    return olica_value_string(*(const char *const *)from);
  case OLICA_KIND_INTEGER:
  case OLICA_KIND_DISK:
    return json_integer(*(const int64_t *)from);
  case OLICA_KIND_COUNT:
  case OLICA_KIND_SIZE:
    return *(const int64_t *)from ? json_integer(*(const int64_t *)from) : json_string("auto");
  case OLICA_KIND_REAL:
    return json_real(*(const double *)from);
  case OLICA_KIND_BOOL:
    return json_boolean(*(const bool *)from);
  case OLICA_KIND_CHOICE:
    return json_string(setting->choice(*(const int *)from));
  case OLICA_KIND_DURATION:
    return duration_json(*(const int64_t *)from);
  case OLICA_KIND_CADENCE:
    return cadence_json(from);
  }
  return NULL;
}
