#include "olica/model/forward.h"

#include <assert.h>
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

size_t olica_forward_packed_bytes(const olica_arch *arch, const olica_layer_shape *shape,
                                  olica_dtype precision) {
  int out, in, r = shape->branch, d = arch->hidden;
  size_t bytes = olica_packed_bytes(precision, r, d) + olica_packed_bytes(precision, d, r);
  for (int p = 0; p < OLICA_PROJECTIONS; p++) {
    int rank = shape->rank[p];
    olica_layer_shape_linear(arch, shape, (olica_projection)p, &out, &in);
    bytes += rank ? olica_packed_bytes(precision, rank, in) + olica_packed_bytes(precision, out, rank)
                  : olica_packed_bytes(precision, out, in);
  }
  return bytes;
}

olica_status olica_forward_create(olica_kernel *kernel, const olica_arch *arch, int tokens, int threads,
                                  olica_forward **out) {
  olica_env *env = olica_kernel_env(kernel);
  olica_forward *f;
  OLICA_TRY(OLICA_NEW(env, f, 1));
  *f = (olica_forward){.env = env, .kernel = kernel, .arch = arch, .tokens = tokens, .threads = threads};
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
  olica_forward_end(f);
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

/* ---- the layer's maps ---- */

static olica_status pack_linear(olica_kernel *kernel, const olica_linear *linear,
                                olica_packed_linear *packed) {
  int out = linear->out, in = linear->in, rank = linear->rank;
  olica_packed_weights whole = {.out = out, .in = in, .w = linear->weight};
  if (!rank) return olica_packed_create(kernel, whole, &packed->outer);
  olica_packed_weights a = {.out = rank, .in = in, .w = linear->a},
                       b = {.out = out, .in = rank, .w = linear->b};
  OLICA_TRY(olica_packed_create(kernel, a, &packed->inner));
  return olica_packed_create(kernel, b, &packed->outer);
}

/* The branch adds to what the FFN has made; its factors lie the other way round. */
static olica_status pack_branch(olica_kernel *kernel, const olica_layer *layer, int d,
                                olica_packed_linear *packed) {
  int r = layer->shape.branch;
  olica_packed_weights a = {.out = r, .in = d, .w = layer->branch_a, .transposed = true};
  olica_packed_weights b = {.out = d, .in = r, .w = layer->branch_b, .transposed = true, .adds = true};
  if (r == 0) return OLICA_OK;
  OLICA_TRY(olica_packed_create(kernel, a, &packed->inner));
  return olica_packed_create(kernel, b, &packed->outer);
}

olica_status olica_forward_begin(olica_forward *f, const olica_layer *layer, int index) {
  assert(!f->layer);
  f->layer = layer;
  f->index = index;
  olica_status status = pack_branch(f->kernel, layer, f->arch->hidden, &f->branch);
  for (int p = 0; p < OLICA_PROJECTIONS && status == OLICA_OK; p++)
    status = pack_linear(f->kernel, &layer->linear[p], &f->linear[p]);
  if (status != OLICA_OK) olica_forward_end(f);
  return status;
}

static void unpack(olica_packed_linear *packed) {
  olica_packed_destroy(packed->inner);
  olica_packed_destroy(packed->outer);
  *packed = (olica_packed_linear){0};
}

void olica_forward_end(olica_forward *f) {
  for (int p = 0; p < OLICA_PROJECTIONS; p++) unpack(&f->linear[p]);
  unpack(&f->branch);
  f->layer = NULL;
}

/* y [rows x out] := the map of x [rows x in], or += where it adds. */
static void multiply(olica_forward *f, const olica_packed_linear *map, int rows, int in, int rank,
                     const float *x, float *y) {
  if (map->inner) {
    olica_packed_multiply(map->inner, rows, x, in, f->low);
    olica_packed_multiply(map->outer, rows, f->low, rank, y);
  } else {
    olica_packed_multiply(map->outer, rows, x, in, y);
  }
}

/* y [rows x out] := a projection of x [rows x in]. */
static void apply(olica_forward *f, int rows, olica_projection projection, const float *x, float *y) {
  const olica_linear *linear = &f->layer->linear[projection];
  int out = linear->out;
  multiply(f, &f->linear[projection], rows, linear->in, linear->rank, x, y);
  if (!linear->bias) return;
  for (int t = 0; t < rows; t++)
    for (int i = 0; i < out; i++) y[(size_t)t * out + i] += linear->bias[i];
}

/* ---- attention ---- */

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

/* The parts of a block of queries that one head works on. */
typedef struct piece {
  int head, values, window;
  int first, rows; /* query rows inside their segment */
  float *scores;
} piece;

/* Positions that a piece's queries look at: [start, until), of which the first `shared` lie in the prefix. */
typedef struct view {
  int start, until, shared;
} view;

static view look_back(const olica_segment *segment, const piece *p) {
  int first = segment->prefix + p->first; /* position of the first query */
  view v = {.until = first + p->rows};
  if (p->window && first - p->window + 1 > 0) v.start = first - p->window + 1; /* no row sees further back */
  v.shared = v.start < segment->prefix ? segment->prefix - v.start : 0;
  return v;
}

/* Scores of the queries against the keys up to their own position, softmax, mix of the values; keys and
 * values first of the prefix, then of the segment itself. */
static void attend_piece(const olica_forward *f, const olica_segment *segment, const piece *p) {
  const olica_arch *a = f->arch;
  const view v = look_back(segment, p);
  int kv = p->head / (a->heads / a->kv_heads), width = v.until - v.start, own = width - v.shared;
  int q_stride = a->heads * a->head, k_stride = a->kv_heads * a->head, v_stride = a->kv_heads * p->values;
  size_t query = (size_t)(segment->first + p->first), before = (size_t)(segment->base + v.start);
  size_t self = (size_t)(segment->first + v.start + v.shared - segment->prefix);
  const float *q = f->query + query * q_stride + p->head * a->head, *k = f->key + kv * a->head;
  const float *x = f->value + kv * p->values;
  float *s = p->scores, *y = f->mixed + query * a->heads * p->values + p->head * p->values;
  float scale = 1.0f / sqrtf((float)a->head);
  if (v.shared)
    olica_product_piece(1, p->rows, v.shared, a->head, scale, q, q_stride, k + before * k_stride, k_stride,
                        0.0f, s, width);
  olica_product_piece(1, p->rows, own, a->head, scale, q, q_stride, k + self * k_stride, k_stride, 0.0f,
                      s + v.shared, width);
  for (int t = 0; t < p->rows; t++) {
    int at = segment->prefix + p->first + t; /* the query's position */
    int from = p->window && at - p->window + 1 > v.start ? at - p->window + 1 : v.start;
    softmax(s + (size_t)t * width, from - v.start, at + 1 - v.start, width);
  }
  if (v.shared)
    olica_product_piece(0, p->rows, p->values, v.shared, 1.0f, s, width, x + before * v_stride, v_stride,
                        0.0f, y, a->heads * p->values);
  olica_product_piece(0, p->rows, p->values, own, 1.0f, s + v.shared, width, x + self * v_stride, v_stride,
                      v.shared ? 1.0f : 0.0f, y, a->heads * p->values);
}

/* Pairs of a query and a key. */
static double pairs(const olica_pack *pack) {
  double all = 0;
  for (int i = 0; i < pack->segments; i++) {
    const olica_segment *s = &pack->segment[i];
    all += (double)s->count * s->prefix + (double)s->count * (s->count + 1) / 2;
  }
  return all;
}

static void attend(olica_forward *f, const olica_pack *pack, int values, int window) {
  int heads = f->arch->heads;
  size_t block_floats = score_floats(f->tokens, 1);
  double work = 2 * pairs(pack) * heads;
#pragma omp parallel for schedule(static) num_threads(f->threads) if (work >= OLICA_PRODUCT_PARALLEL)
  for (int head = 0; head < heads; head++) {
    piece p = {.head = head, .values = values, .window = window};
    p.scores = f->scores + block_floats * (size_t)omp_get_thread_num();
    for (int i = 0; i < pack->segments; i++)
      for (p.first = 0; p.first < pack->segment[i].count; p.first += QUERY_BLOCK) {
        int left = pack->segment[i].count - p.first;
        p.rows = left < QUERY_BLOCK ? left : QUERY_BLOCK;
        attend_piece(f, &pack->segment[i], &p);
      }
  }
  olica_timer_work(&f->env->timers, work * (f->arch->head + values), 0);
}

/* Every row of x [rows x heads·h] turns by its position in its sequence. */
static void turn(const olica_forward *f, const olica_pack *pack, int heads, float *x) {
  int head = f->arch->head;
  for (int i = 0; i < pack->segments; i++) {
    const olica_segment *s = &pack->segment[i];
    size_t from = (size_t)s->prefix * (size_t)(head / 2);
    olica_rope_apply(f->cosine + from, f->sine + from, s->count, heads, head,
                     x + (size_t)s->first * heads * head);
  }
}

static void see(const olica_observer *observer, olica_tap tap, const float *rows, int tokens, int width) {
  if (observer) observer->see(observer->self, tap, rows, tokens, width);
}

static void add(float *x, const float *y, size_t n) {
  for (size_t i = 0; i < n; i++) x[i] += y[i];
}

static void attention(olica_forward *f, const olica_pack *pack, float *x, const olica_observer *observer) {
  const olica_arch *a = f->arch;
  const olica_layer *layer = f->layer;
  int rows = pack->rows, values = layer->shape.values;
  olica_forward_norm(a, rows, x, layer->input_norm, f->normed);
  see(observer, OLICA_TAP_ATTENTION_INPUT, f->normed, rows, a->hidden);
  apply(f, rows, OLICA_Q, f->normed, f->query);
  apply(f, rows, OLICA_K, f->normed, f->key);
  apply(f, rows, OLICA_V, f->normed, f->value);
  turn(f, pack, a->heads, f->query);
  turn(f, pack, a->kv_heads, f->key);
  attend(f, pack, values, f->index >= a->window_from ? a->window : 0);
  see(observer, OLICA_TAP_VALUES, f->mixed, rows, a->heads * values);
  apply(f, rows, OLICA_O, f->mixed, f->added);
  see(observer, OLICA_TAP_ATTENTION_OUTPUT, f->added, rows, a->hidden);
  add(x, f->added, (size_t)rows * a->hidden);
}

static void ffn(olica_forward *f, int rows, float *x, const olica_observer *observer) {
  const olica_arch *a = f->arch;
  const olica_layer *layer = f->layer;
  int d = a->hidden, r = layer->shape.branch;
  olica_forward_norm(a, rows, x, layer->ffn_norm, f->normed);
  see(observer, OLICA_TAP_FFN_INPUT, f->normed, rows, d);
  apply(f, rows, OLICA_GATE, f->normed, f->gate);
  apply(f, rows, OLICA_UP, f->normed, f->up);
  olica_forward_neurons(rows, layer->shape.ffn, f->gate, f->up);
  see(observer, OLICA_TAP_FFN_NEURONS, f->gate, rows, layer->shape.ffn);
  apply(f, rows, OLICA_DOWN, f->gate, f->added);
  if (r) multiply(f, &f->branch, rows, d, r, f->normed, f->added);
  see(observer, OLICA_TAP_FFN_OUTPUT, f->added, rows, d);
  add(x, f->added, (size_t)rows * d);
}

void olica_forward_layer(olica_forward *f, float *x, const olica_observer *observer) {
  const olica_segment whole = {.count = f->tokens};
  const olica_pack sequence = {.rows = f->tokens, .segments = 1, .segment = &whole};
  assert(f->layer);
  attention(f, &sequence, x, observer);
  ffn(f, f->tokens, x, observer);
}

void olica_forward_pack(olica_forward *f, const olica_pack *pack, float *x) {
  assert(f->layer && pack->rows <= f->tokens);
  attention(f, pack, x, NULL);
  ffn(f, pack->rows, x, NULL);
}
