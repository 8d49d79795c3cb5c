/* The zero-shot tasks: they make a row of a task's file a question with its choices. A task is an entry of
 * the table in tasks.c, as data: templates, and the names of the row's members. Not collective. */
#ifndef OLICA_EVAL_TASKS_H
#define OLICA_EVAL_TASKS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"

/* Makes a row as published into one that the table takes; *prepared is NULL where it is one already, else the
 * caller's reference. */
typedef olica_status olica_task_prepare(olica_env *env, const char *where, const json_t *row,
                                        json_t **prepared);

typedef struct olica_task {
  const char *name, *about;
  const char *context;   /* template: {member} is a string of the row */
  const char *choice[3]; /* templates of the choices, NULL behind the last; or else: */
  const char *list;      /* the member that is an array of the choices */
  bool gap;              /* a choice fills the context's one `_`; the text behind the gap is then scored */
  const char *gold[2];   /* the member that has the right choice, and another name of it (NULL: none) */
  int gold_first;        /* the number of the first choice in it */
  bool by_length;        /* acc_norm counts in the mean, not acc */
  const char
      *usual[2]; /* a member, and a text that it has in every row that the harness reads (NULL: none) */
  olica_task_prepare *prepare; /* NULL: rows are published as the table takes them */
} olica_task;

/* Return the task of that name, or NULL; number i of the table, or NULL past its end; their number. */
const olica_task *olica_task_find(const char *name);
const olica_task *olica_task_at(int i);
int olica_task_count(void);

enum { OLICA_CHOICES_MAX = 32 };

/* A choice: `text` [context | continuation]. White space at a context's end, as Python's str.rstrip defines
 * it, belongs to the continuation. */
typedef struct olica_choice_text {
  char *text;
  size_t context, bytes; /* bytes of the context; of both */
  int characters;        /* of the choice without the space in front, the divisor of acc_norm; 1 or more */
} olica_choice_text;

typedef struct olica_question_text {
  int choices, gold;
  bool prepared; /* the row was in the published form */
  bool unusual;  /* it lacks the usual text */
  olica_choice_text choice[OLICA_CHOICES_MAX];
} olica_question_text;

/* Makes the question of a row, which is prepared first if it has the published form; `where` (file:line)
 * begins messages. A member that is missing or of another kind, a gold that is no choice, no choice or one
 * without text, a sentence without its gap: OLICA_ERR_INPUT. The texts are counted memory: free with
 * olica_question_free (also after a failure). */
olica_status olica_question_make(olica_env *env, const olica_task *task, const char *where, const json_t *row,
                                 olica_question_text *question);
void olica_question_free(olica_env *env, olica_question_text *question);

#endif
