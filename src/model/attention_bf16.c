/* Attention in bf16, a key/value head of a segment at a time: its g query heads stand under each other, so
 * that their scores are one product. Keys come in chunks of 128 with a running softmax: no row of scores is
 * ever longer, however long the sequence.
 *
 * With s = q·k / sqrt(h) (or the model's factor, and its cap), top and sum of the chunks so far, and y = Σ
 * exp(s - top) v, a chunk gives top' = max(top, max s),  y' = exp(top - top') y + Σ exp(s - top') v,  the sum
 * likewise. */
#include <math.h>
#include <omp.h>

#include "la/product.h"
#include "passes.h"

enum { CHUNK = OLICA_QUERY_ROWS, VECTOR = OLICA_NUMBER_VECTOR /* that loops over scores take at a time */ };

static int filled(int n) {
  return (n + OLICA_ROUND_ROWS - 1) / OLICA_ROUND_ROWS * OLICA_ROUND_ROWS;
}

/* Workspace of a thread. */
typedef struct desk {
  uint16_t *key, *value;     /* [T x h], [T x n'] of one head, n' = n filled up */
  uint16_t *query, *weight;  /* [g·128 x h], [g·128 x 128] */
  float *scores;             /* [g·128 x 128] */
  float *mix, *sum_mix;      /* [g·128 x n'] of a chunk, of all so far */
  float *top, *sum, *shrink; /* [g·128] */
  float *head;               /* [h] a query or a key on its way */
} desk;

static size_t lay_out(const olica_arch *arch, int tokens, desk *d, void *block) {
  size_t rows = (size_t)arch->group * OLICA_QUERY_ROWS, h = (size_t)arch->head;
  size_t keys = (size_t)filled(tokens), wide = (size_t)filled(arch->head);
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, d->key, keys * h);
  OLICA_TAKE(&arena, d->value, keys * wide);
  OLICA_TAKE(&arena, d->query, rows * h);
  OLICA_TAKE(&arena, d->weight, rows * CHUNK);
  OLICA_TAKE(&arena, d->scores, rows * CHUNK);
  OLICA_TAKE(&arena, d->mix, rows * wide);
  OLICA_TAKE(&arena, d->sum_mix, rows * wide);
  OLICA_TAKE(&arena, d->top, rows);
  OLICA_TAKE(&arena, d->sum, rows);
  OLICA_TAKE(&arena, d->shrink, rows);
  OLICA_TAKE(&arena, d->head, h);
  return arena.used;
}

size_t olica_attention_bf16_workspace(const olica_arch *arch, int tokens) {
  return lay_out(arch, tokens, &(desk){0}, NULL);
}

/* One head of a segment. */
typedef struct head_work {
  const olica_pass *pass;
  const olica_segment *segment;
  const olica_blocks *mixed;
  desk desk;
  int thread, kv;
  int heads, kv_heads, group; /* of the layer; the query heads that share kv */
  int values, wide;           /* n, n' */
} head_work;

/* Copies a head of one row, whose halves are rotated by its position. */
static void rotate_halves(const float *c, const float *s, int pairs, const uint16_t *from, uint16_t *to) {
#pragma omp simd
  for (int i = 0; i < pairs; i++) {
    float a = olica_number_from_bf16(from[i]), b = olica_number_from_bf16(from[pairs + i]);
    to[i] = olica_number_to_bf16(a * c[i] - b * s[i]);
    to[pairs + i] = olica_number_to_bf16(b * c[i] + a * s[i]);
  }
}

/* Queries or keys of a layer: how they are placed. */
typedef struct placing {
  const float *gains;  /* of their norm: of a head, or of all; NULL: there is none */
  const float *scales; /* [R] 1 / the root mean square of each row, where all heads are normed together */
  bool grows;          /* they grow with their position */
} placing;

static void norm_head(const head_work *w, const placing *p, size_t row, int head, float *x) {
  const olica_arch *arch = w->pass->f->arch;
  if (!p->scales) {
    olica_pass_norm_row(arch, arch->head, x, p->gains, NULL, x);
    return;
  }
  const float *gains = p->gains + (size_t)head * (size_t)arch->head;
  for (int i = 0; i < arch->head; i++) x[i] *= p->scales[row] * gains[i];
}

/* Copies head `head` of a row of x [R x heads·h], normed, rotated by its position and scaled, as the layer
 * has it. */
static void place(const head_work *w, const placing *p, const uint16_t *x, int heads, size_t row, int head,
                  int position, uint16_t *to) {
  const olica_forward *f = w->pass->f;
  const olica_rope *rope = olica_pass_rope(w->pass);
  int h = f->arch->head, index = olica_pass_layer(w->pass)->rope,
      pairs = rope ? olica_rope_pairs(rope, h) : 0;
  const float *c = rope ? f->cosine[index] + (size_t)position * pairs : NULL,
              *s = rope ? f->sine[index] + (size_t)position * pairs : NULL;
  const uint16_t *from = x + (row * (size_t)heads + (size_t)head) * (size_t)h;
  bool last = f->arch->qk_norm_last, simple = !p->gains && !p->grows;
  if (simple && !rope) {
    memcpy(to, from, (size_t)h * sizeof *to);
    return;
  }
  if (simple && 2 * pairs == h && !rope->interleaved) {
    rotate_halves(c, s, pairs, from, to);
    return;
  }
  float *own = w->desk.head;
  for (int i = 0; i < h; i++) own[i] = olica_number_from_bf16(from[i]);
  if (p->gains && !last) norm_head(w, p, row, head, own);
  if (rope) olica_rope_turn(c, s, pairs, rope->interleaved, own);
  if (p->gains && last) norm_head(w, p, row, head, own);
  float scale = p->grows ? olica_rope_query_scale(rope, position) : 1.0f;
  for (int i = 0; i < h; i++) to[i] = olica_number_to_bf16(own[i] * scale);
}

/* Gathers keys (placed) and values of all positions, dense; zeros up to a full chunk of 32. */
static void gather_keys(const head_work *w) {
  const olica_forward *f = w->pass->f;
  const olica_segment *s = w->segment;
  const placing how = {.gains = w->pass->maps->layer->k_norm, .scales = f->bf16.key_scale};
  size_t h = (size_t)f->arch->head, heads = (size_t)w->kv_heads, n = (size_t)w->values;
  int keys = s->prefix + s->count;
  for (int p = 0; p < keys; p++) {
    size_t row = (size_t)(p < s->prefix ? s->base + p : s->first + p - s->prefix);
    uint16_t *value = w->desk.value + (size_t)p * (size_t)w->wide;
    place(w, &how, f->bf16.key, w->kv_heads, row, w->kv, p, w->desk.key + (size_t)p * h);
    memcpy(value, f->bf16.value + (row * heads + (size_t)w->kv) * n, n * sizeof *value);
    if (n < (size_t)w->wide) memset(value + n, 0, ((size_t)w->wide - n) * sizeof *value);
  }
  size_t more = (size_t)(filled(keys) - keys);
  memset(w->desk.key + (size_t)keys * h, 0, more * h * sizeof(uint16_t));
  memset(w->desk.value + (size_t)keys * (size_t)w->wide, 0, more * (size_t)w->wide * sizeof(uint16_t));
}

/* Queries [first, first + rows) of the segment, of all heads of the group; `full` rows of each. */
static void gather_queries(const head_work *w, int first, int rows, int full) {
  const olica_forward *f = w->pass->f;
  const olica_rope *rope = olica_pass_rope(w->pass);
  const placing how = {.gains = w->pass->maps->layer->q_norm,
                       .scales = f->bf16.query_scale,
                       .grows = rope && rope->query_growth != 0};
  for (int i = 0; i < w->group; i++)
    for (int t = 0; t < rows; t++)
      place(w, &how, f->bf16.query, w->heads, (size_t)(w->segment->first + first + t), w->kv * w->group + i,
            w->segment->prefix + first + t, w->desk.query + (size_t)(i * full + t) * (size_t)f->arch->head);
}

/* Returns the largest of a vector's numbers. */
static float largest(const float *x) {
  float most = x[0];
#pragma omp simd reduction(max : most)
  for (int i = 0; i < VECTOR; i++) most = x[i] > most ? x[i] : most;
  return most;
}

static float total(const float *x) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int i = 0; i < VECTOR; i++) sum += x[i];
  return sum;
}

static void clear(uint16_t *weight, int from, int until) {
  for (int j = from; j < until; j += VECTOR) memset(weight + j, 0, VECTOR * sizeof *weight);
}

/* s [VECTOR] outside of [from, until). */
static void hide(float *s, int from, int until) {
#pragma omp simd
  for (int i = 0; i < VECTOR; i++) s[i] = i < from || i >= until ? -INFINITY : s[i];
}

/* A row of scores over a chunk, of which [from, until) are visible, becomes weights; `scale` leads to powers
 * of two. Its loops go over full vectors: what is hidden in them is -inf, whose power (the least that there
 * is) bf16 cannot add to 1. */
static void soften(const desk *d, int row, int from, int until, int width, float scale) {
  float *restrict s = d->scores + (size_t)row * (size_t)width;
  uint16_t *restrict weight = d->weight + (size_t)row * (size_t)width;
  float before = d->top[row], tops[VECTOR], sums[VECTOR] = {0};
  int begin = from / VECTOR * VECTOR, end = (until + VECTOR - 1) / VECTOR * VECTOR;
  if (begin < from) hide(s + begin, from - begin, VECTOR);
  if (until < end) hide(s + end - VECTOR, 0, until - end + VECTOR);
  for (int i = 0; i < VECTOR; i++) tops[i] = -INFINITY;
  for (int j = begin; j < end; j += VECTOR)
#pragma omp simd
    for (int i = 0; i < VECTOR; i++) tops[i] = s[j + i] > tops[i] ? s[j + i] : tops[i];
  float top = largest(tops) * scale;
  if (!(top > before)) top = before;
  clear(weight, 0, begin);
  for (int j = begin; j < end; j += VECTOR) {
    float power[VECTOR];
#pragma omp simd
    for (int i = 0; i < VECTOR; i++) {
      power[i] = olica_product_exp2_short(s[j + i] * scale - top);
      sums[i] += power[i];
    }
    olica_number_round_vector(power, weight + j);
  }
  clear(weight, end, width);
  d->shrink[row] = before > -INFINITY ? olica_product_exp2_short(before - top) : 0.0f;
  d->sum[row] = d->sum[row] * d->shrink[row] + total(sums);
  d->top[row] = top;
}

/* Multiplies the scores of a chunk, caps them, and leads to powers of two. */
static void cap_scores(float *s, size_t n, float scale, float cap) {
  float twice = 2.0f * scale / cap;
#pragma omp simd
  for (size_t j = 0; j < n; j++) {
    /* tanh x = 1 - 2 / (exp(2x) + 1); beyond 60 it is 1. */
    float x = s[j] * twice;
    x = x > 60.0f ? 60.0f : x < -60.0f ? -60.0f : x;
    s[j] = cap * (1.0f - 2.0f / (olica_product_exp(x) + 1.0f));
  }
}

/* The chunk of `width` keys from position `chunk` on, for queries at positions [at, at + rows). */
static void attend_chunk(const head_work *w, int at, int rows, int full, int chunk, int width, bool begins) {
  const olica_forward *f = w->pass->f;
  const desk *d = &w->desk;
  int g = w->group, window = olica_pass_layer(w->pass)->window;
  int r = full / OLICA_ROUND_ROWS - 1, c = width / OLICA_ROUND_ROWS - 1;
  float cap = (float)f->arch->score_cap, scale = 1.44269504f / sqrtf((float)f->arch->head);
  if (f->arch->score_scale > 0) scale = 1.44269504f * (float)f->arch->score_scale; /* 2^(x / ln 2) = exp(x) */
  olica_matmul_run(f->bf16.scores[r][c], w->thread, d->query, NULL, d->key + (size_t)chunk * f->arch->head,
                   d->scores);
  if (cap > 0) {
    cap_scores(d->scores, (size_t)g * (size_t)full * (size_t)width, olica_arch_score_scale(f->arch), cap);
    scale = 1.44269504f;
  }
  for (int row = 0; row < g * full; row++) {
    int position = at + row % full, from = 0, until = row % full < rows ? position + 1 - chunk : 0;
    if (window && position - window + 1 > chunk) from = position - window + 1 - chunk;
    if (until > width) until = width;
    if (until < from) until = from = 0; /* nothing of the chunk */
    soften(d, row, from, until, width, scale);
  }
  float *mix = begins ? d->sum_mix : d->mix;
  olica_matmul_run(f->bf16.mix[r][c], w->thread, d->weight, NULL, d->value + (size_t)chunk * (size_t)w->wide,
                   mix);
  if (begins) return;
  for (int row = 0; row < g * full; row++) {
    float *sum = d->sum_mix + (size_t)row * (size_t)w->wide;
    const float *more = d->mix + (size_t)row * (size_t)w->wide;
    for (int i = 0; i < w->wide; i++) sum[i] = sum[i] * d->shrink[row] + more[i];
  }
}

/* Divides mixes by the sums of their weights, shows them to the observer, and stores them in their blocks. */
static void put_away(const head_work *w, int first, int rows, int full) {
  for (int i = 0; i < w->group; i++) {
    int col = (w->kv * w->group + i) * w->values;
    float *mix = w->desk.sum_mix + (size_t)(i * full) * (size_t)w->wide;
    for (int t = 0; t < rows; t++) {
      float *row = mix + (size_t)t * (size_t)w->wide, by = 1.0f / w->desk.sum[i * full + t];
      for (int j = 0; j < w->values; j++) row[j] *= by;
    }
    olica_blocks_store(w->mixed, w->segment->first + first, rows, col, w->values, mix, w->wide);
    olica_pass_observe(w->pass, (olica_view){.tap = OLICA_TAP_VALUES,
                                             .thread = w->thread,
                                             .row = w->segment->first + first,
                                             .rows = rows,
                                             .col = col,
                                             .cols = w->values,
                                             .stride = w->wide,
                                             .x = mix});
  }
}

static void attend_queries(const head_work *w, int first, int rows) {
  int full = filled(rows), at = w->segment->prefix + first, window = olica_pass_layer(w->pass)->window;
  int begin = window && at - window + 1 > 0 ? (at - window + 1) / CHUNK * CHUNK : 0;
  gather_queries(w, first, rows, full);
  for (int row = 0; row < w->group * full; row++) {
    w->desk.top[row] = -INFINITY;
    w->desk.sum[row] = 0.0f;
  }
  for (int chunk = begin; chunk < at + rows; chunk += CHUNK) {
    int left = at + rows - chunk;
    attend_chunk(w, at, rows, full, chunk, filled(left < CHUNK ? left : CHUNK), chunk == begin);
  }
  put_away(w, first, rows, full);
}

/* 1 / the root mean square of this thread's rows of x [rows x n]: they are normed over all heads. */
static void measure_rows(const olica_arch *arch, const uint16_t *x, int rows, size_t n, float *scale) {
#pragma omp for schedule(static) nowait
  for (int row = 0; row < rows; row++) {
    const uint16_t *from = x + (size_t)row * n;
    float sum = 0.0f;
    for (size_t i = 0; i < n; i++) sum += olica_number_from_bf16(from[i]) * olica_number_from_bf16(from[i]);
    scale[row] = isfinite(sum) ? 1.0f / sqrtf(sum / (float)n + (float)arch->eps) : NAN;
  }
}

void olica_attention_bf16(const olica_pass *pass, const olica_blocks *mixed) {
  const olica_forward *f = pass->f;
  const olica_layer_shape *shape = olica_pass_shape(pass);
  int heads = shape->kv_heads;
  head_work w = {.pass = pass,
                 .mixed = mixed,
                 .thread = omp_get_thread_num(),
                 .heads = olica_layer_shape_heads(shape),
                 .kv_heads = shape->kv_heads,
                 .group = shape->group,
                 .values = shape->values,
                 .wide = filled(shape->values)};
  lay_out(f->arch, f->tokens, &w.desk, f->bf16.attention + (size_t)w.thread * f->bf16.attention_bytes);
  if (f->bf16.query_scale) {
    size_t h = (size_t)f->arch->head;
    measure_rows(f->arch, f->bf16.query, pass->pack->rows, (size_t)w.heads * h, f->bf16.query_scale);
    measure_rows(f->arch, f->bf16.key, pass->pack->rows, (size_t)w.kv_heads * h, f->bf16.key_scale);
#pragma omp barrier
  }
#pragma omp for schedule(dynamic)
  for (int i = 0; i < pass->pack->segments * heads; i++) {
    w.segment = &pass->pack->segment[i / heads];
    w.kv = i % heads;
    gather_keys(&w);
    for (int first = 0; first < w.segment->count; first += OLICA_QUERY_ROWS) {
      int left = w.segment->count - first;
      attend_queries(&w, first, left < OLICA_QUERY_ROWS ? left : OLICA_QUERY_ROWS);
    }
  }
}

/* The products for `rows` queries over `width` keys, both filled up. */
static olica_status find_products(olica_forward *f, int rows, int width) {
  int g = f->bf16.group, r = rows / OLICA_ROUND_ROWS - 1, c = width / OLICA_ROUND_ROWS - 1;
  const olica_matmul_shape scores = {g * rows, f->arch->head, width, OLICA_RIGHT_TRANSPOSED, false};
  const olica_matmul_shape mix = {g * rows, width, filled(f->bf16.values), OLICA_RIGHT_ROWS, false};
  if (!f->bf16.scores[r][c]) OLICA_TRY(olica_matmul_find(f->kernel, scores, &f->bf16.scores[r][c]));
  return f->bf16.mix[r][c] ? OLICA_OK : olica_matmul_find(f->kernel, mix, &f->bf16.mix[r][c]);
}

/* Finds the products of a segment: of full groups of queries and the rest, over full chunks and the rest. */
static olica_status prepare_segment(olica_forward *f, const olica_segment *s) {
  for (int first = 0; first < s->count; first += OLICA_QUERY_ROWS) {
    int rows = s->count - first < OLICA_QUERY_ROWS ? s->count - first : OLICA_QUERY_ROWS;
    int until = s->prefix + first + rows, last = until % CHUNK ? until % CHUNK : CHUNK;
    OLICA_TRY(find_products(f, filled(rows), filled(last)));
    if (until > CHUNK) OLICA_TRY(find_products(f, filled(rows), CHUNK));
  }
  return OLICA_OK;
}

olica_status olica_attention_bf16_prepare(const olica_pass *pass) {
  olica_forward *f = pass->f;
  const olica_layer_shape *shape = olica_pass_shape(pass);
  int group = shape->group;
  if (f->bf16.group != group) memset(f->bf16.scores, 0, sizeof f->bf16.scores);
  if (f->bf16.group != group || f->bf16.values != shape->values) memset(f->bf16.mix, 0, sizeof f->bf16.mix);
  f->bf16.group = group;
  f->bf16.values = shape->values;
  for (int i = 0; i < pass->pack->segments; i++) OLICA_TRY(prepare_segment(f, &pass->pack->segment[i]));
  return OLICA_OK;
}
