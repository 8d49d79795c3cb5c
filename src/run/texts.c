/* The texts (or the ids) whose perplexity is measured: each is a rider of the sweeps. */
#include <math.h>
#include <stdio.h>

#include "io/file.h"
#include "par/comm.h"
#include "par/partition.h"
#include "text.h"

/* The state of the kind. */
typedef struct texts {
  const olica_setup *setup;
  olica_report *report;
  olica_text_files files; /* of [evaluate] text */
  int count;              /* 0: no perplexity is measured */
  olica_text text[OLICA_TEXTS_MAX];
  bool own_forward; /* the texts have one of their own; else they use the calibration's, since the lengths are
                       equal */
} texts;

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
  olica_text *t = &all->text[i];
  const char *name = *all->setup->options->evaluate.text ? all->files.file[i].name : "";
  *t = (olica_text){.setup = all->setup,
                    .report = all->report,
                    .number = i,
                    .name = name,
                    .compares = all->setup->options->evaluate.kl};
  snprintf(t->score, sizeof t->score, "perplexity%s%s", *name ? "." : "", name);
}

static olica_status parse(texts *all) {
  const olica_options *o = all->setup->options;
  olica_context *context = all->setup->context;
  OLICA_AGREE(context, parse_files(all));
  int alone =
      context->rank == 0 && olica_text_files_is_file(context->env, o->evaluate.text_base, o->evaluate.text);
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

static olica_status open_texts(void *state, const olica_inputs *inputs) {
  texts *all = state;
  if (all->count > 0)
    OLICA_TRY(olica_setup_check_length(all->setup, "evaluate", all->setup->options->evaluate.length));
  for (int i = 0; i < all->count; i++)
    OLICA_TRY(olica_text_open(&all->text[i], inputs, all->files.count > 0 ? all->files.file[i].path : NULL));
  return OLICA_OK;
}

/* Checks the ids of the windows, each rank a piece. */
static olica_status check_ids(const void *state) {
  const texts *all = state;
  olica_context *context = all->setup->context;
  for (int i = 0; i < all->count; i++) {
    const olica_text *t = &all->text[i];
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
    const olica_text *t = &all->text[i];
    printf("evaluation   %s%s%lld window%s of %d tokens, of %lld in %s\n", t->name, *t->name ? ": " : "",
           (long long)t->windows.count, olica_log_plural(t->windows.count), t->windows.length,
           (long long)(t->ids->rows * t->ids->cols), t->ids->name);
  }
}

/* Returns the windows of the text that has most. */
static int64_t items(const void *state) {
  const texts *all = state;
  int64_t most = 0;
  for (int i = 0; i < all->count; i++)
    if (all->text[i].windows.count > most) most = all->text[i].windows.count;
  return most;
}

/* Returns whether the pruned model's distributions are compared with the dense one's. */
static bool compares(const texts *all) {
  return all->count > 0 && all->setup->options->evaluate.kl;
}

static bool shares_forward(const texts *all) {
  return all->setup->method->calibrates &&
         all->setup->options->evaluate.length == all->setup->options->calibration.length;
}

/* Returns the operations of a window, through all models that it scores. */
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
    olica_perplexity_hold(&plan->streams, arch, &all->text[i].windows, ranks, setup->source->panel_rows, kl);
    plan->pieces += kl ? 2 * own : own;
    plan->restart += (kl ? 8.0 : 4.0) * arch->hidden * windows * length;
    plan->work += windows * work;
    plan->busiest += own * work;
  }
  if (!shares_forward(all))
    olica_forward_hold(&plan->streams, arch, olica_setup_pack_rows(setup, length), length, setup->precision,
                       setup->context->most_threads);
  return OLICA_OK;
}

static olica_status prepare(void *state, olica_kernel *kernel, olica_forward *forward, olica_riders *riders) {
  texts *all = state;
  const olica_setup *setup = all->setup;
  int length = (int)setup->options->evaluate.length;
  for (int i = 0; i < all->count; i++) {
    OLICA_TRY(olica_text_prepare(&all->text[i]));
    olica_riders_append(riders, &olica_text_ops, &all->text[i]);
  }
  all->report->texts = all->count;
  riders->compares = compares(all);
  if (all->count == 0) return OLICA_OK;
  all->own_forward = !shares_forward(all);
  if (all->own_forward)
    OLICA_AGREE(setup->context, olica_forward_create(kernel, &setup->source->arch,
                                                     olica_setup_pack_rows(setup, length), length, &forward));
  for (int i = 0; i < all->count; i++) all->text[i].forward = forward;
  return OLICA_OK;
}

static void close_texts(void *state) {
  texts *all = state;
  olica_context *context = all->setup->context;
  if (all->own_forward) olica_forward_destroy(all->text[0].forward);
  for (int i = 0; i < all->count; i++) olica_text_close(&all->text[i]);
  olica_text_files_free(context->env, &all->files);
  olica_memory_free(context->env, all);
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
                                            .close = close_texts};
