/* The texts (or the ids) whose perplexity is measured: each is a rider of the sweeps. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fingerprint.h"
#include "io/file.h"
#include "job.h"
#include "par/comm.h"
#include "par/partition.h"

enum { IDS = 1 << 16 }; /* looked at in one piece */

/* ---- the job's ---- */

/* Rank 0: a file may be called like a list. */
static bool is_file(const olica_job *job) {
  const olica_options *o = job->options;
  char *path;
  if (olica_file_resolve(job->context->env, o->evaluate.text_base, o->evaluate.text, &path) != OLICA_OK)
    return false;
  bool found = access(path, F_OK) == 0;
  olica_memory_free(job->context->env, path);
  return found;
}

static olica_status take_file(olica_job *job) {
  const olica_options *o = job->options;
  char *path;
  OLICA_TRY(olica_file_resolve(job->context->env, o->evaluate.text_base, o->evaluate.text, &path));
  olica_log_line(job->context->env, "[evaluate] text: %s is a file, and no list of NAME:FILE", path);
  olica_status status = olica_text_files_alone(job->context->env, path, &job->texts.files);
  olica_memory_free(job->context->env, path);
  return status;
}

/* The options have parsed the list before; only memory can fail here. */
static olica_status parse_files(olica_job *job) {
  const olica_options *o = job->options;
  return olica_text_files_parse(job->context->env, o->config, o->evaluate.text_base, o->evaluate.text,
                                &job->texts.files);
}

static void name_text(olica_job *job, int i) {
  olica_job_text *text = &job->texts.text[i];
  const char *name = *job->options->evaluate.text ? job->texts.files.file[i].name : "";
  *text = (olica_job_text){.job = job, .number = i, .name = name};
  snprintf(text->score, sizeof text->score, "perplexity%s%s", *name ? "." : "", name);
}

static olica_status parse(olica_job *job) {
  const olica_options *o = job->options;
  olica_context *context = job->context;
  OLICA_AGREE(context, parse_files(job));
  int alone = context->rank == 0 && olica_text_files_is_list(o->evaluate.text) && is_file(job);
  olica_comm_bcast(context, context->comm, &alone, sizeof alone, 0);
  OLICA_AGREE(context, alone ? take_file(job) : OLICA_OK);
  job->texts.count = *o->evaluate.tokens ? 1 : job->texts.files.count;
  for (int i = 0; i < job->texts.count; i++) name_text(job, i);
  return OLICA_OK;
}

static bool tokenizes(const olica_job *job) {
  return *job->options->evaluate.text;
}

static olica_status open_text(olica_job *job, int i) {
  const olica_options *o = job->options;
  olica_job_text *text = &job->texts.text[i];
  OLICA_TRY(*o->evaluate.text ? olica_job_tokenize(job, job->texts.files.file[i].path, &text->ids)
                              : olica_ids_open(job->context, o->evaluate.tokens, &text->ids));
  return olica_windows_plan(job->context->env, text->ids->name, text->ids->rows * text->ids->cols,
                            (int)o->evaluate.length, (int)o->evaluate.stride, o->evaluate.windows,
                            &text->windows);
}

static olica_status open_texts(olica_job *job) {
  if (job->texts.count > 0) OLICA_TRY(olica_job_check_length(job, "evaluate", job->options->evaluate.length));
  for (int i = 0; i < job->texts.count; i++) OLICA_TRY(open_text(job, i));
  return OLICA_OK;
}

/* The ids of the windows are dealt out to the ranks, in pieces. */
static olica_status check_ids(olica_job *job) {
  for (int i = 0; i < job->texts.count; i++) {
    const olica_job_text *text = &job->texts.text[i];
    int64_t span = (text->windows.count - 1) * text->windows.stride + text->windows.length;
    olica_range own = olica_partition_block(span, job->context->size, job->context->rank);
    if (own.count > 0) OLICA_TRY(olica_job_look_at(job, text->ids, 0, own.first, own.count));
  }
  return OLICA_OK;
}

static void tell(const olica_job *job) {
  for (int i = 0; i < job->texts.count; i++) {
    const olica_job_text *text = &job->texts.text[i];
    printf("evaluation   %s%s%lld window%s of %d tokens, of %lld in %s\n", text->name,
           *text->name ? ": " : "", (long long)text->windows.count, olica_log_plural(text->windows.count),
           text->windows.length, (long long)(text->ids->rows * text->ids->cols), text->ids->name);
  }
}

int64_t olica_job_windows(const olica_job *job) {
  int64_t most = 0;
  for (int i = 0; i < job->texts.count; i++)
    if (job->texts.text[i].windows.count > most) most = job->texts.text[i].windows.count;
  return most;
}

/* Are the pruned model's distributions compared with the dense one's? */
static bool compares(const olica_job *job) {
  return job->texts.count > 0 && job->options->evaluate.kl;
}

static bool shares_forward(const olica_job *job) {
  return job->method->calibrates && job->options->evaluate.length == job->options->calibration.length;
}

/* Operations of a window, through all models that it scores. */
static double window_work(const olica_job *job, const olica_method_plan *method) {
  const olica_arch *arch = &job->source->arch;
  double length = (double)job->options->evaluate.length, head = 2.0 * arch->hidden * arch->vocabulary,
         token = 0;
  for (int i = 0; i < arch->layers; i++) {
    if (olica_job_scores(job, false)) token += olica_layer_shape_work(arch, &job->source->shape[i], length);
    if (olica_job_prunes(job)) token += olica_layer_shape_work(arch, &method->shapes[i], length);
  }
  if (olica_job_scores(job, false)) token += head;
  if (olica_job_prunes(job)) token += compares(job) ? 2 * head : head;
  return length * token;
}

static olica_status plan(const olica_job *job, int ranks, const olica_method_plan *method,
                         olica_rider_plan *plan) {
  const olica_arch *arch = &job->source->arch;
  int length = (int)job->options->evaluate.length;
  if (job->texts.count == 0) return OLICA_OK;
  double window = window_work(job, method);
  plan->compares = compares(job);
  for (int i = 0; i < job->texts.count; i++) {
    double all = (double)job->texts.text[i].windows.count, own = ceil(all / ranks);
    plan->streams += olica_perplexity_bytes(arch, own, length, job->source->panel_rows, compares(job));
    plan->pieces += compares(job) ? 2 * own : own;
    plan->restart += (compares(job) ? 8.0 : 4.0) * arch->hidden * all * length;
    plan->work += all * window;
    plan->busiest += own * window;
  }
  if (!shares_forward(job))
    plan->streams += (double)olica_forward_bytes(arch, olica_job_pack_rows(job, length), length,
                                                 job->precision, job->context->most_threads);
  return OLICA_OK;
}

static olica_status prepare_text(olica_job *job, olica_job_text *text) {
  olica_report_text *report = &job->report->text[text->number];
  OLICA_TRY(olica_perplexity_create(job->context, &job->source->arch, text->ids, &text->windows,
                                    job->source->panel_rows, &text->perplexity));
  if (compares(job)) OLICA_AGREE(job->context, olica_perplexity_compare(text->perplexity));
  olica_ids_close(job->context, text->ids);
  text->ids = NULL;
  snprintf(report->name, sizeof report->name, "%s", text->name);
  report->windows = text->windows.count;
  report->tokens = olica_windows_scored_all(&text->windows);
  olica_riders_append(&job->riders, &olica_rider_texts, text);
  return OLICA_OK;
}

static olica_status prepare(olica_job *job) {
  olica_job_texts *texts = &job->texts;
  int length = (int)job->options->evaluate.length;
  for (int i = 0; i < texts->count; i++) OLICA_TRY(prepare_text(job, &texts->text[i]));
  job->report->texts = texts->count;
  job->riders.compares = compares(job);
  if (texts->count == 0) return OLICA_OK;
  if (shares_forward(job)) {
    texts->forward = job->forward;
    return OLICA_OK;
  }
  OLICA_AGREE(job->context, olica_forward_create(job->kernel, &job->source->arch,
                                                 olica_job_pack_rows(job, length), length, &texts->forward));
  return OLICA_OK;
}

static void close_texts(olica_job *job) {
  olica_job_texts *texts = &job->texts;
  if (texts->forward != job->forward) olica_forward_destroy(texts->forward);
  for (int i = 0; i < texts->count; i++) {
    olica_ids_close(job->context, texts->text[i].ids);
    olica_perplexity_destroy(texts->text[i].perplexity);
  }
  olica_text_files_free(job->context->env, &texts->files);
}

/* ---- a rider's ---- */

static void embed(void *self, int64_t first, int64_t count, const float *rows) {
  const olica_job_text *text = self;
  olica_stream_embed(text->perplexity->stream, first, count, rows);
}

static olica_status advance(void *self, const olica_maps *maps) {
  const olica_job_text *text = self;
  olica_timers *timers = &text->job->context->env->timers;
  olica_timer_start(timers, "evaluate");
  olica_status status = olica_stream_advance(text->perplexity->stream, text->job->texts.forward, maps, NULL);
  olica_timer_stop(timers);
  return status;
}

static void begin(void *self, const float *gains, bool pruned) {
  const olica_job_text *text = self;
  olica_perplexity_begin(text->perplexity, gains);
  if (!pruned && compares(text->job)) olica_perplexity_keep(text->perplexity);
}

static void add(void *self, const olica_rider_panel *panel) {
  const olica_job_text *text = self;
  olica_perplexity_add_both(text->perplexity, panel->first, panel->count, panel->rows, panel->dense);
}

static olica_report_text *report_of(const olica_job_text *text) {
  return &text->job->report->text[text->number];
}

static olica_status finish_comparison(const olica_job_text *text) {
  double *kl = &report_of(text)->kl;
  OLICA_TRY(olica_perplexity_divergence(text->perplexity, kl));
  olica_log_line(text->job->context->env, "KL to the dense model%s%s %.6f nats per token",
                 *text->name ? " of " : "", text->name, *kl);
  return OLICA_OK;
}

static olica_status finish(void *self, bool pruned) {
  const olica_job_text *text = self;
  olica_report_text *report = report_of(text);
  double *value = pruned ? &report->pruned : &report->dense;
  OLICA_TRY(olica_perplexity_finish(text->perplexity, value));
  olica_log_line(text->job->context->env, "%s perplexity%s%s %.4f",
                 olica_report_name(text->job->report, pruned), *text->name ? " of " : "", text->name, *value);
  return pruned && compares(text->job) ? finish_comparison(text) : OLICA_OK;
}

/* A piece for every window; of the dense model's states too, if they are to be compared with. */
static olica_status save(void *self, bool rides, bool scored, olica_resume_state *state) {
  const olica_job_text *text = self;
  const olica_perplexity *p = text->perplexity;
  char name[OLICA_RESTART_SECTION];
  snprintf(name, sizeof name, "dense%s%s", *text->name ? " " : "", text->name);
  if (scored && compares(text->job))
    OLICA_TRY(olica_resume_add_stream(state, name, p->stream, p->first.states));
  snprintf(name, sizeof name, "%s%s", *text->name ? "text " : "evaluation", text->name);
  return rides ? olica_resume_add_stream(state, name, p->stream, p->stream->x) : OLICA_OK;
}

static const char *dense_key(const olica_job_text *text, char key[64]) {
  snprintf(key, 64, "dense%s%s", *text->name ? " " : "", text->name);
  return key;
}

/* JSON has no NaN: what has not been measured in this run (or read with its statistics) is left out. */
static olica_status describe(void *self, json_t *state) {
  const olica_job_text *text = self;
  char key[64];
  double dense = report_of(text)->dense;
  if (state && isfinite(dense)) json_object_set_new(state, dense_key(text, key), json_real(dense));
  return OLICA_OK;
}

static void recall(void *self, bool scored, const json_t *state) {
  const olica_job_text *text = self;
  char key[64];
  const json_t *dense = json_object_get(state, dense_key(text, key));
  (void)scored;
  if (dense) report_of(text)->dense = json_real_value(dense);
}

static void name_tokens(const olica_job_text *text, char name[64]) {
  snprintf(name, 64, "evaluation%s%s", *text->name ? " " : "", text->name);
}

static olica_status tokens(void *self, json_t *group) {
  const olica_job_text *text = self;
  char name[64];
  name_tokens(text, name);
  return olica_fingerprint_ids(text->job->context, name, text->perplexity->stream, group);
}

static json_t *score(void *self, const json_t *group, const char **key, olica_array *array) {
  const olica_job_text *text = self;
  char name[64];
  name_tokens(text, name);
  *key = text->score;
  *array = (olica_array){
      .name = text->score, .dims = 1, .shape = {1, 0}, .least = 1, .data = &report_of(text)->dense};
  if (text->job->context->rank != 0) return NULL;
  return json_pack("{s:O, s:I, s:I}", "ids", json_object_get(group, name), "length",
                   (json_int_t)text->windows.length, "stride", (json_int_t)text->windows.stride);
}

static bool keeps(void *self) {
  const olica_job_text *text = self;
  return compares(text->job);
}

const olica_rider_kind olica_rider_texts = {.parse = parse,
                                            .tokenizes = tokenizes,
                                            .open = open_texts,
                                            .check_ids = check_ids,
                                            .tell = tell,
                                            .plan = plan,
                                            .prepare = prepare,
                                            .close = close_texts,
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
                                            .keeps = keeps};
