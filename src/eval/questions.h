/* The questions of all tasks in tokens, the same on every rank: files read by rank 0, tokenized in shares,
 * gathered. The work of a question follows from its tokens alone, never from the number of ranks. */
#ifndef OLICA_EVAL_QUESTIONS_H
#define OLICA_EVAL_QUESTIONS_H

#include "eval/task_files.h"
#include "par/context.h"
#include "text/encoder.h"

/* A pair of context and choice. */
typedef struct olica_choice {
  const int32_t *id; /* [tokens] in olica_questions.gathered */
  int tokens;        /* without those that were cut off at the beginning */
  int scored;        /* the last so many are predicted */
  int characters;
} olica_choice;

typedef struct olica_question {
  int task; /* number in the list of tasks */
  int choices, gold;
  int64_t first_choice; /* in olica_questions.choice */
  int prefix;           /* tokens that all choices begin with: they pass the model once */
  int from;             /* rows [from, prefix) of them predict something */
  int rows;   /* tokens that pass the model: the prefix, and of every choice the rest but its last */
  int scored; /* rows that predict something */
} olica_question;

/* Return the number of a choice's own rows, behind the prefix, and the first of them that predicts something.
 * Pure. */
int olica_choice_rows(const olica_question *question, const olica_choice *choice);
int olica_choice_from(const olica_question *question, const olica_choice *choice);

/* The pairs of a task that are longer than the model can take. */
typedef struct olica_truncation {
  int64_t pairs, tokens; /* how many were cut, and the tokens they lost at their beginnings */
  int64_t unscored;      /* pairs whose choice alone is too long: its first tokens are not scored */
} olica_truncation;

typedef struct olica_questions {
  olica_context *context;
  int tasks, turn; /* options.turn */
  olica_truncation truncated[OLICA_TASKS_MAX];
  int64_t prepared[OLICA_TASKS_MAX], unusual[OLICA_TASKS_MAX]; /* questions of such rows */
  int64_t first[OLICA_TASKS_MAX + 1]; /* task t has the questions [first[t], first[t + 1]) */
  int64_t count, choices;
  olica_question *question; /* [count] in the order of the tasks and their files */
  olica_choice *choice;     /* [choices] */
  int32_t *gathered;        /* the tokens; freed by olica_questions_forget */
} olica_questions;

typedef struct olica_questions_options {
  const olica_task_files *files;
  int64_t limit; /* first questions of a file, 0: all */
  int context;   /* longest sequence of the model. A pair may have one token more, since its last is no input;
                    longer ones lose tokens at their beginning */
  int turn; /* longer sequences are rotated otherwise in all their positions (olica_arch_turn): choices on
               both sides of it share no prefix. 0: none are */
  bool bos; /* BOS in front of every pair */
} olica_questions_options;

/* Reads, tokenizes and gathers. A file that is missing or has no question, a row that is no question of its
 * task, a choice that adds no token, a context without one: OLICA_ERR_INPUT naming file and line. Pairs that
 * are cut are counted; rank 0 warns of them once a task. Collective on the context. */
olica_status olica_questions_open(olica_context *context, olica_encoder *encoder,
                                  const olica_questions_options *options, olica_questions **questions);
void olica_questions_close(olica_questions *questions); /* not collective; NULL allowed */

/* Frees the tokens, after they have been copied where they are needed: olica_choice.id is NULL from here on.
 * Not collective. */
void olica_questions_forget(olica_questions *questions);

#endif
