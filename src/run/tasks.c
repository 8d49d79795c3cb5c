/* The zero-shot tasks of a run: opened with the texts, riding along with the sweeps, scored at the end of
 * each. */
#include <math.h>
#include <stdio.h>

#include "fingerprint.h"
#include "par/comm.h"

/* ---- the job's ---- */

/* The options have parsed the list before; only memory can fail here. */
static olica_status parse(olica_job *job) {
  const olica_options *o = job->options;
  OLICA_AGREE(job->context, olica_task_files_parse(job->context->env, o->config, o->evaluate.base,
                                                   o->evaluate.tasks, &job->tasks.files));
  return OLICA_OK;
}

static bool tokenizes(const olica_job *job) {
  return job->tasks.files.count > 0;
}

static olica_status open_tasks(olica_job *job) {
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

static olica_status prepare(olica_job *job) {
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
  olica_riders_append(&job->riders, &olica_rider_tasks, job);
  return OLICA_OK;
}

static void close_tasks(olica_job *job) {
  olica_env *env = job->context->env;
  olica_job_tasks *tasks = &job->tasks;
  olica_choices_destroy(tasks->choices);
  olica_packs_free(tasks->packs);
  olica_questions_close(tasks->questions);
  olica_task_files_free(env, &tasks->files);
  olica_memory_free(env, tasks->likelihood[0]);
  olica_memory_free(env, tasks->likelihood[1]);
}

static void tell(const olica_job *job) {
  const olica_job_tasks *tasks = &job->tasks;
  double rows = 0;
  if (!tasks->packs) return;
  for (int64_t p = 0; p < tasks->packs->count; p++) rows += (double)tasks->packs->size[p].rows;
  printf("tasks        %d with %lld question%s of %lld choices: %.0f tokens in %lld pack%s of at most %d\n",
         tasks->files.count, (long long)tasks->questions->count, olica_log_plural(tasks->questions->count),
         (long long)tasks->questions->choices, rows, (long long)tasks->packs->count,
         olica_log_plural(tasks->packs->count), tasks->packs->most_rows);
}

/* For the questions, beside what the packs take. */
static double question_bytes(const olica_job *job) {
  const olica_questions *q = job->tasks.questions;
  int scores = olica_job_scores(job, false) + olica_job_scores(job, true);
  return (double)q->count * sizeof *q->question + (double)q->choices * (sizeof *q->choice + 8. * scores);
}

static olica_status plan(const olica_job *job, int ranks, const olica_method_plan *method,
                         olica_rider_plan *plan) {
  const olica_packs *packs = job->tasks.packs;
  double models = olica_job_scores(job, false) + olica_job_scores(job, true), work = 0, largest = 0, bytes;
  (void)method;
  if (!packs) return OLICA_OK;
  OLICA_TRY(olica_choices_bytes(&job->source->arch, packs, job->precision, ranks, job->context->most_threads,
                                job->source->panel_rows, &bytes));
  for (int64_t p = 0; p < packs->count; p++) {
    work += packs->cost[p] * models;
    largest = fmax(largest, packs->cost[p] * models);
    plan->restart += 4.0 * job->source->arch.hidden * (double)packs->size[p].rows;
  }
  plan->restart += 8 * (double)job->tasks.questions->choices;
  plan->tasks += bytes + question_bytes(job);
  plan->pieces += (double)packs->count;
  plan->work += work;
  plan->busiest += fmax(work / ranks, largest);
  return OLICA_OK;
}

/* ---- the rider's: the job itself ---- */

static void embed(void *self, int64_t first, int64_t count, const float *rows) {
  const olica_job *job = self;
  olica_choices_embed(job->tasks.choices, first, count, rows);
}

static olica_status advance(void *self, const olica_maps *maps) {
  const olica_job *job = self;
  olica_timer_start(&job->context->env->timers, "evaluate");
  olica_status status = olica_choices_advance(job->tasks.choices, maps);
  olica_timer_stop(&job->context->env->timers);
  return status;
}

static void begin(void *self, const float *gains, bool pruned) {
  const olica_job *job = self;
  (void)pruned;
  olica_choices_begin(job->tasks.choices, gains);
}

static void add(void *self, const olica_rider_panel *panel) {
  const olica_job *job = self;
  olica_choices_add(job->tasks.choices, panel->first, panel->count, panel->rows);
}

/* The scores of a model follow from its log-likelihoods. */
static void report_scores(olica_job *job, bool pruned, double per_second) {
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

static olica_status finish(void *self, bool pruned) {
  olica_job *job = self;
  olica_job_tasks *tasks = &job->tasks;
  const olica_report_tasks *report = &job->report->tasks;
  double seconds;
  OLICA_TRY(olica_choices_finish(tasks->choices, tasks->likelihood[pruned], &seconds));
  report_scores(job, pruned, (double)tasks->questions->count / seconds);
  olica_log_line(job->context->env, "%s tasks: mean %.4f of %d, %lld question%s, %.1f a second",
                 olica_report_name(job->report, pruned), report->mean[pruned], report->count,
                 (long long)tasks->questions->count, olica_log_plural(tasks->questions->count),
                 report->per_second[pruned]);
  return OLICA_OK;
}

/* A piece for every pack. */
static olica_status save_packs(const olica_choices *choices, olica_resume_state *state) {
  int64_t row = choices->arch->hidden * (int64_t)sizeof(float);
  olica_restart_piece *piece;
  OLICA_TRY(olica_resume_add(state, choices->context->env, "tasks", choices->all_rows * row, choices->packs,
                             &piece));
  for (int64_t p = 0; p < choices->packs; p++) {
    const olica_own_pack *pack = &choices->pack[p];
    piece[p] = (olica_restart_piece){.data = choices->x + pack->row * choices->arch->hidden,
                                     .offset = pack->first_row * row,
                                     .bytes = pack->rows * row};
  }
  return OLICA_OK;
}

static olica_status save(void *self, bool rides, bool scored, olica_resume_state *state) {
  const olica_job *job = self;
  double *likelihood = job->tasks.likelihood[0];
  if (scored && likelihood)
    olica_resume_add_shared(state, "likelihood", likelihood,
                            (size_t)job->tasks.questions->choices * sizeof *likelihood);
  return rides ? save_packs(job->tasks.choices, state) : OLICA_OK;
}

static olica_status describe(void *self, json_t *state) {
  const olica_job *job = self;
  const olica_report_tasks *report = &job->report->tasks;
  double seconds = job->tasks.choices->seconds, rate = report->per_second[0];
  olica_comm_max(job->context, job->context->comm, &seconds, 1);
  if (!state) return OLICA_OK;
  json_object_set_new(state, "questions_seconds", json_real(seconds));
  if (report->known[0] && isfinite(rate)) json_object_set_new(state, "questions_per_s", json_real(rate));
  return OLICA_OK;
}

static void recall(void *self, bool scored, const json_t *state) {
  olica_job *job = self;
  const json_t *rate = json_object_get(state, "questions_per_s");
  job->tasks.choices->seconds = json_real_value(json_object_get(state, "questions_seconds"));
  if (scored && job->tasks.likelihood[0]) report_scores(job, false, rate ? json_real_value(rate) : NAN);
}

static olica_status tokens(void *self, json_t *group) {
  const olica_job *job = self;
  json_t *text = json_sprintf("%lld questions, checksum %08lx", (long long)job->tasks.questions->count,
                              (unsigned long)job->tasks.checksum);
  json_object_set_new(group, "tasks", text);
  return OLICA_OK;
}

static json_t *score(void *self, const json_t *group, const char **key, olica_array *array) {
  const olica_job *job = self;
  *key = "tasks";
  *array = (olica_array){.name = "likelihood",
                         .dims = 1,
                         .shape = {job->tasks.questions->choices, 0},
                         .least = -INFINITY,
                         .data = job->tasks.likelihood[0]};
  return json_incref(json_object_get(group, "tasks"));
}

static void scored(void *self) {
  report_scores(self, false, NAN);
}

const olica_rider_kind olica_rider_tasks = {.parse = parse,
                                            .tokenizes = tokenizes,
                                            .open = open_tasks,
                                            .tell = tell,
                                            .plan = plan,
                                            .prepare = prepare,
                                            .close = close_tasks,
                                            .embed = embed,
                                            .advance = advance,
                                            .begin = begin,
                                            .add = add,
                                            .finish = finish,
                                            .save = save,
                                            .describe = describe,
                                            .recall = recall,
                                            .tokens = tokens,
                                            .score = score,
                                            .scored = scored};
