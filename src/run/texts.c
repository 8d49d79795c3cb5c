/* The texts (or the ids) whose perplexity is measured: each is a rider of the sweeps. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "checksum.h"
#include "eval/perplexity.h"
#include "eval/text_files.h"
#include "io/file.h"
#include "par/comm.h"
#include "par/partition.h"
#include "rider.h"

/* A rider. */
typedef struct text {
  const struct texts *texts;
  int number;                       /* among the report's */
  const char *name;                 /* "": it is alone */
  char score[OLICA_TEXT_NAME + 16]; /* "perplexity.NAME": of its score in saved statistics */
  olica_ids *ids;                   /* until its windows have been taken */
  olica_windows windows;
  olica_perplexity *perplexity; /* from when it is prepared */
} text;

/* The state of the kind. */
typedef struct texts {
  const olica_setup *setup;
  olica_report *report;
  olica_text_files files; /* of [evaluate] text */
  int count;              /* 0: no perplexity is measured */
  text text[OLICA_TEXTS_MAX];
  olica_forward *forward; /* of all of them: */
  bool borrowed;          /* the calibration's, since the lengths are equal */
} texts;

/* ---- the kind's ---- */

/* Rank 0: a file may be called like a list. */
static bool is_file(const texts *all) {
  const olica_options *o = all->setup->options;
  char *path;
  if (olica_file_resolve(all->setup->context->env, o->evaluate.text_base, o->evaluate.text, &path) !=
      OLICA_OK)
    return false;
  bool found = access(path, F_OK) == 0;
  olica_memory_free(all->setup->context->env, path);
  return found;
}

static olica_status take_file(texts *all) {
  const olica_options *o = all->setup->options;
  char *path;
  OLICA_TRY(olica_file_resolve(all->setup->context->env, o->evaluate.text_base, o->evaluate.text, &path));
  olica_log_line(all->setup->context->env, "[evaluate] text: %s is a file, and no list of NAME:FILE", path);
  olica_status status = olica_text_files_alone(all->setup->context->env, path, &all->files);
  olica_memory_free(all->setup->context->env, path);
  return status;
}

/* The options have parsed the list before; only memory can fail here. */
static olica_status parse_files(texts *all) {
  const olica_options *o = all->setup->options;
  return olica_text_files_parse(all->setup->context->env, o->config, o->evaluate.text_base, o->evaluate.text,
                                &all->files);
}

static void name_text(texts *all, int i) {
  text *t = &all->text[i];
  const char *name = *all->setup->options->evaluate.text ? all->files.file[i].name : "";
  *t = (text){.texts = all, .number = i, .name = name};
  snprintf(t->score, sizeof t->score, "perplexity%s%s", *name ? "." : "", name);
}

static olica_status parse(texts *all) {
  const olica_options *o = all->setup->options;
  olica_context *context = all->setup->context;
  OLICA_AGREE(context, parse_files(all));
  int alone = context->rank == 0 && olica_text_files_is_list(o->evaluate.text) && is_file(all);
  olica_comm_bcast(context, context->comm, &alone, sizeof alone, 0);
  OLICA_AGREE(context, alone ? take_file(all) : OLICA_OK);
  all->count = *o->evaluate.tokens ? 1 : all->files.count;
  for (int i = 0; i < all->count; i++) name_text(all, i);
  return OLICA_OK;
}

static olica_status create(const olica_setup *setup, olica_report *report, void **state) {
  texts *all = NULL;
  OLICA_AGREE(setup->context, OLICA_NEW(setup->context->env, all, 1));
  *all = (texts){.setup = setup, .report = report};
  *state = all;
  return parse(all);
}

static bool tokenizes(const void *state) {
  const texts *all = state;
  return *all->setup->options->evaluate.text;
}

static olica_status open_text(texts *all, const olica_inputs *inputs, int i) {
  const olica_options *o = all->setup->options;
  text *t = &all->text[i];
  OLICA_TRY(*o->evaluate.text ? olica_inputs_tokenize(inputs, all->files.file[i].path, &t->ids)
                              : olica_ids_open(all->setup->context, o->evaluate.tokens, &t->ids));
  return olica_windows_plan(all->setup->context->env, t->ids->name, t->ids->rows * t->ids->cols,
                            (int)o->evaluate.length, (int)o->evaluate.stride, o->evaluate.windows,
                            &t->windows);
}

static olica_status open_texts(void *state, const olica_inputs *inputs) {
  texts *all = state;
  if (all->count > 0)
    OLICA_TRY(olica_setup_check_length(all->setup, "evaluate", all->setup->options->evaluate.length));
  for (int i = 0; i < all->count; i++) OLICA_TRY(open_text(all, inputs, i));
  return OLICA_OK;
}

/* The ids of the windows are dealt out to the ranks, in pieces. */
static olica_status check_ids(const void *state) {
  const texts *all = state;
  olica_context *context = all->setup->context;
  for (int i = 0; i < all->count; i++) {
    const text *t = &all->text[i];
    int64_t span = (t->windows.count - 1) * t->windows.stride + t->windows.length;
    olica_range own = olica_partition_block(span, context->size, context->rank);
    if (own.count > 0)
      OLICA_TRY(
          olica_ids_check(context, t->ids, 0, own.first, own.count, all->setup->source->arch.vocabulary));
  }
  return OLICA_OK;
}

static void print(const void *state) {
  const texts *all = state;
  for (int i = 0; i < all->count; i++) {
    const text *t = &all->text[i];
    printf("evaluation   %s%s%lld window%s of %d tokens, of %lld in %s\n", t->name, *t->name ? ": " : "",
           (long long)t->windows.count, olica_log_plural(t->windows.count), t->windows.length,
           (long long)(t->ids->rows * t->ids->cols), t->ids->name);
  }
}

/* Windows of the text that has most. */
static int64_t items(const void *state) {
  const texts *all = state;
  int64_t most = 0;
  for (int i = 0; i < all->count; i++)
    if (all->text[i].windows.count > most) most = all->text[i].windows.count;
  return most;
}

/* Are the pruned model's distributions compared with the dense one's? */
static bool compares(const texts *all) {
  return all->count > 0 && all->setup->options->evaluate.kl;
}

static bool shares_forward(const texts *all) {
  return all->setup->method->calibrates &&
         all->setup->options->evaluate.length == all->setup->options->calibration.length;
}

/* Operations of a window, through all models that it scores. */
static double window_work(const texts *all, const olica_method_plan *method) {
  const olica_arch *arch = &all->setup->source->arch;
  double length = (double)all->setup->options->evaluate.length, head = 2.0 * arch->hidden * arch->vocabulary,
         token = 0;
  for (int i = 0; i < arch->layers; i++) {
    if (olica_setup_scores(all->setup, false))
      token += olica_layer_shape_work(arch, &all->setup->source->shape[i], length);
    if (olica_setup_prunes(all->setup)) token += olica_layer_shape_work(arch, &method->shapes[i], length);
  }
  if (olica_setup_scores(all->setup, false)) token += head;
  if (olica_setup_prunes(all->setup)) token += compares(all) ? 2 * head : head;
  return length * token;
}

static olica_status plan(const void *state, int ranks, const olica_method_plan *method,
                         olica_rider_plan *plan) {
  const texts *all = state;
  const olica_setup *setup = all->setup;
  const olica_arch *arch = &setup->source->arch;
  int length = (int)setup->options->evaluate.length;
  bool kl = compares(all);
  if (all->count == 0) return OLICA_OK;
  double work = window_work(all, method);
  plan->compares = kl;
  for (int i = 0; i < all->count; i++) {
    double windows = (double)all->text[i].windows.count, own = ceil(windows / ranks);
    plan->streams += olica_perplexity_bytes(arch, own, length, setup->source->panel_rows, kl);
    plan->pieces += kl ? 2 * own : own;
    plan->restart += (kl ? 8.0 : 4.0) * arch->hidden * windows * length;
    plan->work += windows * work;
    plan->busiest += own * work;
  }
  if (!shares_forward(all))
    plan->streams += (double)olica_forward_bytes(arch, olica_setup_pack_rows(setup, length), length,
                                                 setup->precision, setup->context->most_threads);
  return OLICA_OK;
}

static olica_status prepare_text(texts *all, text *t, olica_riders *riders) {
  const olica_setup *setup = all->setup;
  olica_report_text *report = &all->report->text[t->number];
  OLICA_TRY(olica_perplexity_create(setup->context, &setup->source->arch, t->ids, &t->windows,
                                    setup->source->panel_rows, &t->perplexity));
  if (compares(all)) OLICA_AGREE(setup->context, olica_perplexity_compare(t->perplexity));
  olica_ids_close(setup->context, t->ids);
  t->ids = NULL;
  snprintf(report->name, sizeof report->name, "%s", t->name);
  report->windows = t->windows.count;
  report->tokens = olica_windows_scored_all(&t->windows);
  olica_riders_append(riders, &olica_rider_texts, t);
  return OLICA_OK;
}

static olica_status prepare(void *state, olica_kernel *kernel, olica_forward *forward, olica_riders *riders) {
  texts *all = state;
  const olica_setup *setup = all->setup;
  int length = (int)setup->options->evaluate.length;
  for (int i = 0; i < all->count; i++) OLICA_TRY(prepare_text(all, &all->text[i], riders));
  all->report->texts = all->count;
  riders->compares = compares(all);
  if (all->count == 0) return OLICA_OK;
  all->borrowed = shares_forward(all);
  all->forward = all->borrowed ? forward : NULL;
  if (all->borrowed) return OLICA_OK;
  OLICA_AGREE(setup->context,
              olica_forward_create(kernel, &setup->source->arch, olica_setup_pack_rows(setup, length), length,
                                   &all->forward));
  return OLICA_OK;
}

static void close_texts(void *state) {
  texts *all = state;
  olica_context *context = all->setup->context;
  if (!all->borrowed) olica_forward_destroy(all->forward);
  for (int i = 0; i < all->count; i++) {
    olica_ids_close(context, all->text[i].ids);
    olica_perplexity_destroy(all->text[i].perplexity);
  }
  olica_text_files_free(context->env, &all->files);
  olica_memory_free(context->env, all);
}

/* ---- a rider's ---- */

static void embed(void *self, int64_t first, int64_t count, const float *rows) {
  const text *t = self;
  olica_stream_embed(t->perplexity->stream, first, count, rows);
}

static olica_status advance(void *self, const olica_maps *maps) {
  const text *t = self;
  olica_timers *timers = &t->texts->setup->context->env->timers;
  olica_timer_start(timers, "evaluate");
  olica_status status = olica_stream_advance(t->perplexity->stream, t->texts->forward, maps, NULL);
  olica_timer_stop(timers);
  return status;
}

static void begin(void *self, const float *gains, bool pruned) {
  const text *t = self;
  olica_perplexity_begin(t->perplexity, gains);
  if (!pruned && compares(t->texts)) olica_perplexity_keep(t->perplexity);
}

static void add(void *self, const olica_rider_panel *panel) {
  const text *t = self;
  olica_perplexity_add_both(t->perplexity, panel->first, panel->count, panel->rows, panel->dense);
}

static olica_report_text *report_of(const text *t) {
  return &t->texts->report->text[t->number];
}

static olica_status finish_comparison(const text *t) {
  double *kl = &report_of(t)->kl;
  OLICA_TRY(olica_perplexity_divergence(t->perplexity, kl));
  olica_log_line(t->texts->setup->context->env, "KL to the dense model%s%s %.6f nats per token",
                 *t->name ? " of " : "", t->name, *kl);
  return OLICA_OK;
}

static olica_status finish(void *self, bool pruned) {
  const text *t = self;
  olica_report_text *report = report_of(t);
  double *value = pruned ? &report->pruned : &report->dense;
  OLICA_TRY(olica_perplexity_finish(t->perplexity, value));
  olica_log_line(t->texts->setup->context->env, "%s perplexity%s%s %.4f",
                 olica_report_name(t->texts->report, pruned), *t->name ? " of " : "", t->name, *value);
  return pruned && compares(t->texts) ? finish_comparison(t) : OLICA_OK;
}

/* A piece for every window; of the dense model's states too, if they are to be compared with. */
static olica_status save(void *self, bool rides, bool scored, olica_sections *sections) {
  const text *t = self;
  const olica_perplexity *p = t->perplexity;
  char name[OLICA_RESTART_SECTION];
  snprintf(name, sizeof name, "dense%s%s", *t->name ? " " : "", t->name);
  if (scored && compares(t->texts))
    OLICA_TRY(olica_sections_add_stream(sections, name, p->stream, p->first.states));
  snprintf(name, sizeof name, "%s%s", *t->name ? "text " : "evaluation", t->name);
  return rides ? olica_sections_add_stream(sections, name, p->stream, p->stream->x) : OLICA_OK;
}

static const char *dense_key(const text *t, char key[64]) {
  snprintf(key, 64, "dense%s%s", *t->name ? " " : "", t->name);
  return key;
}

/* JSON has no NaN: what has not been measured in this run (or read with its statistics) is left out. */
static olica_status describe(void *self, json_t *state) {
  const text *t = self;
  char key[64];
  double dense = report_of(t)->dense;
  if (state && isfinite(dense)) json_object_set_new(state, dense_key(t, key), json_real(dense));
  return OLICA_OK;
}

static void recall(void *self, bool scored, const json_t *state) {
  const text *t = self;
  char key[64];
  const json_t *dense = json_object_get(state, dense_key(t, key));
  (void)scored;
  if (dense) report_of(t)->dense = json_real_value(dense);
}

static void name_tokens(const text *t, char name[64]) {
  snprintf(name, 64, "evaluation%s%s", *t->name ? " " : "", t->name);
}

static olica_status tokens(void *self, json_t *group) {
  const text *t = self;
  char name[64];
  name_tokens(t, name);
  return olica_checksum_ids(t->texts->setup->context, name, t->perplexity->stream, group);
}

static json_t *score(void *self, const json_t *group, const char **key, olica_array *array) {
  const text *t = self;
  char name[64];
  name_tokens(t, name);
  *key = t->score;
  *array =
      (olica_array){.name = t->score, .dims = 1, .shape = {1, 0}, .least = 1, .data = &report_of(t)->dense};
  if (t->texts->setup->context->rank != 0) return NULL;
  return json_pack("{s:O, s:I, s:I}", "ids", json_object_get(group, name), "length",
                   (json_int_t)t->windows.length, "stride", (json_int_t)t->windows.stride);
}

static bool keeps(void *self) {
  const text *t = self;
  return compares(t->texts);
}

const olica_rider_kind olica_rider_texts = {.create = create,
                                            .tokenizes = tokenizes,
                                            .open = open_texts,
                                            .check_ids = check_ids,
                                            .print = print,
                                            .item = "window of the evaluation",
                                            .items = items,
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
