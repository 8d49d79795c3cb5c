/* The zero-shot tasks of a run: one rider for all of them, which is scored at the end of a sweep. */
#include <math.h>
#include <stdio.h>

#include "checksum.h"
#include "eval/choices.h"
#include "par/comm.h"
#include "predictions.h"
#include "rider.h"

/* The state of the kind, and of its only rider. */
typedef struct tasks {
  const olica_setup *setup;
  olica_report *report;
  olica_task_files files;     /* count 0: there are none */
  olica_questions *questions; /* NULL: as above */
  olica_packs *packs;         /* until the choices have taken their own */
  olica_choices *choices;     /* from when they are prepared */
  double *likelihood[2];      /* [choices] by the dense and by the pruned model; NULL: not asked for */
  uint32_t checksum;          /* of the questions' tokens */
} tasks;

/* ---- the kind's ---- */

/* The options have parsed the list before; only memory can fail here. */
static olica_status make(const olica_setup *setup, olica_report *report, tasks **out) {
  const olica_options *o = setup->options;
  olica_env *env = setup->context->env;
  OLICA_TRY(OLICA_NEW(env, *out, 1));
  **out = (tasks){.setup = setup, .report = report};
  return olica_task_files_parse(env, o->config, o->evaluate.base, o->evaluate.tasks, &(*out)->files);
}

static olica_status create(const olica_setup *setup, olica_report *report, void **all) {
  tasks *made = NULL;
  OLICA_AGREE(setup->context, make(setup, report, &made));
  *all = made;
  return OLICA_OK;
}

static bool tokenizes(const void *all) {
  const tasks *self = all;
  return self->files.count > 0;
}

static olica_status open_tasks(void *all, const olica_inputs *inputs) {
  tasks *self = all;
  const olica_setup *setup = self->setup;
  olica_context *context = setup->context;
  const olica_questions_options options = {.files = &self->files,
                                           .limit = setup->options->evaluate.limit,
                                           .context = setup->source->arch.context,
                                           .turn = olica_arch_turn(&setup->source->arch),
                                           .bos = setup->options->evaluate.bos == OLICA_BOS_YES};
  if (self->files.count == 0) return OLICA_OK;
  olica_timer_start(&context->env->timers, "read.tasks");
  OLICA_TRY(olica_questions_open(context, inputs->encoder, &options, &self->questions));
  OLICA_AGREE(context, olica_packs_make(context->env, &setup->source->arch, self->questions, &self->packs));
  olica_timer_stop(&context->env->timers);
  return OLICA_OK;
}

static olica_status make_scores(tasks *self) {
  size_t choices = (size_t)self->questions->choices;
  if (olica_setup_scores(self->setup, false))
    OLICA_TRY(OLICA_NEW(self->setup->context->env, self->likelihood[0], choices));
  if (olica_setup_scores(self->setup, true))
    OLICA_TRY(OLICA_NEW(self->setup->context->env, self->likelihood[1], choices));
  return OLICA_OK;
}

static const olica_rider_ops ops;

static olica_status prepare(void *all, olica_kernel *kernel, olica_forward *forward, olica_riders *riders) {
  tasks *self = all;
  const olica_setup *setup = self->setup;
  (void)forward;
  if (!self->questions) return OLICA_OK;
  OLICA_AGREE(setup->context, make_scores(self));
  OLICA_TRY(olica_choices_create(setup->context, kernel, &setup->source->arch, self->packs,
                                 setup->source->panel_rows, &self->choices));
  olica_packs_free(self->packs);
  self->packs = NULL;
  self->checksum = olica_checksum_questions(self->questions);
  olica_questions_forget(self->questions);
  olica_report_tasks *report = &self->report->tasks;
  report->count = self->files.count;
  for (int t = 0; t < report->count; t++)
    report->task[t] = (olica_report_task){.task = self->files.file[t].task,
                                          .n = self->questions->first[t + 1] - self->questions->first[t],
                                          .truncated = self->questions->truncated[t]};
  olica_riders_append(riders, &ops, self);
  return OLICA_OK;
}

static void close_tasks(void *all) {
  tasks *self = all;
  olica_env *env = self->setup->context->env;
  olica_choices_destroy(self->choices);
  olica_packs_free(self->packs);
  olica_questions_close(self->questions);
  olica_task_files_free(env, &self->files);
  olica_memory_free(env, self->likelihood[0]);
  olica_memory_free(env, self->likelihood[1]);
  olica_memory_free(env, self);
}

static void print(const void *all) {
  const tasks *self = all;
  double rows = 0;
  if (!self->packs) return;
  for (int64_t p = 0; p < self->packs->count; p++) rows += (double)self->packs->size[p].rows;
  printf("tasks        %d with %lld question%s of %lld choices: %.0f tokens in %lld pack%s of at most %d\n",
         self->files.count, (long long)self->questions->count, olica_log_plural(self->questions->count),
         (long long)self->questions->choices, rows, (long long)self->packs->count,
         olica_log_plural(self->packs->count), self->packs->most_rows);
}

/* Holds the questions, and the log-likelihoods of so many models, which stay. */
static void hold_questions(const olica_questions *q, int models, olica_ledger *ledger) {
  olica_ledger_hold(ledger, (size_t)q->count * sizeof *q->question);
  olica_ledger_hold(ledger, (size_t)q->choices * sizeof *q->choice);
  olica_ledger_hold(ledger, (size_t)models * (size_t)q->choices * sizeof(double));
}

static int64_t items(const void *all) {
  const tasks *self = all;
  return self->packs ? self->packs->count : 0;
}

static olica_status plan(const void *all, int ranks, const olica_method_plan *method,
                         olica_rider_plan *plan) {
  const tasks *self = all;
  const olica_setup *setup = self->setup;
  const olica_packs *packs = self->packs;
  int models = olica_setup_scores(setup, false) + olica_setup_scores(setup, true);
  double work = 0, largest = 0;
  (void)method;
  if (!packs) return OLICA_OK;
  hold_questions(self->questions, models, &plan->tasks);
  OLICA_TRY(olica_choices_hold(&plan->tasks, &setup->source->arch, packs, setup->precision, ranks,
                               setup->context->most_threads, setup->source->panel_rows));
  for (int64_t p = 0; p < packs->count; p++) {
    work += packs->cost[p] * models;
    largest = fmax(largest, packs->cost[p] * models);
    plan->restart += 4.0 * setup->source->arch.hidden * (double)packs->size[p].rows;
  }
  plan->restart += 8 * (double)self->questions->choices;
  plan->pieces += (double)packs->count;
  plan->work += work;
  plan->busiest += fmax(work / ranks, largest);
  return OLICA_OK;
}

static olica_status write_predictions(const void *all) {
  const tasks *self = all;
  if (!self->setup->options->predictions) return OLICA_OK;
  return olica_predictions_write(self->setup, self->report, &self->files, self->questions, self->likelihood);
}

/* ---- the rider's ---- */

static void embed(void *rider, int64_t first, int64_t count, const float *rows) {
  const tasks *self = rider;
  olica_choices_embed(self->choices, first, count, rows);
}

static olica_status advance(void *rider, const olica_maps *maps) {
  const tasks *self = rider;
  olica_timer_start(&self->setup->context->env->timers, "evaluate");
  olica_status status = olica_choices_advance(self->choices, maps);
  olica_timer_stop(&self->setup->context->env->timers);
  return status;
}

static void begin(void *rider, const float *gains, bool pruned) {
  const tasks *self = rider;
  (void)pruned;
  olica_choices_begin(self->choices, gains);
}

static void add(void *rider, const olica_rider_panel *panel) {
  const tasks *self = rider;
  olica_choices_add(self->choices, panel->first, panel->count, panel->rows);
}

/* Puts the scores of a model, which follow from its log-likelihoods, into the report. */
static void report_scores(tasks *self, bool pruned, double per_second) {
  olica_report_tasks *report = &self->report->tasks;
  double error, sum = 0;
  for (int t = 0; t < report->count; t++) {
    olica_report_task *task = &report->task[t];
    task->known[pruned] = true;
    task->score[pruned] = olica_scores_task(self->questions, t, self->likelihood[pruned]);
    sum += olica_scores_counted(task->task, &task->score[pruned], &error);
  }
  report->known[pruned] = true;
  report->mean[pruned] = sum / report->count;
  report->per_second[pruned] = per_second;
}

static olica_status finish(void *rider, bool pruned) {
  tasks *self = rider;
  const olica_report_tasks *report = &self->report->tasks;
  double seconds;
  OLICA_TRY(olica_choices_finish(self->choices, self->likelihood[pruned], &seconds));
  report_scores(self, pruned, (double)self->questions->count / seconds);
  olica_log_line(self->setup->context->env, "%s tasks: mean %.4f of %d, %lld question%s, %.1f a second",
                 olica_report_name(self->report, pruned), report->mean[pruned], report->count,
                 (long long)self->questions->count, olica_log_plural(self->questions->count),
                 report->per_second[pruned]);
  return OLICA_OK;
}

/* Adds the section of hidden states, with a piece for every pack. */
static olica_status save_packs(const olica_choices *choices, olica_sections *sections) {
  int64_t row = choices->arch->hidden * (int64_t)sizeof(float);
  olica_restart_piece *piece;
  OLICA_TRY(olica_sections_add(sections, choices->context->env, "tasks", choices->all_rows * row,
                               choices->packs, &piece));
  for (int64_t p = 0; p < choices->packs; p++) {
    const olica_own_pack *pack = &choices->pack[p];
    piece[p] = (olica_restart_piece){.data = choices->x + pack->row * choices->arch->hidden,
                                     .offset = pack->first_row * row,
                                     .bytes = pack->rows * row};
  }
  return OLICA_OK;
}

static olica_status save(void *rider, bool rides, bool scored, olica_sections *sections) {
  const tasks *self = rider;
  double *likelihood = self->likelihood[0];
  if (scored && likelihood)
    olica_sections_add_shared(sections, "likelihood", likelihood,
                              (size_t)self->questions->choices * sizeof *likelihood);
  return rides ? save_packs(self->choices, sections) : OLICA_OK;
}

static olica_status describe(void *rider, json_t *state) {
  const tasks *self = rider;
  const olica_report_tasks *report = &self->report->tasks;
  double seconds = self->choices->seconds, rate = report->per_second[0];
  olica_comm_max(self->setup->context, self->setup->context->comm, &seconds, 1);
  if (!state) return OLICA_OK;
  json_object_set_new(state, "questions_seconds", json_real(seconds));
  if (report->known[0] && isfinite(rate)) json_object_set_new(state, "questions_per_s", json_real(rate));
  return OLICA_OK;
}

static void recall(void *rider, bool scored, const json_t *state) {
  tasks *self = rider;
  const json_t *rate = json_object_get(state, "questions_per_s");
  self->choices->seconds = json_real_value(json_object_get(state, "questions_seconds"));
  if (scored && self->likelihood[0]) report_scores(self, false, rate ? json_real_value(rate) : NAN);
}

static olica_status tokens(void *rider, json_t *group) {
  const tasks *self = rider;
  json_t *text = json_sprintf("%lld questions, checksum %08lx", (long long)self->questions->count,
                              (unsigned long)self->checksum);
  json_object_set_new(group, "tasks", text);
  return OLICA_OK;
}

static json_t *score(void *rider, const json_t *group, const char **key, olica_array *array) {
  const tasks *self = rider;
  *key = "tasks";
  *array = (olica_array){.name = "likelihood",
                         .dims = 1,
                         .shape = {self->questions->choices, 0},
                         .least = -INFINITY,
                         .data = self->likelihood[0]};
  return json_incref(json_object_get(group, "tasks"));
}

static void scored(void *rider) {
  report_scores(rider, false, NAN);
}

static const olica_rider_ops ops = {.embed = embed,
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

const olica_rider_kind olica_rider_tasks = {.create = create,
                                            .tokenizes = tokenizes,
                                            .open = open_tasks,
                                            .print = print,
                                            .item = "pack of the tasks",
                                            .items = items,
                                            .plan = plan,
                                            .prepare = prepare,
                                            .write = write_predictions,
                                            .close = close_tasks};
