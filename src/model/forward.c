#include "olica/model/forward.h"

#include <math.h>
#include <omp.h>

#include "olica/la/product.h"

enum { QUERY_BLOCK = 128 }; /* rows of scores kept at a time: memory stays linear in T */

static size_t wide(int a, int b) {
  return (size_t)(a > b ? a : b);
}

/* Rows of scratch between low-rank factors: no rank passes the width of what it factors. */
static size_t low_width(const olica_arch *arch) {
  return wide(arch->hidden, arch->heads * arch->head);
}

static size_t score_floats(int tokens, int threads) {
  return (size_t)threads * (size_t)(tokens < QUERY_BLOCK ? tokens : QUERY_BLOCK) * (size_t)tokens;
}

size_t olica_forward_bytes(const olica_arch *arch, int tokens, int threads) {
  size_t d = (size_t)arch->hidden, h = (size_t)arch->head;
  size_t row =
      2 * d + 2 * (size_t)(arch->heads + arch->kv_heads) * h + 2 * (size_t)arch->ffn + low_width(arch) + h;
  return sizeof(float) * ((size_t)tokens * row + score_floats(tokens, threads));
}

olica_status olica_forward_create(olica_env *env, const olica_arch *arch, int tokens, int threads,
                                  olica_forward **out) {
  olica_forward *f;
  OLICA_TRY(OLICA_NEW(env, f, 1));
  *f = (olica_forward){.env = env, .arch = arch, .tokens = tokens, .threads = threads};
  size_t T = (size_t)tokens, d = (size_t)arch->hidden;
  size_t queries = (size_t)(arch->heads * arch->head), keys = (size_t)(arch->kv_heads * arch->head);
  OLICA_TRY(olica_rope_tables(env, &arch->rope, arch->head, tokens, &f->cosine, &f->sine));
  OLICA_TRY(OLICA_NEW(env, f->normed, T * d));
  OLICA_TRY(OLICA_NEW(env, f->added, T * d));
  OLICA_TRY(OLICA_NEW(env, f->query, T * queries));
  OLICA_TRY(OLICA_NEW(env, f->key, T * keys));
  OLICA_TRY(OLICA_NEW(env, f->value, T * keys));
  OLICA_TRY(OLICA_NEW(env, f->mixed, T * queries));
  OLICA_TRY(OLICA_NEW(env, f->scores, score_floats(tokens, threads)));
  OLICA_TRY(OLICA_NEW(env, f->gate, T * (size_t)arch->ffn));
  OLICA_TRY(OLICA_NEW(env, f->up, T * (size_t)arch->ffn));
  OLICA_TRY(OLICA_NEW(env, f->low, T * low_width(arch)));
  *out = f;
  return OLICA_OK;
}

void olica_forward_destroy(olica_forward *f) {
  if (!f) return;
  float *blocks[] = {f->cosine, f->sine,  f->normed, f->added, f->query, f->key,
                     f->value,  f->mixed, f->scores, f->gate,  f->up,    f->low};
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) olica_memory_free(f->env, blocks[i]);
  olica_memory_free(f->env, f);
}

void olica_forward_norm(const olica_arch *arch, int rows, const float *x, const float *g, float *y) {
  int d = arch->hidden;
#pragma omp parallel for schedule(static) if ((double)rows * d >= OLICA_PRODUCT_PARALLEL)
  for (int t = 0; t < rows; t++) {
    const float *in = x + (size_t)t * d;
    float *out = y + (size_t)t * d;
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < d; i++) sum += in[i] * in[i];
    float scale = 1.0f / sqrtf(sum / (float)d + (float)arch->eps);
    for (int i = 0; i < d; i++) out[i] = in[i] * scale * g[i];
  }
}

void olica_forward_neurons(int rows, int width, float *gate, const float *up) {
#pragma omp parallel for schedule(static) if ((double)rows * width >= OLICA_PRODUCT_PARALLEL)
  for (int t = 0; t < rows; t++) {
    float *g = gate + (size_t)t * width;
    const float *u = up + (size_t)t * width;
#pragma omp simd
    for (int i = 0; i < width; i++) g[i] = g[i] / (1.0f + olica_product_exp(-g[i])) * u[i];
  }
}

/* y [T x out] := the linear map of x [T x in]. */
static void apply(olica_forward *f, const olica_linear *linear, const float *x, float *y) {
  int T = f->tokens, out = linear->out, in = linear->in, rank = linear->rank;
  if (rank) {
    olica_product_linear(f->env, T, rank, in, x, in, linear->a, 0.0f, f->low, rank);
    olica_product_linear(f->env, T, out, rank, f->low, rank, linear->b, 0.0f, y, out);
  } else {
    olica_product_linear(f->env, T, out, in, x, in, linear->weight, 0.0f, y, out);
  }
  if (!linear->bias) return;
  for (int t = 0; t < T; t++)
    for (int i = 0; i < out; i++) y[(size_t)t * out + i] += linear->bias[i];
}

/* One row of scores -> probabilities over columns [from, until); the rest of `width` becomes 0. */
static void softmax(float *s, int from, int until, int width) {
  float top = -INFINITY, sum = 0.0f;
  for (int j = from; j < until; j++) top = s[j] > top ? s[j] : top;
#pragma omp simd reduction(+ : sum)
  for (int j = from; j < until; j++) sum += s[j] = olica_product_exp(s[j] - top);
  float scale = 1.0f / sum;
  for (int j = 0; j < from; j++) s[j] = 0.0f;
  for (int j = from; j < until; j++) s[j] *= scale;
  for (int j = until; j < width; j++) s[j] = 0.0f;
}

/* Query rows [first, first + rows) of one head: scores against the keys up to their own position, softmax,
 * mix of the values. */
static void attend_block(const olica_forward *f, int head, int values, int window, int first, int rows,
                         float *s) {
  const olica_arch *a = f->arch;
  int kv = head / (a->heads / a->kv_heads), until = first + rows;
  int start = window && first - window + 1 > 0 ? first - window + 1 : 0; /* no row sees further back */
  int width = until - start;
  int q_stride = a->heads * a->head, k_stride = a->kv_heads * a->head, v_stride = a->kv_heads * values;
  olica_product_piece(1, rows, width, a->head, 1.0f / sqrtf((float)a->head),
                      f->query + (size_t)first * q_stride + head * a->head, q_stride,
                      f->key + (size_t)start * k_stride + kv * a->head, k_stride, s, width);
  for (int t = 0; t < rows; t++) {
    int self = first + t, from = window && self - window + 1 > start ? self - window + 1 : start;
    softmax(s + (size_t)t * width, from - start, self + 1 - start, width);
  }
  olica_product_piece(0, rows, values, width, 1.0f, s, width,
                      f->value + (size_t)start * v_stride + kv * values, v_stride,
                      f->mixed + (size_t)first * a->heads * values + head * values, a->heads * values);
}

static void attend(olica_forward *f, int values, int window) {
  int heads = f->arch->heads, T = f->tokens;
  size_t block_floats = score_floats(T, 1);
#pragma omp parallel for schedule(static)                                                                    \
    num_threads(f->threads) if ((double)T * T * heads >= OLICA_PRODUCT_PARALLEL)
  for (int head = 0; head < heads; head++) {
    float *scores = f->scores + block_floats * (size_t)omp_get_thread_num();
    for (int first = 0; first < T; first += QUERY_BLOCK)
      attend_block(f, head, values, window, first, T - first < QUERY_BLOCK ? T - first : QUERY_BLOCK, scores);
  }
  olica_timer_work(&f->env->timers, (double)T * (T + 1) * heads * (f->arch->head + values), 0);
}

static void see(const olica_observer *observer, olica_tap tap, const float *rows, int tokens, int width) {
  if (observer) observer->see(observer->self, tap, rows, tokens, width);
}

static void add(float *x, const float *y, size_t n) {
  for (size_t i = 0; i < n; i++) x[i] += y[i];
}

static void attention(olica_forward *f, const olica_layer *layer, int index, float *x,
                      const olica_observer *observer) {
  const olica_arch *a = f->arch;
  int T = f->tokens, values = layer->shape.values;
  olica_forward_norm(a, T, x, layer->input_norm, f->normed);
  see(observer, OLICA_TAP_ATTENTION_INPUT, f->normed, T, a->hidden);
  apply(f, &layer->linear[OLICA_Q], f->normed, f->query);
  apply(f, &layer->linear[OLICA_K], f->normed, f->key);
  apply(f, &layer->linear[OLICA_V], f->normed, f->value);
  olica_rope_apply(f->cosine, f->sine, T, a->heads, a->head, f->query);
  olica_rope_apply(f->cosine, f->sine, T, a->kv_heads, a->head, f->key);
  attend(f, values, index >= a->window_from ? a->window : 0);
  see(observer, OLICA_TAP_VALUES, f->mixed, T, a->heads * values);
  apply(f, &layer->linear[OLICA_O], f->mixed, f->added);
  see(observer, OLICA_TAP_ATTENTION_OUTPUT, f->added, T, a->hidden);
  add(x, f->added, (size_t)T * a->hidden);
}

static void ffn(olica_forward *f, const olica_layer *layer, float *x, const olica_observer *observer) {
  const olica_arch *a = f->arch;
  int T = f->tokens, d = a->hidden, r = layer->shape.branch;
  olica_forward_norm(a, T, x, layer->ffn_norm, f->normed);
  see(observer, OLICA_TAP_FFN_INPUT, f->normed, T, d);
  apply(f, &layer->linear[OLICA_GATE], f->normed, f->gate);
  apply(f, &layer->linear[OLICA_UP], f->normed, f->up);
  olica_forward_neurons(T, layer->shape.ffn, f->gate, f->up);
  see(observer, OLICA_TAP_FFN_NEURONS, f->gate, T, layer->shape.ffn);
  apply(f, &layer->linear[OLICA_DOWN], f->gate, f->added);
  if (r) {
    olica_product_general(f->env, 0, 0, T, r, d, 1.0f, f->normed, d, layer->branch_a, r, 0.0f, f->low, r);
    olica_product_general(f->env, 0, 0, T, d, r, 1.0f, f->low, r, layer->branch_b, d, 1.0f, f->added, d);
  }
  see(observer, OLICA_TAP_FFN_OUTPUT, f->added, T, d);
  add(x, f->added, (size_t)T * d);
}

void olica_forward_layer(olica_forward *f, const olica_layer *layer, int index, float *x,
                         const olica_observer *observer) {
  attention(f, layer, index, x, observer);
  ffn(f, layer, x, observer);
}
