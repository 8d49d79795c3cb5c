#include "eval/choices.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "eval/likelihood.h"
#include "par/comm.h"

/* ---- this rank's packs ---- */

/* The next free row, segment and target while a pack is filled. */
typedef struct filler {
  olica_choices *to;
  const olica_questions *questions;
  olica_own_pack *pack;
  olica_pack_sizes used;
  int64_t packs;
} filler;

static void put_segment(filler *f, olica_segment segment) {
  if (segment.count > 0) f->to->segment[f->used.segments++] = segment;
}

static void put_rows(filler *f, const int32_t *ids, int count) {
  memcpy(f->to->ids + f->used.rows, ids, (size_t)count * sizeof *ids);
  f->used.rows += count;
}

/* Rows [from, until) of the last `rows` rows predict. Returns the number of the first among those that do. */
static int64_t put_scored(filler *f, int rows, int from) {
  int64_t first = f->used.scored, begin = f->used.rows - rows;
  for (int row = from; row < rows; row++) f->to->scored[f->used.scored++] = begin + row;
  return first;
}

/* Lists the predictions of a choice: first those from rows of the prefix, then those from its own rows. */
static void put_targets(filler *f, const olica_question *question, int64_t number, int64_t prefix_scored,
                        int64_t own_scored) {
  const olica_choice *choice = &f->questions->choice[number];
  int own_from = question->prefix + olica_choice_from(question, choice);
  for (int t = choice->tokens - choice->scored; t < choice->tokens; t++) {
    int row = t - 1;
    int64_t scored =
        row < question->prefix ? prefix_scored + row - question->from : own_scored + row - own_from;
    f->to->target[f->used.targets++] =
        (olica_target){.choice = number, .scored = scored, .id = choice->id[t]};
  }
}

static void put_question(filler *f, const olica_question *question) {
  const olica_choice *choice = f->questions->choice + question->first_choice;
  int base = (int)(f->used.rows - f->pack->row), prefix = question->prefix;
  put_rows(f, choice[0].id, prefix);
  put_segment(f, (olica_segment){.first = base, .count = prefix, .length = choice[0].tokens - 1});
  int64_t prefix_scored = put_scored(f, prefix, question->from);
  for (int c = 0; c < question->choices; c++) {
    int own = olica_choice_rows(question, &choice[c]);
    int first = (int)(f->used.rows - f->pack->row);
    put_rows(f, choice[c].id + prefix, own);
    put_segment(f, (olica_segment){.first = first, .count = own, .base = base, .prefix = prefix});
    int64_t own_scored = put_scored(f, own, olica_choice_from(question, &choice[c]));
    put_targets(f, question, question->first_choice + c, prefix_scored, own_scored);
  }
}

static void put_pack(filler *f, const olica_packs *packs, int64_t number, int64_t first_row) {
  const olica_pack_sizes *size = &packs->size[number];
  f->pack = &f->to->pack[f->packs++];
  *f->pack = (olica_own_pack){.row = f->used.rows,
                              .segment = f->used.segments,
                              .scored = f->used.scored,
                              .target = f->used.targets,
                              .first_row = first_row,
                              .rows = (int)size->rows,
                              .segments = (int)size->segments,
                              .scored_rows = (int)size->scored,
                              .targets = (int)size->targets};
  for (int64_t i = packs->first[number]; i < packs->first[number + 1]; i++)
    put_question(f, &f->questions->question[packs->order[i]]);
}

static size_t lay_out(olica_choices *c, void *block) {
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, c->pack, c->packs);
  OLICA_TAKE(&arena, c->ids, c->own.rows);
  OLICA_TAKE(&arena, c->x, (size_t)c->own.rows * (size_t)c->arch->hidden);
  OLICA_TAKE(&arena, c->segment, c->own.segments);
  OLICA_TAKE(&arena, c->scored, c->own.scored);
  OLICA_TAKE(&arena, c->target, c->own.targets);
  OLICA_TAKE(&arena, c->logits, (size_t)c->most_scored * (size_t)c->panel_rows);
  OLICA_TAKE(&arena, c->top, c->own.scored);
  OLICA_TAKE(&arena, c->sum, c->own.scored);
  return arena.used;
}

olica_status olica_choices_hold(olica_ledger *ledger, const olica_arch *arch, const olica_packs *packs,
                                olica_dtype precision, int ranks, int threads, int panel_rows) {
  olica_choices c = {.arch = arch, .panel_rows = panel_rows, .most_scored = packs->most_scored};
  size_t most = 0;
  int *owner;
  OLICA_TRY(OLICA_NEW(packs->env, owner, (size_t)packs->count));
  OLICA_TRY(olica_packs_deal(packs, ranks, owner));
  for (int rank = 0; rank < ranks && rank < packs->count; rank++) {
    c.own = olica_packs_own(packs, owner, rank, &c.packs);
    size_t bytes = lay_out(&c, NULL);
    if (bytes > most) most = bytes;
  }
  olica_memory_free(packs->env, owner);
  olica_ledger_hold(ledger, most);
  olica_forward_hold(ledger, arch, packs->most_rows, packs->most_rows, precision, threads);
  return OLICA_OK;
}

static olica_status create(olica_choices *c, const olica_packs *packs) {
  olica_env *env = c->context->env;
  int *owner;
  OLICA_TRY(OLICA_NEW(env, owner, (size_t)packs->count));
  OLICA_TRY(olica_packs_deal(packs, c->context->size, owner));
  c->own = olica_packs_own(packs, owner, c->context->rank, &c->packs);
  OLICA_TRY(olica_forward_create(c->kernel, c->arch, packs->most_rows, packs->most_rows, &c->forward));
  OLICA_TRY(OLICA_LAY_OUT(env, "packs of the tasks", c->block, lay_out, c));
  filler f = {.to = c, .questions = packs->questions};
  for (int64_t p = 0; p < packs->count; p++) {
    if (owner[p] == c->context->rank) put_pack(&f, packs, p, c->all_rows);
    c->all_rows += packs->size[p].rows;
  }
  olica_memory_free(env, owner);
  return OLICA_OK;
}

olica_status olica_choices_create(olica_context *context, olica_kernel *kernel, const olica_arch *arch,
                                  const olica_packs *packs, int panel_rows, olica_choices **out) {
  olica_choices *c;
  OLICA_AGREE(context, OLICA_NEW(context->env, c, 1));
  *c = (olica_choices){.context = context,
                       .kernel = kernel,
                       .arch = arch,
                       .choices = packs->questions->choices,
                       .panel_rows = panel_rows,
                       .most_scored = packs->most_scored};
  OLICA_AGREE(context, create(c, packs));
  *out = c;
  return OLICA_OK;
}

void olica_choices_destroy(olica_choices *c) {
  if (!c) return;
  olica_env *env = c->context->env;
  olica_forward_destroy(c->forward);
  olica_memory_free(env, c->block);
  olica_memory_free(env, c);
}

/* ---- with the sweeps ---- */

void olica_choices_embed(olica_choices *c, int64_t first, int64_t count, const float *rows) {
  size_t d = (size_t)c->arch->hidden;
  if (first == 0) c->seconds = 0;
  for (int64_t i = 0; i < c->own.rows; i++) {
    int64_t row = c->ids[i] - first;
    if (row >= 0 && row < count) olica_forward_embed(c->arch, rows + (size_t)row * d, c->x + (size_t)i * d);
  }
}

olica_status olica_choices_advance(olica_choices *c, const olica_maps *maps) {
  double since = olica_timer_now();
  olica_status status = OLICA_OK;
  for (int64_t p = 0; p < c->packs && status == OLICA_OK; p++) {
    const olica_own_pack *own = &c->pack[p];
    const olica_pack pack = {
        .rows = own->rows, .segments = own->segments, .segment = c->segment + own->segment};
    status =
        olica_forward_pass(c->forward, maps, &pack, c->x + (size_t)own->row * (size_t)c->arch->hidden, NULL);
    olica_context_progress(c->context);
  }
  OLICA_AGREE(c->context, status);
  c->seconds += olica_timer_now() - since;
  return OLICA_OK;
}

void olica_choices_begin(olica_choices *c, const float *gains) {
  size_t d = (size_t)c->arch->hidden;
  /* Every row moves forward or stays, so none is overwritten before it has moved. */
  for (int64_t i = 0; i < c->own.scored; i++)
    olica_forward_norm(c->arch, 1, c->x + (size_t)c->scored[i] * d, gains, c->x + (size_t)i * d);
  olica_likelihood_begin((size_t)c->own.scored, c->top, c->sum);
  for (int64_t i = 0; i < c->own.targets; i++) c->target[i].logit = 0;
}

static void add_pack(olica_choices *c, const olica_own_pack *own, int64_t first, int64_t count,
                     olica_packed *rows) {
  olica_forward_logits(c->arch, rows, own->scored_rows, c->x + own->scored * c->arch->hidden, count,
                       c->logits);
#pragma omp parallel for schedule(static)
  for (int i = 0; i < own->scored_rows; i++)
    olica_likelihood_join(c->logits + (size_t)i * (size_t)count, count, &c->top[own->scored + i],
                          &c->sum[own->scored + i]);
  for (int64_t i = own->target; i < own->target + own->targets; i++) {
    olica_target *target = &c->target[i];
    int64_t id = target->id - first;
    if (id >= 0 && id < count) target->logit = c->logits[(target->scored - own->scored) * count + id];
  }
}

void olica_choices_add(olica_choices *c, int64_t first, int64_t count, olica_packed *rows) {
  double since = olica_timer_now();
  for (int64_t p = 0; p < c->packs; p++) add_pack(c, &c->pack[p], first, count, rows);
  c->seconds += olica_timer_now() - since;
}

olica_status olica_choices_finish(olica_choices *c, double *log_likelihood, double *seconds) {
  memset(log_likelihood, 0, (size_t)c->choices * sizeof *log_likelihood);
  for (int64_t i = 0; i < c->own.targets; i++) {
    const olica_target *target = &c->target[i];
    log_likelihood[target->choice] +=
        olica_likelihood_log(target->logit, c->top[target->scored], c->sum[target->scored]);
  }
  olica_comm_sum(c->context, c->context->comm, log_likelihood, (size_t)c->choices);
  *seconds = c->seconds;
  olica_comm_max(c->context, c->context->comm, seconds, 1);
  for (int64_t i = 0; i < c->choices; i++)
    if (!isfinite(log_likelihood[i]))
      return olica_error_set(c->context->env, OLICA_ERR_NUMERIC,
                             "the log-likelihood of a choice is not finite: the model overflows fp32");
  return OLICA_OK;
}
