/* A list of tasks and their files: "boolq:boolq_val.jsonl, piqa:piqa_valid.jsonl". Each entry is TASK:FILE; a
 * name with a comma is not possible. Not collective, no I/O. */
#ifndef OLICA_EVAL_TASK_FILES_H
#define OLICA_EVAL_TASK_FILES_H

#include "eval/tasks.h"

enum { OLICA_TASKS_MAX = 64 };

typedef struct olica_task_file {
  const olica_task *task;
  char *path; /* relative to the working directory; owned */
} olica_task_file;

typedef struct olica_task_files {
  int count;
  olica_task_file file[OLICA_TASKS_MAX];
} olica_task_files;

/* Parses a list; its files are relative to `base` (a file). `where` begins messages. A task that is not known
 * or comes twice, or an entry without a file, is OLICA_ERR_CONFIG. Free with olica_task_files_free. */
olica_status olica_task_files_parse(olica_env *env, const char *where, const char *base, const char *list,
                                    olica_task_files *files);
void olica_task_files_free(olica_env *env, olica_task_files *files);

#endif
