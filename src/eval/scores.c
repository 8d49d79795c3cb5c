#include "eval/scores.h"

#include <math.h>

int olica_scores_answer(const olica_questions *questions, const olica_question *question,
                        const double *log_likelihood, bool by_length) {
  int best = 0;
  double largest = -INFINITY;
  for (int c = 0; c < question->choices; c++) {
    int64_t number = question->first_choice + c;
    double value = log_likelihood[number] / (by_length ? questions->choice[number].characters : 1);
    if (value <= largest) continue;
    largest = value;
    best = c;
  }
  return best;
}

static double share(const olica_questions *questions, int task, const double *log_likelihood,
                    bool by_length) {
  int64_t first = questions->first[task], behind = questions->first[task + 1], right = 0;
  for (int64_t i = first; i < behind; i++) {
    const olica_question *question = &questions->question[i];
    right += olica_scores_answer(questions, question, log_likelihood, by_length) == question->gold;
  }
  return (double)right / (double)(behind - first);
}

olica_score olica_scores_task(const olica_questions *questions, int task, const double *log_likelihood) {
  double n = (double)(questions->first[task + 1] - questions->first[task]);
  double acc = share(questions, task, log_likelihood, false),
         norm = share(questions, task, log_likelihood, true);
  return (olica_score){.acc = acc,
                       .acc_norm = norm,
                       .acc_stderr = sqrt(acc * (1 - acc) / n),
                       .acc_norm_stderr = sqrt(norm * (1 - norm) / n)};
}

double olica_scores_counted(const olica_task *task, const olica_score *score, double *error) {
  *error = task->by_length ? score->acc_norm_stderr : score->acc_stderr;
  return task->by_length ? score->acc_norm : score->acc;
}
