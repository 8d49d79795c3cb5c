#include "text.h"

#include <math.h>
#include <stdio.h>

#include "checksum.h"
#include "par/comm.h"

olica_status olica_text_open(olica_text *t, const olica_inputs *inputs, const char *path) {
  const olica_options *o = t->setup->options;
  olica_context *context = t->setup->context;
  OLICA_TRY(path ? olica_inputs_tokenize(inputs, path, &t->ids)
                 : olica_ids_open(context, o->evaluate.tokens, &t->ids));
  return olica_windows_plan(context->env, t->ids->name, t->ids->rows * t->ids->cols, (int)o->evaluate.length,
                            (int)o->evaluate.stride, o->evaluate.windows, &t->windows);
}

static olica_report_text *report_of(const olica_text *t) {
  return &t->report->text[t->number];
}

olica_status olica_text_prepare(olica_text *t) {
  const olica_setup *setup = t->setup;
  olica_report_text *report = report_of(t);
  OLICA_TRY(olica_perplexity_create(setup->context, &setup->source->arch, t->ids, &t->windows,
                                    setup->source->panel_rows, &t->perplexity));
  if (t->compares) OLICA_AGREE(setup->context, olica_perplexity_compare(t->perplexity));
  olica_ids_close(setup->context, t->ids);
  t->ids = NULL;
  snprintf(report->name, sizeof report->name, "%s", t->name);
  report->windows = t->windows.count;
  report->tokens = olica_windows_scored_all(&t->windows);
  return OLICA_OK;
}

void olica_text_close(olica_text *t) {
  olica_ids_close(t->setup->context, t->ids);
  olica_perplexity_destroy(t->perplexity);
}

/* ---- the rider's operations ---- */

static void embed(void *self, int64_t first, int64_t count, const float *rows) {
  const olica_text *t = self;
  olica_stream_embed(t->perplexity->stream, t->perplexity->arch, first, count, rows);
}

static olica_status advance(void *self, const olica_maps *maps) {
  const olica_text *t = self;
  olica_timers *timers = &t->setup->context->env->timers;
  olica_timer_start(timers, "evaluate");
  olica_status status = olica_stream_advance(t->perplexity->stream, t->forward, maps, NULL);
  olica_timer_stop(timers);
  return status;
}

static void begin(void *self, const float *gains, bool pruned) {
  const olica_text *t = self;
  olica_perplexity_begin(t->perplexity, gains);
  if (!pruned && t->compares) olica_perplexity_keep(t->perplexity);
}

static void add(void *self, const olica_rider_panel *panel) {
  const olica_text *t = self;
  olica_perplexity_add_both(t->perplexity, panel->first, panel->count, panel->rows, panel->dense);
}

static olica_status finish_comparison(const olica_text *t) {
  double *kl = &report_of(t)->kl;
  OLICA_TRY(olica_perplexity_divergence(t->perplexity, kl));
  olica_log_line(t->setup->context->env, "KL to the dense model%s%s %.6f nats per token",
                 *t->name ? " of " : "", t->name, *kl);
  return OLICA_OK;
}

static olica_status finish(void *self, bool pruned) {
  const olica_text *t = self;
  olica_report_text *report = report_of(t);
  double *value = pruned ? &report->pruned : &report->dense;
  OLICA_TRY(olica_perplexity_finish(t->perplexity, value));
  olica_log_line(t->setup->context->env, "%s perplexity%s%s %.4f", olica_report_name(t->report, pruned),
                 *t->name ? " of " : "", t->name, *value);
  return pruned && t->compares ? finish_comparison(t) : OLICA_OK;
}

/* Adds sections with a piece for every window: its states, and the dense model's if the models are
 * compared. */
static olica_status save(void *self, bool rides, bool scored, olica_sections *sections) {
  const olica_text *t = self;
  const olica_perplexity *p = t->perplexity;
  char name[OLICA_RESTART_SECTION];
  snprintf(name, sizeof name, "dense%s%s", *t->name ? " " : "", t->name);
  if (scored && t->compares) OLICA_TRY(olica_sections_add_stream(sections, name, p->stream, p->first.states));
  snprintf(name, sizeof name, "%s%s", *t->name ? "text " : "evaluation", t->name);
  return rides ? olica_sections_add_stream(sections, name, p->stream, p->stream->x) : OLICA_OK;
}

static const char *dense_key(const olica_text *t, char key[64]) {
  snprintf(key, 64, "dense%s%s", *t->name ? " " : "", t->name);
  return key;
}

/* Omits a perplexity that is not known: JSON has no NaN. */
static olica_status describe(void *self, json_t *state) {
  const olica_text *t = self;
  char key[64];
  double dense = report_of(t)->dense;
  if (state && isfinite(dense)) json_object_set_new(state, dense_key(t, key), json_real(dense));
  return OLICA_OK;
}

static void recall(void *self, bool scored, const json_t *state) {
  const olica_text *t = self;
  char key[64];
  const json_t *dense = json_object_get(state, dense_key(t, key));
  (void)scored;
  if (dense) report_of(t)->dense = json_real_value(dense);
}

static void name_tokens(const olica_text *t, char name[64]) {
  snprintf(name, 64, "evaluation%s%s", *t->name ? " " : "", t->name);
}

static olica_status tokens(void *self, json_t *group) {
  const olica_text *t = self;
  char name[64];
  name_tokens(t, name);
  return olica_checksum_ids(t->setup->context, name, t->perplexity->stream, group);
}

static json_t *score(void *self, const json_t *group, const char **key, olica_array *array) {
  const olica_text *t = self;
  char name[64];
  name_tokens(t, name);
  *key = t->score;
  *array =
      (olica_array){.name = t->score, .dims = 1, .shape = {1, 0}, .least = 1, .data = &report_of(t)->dense};
  if (t->setup->context->rank != 0) return NULL;
  return json_pack("{s:O, s:I, s:I}", "ids", json_object_get(group, name), "length",
                   (json_int_t)t->windows.length, "stride", (json_int_t)t->windows.stride);
}

static bool keeps(void *self) {
  const olica_text *t = self;
  return t->compares;
}

const olica_rider_ops olica_text_ops = {.embed = embed,
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
