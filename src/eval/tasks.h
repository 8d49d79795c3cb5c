/* The zero-shot tasks: how a row of a task's file becomes a question with its choices. One entry of the table
 * in tasks.c each, as data: templates, and the names of the row's members. Not collective. */
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
  bool gap;              /* a choice fills the context's one `_`; what is behind the gap is then scored */
  const char *gold[2];   /* the member that says which choice is right, and another name of it (NULL: none) */
  int gold_first;        /* what it calls the first choice */
  bool by_length;        /* acc_norm counts in the mean, not acc */
  const char
      *usual[2]; /* a member and what stands in it somewhere in every row the harness reads (NULL: nothing) */
  olica_task_prepare *prepare; /* NULL: rows are published as the table takes them */
} olica_task;

/* The task of that name, or NULL; number i of the table, or NULL past its end. */
const olica_task *olica_task_find(const char *name);
const olica_task *olica_task_at(int i);
int olica_task_count(void);

enum { OLICA_CHOICES_MAX = 32 };

/* A choice: `text` [context | continuation]. White space at a context's end, as Python's str.rstrip sees it,
 * belongs to the continuation. */
typedef struct olica_choice_text {
  char *text;
  size_t context, bytes; /* bytes of the context; of both */
  int characters;        /* of the choice without the space in front: what acc_norm divides by; 1 or more */
} olica_choice_text;

typedef struct olica_question_text {
  int choices, gold;
  bool prepared; /* the row was one as published */
  bool unusual;  /* it lacks what is usual */
  olica_choice_text choice[OLICA_CHOICES_MAX];
} olica_question_text;

/* Makes the question of a row, prepared if it is one as published; `where` (file:line) begins messages. A
 * member that is missing or of another kind, a gold that is no choice, no choice or one without text, a
 * sentence without its gap: OLICA_ERR_INPUT. The texts are counted memory: free with olica_question_free
 * (also after a failure). */
olica_status olica_question_make(olica_env *env, const olica_task *task, const char *where, const json_t *row,
                                 olica_question_text *question);
void olica_question_free(olica_env *env, olica_question_text *question);

#endif
