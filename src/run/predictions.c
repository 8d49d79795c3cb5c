/* --predictions: a line of JSON for every question, in the order of the tasks and their files. */
#include <stdio.h>
#include <string.h>

#include "io/file.h"
#include "job.h"
#include "par/comm.h"

enum { NUMBER = 40, LINE = 512 };

/* Text that grows; what does not fit into memory is remembered. */
typedef struct text {
  olica_env *env;
  char *data;
  size_t bytes, room;
  olica_status status;
} text;

static void put(text *t, const char *piece) {
  size_t bytes = strlen(piece);
  if (t->status == OLICA_OK) t->status = OLICA_GROW(t->env, t->data, t->room, t->bytes, t->bytes + bytes);
  if (t->status != OLICA_OK) return;
  memcpy(t->data + t->bytes, piece, bytes);
  t->bytes += bytes;
}

static void put_model(text *t, const char *name, const olica_questions *questions,
                      const olica_question *question, const double *log_likelihood) {
  char piece[LINE];
  if (!log_likelihood) return;
  snprintf(piece, sizeof piece, ", \"%s\": {\"log_likelihoods\": [", name);
  put(t, piece);
  for (int c = 0; c < question->choices; c++) {
    char number[NUMBER];
    snprintf(number, sizeof number, "%s%.9g", c ? ", " : "", log_likelihood[question->first_choice + c]);
    put(t, number);
  }
  snprintf(piece, sizeof piece, "], \"prediction\": %d, \"prediction_norm\": %d}",
           olica_scores_answer(questions, question, log_likelihood, false),
           olica_scores_answer(questions, question, log_likelihood, true));
  put(t, piece);
}

/* An unpruned model is the dense one, whether or not this run prunes it. */
static const char *name_of(const olica_job *job, bool pruned) {
  return pruned || job->source->is_pruned ? olica_report_name(job->report, pruned) : "dense";
}

static void put_question(text *t, const olica_job *job, int64_t number) {
  const olica_job_tasks *tasks = &job->tasks;
  const olica_questions *questions = tasks->questions;
  const olica_question *question = &questions->question[number];
  char piece[LINE];
  snprintf(piece, sizeof piece, "{\"task\": \"%s\", \"index\": %lld, \"gold\": %d",
           tasks->files.file[question->task].task->name,
           (long long)(number - questions->first[question->task]), question->gold);
  put(t, piece);
  for (int m = 0; m < 2; m++) put_model(t, name_of(job, m), questions, question, tasks->likelihood[m]);
  put(t, "}\n");
}

static olica_status write(const olica_job *job) {
  text t = {.env = job->context->env};
  for (int64_t i = 0; i < job->tasks.questions->count; i++) put_question(&t, job, i);
  OLICA_TRY(t.status);
  olica_status status = olica_file_save(t.env, job->options->predictions, t.data, t.bytes);
  olica_memory_free(t.env, t.data);
  return status;
}

olica_status olica_job_write_predictions(olica_job *job) {
  bool asked = job->options->predictions && job->context->rank == 0;
  OLICA_AGREE(job->context, asked ? write(job) : OLICA_OK);
  return OLICA_OK;
}
