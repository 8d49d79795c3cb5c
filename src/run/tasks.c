/* The zero-shot tasks of a run: opened with the texts, riding along with the sweeps, scored at the end of
 * each. */
#include <math.h>

#include "fingerprint.h"
#include "olica/par/comm.h"

/* The options have parsed the list before; only memory can fail here. */
olica_status olica_job_parse_tasks(olica_job *job) {
  const olica_options *o = job->options;
  return olica_task_files_parse(job->context->env, o->config, o->evaluate.base, o->evaluate.tasks,
                                &job->tasks.files);
}

olica_status olica_job_open_tasks(olica_job *job) {
  olica_context *context = job->context;
  olica_job_tasks *tasks = &job->tasks;
  const olica_questions_options options = {.files = &tasks->files,
                                           .limit = job->options->evaluate.limit,
                                           .context = job->source->arch.context,
                                           .bos = job->options->evaluate.bos == OLICA_BOS_YES};
  if (tasks->files.count == 0) return OLICA_OK;
  olica_timer_start(&context->env->timers, "read.tasks");
  OLICA_TRY(olica_questions_open(context, job->encoder, &options, &tasks->questions));
  OLICA_AGREE(context, olica_packs_make(context->env, &job->source->arch, tasks->questions, &tasks->packs));
  olica_timer_stop(&context->env->timers);
  return OLICA_OK;
}

static olica_status make_scores(olica_job *job) {
  olica_job_tasks *tasks = &job->tasks;
  size_t choices = (size_t)tasks->questions->choices;
  if (olica_job_scores(job, false)) OLICA_TRY(OLICA_NEW(job->context->env, tasks->likelihood[0], choices));
  if (olica_job_scores(job, true)) OLICA_TRY(OLICA_NEW(job->context->env, tasks->likelihood[1], choices));
  return OLICA_OK;
}

olica_status olica_job_prepare_tasks(olica_job *job) {
  olica_job_tasks *tasks = &job->tasks;
  if (!tasks->questions) return OLICA_OK;
  OLICA_AGREE(job->context, make_scores(job));
  OLICA_TRY(olica_choices_create(job->context, job->kernel, &job->source->arch, tasks->packs,
                                 job->source->panel_rows, &tasks->choices));
  olica_packs_free(tasks->packs);
  tasks->packs = NULL;
  tasks->checksum = olica_fingerprint_questions(tasks->questions);
  olica_questions_forget(tasks->questions);
  olica_report_tasks *report = &job->report->tasks;
  report->count = tasks->files.count;
  for (int t = 0; t < report->count; t++)
    report->task[t] = (olica_report_task){.task = tasks->files.file[t].task,
                                          .n = tasks->questions->first[t + 1] - tasks->questions->first[t],
                                          .truncated = tasks->questions->truncated[t]};
  return OLICA_OK;
}

void olica_job_close_tasks(olica_job *job) {
  olica_env *env = job->context->env;
  olica_job_tasks *tasks = &job->tasks;
  olica_choices_destroy(tasks->choices);
  olica_packs_free(tasks->packs);
  olica_questions_close(tasks->questions);
  olica_task_files_free(env, &tasks->files);
  olica_memory_free(env, tasks->likelihood[0]);
  olica_memory_free(env, tasks->likelihood[1]);
}

double olica_job_tasks_bytes(const olica_job *job) {
  const olica_questions *q = job->tasks.questions;
  int scores = olica_job_scores(job, false) + olica_job_scores(job, true);
  if (!q) return 0;
  return (double)q->count * sizeof *q->question + (double)q->choices * (sizeof *q->choice + 8. * scores);
}

void olica_job_report_tasks(olica_job *job, bool pruned, double per_second) {
  const olica_job_tasks *tasks = &job->tasks;
  olica_report_tasks *report = &job->report->tasks;
  double error, sum = 0;
  for (int t = 0; t < report->count; t++) {
    olica_report_task *task = &report->task[t];
    task->known[pruned] = true;
    task->score[pruned] = olica_scores_task(tasks->questions, t, tasks->likelihood[pruned]);
    sum += olica_scores_counted(task->task, &task->score[pruned], &error);
  }
  report->known[pruned] = true;
  report->mean[pruned] = sum / report->count;
  report->per_second[pruned] = per_second;
}

olica_status olica_job_finish_tasks(olica_job *job, bool pruned) {
  olica_job_tasks *tasks = &job->tasks;
  const olica_report_tasks *report = &job->report->tasks;
  double seconds;
  OLICA_TRY(olica_choices_finish(tasks->choices, tasks->likelihood[pruned], &seconds));
  olica_job_report_tasks(job, pruned, (double)tasks->questions->count / seconds);
  olica_log_line(job->context->env, "%s tasks: mean %.4f of %d, %lld question%s, %.1f a second",
                 olica_report_name(job->report, pruned), report->mean[pruned], report->count,
                 (long long)tasks->questions->count, olica_log_plural(tasks->questions->count),
                 report->per_second[pruned]);
  return OLICA_OK;
}
