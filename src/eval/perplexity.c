#include "eval/perplexity.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "eval/likelihood.h"
#include "par/comm.h"
#include "par/partition.h"

olica_status olica_windows_plan(olica_env *env, const char *file, int64_t tokens, int length, int stride,
                                int64_t limit, olica_windows *windows) {
  if (stride == 0) stride = length;
  int64_t count = tokens < length ? 0 : (tokens - length) / stride + 1;
  if (count == 0 || count < limit)
    return olica_error_set(
        env, OLICA_ERR_INPUT,
        "%s: %lld ids make %lld window%s of %d, expected at least %lld ([evaluate] windows)", file,
        (long long)tokens, (long long)count, olica_log_plural(count), length, (long long)(limit ? limit : 1));
  *windows = (olica_windows){.length = length, .stride = stride, .count = limit ? limit : count};
  return OLICA_OK;
}

/* Returns the predicted tokens of a window. */
static int scored(const olica_windows *windows, int64_t window) {
  return window == 0 || windows->stride >= windows->length ? windows->length - 1 : windows->stride;
}

int64_t olica_windows_scored_all(const olica_windows *windows) {
  return scored(windows, 0) + (windows->count - 1) * (int64_t)scored(windows, 1);
}

static size_t lay_out(olica_perplexity *p, void *block) {
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, p->logits, (size_t)p->windows.length * (size_t)p->panel_rows);
  OLICA_TAKE(&arena, p->top, p->positions);
  OLICA_TAKE(&arena, p->target, p->positions);
  OLICA_TAKE(&arena, p->sum, p->positions);
  return arena.used;
}

static size_t lay_out_first(olica_perplexity *p, void *block) {
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, p->first.states, p->positions * (size_t)p->arch->hidden);
  OLICA_TAKE(&arena, p->first.logits, (size_t)p->windows.length * (size_t)p->panel_rows);
  OLICA_TAKE(&arena, p->first.each, p->positions);
  return arena.used;
}

void olica_perplexity_hold(olica_ledger *ledger, const olica_arch *arch, const olica_windows *windows,
                           int ranks, int panel_rows, bool compares) {
  olica_perplexity p = {.arch = arch, .windows = *windows, .panel_rows = panel_rows};
  p.positions = (size_t)olica_partition_block(windows->count, ranks, 0).count * (size_t)windows->length;
  olica_stream_hold(ledger, arch->hidden, windows->count, windows->length, ranks);
  olica_ledger_hold(ledger, lay_out(&p, NULL));
  if (compares) olica_ledger_hold(ledger, lay_out_first(&p, NULL));
}

/* Reads the ids of this rank's windows: one stretch of the file, in which windows may overlap. */
static olica_status read_windows(olica_perplexity *p, const olica_ids *ids) {
  olica_env *env = p->context->env;
  olica_stream *stream = p->stream;
  int T = p->windows.length, stride = p->windows.stride;
  if (stream->count == 0) return OLICA_OK;
  int64_t span = (stream->count - 1) * stride + T, start = stream->first * stride;
  int32_t *stretch;
  OLICA_TRY(OLICA_NEW(env, stretch, (size_t)span));
  OLICA_TRY(olica_ids_read(p->context, ids, start / ids->cols, start % ids->cols, span, p->arch->vocabulary,
                           stretch));
  for (int64_t w = 0; w < stream->count; w++)
    memcpy(stream->ids + w * T, stretch + w * stride, (size_t)T * sizeof *stretch);
  olica_memory_free(env, stretch);
  return OLICA_OK;
}

static olica_status create(olica_perplexity *p, const olica_ids *ids) {
  olica_env *env = p->context->env;
  OLICA_TRY(
      olica_stream_create(p->context, p->arch->hidden, p->windows.count, p->windows.length, &p->stream));
  p->positions = (size_t)p->stream->count * (size_t)p->windows.length;
  OLICA_TRY(OLICA_LAY_OUT(env, "evaluation", p->block, lay_out, p));
  return read_windows(p, ids);
}

olica_status olica_perplexity_create(olica_context *context, const olica_arch *arch, const olica_ids *ids,
                                     const olica_windows *windows, int panel_rows, olica_perplexity **out) {
  olica_perplexity *p;
  OLICA_AGREE(context, OLICA_NEW(context->env, p, 1));
  *p = (olica_perplexity){.context = context, .arch = arch, .windows = *windows, .panel_rows = panel_rows};
  OLICA_AGREE(context, create(p, ids));
  *out = p;
  return OLICA_OK;
}

olica_status olica_perplexity_compare(olica_perplexity *p) {
  return OLICA_LAY_OUT(p->context->env, "the dense model's states", p->first.block, lay_out_first, p);
}

void olica_perplexity_destroy(olica_perplexity *p) {
  if (!p) return;
  olica_env *env = p->context->env;
  olica_stream_destroy(p->stream);
  olica_memory_free(env, p->block);
  olica_memory_free(env, p->first.block);
  olica_memory_free(env, p);
}

void olica_perplexity_begin(olica_perplexity *p, const float *gains) {
  for (int64_t w = 0; w < p->stream->count; w++) {
    float *x = olica_stream_sequence(p->stream, w);
    olica_forward_norm(p->arch, p->windows.length, x, gains, x);
  }
  olica_likelihood_begin(p->positions, p->top, p->sum);
  memset(p->target, 0, p->positions * sizeof *p->target);
  if (p->first.block) olica_divergence_begin(p->positions, p->first.each);
}

void olica_perplexity_keep(olica_perplexity *p) {
  memcpy(p->first.states, p->stream->x, p->positions * (size_t)p->arch->hidden * sizeof *p->first.states);
}

/* Adds the panel's logits of the window's predicted positions. */
static void join_window(olica_perplexity *p, int64_t w, int from, int64_t first, int64_t count) {
  int T = p->windows.length;
  const int32_t *ids = p->stream->ids + w * T;
#pragma omp parallel for schedule(static)
  for (int t = from; t < T - 1; t++) {
    const float *logits = p->logits + (size_t)(t - from) * (size_t)count;
    int64_t next = ids[t + 1] - first;
    if (next >= 0 && next < count) p->target[w * T + t] = logits[next];
    olica_likelihood_join(logits, count, &p->top[w * T + t], &p->sum[w * T + t]);
  }
}

static void join_both(olica_perplexity *p, int64_t w, int from, int64_t count) {
  int T = p->windows.length;
#pragma omp parallel for schedule(static)
  for (int t = from; t < T - 1; t++) {
    size_t at = (size_t)(t - from) * (size_t)count;
    olica_divergence_join(p->first.logits + at, p->logits + at, count, &p->first.each[w * T + t]);
  }
}

void olica_perplexity_add_both(olica_perplexity *p, int64_t first, int64_t count, olica_packed *rows,
                               olica_packed *first_rows) {
  int T = p->windows.length, d = p->arch->hidden;
  for (int64_t w = 0; w < p->stream->count; w++) {
    int from = T - 1 - scored(&p->windows, p->stream->first + w);
    size_t at = ((size_t)w * (size_t)T + (size_t)from) * (size_t)d;
    olica_forward_logits(p->arch, rows, T - 1 - from, p->stream->x + at, count, p->logits);
    join_window(p, w, from, first, count);
    if (!first_rows) continue;
    olica_forward_logits(p->arch, first_rows, T - 1 - from, p->first.states + at, count, p->first.logits);
    join_both(p, w, from, count);
  }
}

void olica_perplexity_add(olica_perplexity *p, int64_t first, int64_t count, olica_packed *rows) {
  olica_perplexity_add_both(p, first, count, rows, NULL);
}

/* Returns the mean of a term over the predicted tokens of all ranks' windows: `term` of a position [count x
 * T]. Sums go window by window. Collective on the context. */
static double mean_scored(const olica_perplexity *p, double (*term)(const olica_perplexity *p, int64_t at)) {
  int T = p->windows.length;
  double sum = 0.0;
  for (int64_t w = 0; w < p->stream->count; w++) {
    double window = 0.0;
    for (int t = T - 1 - scored(&p->windows, p->stream->first + w); t < T - 1; t++)
      window += term(p, w * T + t);
    sum += window;
  }
  olica_comm_sum(p->context, p->context->comm, &sum, 1);
  return sum / (double)olica_windows_scored_all(&p->windows);
}

static double divergence(const olica_perplexity *p, int64_t at) {
  return olica_divergence_value(&p->first.each[at]);
}

static double negative_log_likelihood(const olica_perplexity *p, int64_t at) {
  return -olica_likelihood_log(p->target[at], p->top[at], p->sum[at]);
}

olica_status olica_perplexity_divergence(olica_perplexity *p, double *value) {
  *value = mean_scored(p, divergence);
  if (isfinite(*value)) return OLICA_OK;
  return olica_error_set(p->context->env, OLICA_ERR_NUMERIC,
                         "the KL divergence is not finite: a model overflows fp32");
}

olica_status olica_perplexity_finish(olica_perplexity *p, double *value) {
  *value = exp(mean_scored(p, negative_log_likelihood));
  if (isfinite(*value)) return OLICA_OK;
  return olica_error_set(p->context->env, OLICA_ERR_NUMERIC,
                         "the perplexity is not finite: the model overflows fp32");
}
