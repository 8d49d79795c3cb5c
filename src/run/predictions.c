#include "predictions.h"

#include <stdio.h>
#include <string.h>

#include "eval/scores.h"
#include "io/file.h"

enum { NUMBER = 40, LINE = 512 };

/* A growing text; `status` keeps a lack of memory. */
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

/* Returns the model's name: an unpruned model is "dense", whether or not this run prunes it. */
static const char *name_of(const olica_setup *setup, const olica_report *report, bool pruned) {
  return pruned || setup->source->is_pruned ? olica_report_name(report, pruned) : "dense";
}

static void put_question(text *t, const char *task, const olica_questions *questions, int64_t number,
                         const char *const model[2], double *const likelihood[2]) {
  const olica_question *question = &questions->question[number];
  char piece[LINE];
  snprintf(piece, sizeof piece, "{\"task\": \"%s\", \"index\": %lld, \"gold\": %d", task,
           (long long)(number - questions->first[question->task]), question->gold);
  put(t, piece);
  for (int m = 0; m < 2; m++) put_model(t, model[m], questions, question, likelihood[m]);
  put(t, "}\n");
}

olica_status olica_predictions_write(const olica_setup *setup, const olica_report *report,
                                     const olica_task_files *files, const olica_questions *questions,
                                     double *const likelihood[2]) {
  text t = {.env = setup->context->env};
  const char *const model[2] = {name_of(setup, report, false), name_of(setup, report, true)};
  for (int64_t i = 0; i < questions->count; i++)
    put_question(&t, files->file[questions->question[i].task].task->name, questions, i, model, likelihood);
  OLICA_TRY(t.status);
  olica_status status = olica_file_save(t.env, setup->options->predictions, t.data, t.bytes);
  olica_memory_free(t.env, t.data);
  return status;
}
