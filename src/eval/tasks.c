#include "eval/tasks.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "io/json.h"
#include "published.h"
#include "strip.h"

// clang-format off
static const olica_task table[] = {
    {.name = "boolq", .about = "yes or no, from a passage",
     .context = "{passage}\nQuestion: {question}?\nAnswer:", .choice = {"no", "yes"}, .gold = {"answer", "label"},
     .usual = {"passage", " -- "}, .prepare = olica_published_boolq},
    {.name = "piqa", .about = "which of two ways reaches a goal",
     .context = "Question: {goal}\nAnswer:", .choice = {"{sol1}", "{sol2}"}, .gold = {"label"}, .by_length = true},
    {.name = "hellaswag", .about = "how a description goes on",
     .context = "{ctx}", .list = "endings", .gold = {"label"}, .by_length = true,
     .prepare = olica_published_hellaswag},
    {.name = "winogrande", .about = "which of two names fits a sentence",
     .context = "{sentence}", .choice = {"{option1}", "{option2}"}, .gap = true, .gold = {"answer"}, .gold_first = 1},
    {.name = "arc_easy", .about = "science questions of school, the easier ones",
     .context = "Question: {question}\nAnswer:", .list = "choices", .gold = {"gold"}, .by_length = true,
     .prepare = olica_published_letters},
    {.name = "arc_challenge", .about = "science questions of school, the harder ones",
     .context = "Question: {question}\nAnswer:", .list = "choices", .gold = {"gold"}, .by_length = true,
     .prepare = olica_published_letters},
    {.name = "openbookqa", .about = "elementary science, by what a fact leads to",
     .context = "{question}", .list = "choices", .gold = {"gold"}, .by_length = true,
     .prepare = olica_published_letters},
};
// clang-format on

enum { TASKS = sizeof table / sizeof *table, MEMBER = 64, EXPECTED = 256 };

const olica_task *olica_task_at(int i) {
  return i >= 0 && i < TASKS ? &table[i] : NULL;
}

const olica_task *olica_task_find(const char *name) {
  for (int i = 0; i < TASKS; i++)
    if (strcmp(table[i].name, name) == 0) return &table[i];
  return NULL;
}

int olica_task_count(void) {
  return TASKS;
}

/* The arguments that all steps of making a question share. */
typedef struct maker {
  olica_env *env;
  const char *where;
  const json_t *row;
} maker;

static olica_status refuse(const maker *m, const char *member, const json_t *found, const char *expected) {
  char text[OLICA_JSON_TEXT];
  olica_json_describe(found, text);
  return olica_error_set(m->env, OLICA_ERR_INPUT, "%s: %s is %s, expected %s", m->where, member, text,
                         expected);
}

/* Appends `bytes` bytes to `to`, or only counts them (to NULL). */
static void append(char *to, size_t *used, const char *from, size_t bytes) {
  if (to) memcpy(to + *used, from, bytes);
  *used += bytes;
}

/* Fills a template into `to` (NULL: only counts). */
static olica_status fill_into(const maker *m, const char *template, char *to, size_t *used) {
  *used = 0;
  for (const char *at = template; *at;) {
    size_t plain = strcspn(at, "{"), length;
    append(to, used, at, plain);
    at += plain;
    if (!*at) break;
    char member[MEMBER];
    const char *value = NULL;
    length = strcspn(at, "}");
    snprintf(member, sizeof member, "%.*s", (int)length - 1, at + 1);
    OLICA_TRY(olica_json_member(m->env, m->where, m->row, member, &value));
    append(to, used, value, strlen(value));
    at += length + 1;
  }
  return OLICA_OK;
}

static olica_status fill(const maker *m, const char *template, char **text) {
  size_t bytes;
  OLICA_TRY(fill_into(m, template, NULL, &bytes));
  OLICA_TRY(OLICA_NEW(m->env, *text, bytes + 1));
  return fill_into(m, template, *text, &bytes);
}

/* Counts the Unicode characters of valid UTF-8, as all strings of JSON are. */
static int64_t count_characters(const char *text, size_t bytes) {
  int64_t count = 0;
  for (size_t i = 0; i < bytes; i++) count += ((unsigned char)text[i] & 0xc0) != 0x80;
  return count;
}

/* Puts a context and a choice together; white space at the context's end moves over by itself. */
static olica_status join(const maker *m, const char *context, size_t before, const char *behind, size_t bytes,
                         olica_question_text *question) {
  olica_choice_text *choice = &question->choice[question->choices++];
  int64_t characters = count_characters(behind, bytes);
  if (characters < 1 || characters > INT_MAX)
    return olica_error_set(m->env, OLICA_ERR_INPUT, "%s: the text of choice %d is empty, expected some",
                           m->where, question->choices);
  OLICA_TRY(OLICA_NEW(m->env, choice->text, before + 1 + bytes + 1));
  append(choice->text, &choice->bytes, context, before);
  append(choice->text, &choice->bytes, " ", 1);
  append(choice->text, &choice->bytes, behind, bytes);
  choice->context = olica_strip_end(context, before);
  choice->characters = (int)characters;
  return OLICA_OK;
}

/* Makes the sentence up to its gap, with the choice in it, and the rest behind the gap, stripped. */
static olica_status fill_gap(const maker *m, const char *sentence, const char *text,
                             olica_question_text *question) {
  const char *gap = strchr(sentence, '_'), *rest = gap + 1, *end = rest + strlen(rest);
  olica_strip(&rest, &end);
  size_t used = 0;
  char *context;
  OLICA_TRY(OLICA_NEW(m->env, context, (size_t)(gap - sentence) + strlen(text) + 1));
  append(context, &used, sentence, (size_t)(gap - sentence));
  append(context, &used, text, strlen(text));
  olica_status status = join(m, context, used, rest, (size_t)(end - rest), question);
  olica_memory_free(m->env, context);
  return status;
}

static olica_status add_choice(const maker *m, const olica_task *task, const char *context, const char *text,
                               olica_question_text *question) {
  if (task->gap) return fill_gap(m, context, text, question);
  return join(m, context, strlen(context), text, strlen(text), question);
}

static olica_status add_listed(const maker *m, const olica_task *task, const char *context,
                               olica_question_text *question) {
  const json_t *list = json_object_get(m->row, task->list), *element;
  size_t i, count = json_array_size(list);
  if (!json_is_array(list)) return refuse(m, task->list, list, "an array of strings");
  if (count < 2 || count > OLICA_CHOICES_MAX)
    return olica_error_set(m->env, OLICA_ERR_INPUT, "%s: %s has %zu elements, expected 2 to %d", m->where,
                           task->list, count, OLICA_CHOICES_MAX);
  json_array_foreach(list, i, element) {
    char name[MEMBER + 24];
    snprintf(name, sizeof name, "%s[%zu]", task->list, i);
    if (!json_is_string(element)) return refuse(m, name, element, "a string");
    OLICA_TRY(add_choice(m, task, context, json_string_value(element), question));
  }
  return OLICA_OK;
}

static olica_status add_named(const maker *m, const olica_task *task, const char *context,
                              olica_question_text *question) {
  for (int i = 0; task->choice[i]; i++) {
    char *text;
    OLICA_TRY(fill(m, task->choice[i], &text));
    OLICA_TRY(add_choice(m, task, context, text, question));
    olica_memory_free(m->env, text);
  }
  return OLICA_OK;
}

/* Returns the number in a value: an integer, the same as a string, or a truth value. INT_MIN: none. */
static json_int_t number_of(const json_t *value) {
  json_int_t number = INT_MIN;
  const char *digits = json_string_value(value);
  if (json_is_boolean(value)) number = json_is_true(value);
  if (json_is_integer(value)) number = json_integer_value(value);
  if (digits && strlen(digits) < 4 && *digits && strspn(digits, "0123456789") == strlen(digits))
    sscanf(digits, "%" JSON_INTEGER_FORMAT, &number);
  return number;
}

/* Finds the number of the right choice; two members that name it must agree. */
static olica_status read_gold(const maker *m, const olica_task *task, olica_question_text *question) {
  const char *member = task->gold[0], *other = task->gold[1];
  const json_t *value = json_object_get(m->row, member);
  const json_t *second = other ? json_object_get(m->row, other) : NULL;
  if (!value && second) member = other, value = second;
  json_int_t number = number_of(value);
  if (second && number_of(second) != number) return refuse(m, other, second, "what the answer says");
  int last = task->gold_first + question->choices - 1;
  if (number >= task->gold_first && number <= last) {
    question->gold = (int)number - task->gold_first;
    return OLICA_OK;
  }
  const char *text = json_string_value(value);
  bool none = !value || json_is_null(value) || (text && !*text) || number == -1;
  char expected[EXPECTED];
  snprintf(expected, sizeof expected, "a whole number, one of the choices, %d to %d%s", task->gold_first,
           last,
           none ? " (a split without labels cannot be scored; labels that lie in a file of their own belong "
                  "into the rows)"
                : "");
  return refuse(m, member, value, expected);
}

static olica_status check_gap(const maker *m, const olica_task *task, const char *context) {
  const char *gap = strchr(context, '_');
  if (!task->gap || (gap && !strchr(gap + 1, '_'))) return OLICA_OK;
  return olica_error_set(m->env, OLICA_ERR_INPUT, "%s: the sentence has %s, expected one gap `_`", m->where,
                         gap ? "several gaps" : "no gap");
}

static olica_status make(const maker *m, const olica_task *task, olica_question_text *question) {
  char *context;
  OLICA_TRY(fill(m, task->context, &context));
  olica_status status = check_gap(m, task, context);
  if (status == OLICA_OK)
    status = task->list ? add_listed(m, task, context, question) : add_named(m, task, context, question);
  olica_memory_free(m->env, context);
  OLICA_TRY(status);
  return read_gold(m, task, question);
}

olica_status olica_question_make(olica_env *env, const olica_task *task, const char *where, const json_t *row,
                                 olica_question_text *question) {
  json_t *prepared = NULL;
  *question = (olica_question_text){0};
  if (task->prepare) OLICA_TRY(task->prepare(env, where, row, &prepared));
  maker m = {.env = env, .where = where, .row = prepared ? prepared : row};
  question->prepared = prepared != NULL;
  const char *usual = task->usual[0] ? json_string_value(json_object_get(m.row, task->usual[0])) : NULL;
  question->unusual = usual && !strstr(usual, task->usual[1]);
  olica_status status = make(&m, task, question);
  json_decref(prepared);
  return status;
}

void olica_question_free(olica_env *env, olica_question_text *question) {
  for (int i = 0; i < question->choices; i++) OLICA_FREE(env, question->choice[i].text);
  question->choices = 0;
}
