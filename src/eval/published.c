#include "published.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include "io/json.h"
#include "strip.h"

enum { NAME = 64, LABELS = 160 };

static olica_status refuse(olica_env *env, const char *where, const char *member, const json_t *found,
                           const char *expected) {
  char text[OLICA_JSON_TEXT];
  olica_json_describe(found, text);
  return olica_error_set(env, OLICA_ERR_INPUT, "%s: %s is %s, expected %s", where, member, text, expected);
}

/* Takes over an object of jansson's; NULL means that it had no memory. */
static olica_status made(olica_env *env, const char *where, const json_t *value) {
  return value ? OLICA_OK : olica_error_set(env, OLICA_ERR_MEMORY, "%s: no memory for the row", where);
}

/* ---- HellaSwag ---- */

static size_t replace(char *text, size_t bytes, const char *from, const char *to) {
  size_t old = strlen(from), new = strlen(to), kept = 0; /* new <= old */
  for (size_t i = 0; i < bytes;) {
    if (i + old <= bytes && memcmp(text + i, from, old) == 0) {
      memcpy(text + kept, to, new);
      kept += new;
      i += old;
    } else {
      text[kept++] = text[i++];
    }
  }
  return kept;
}

/* Takes out every bracket with what is in it, to the next closing one on its line. */
static size_t drop_brackets(char *text, size_t bytes) {
  size_t kept = 0;
  for (size_t i = 0; i < bytes; i++) {
    const char *close = text[i] == '[' ? memchr(text + i, ']', bytes - i) : NULL;
    if (close && !memchr(text + i, '\n', (size_t)(close - text) - i))
      i = (size_t)(close - text);
    else
      text[kept++] = text[i];
  }
  return kept;
}

/* Cleans a text in place, in this order: strips white space off both ends, makes titles sentences, takes
 * other brackets out, makes two spaces one. */
static size_t clean(char *text, size_t bytes) {
  const char *from = text, *end = text + bytes;
  olica_strip(&from, &end);
  bytes = (size_t)(end - from);
  memmove(text, from, bytes);
  bytes = replace(text, bytes, " [title]", ". ");
  bytes = drop_brackets(text, bytes);
  return replace(text, bytes, "  ", " ");
}

/* Puts a text's first character in title case and the others in lower case, each by itself; returns its
 * bytes, at most three times as many. */
static size_t capitalize(const char *text, char *to) {
  const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;
  size_t used = 0;
  utf8proc_int32_t code;
  for (utf8proc_ssize_t n; *at && (n = utf8proc_iterate(at, -1, &code)) > 0; at += n) {
    code = used ? utf8proc_tolower(code) : utf8proc_totitle(code);
    used += (size_t)utf8proc_encode_char(code, (utf8proc_uint8_t *)to + used);
  }
  return used;
}

static olica_status make_context(olica_env *env, const char *where, const json_t *row, json_t **ctx) {
  const char *label = json_string_value(json_object_get(row, "activity_label"));
  const char *first = json_string_value(json_object_get(row, "ctx_a"));
  const char *second = json_string_value(json_object_get(row, "ctx_b"));
  size_t room = strlen(label) + strlen(first) + 3 * strlen(second) + 4;
  char *text;
  OLICA_TRY(OLICA_NEW(env, text, room));
  size_t bytes = (size_t)snprintf(text, room, "%s: %s ", label, first);
  bytes += capitalize(second, text + bytes);
  *ctx = json_stringn(text, clean(text, bytes));
  olica_memory_free(env, text);
  return made(env, where, *ctx);
}

static olica_status clean_ending(olica_env *env, const char *where, size_t i, const json_t *ending,
                                 json_t *cleaned) {
  char name[NAME], *text;
  snprintf(name, sizeof name, "endings[%zu]", i);
  if (!json_is_string(ending)) return refuse(env, where, name, ending, "a string");
  size_t bytes = json_string_length(ending);
  OLICA_TRY(OLICA_NEW(env, text, bytes + 1));
  memcpy(text, json_string_value(ending), bytes);
  bytes = clean(text, bytes);
  int failed = json_array_append_new(cleaned, json_stringn(text, bytes));
  olica_memory_free(env, text);
  return made(env, where, failed ? NULL : cleaned);
}

static olica_status clean_endings(olica_env *env, const char *where, const json_t *row, json_t *cleaned) {
  const json_t *endings = json_object_get(row, "endings"), *ending;
  size_t i;
  OLICA_TRY(made(env, where, cleaned));
  if (!json_is_array(endings)) return refuse(env, where, "endings", endings, "an array of strings");
  json_array_foreach(endings, i, ending) OLICA_TRY(clean_ending(env, where, i, ending, cleaned));
  return OLICA_OK;
}

/* Returns true if the row, which lacks the members of published ones, is prepared: its texts have no marks.
 */
static olica_status check_marks(olica_env *env, const char *where, const json_t *row) {
  static const char *const marks[] = {"[header]", "[title]", "[step]", "[substeps]"};
  const char *ctx = json_string_value(json_object_get(row, "ctx"));
  const json_t *endings = json_object_get(row, "endings");
  for (size_t m = 0; m < sizeof marks / sizeof *marks; m++)
    for (size_t i = 0; i <= json_array_size(endings); i++) {
      const char *text = i ? json_string_value(json_array_get(endings, i - 1)) : ctx;
      if (text && strstr(text, marks[m]))
        return olica_error_set(
            env, OLICA_ERR_INPUT,
            "%s: %s has %s in it, as published rows do, and there is no activity_label, "
            "ctx_a, ctx_b; expected all of them (they are prepared here) or a prepared row",
            where, i ? "endings" : "ctx", marks[m]);
    }
  return OLICA_OK;
}

/* A prepared row may have kept its label. */
static bool begins_with_label(const json_t *row) {
  const char *label = json_string_value(json_object_get(row, "activity_label"));
  const char *ctx = json_string_value(json_object_get(row, "ctx"));
  size_t bytes = label ? strlen(label) : 0;
  return label && ctx && strncmp(ctx, label, bytes) == 0 && strncmp(ctx + bytes, ": ", 2) == 0;
}

olica_status olica_published_hellaswag(olica_env *env, const char *where, const json_t *row,
                                       json_t **prepared) {
  static const char *const members[] = {"activity_label", "ctx_a", "ctx_b"};
  int there = 0, parts = json_object_get(row, "ctx_a") || json_object_get(row, "ctx_b");
  for (int i = 0; i < 3; i++) there += json_object_get(row, members[i]) != NULL;
  *prepared = NULL;
  if (there == 0 || (!parts && begins_with_label(row))) return check_marks(env, where, row);
  for (int i = 0; i < 3; i++)
    if (!json_is_string(json_object_get(row, members[i])))
      return refuse(env, where, members[i], json_object_get(row, members[i]),
                    "a string (of a row as published) or, in a prepared row, none of activity_label, ctx_a, "
                    "ctx_b");
  json_t *ctx = NULL, *endings = json_array();
  olica_status status = clean_endings(env, where, row, endings);
  if (status == OLICA_OK) status = make_context(env, where, row, &ctx);
  if (status == OLICA_OK) {
    json_t *label = json_object_get(row, "label");
    *prepared = json_pack("{s:O, s:O, s:O*}", "ctx", ctx, "endings", endings, "label", label);
    status = made(env, where, *prepared);
  }
  json_decref(ctx);
  json_decref(endings);
  return status;
}

/* ---- ARC, OpenBookQA ---- */

/* Finds choice i and its label in {text: [...], label: [...]} or [{text, label}, ...]. */
static const json_t *pick(const json_t *choices, const char *member, size_t i) {
  if (json_is_object(choices)) return json_array_get(json_object_get(choices, member), i);
  return json_object_get(json_array_get(choices, i), member);
}

static size_t count_of(const json_t *choices) {
  return json_array_size(json_is_object(choices) ? json_object_get(choices, "text") : choices);
}

static olica_status copy_choices(olica_env *env, const char *where, const json_t *choices, json_t *texts) {
  char name[NAME];
  OLICA_TRY(made(env, where, texts));
  size_t labels = json_array_size(json_object_get(choices, "label")), count = count_of(choices);
  if (json_is_object(choices) && labels != count)
    return olica_error_set(env, OLICA_ERR_INPUT,
                           "%s: choices has %zu elements in text and %zu in label, expected as many", where,
                           count, labels);
  for (size_t i = 0; i < count; i++) {
    const json_t *text = pick(choices, "text", i), *label = pick(choices, "label", i);
    snprintf(name, sizeof name, "choices: %s %zu", json_is_string(text) ? "label" : "text", i);
    if (!json_is_string(text) || !json_is_string(label))
      return refuse(env, where, name, json_is_string(text) ? label : text, "a string");
    if (json_array_append(texts, (json_t *)text)) return made(env, where, NULL);
  }
  return OLICA_OK;
}

/* Finds the place of answerKey among the labels, where it must stand once. */
static olica_status find_key(olica_env *env, const char *where, const json_t *row, const json_t *choices,
                             size_t *gold) {
  const json_t *value = json_object_get(row, "answerKey");
  const char *key = json_string_value(value);
  char labels[LABELS] = "one of the labels ";
  size_t found = 0, count = count_of(choices);
  if (key) key += strspn(key, " ");
  for (size_t i = 0; i < count; i++) {
    const char *label = json_string_value(pick(choices, "label", i));
    size_t used = strlen(labels);
    snprintf(labels + used, sizeof labels - used, "%s%.8s", i ? ", " : "", label);
    if (!key || strcmp(key, label) != 0) continue;
    *gold = i;
    found++;
  }
  if (found > 1)
    return olica_error_set(env, OLICA_ERR_INPUT,
                           "%s: answerKey \"%s\" is the label of %zu choices, expected one", where, key,
                           found);
  return found ? OLICA_OK : refuse(env, where, "answerKey", value, labels);
}

olica_status olica_published_letters(olica_env *env, const char *where, const json_t *row,
                                     json_t **prepared) {
  const json_t *question = json_object_get(row, "question"), *stem = json_object_get(row, "question_stem");
  const json_t *choices = json_object_get(json_is_object(question) ? question : row, "choices");
  bool labelled = json_is_object(choices) || json_is_object(json_array_get(choices, 0));
  *prepared = NULL;
  if (json_is_object(question)) stem = json_object_get(question, "stem");
  if (!labelled && !stem && !json_is_object(question)) return OLICA_OK; /* the table finds what it lacks */
  if (!stem && !json_is_object(question)) stem = question;
  if (!json_is_string(stem))
    return refuse(env, where, json_is_object(question) ? "question.stem" : "question", stem, "a string");
  if (!labelled)
    return refuse(env, where, "choices", choices,
                  "{text: [...], label: [...]} or [{text, label}, ...] (of a row as published)");
  json_t *texts = json_array();
  size_t gold = 0;
  olica_status status = copy_choices(env, where, choices, texts);
  if (status == OLICA_OK) status = find_key(env, where, row, choices, &gold);
  if (status == OLICA_OK) {
    *prepared = json_pack("{s:O, s:O, s:I}", "question", stem, "choices", texts, "gold", (json_int_t)gold);
    status = made(env, where, *prepared);
  }
  json_decref(texts);
  return status;
}

/* ---- BoolQ ---- */

olica_status olica_published_boolq(olica_env *env, const char *where, const json_t *row, json_t **prepared) {
  const char *title = json_string_value(json_object_get(row, "title"));
  const char *passage = json_string_value(json_object_get(row, "passage"));
  size_t bytes = title ? strlen(title) : 0;
  *prepared = NULL;
  if (bytes == 0 || !passage) return OLICA_OK;
  if (strncmp(passage, title, bytes) == 0 && strncmp(passage + bytes, " -- ", 4) == 0) return OLICA_OK;
  json_t *whole = json_sprintf("%s -- %s", title, passage), *copy = json_copy((json_t *)row);
  if (!copy || json_object_set_new(copy, "passage", whole)) {
    json_decref(copy);
    return made(env, where, NULL);
  }
  *prepared = copy;
  return OLICA_OK;
}
