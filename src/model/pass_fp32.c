/* A layer in fp32: product after product over the whole pack, by BLAS. The plain way, which the other is
 * measured against. */
#include <math.h>
#include <omp.h>

#include "la/product.h"
#include "passes.h"

/* Returns the scores of a thread. */
static size_t score_floats(int tokens) {
  return (size_t)(tokens < OLICA_QUERY_ROWS ? tokens : OLICA_QUERY_ROWS) * (size_t)tokens;
}

void olica_pass_fp32_lay_out(olica_forward *f, olica_arena *arena) {
  const olica_arch *arch = f->arch;
  olica_scratch_fp32 *s = &f->fp32;
  size_t rows = (size_t)f->rows, d = (size_t)arch->hidden;
  size_t queries = (size_t)(arch->heads * arch->head), keys = (size_t)(arch->kv_heads * arch->head);
  OLICA_TAKE(arena, s->normed, rows * d);
  OLICA_TAKE(arena, s->added, rows * d);
  OLICA_TAKE(arena, s->query, rows * queries);
  OLICA_TAKE(arena, s->key, rows * keys);
  OLICA_TAKE(arena, s->value, rows * keys);
  OLICA_TAKE(arena, s->mixed, rows * queries);
  OLICA_TAKE(arena, s->scores, (size_t)f->threads * score_floats(f->tokens));
  OLICA_TAKE(arena, s->gate, rows * (size_t)arch->ffn);
  if (!arch->block.plain_ffn) OLICA_TAKE(arena, s->up, rows * (size_t)arch->ffn);
  OLICA_TAKE(arena, s->low, rows * (size_t)olica_pass_low_width(arch));
}

/* y [rows x out] := the map of x [rows x in], or += where it adds. */
static void multiply(olica_forward *f, const olica_packed_linear *map, int rows, int in, int rank,
                     const float *x, float *y) {
  if (map->inner) {
    olica_packed_multiply(map->inner, rows, x, in, f->fp32.low);
    olica_packed_multiply(map->outer, rows, f->fp32.low, rank, y);
  } else {
    olica_packed_multiply(map->outer, rows, x, in, y);
  }
}

/* y [rows x out] := a projection of x [rows x in]. */
static void apply(const olica_pass *pass, olica_projection projection, const float *x, float *y) {
  const olica_linear *linear = &pass->maps->layer->linear[projection];
  int out = linear->out, rows = pass->pack->rows;
  multiply(pass->f, &pass->maps->linear[projection], rows, linear->in, linear->rank, x, y);
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
  int head, values, window; /* head of the layer's query heads */
  int first, rows;          /* query rows inside their segment */
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

/* Caps n scores. */
static void cap_scores(float *s, int n, float cap) {
  for (int j = 0; j < n; j++) s[j] = cap * tanhf(s[j] / cap);
}

/* Scores of the queries against the keys up to their own position, softmax, mix of the values; keys and
 * values first of the prefix, then of the segment itself. */
static void attend_piece(const olica_pass *pass, const olica_segment *segment, const piece *p) {
  const olica_forward *f = pass->f;
  int group = olica_pass_shape(pass)->group, kv_heads = olica_pass_shape(pass)->kv_heads, h = f->arch->head;
  int heads = group * kv_heads;
  const view v = look_back(segment, p);
  int kv = p->head / group, width = v.until - v.start, own = width - v.shared;
  int q_stride = heads * h, k_stride = kv_heads * h, v_stride = kv_heads * p->values;
  size_t query = (size_t)(segment->first + p->first), before = (size_t)(segment->base + v.start);
  size_t self = (size_t)(segment->first + v.start + v.shared - segment->prefix);
  const float *q = f->fp32.query + query * q_stride + p->head * h, *k = f->fp32.key + kv * h;
  const float *x = f->fp32.value + kv * p->values;
  float *s = p->scores, *y = f->fp32.mixed + query * heads * p->values + p->head * p->values;
  float scale = olica_arch_score_scale(f->arch), cap = (float)f->arch->score_cap;
  if (v.shared)
    olica_product_piece(1, p->rows, v.shared, h, scale, q, q_stride, k + before * k_stride, k_stride, 0.0f, s,
                        width);
  olica_product_piece(1, p->rows, own, h, scale, q, q_stride, k + self * k_stride, k_stride, 0.0f,
                      s + v.shared, width);
  for (int t = 0; t < p->rows; t++) {
    int at = segment->prefix + p->first + t; /* the query's position */
    int from = p->window && at - p->window + 1 > v.start ? at - p->window + 1 : v.start;
    if (cap > 0) cap_scores(s + (size_t)t * width + from - v.start, at + 1 - from, cap);
    softmax(s + (size_t)t * width, from - v.start, at + 1 - v.start, width);
  }
  if (v.shared)
    olica_product_piece(0, p->rows, p->values, v.shared, 1.0f, s, width, x + before * v_stride, v_stride,
                        0.0f, y, heads * p->values);
  olica_product_piece(0, p->rows, p->values, own, 1.0f, s + v.shared, width, x + self * v_stride, v_stride,
                      v.shared ? 1.0f : 0.0f, y, heads * p->values);
}

static void attend(const olica_pass *pass) {
  const olica_forward *f = pass->f;
  const olica_pack *pack = pass->pack;
  int heads = olica_layer_shape_heads(olica_pass_shape(pass)), values = olica_pass_shape(pass)->values;
  size_t block_floats = score_floats(f->tokens);
  double work = 2 * olica_pass_pairs(pack) * heads;
#pragma omp parallel for schedule(static) num_threads(f->threads) if (work >= OLICA_PRODUCT_PARALLEL)
  for (int head = 0; head < heads; head++) {
    piece p = {.head = head, .values = values, .window = olica_pass_layer(pass)->window};
    p.scores = f->fp32.scores + block_floats * (size_t)omp_get_thread_num();
    for (int i = 0; i < pack->segments; i++)
      for (p.first = 0; p.first < pack->segment[i].count; p.first += OLICA_QUERY_ROWS) {
        int left = pack->segment[i].count - p.first;
        p.rows = left < OLICA_QUERY_ROWS ? left : OLICA_QUERY_ROWS;
        attend_piece(pass, &pack->segment[i], &p);
      }
  }
  olica_timer_work(&f->env->timers, work * (f->arch->head + values), 0);
}

/* Rotates every row of x [rows x heads·h] by its position in its sequence, if the layer has RoPE. */
static void rotate(const olica_pass *pass, int heads, float *x) {
  const olica_forward *f = pass->f;
  const olica_rope *rope = olica_pass_rope(pass);
  int head = f->arch->head, index = olica_pass_layer(pass)->rope;
  for (int i = 0; rope && i < pass->pack->segments; i++) {
    const olica_segment *s = &pass->pack->segment[i];
    size_t from = (size_t)s->prefix * (size_t)olica_rope_pairs(rope, head);
    olica_rope_apply(rope, f->cosine[index] + from, f->sine[index] + from, s->count, heads, head,
                     x + (size_t)s->first * heads * head);
  }
}

/* Norms queries or keys x [rows x heads·h], by head or over all heads. */
static void norm_heads(const olica_pass *pass, int heads, const float *gains, float *x) {
  const olica_arch *arch = pass->f->arch;
  bool wide = arch->qk_norm == OLICA_QK_NORM_WIDTH;
  int n = wide ? heads * arch->head : arch->head, count = pass->pack->rows * (wide ? 1 : heads);
#pragma omp parallel for schedule(static) if ((double)count * n >= OLICA_PRODUCT_PARALLEL)
  for (int i = 0; i < count; i++)
    olica_pass_norm_row(arch, n, x + (size_t)i * n, gains, NULL, x + (size_t)i * n);
}

/* Norm and RoPE of queries or keys, in the model's order. */
static void place(const olica_pass *pass, int heads, const float *gains, float *x) {
  const olica_arch *arch = pass->f->arch;
  if (arch->qk_norm && !arch->qk_norm_last) norm_heads(pass, heads, gains, x);
  rotate(pass, heads, x);
  if (arch->qk_norm && arch->qk_norm_last) norm_heads(pass, heads, gains, x);
}

/* Multiplies queries x [rows x width] by what grows with their position. */
static void grow_queries(const olica_pass *pass, int width, float *x) {
  const olica_rope *rope = olica_pass_rope(pass);
  if (!rope || rope->query_growth == 0) return;
  for (int i = 0; i < pass->pack->segments; i++) {
    const olica_segment *s = &pass->pack->segment[i];
    for (int t = 0; t < s->count; t++) {
      float *row = x + (size_t)(s->first + t) * (size_t)width,
            scale = olica_rope_query_scale(rope, s->prefix + t);
      for (int j = 0; j < width; j++) row[j] *= scale;
    }
  }
}

/* Whole rows, a segment at a time. */
static void observe(const olica_pass *pass, olica_tap tap, const float *rows, int width) {
  if (!pass->observer) return;
  for (int i = 0; i < pass->pack->segments; i++) {
    const olica_segment *s = &pass->pack->segment[i];
    olica_pass_observe(pass, (olica_view){.tap = tap,
                                          .row = s->first,
                                          .rows = s->count,
                                          .cols = width,
                                          .stride = width,
                                          .x = rows + (size_t)s->first * (size_t)width});
  }
}

/* Returns the input of attention or FFN [R x d]: the states, normed into `normed` where the family has norms
 * there. */
static const float *input_of(const olica_pass *pass, const float *gains, const float *biases) {
  const olica_arch *arch = pass->f->arch;
  if (arch->block.bare_inputs) return pass->x;
  olica_pass_norm(arch, pass->pack->rows, pass->x, gains, biases, pass->f->fp32.normed);
  return pass->f->fp32.normed;
}

/* x += what attention or FFN has put into `added`, behind its norm and scaled. */
static void add(const olica_pass *pass, const float *output_gains) {
  const olica_arch *arch = pass->f->arch;
  float *x = pass->x, *y = pass->f->fp32.added, scale = olica_arch_factor(arch->residual_scale);
  size_t n = (size_t)pass->pack->rows * (size_t)arch->hidden;
  if (output_gains) olica_pass_norm(arch, pass->pack->rows, y, output_gains, NULL, y);
  if (scale == 1.0f)
    for (size_t i = 0; i < n; i++) x[i] += y[i];
  else
    for (size_t i = 0; i < n; i++) x[i] += scale * y[i];
}

static void attention(const olica_pass *pass, const float *input) {
  const olica_forward *f = pass->f;
  const olica_scratch_fp32 *s = &f->fp32;
  const olica_arch *a = f->arch;
  const olica_layer *layer = pass->maps->layer;
  int heads = olica_layer_shape_heads(&layer->shape);
  observe(pass, OLICA_TAP_ATTENTION_INPUT, input, a->hidden);
  apply(pass, OLICA_Q, input, s->query);
  apply(pass, OLICA_K, input, s->key);
  apply(pass, OLICA_V, input, s->value);
  place(pass, heads, layer->q_norm, s->query);
  place(pass, layer->shape.kv_heads, layer->k_norm, s->key);
  grow_queries(pass, heads * a->head, s->query);
  attend(pass);
  observe(pass, OLICA_TAP_VALUES, s->mixed, heads * layer->shape.values);
  apply(pass, OLICA_O, s->mixed, s->added);
  observe(pass, OLICA_TAP_ATTENTION_OUTPUT, s->added, a->hidden);
  add(pass, layer->attention_output_norm);
}

/* Up, and gate where there is one, become neurons in `gate`. */
static void make_neurons(const olica_pass *pass, const float *input) {
  const olica_scratch_fp32 *s = &pass->f->fp32;
  const olica_arch *arch = pass->f->arch;
  bool gated = olica_arch_has(arch, OLICA_GATE);
  if (gated) apply(pass, OLICA_GATE, input, s->gate);
  apply(pass, OLICA_UP, input, gated ? s->up : s->gate);
  olica_forward_neurons(arch, pass->pack->rows, olica_pass_shape(pass)->ffn, s->gate, gated ? s->up : NULL);
}

static void ffn(const olica_pass *pass, const float *input) {
  const olica_scratch_fp32 *s = &pass->f->fp32;
  const olica_arch *a = pass->f->arch;
  const olica_layer *layer = pass->maps->layer;
  int d = a->hidden, r = layer->shape.branch, rows = pass->pack->rows;
  observe(pass, OLICA_TAP_FFN_INPUT, input, d);
  make_neurons(pass, input);
  observe(pass, OLICA_TAP_FFN_NEURONS, s->gate, layer->shape.ffn);
  if (pass->observer && pass->observer->to_neurons) return;
  apply(pass, OLICA_DOWN, s->gate, s->added);
  if (r) multiply(pass->f, &pass->maps->branch, rows, d, r, input, s->added);
  observe(pass, OLICA_TAP_FFN_OUTPUT, s->added, d);
  add(pass, layer->ffn_output_norm);
}

void olica_pass_fp32(const olica_pass *pass) {
  const olica_layer *layer = pass->maps->layer;
  const float *input = input_of(pass, layer->input_norm, layer->input_norm_bias);
  attention(pass, input);
  if (!pass->f->arch->block.parallel) input = input_of(pass, layer->ffn_norm, layer->ffn_norm_bias);
  ffn(pass, input);
}
