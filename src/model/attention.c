/* Attention, a key/value head of a segment at a time: its g query heads stand under each other, so
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
  char *key, *value;         /* [T x h], [T x n'] of one head, n' = n filled up, in the kernel's precision */
  char *query, *weight;      /* [g·128 x h], [g·128 x 128], likewise */
  float *scores;             /* [g·128 x 128] */
  float *mix, *sum_mix;      /* [g·128 x n'] of a chunk, of all so far */
  float *top, *sum, *shrink; /* [g·128] */
  float *head;               /* [h] a query or a key on its way */
} desk;

static size_t lay_out(olica_dtype precision, const olica_arch *arch, int tokens, desk *d, void *block) {
  size_t rows = (size_t)arch->group * OLICA_QUERY_ROWS, h = (size_t)arch->head,
         size = olica_number_size(precision);
  size_t keys = (size_t)filled(tokens), wide = (size_t)filled(arch->head);
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, d->key, keys * h * size);
  OLICA_TAKE(&arena, d->value, keys * wide * size);
  OLICA_TAKE(&arena, d->query, rows * h * size);
  OLICA_TAKE(&arena, d->weight, rows * CHUNK * size);
  OLICA_TAKE(&arena, d->scores, rows * CHUNK);
  OLICA_TAKE(&arena, d->mix, rows * wide);
  OLICA_TAKE(&arena, d->sum_mix, rows * wide);
  OLICA_TAKE(&arena, d->top, rows);
  OLICA_TAKE(&arena, d->sum, rows);
  OLICA_TAKE(&arena, d->shrink, rows);
  OLICA_TAKE(&arena, d->head, h);
  return arena.used;
}

size_t olica_attention_workspace(olica_dtype precision, const olica_arch *arch, int tokens) {
  return lay_out(precision, arch, tokens, &(desk){0}, NULL);
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

/* Copies a head of one row in bf16, whose halves are rotated by its position. */
static void rotate_halves(const float *c, const float *s, int pairs, const uint16_t *restrict from,
                          uint16_t *restrict to) {
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
static void place(const head_work *w, const placing *p, const char *x, int heads, size_t row, int head,
                  int position, char *to) {
  const olica_forward *f = w->pass->f;
  const olica_rope *rope = olica_pass_rope(w->pass);
  int h = f->arch->head, index = olica_pass_layer(w->pass)->rope,
      pairs = rope ? olica_rope_pairs(rope, h) : 0;
  const float *c = rope ? f->cosine[index] + (size_t)position * pairs : NULL,
              *s = rope ? f->sine[index] + (size_t)position * pairs : NULL;
  const char *from = x + (row * (size_t)heads + (size_t)head) * (size_t)h * f->size;
  bool last = f->arch->qk_norm_last, simple = !p->gains && !p->grows;
  if (simple && !rope) {
    memcpy(to, from, (size_t)h * f->size);
    return;
  }
  if (simple && f->precision == OLICA_BF16 && 2 * pairs == h && !rope->interleaved) {
    rotate_halves(c, s, pairs, (const void *)from, (void *)to);
    return;
  }
  float *own = w->desk.head;
  olica_number_decode(f->precision, from, own, (size_t)h);
  if (p->gains && !last) norm_head(w, p, row, head, own);
  if (rope) olica_rope_turn(c, s, pairs, rope->interleaved, own);
  if (p->gains && last) norm_head(w, p, row, head, own);
  float scale = p->grows ? olica_rope_query_scale(rope, position) : 1.0f;
  for (int i = 0; p->grows && i < h; i++) own[i] *= scale;
  olica_number_encode(f->precision, own, to, (size_t)h);
}

/* Gathers keys (placed) and values of all positions, dense; zeros up to a full chunk of 32. */
static void gather_keys(const head_work *w) {
  const olica_forward *f = w->pass->f;
  const olica_segment *s = w->segment;
  const placing how = {.gains = w->pass->maps->layer->k_norm, .scales = f->scratch.key_scale};
  size_t h = (size_t)f->arch->head * f->size, heads = (size_t)w->kv_heads, n = (size_t)w->values * f->size,
         wide = (size_t)w->wide * f->size;
  int keys = s->prefix + s->count;
  for (int p = 0; p < keys; p++) {
    size_t row = (size_t)(p < s->prefix ? s->base + p : s->first + p - s->prefix);
    char *value = w->desk.value + (size_t)p * wide;
    place(w, &how, f->scratch.key, w->kv_heads, row, w->kv, p, w->desk.key + (size_t)p * h);
    memcpy(value, f->scratch.value + (row * heads + (size_t)w->kv) * n, n);
    memset(value + n, 0, wide - n);
  }
  size_t more = (size_t)(filled(keys) - keys);
  memset(w->desk.key + (size_t)keys * h, 0, more * h);
  memset(w->desk.value + (size_t)keys * wide, 0, more * wide);
}

/* Queries [first, first + rows) of the segment, of all heads of the group; `full` rows of each. */
static void gather_queries(const head_work *w, int first, int rows, int full) {
  const olica_forward *f = w->pass->f;
  const olica_rope *rope = olica_pass_rope(w->pass);
  const placing how = {.gains = w->pass->maps->layer->q_norm,
                       .scales = f->scratch.query_scale,
                       .grows = rope && rope->query_growth != 0};
  for (int i = 0; i < w->group; i++)
    for (int t = 0; t < rows; t++)
      place(w, &how, f->scratch.query, w->heads, (size_t)(w->segment->first + first + t),
            w->kv * w->group + i, w->segment->prefix + first + t,
            w->desk.query + (size_t)(i * full + t) * (size_t)f->arch->head * f->size);
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

/* Weights in bf16 come of powers of two, in fp32 of more exact ones of e. */
static inline float power_of(olica_dtype precision, float x) {
  return precision == OLICA_FP32 ? olica_product_exp(x) : olica_product_exp2_short(x);
}

static inline void store_vector(olica_dtype precision, const float *power, char *weight) {
  if (precision == OLICA_FP32)
    memcpy(weight, power, VECTOR * sizeof *power);
  else
    olica_number_round_vector(power, (uint16_t *)(void *)weight);
}

static inline void clear(olica_dtype precision, char *weight, int from, int until) {
  size_t size = precision == OLICA_FP32 ? sizeof(float) : sizeof(uint16_t);
  for (int j = from; j < until; j += VECTOR) memset(weight + (size_t)j * size, 0, VECTOR * size);
}

/* s [VECTOR] outside of [from, until). */
static void hide(float *s, int from, int until) {
#pragma omp simd
  for (int i = 0; i < VECTOR; i++) s[i] = i < from || i >= until ? -INFINITY : s[i];
}

/* A row of scores over a chunk, of which [from, until) are visible, becomes weights; `scale` leads to powers
 * of two or e. Its loops go over full vectors: what is hidden in them is -inf, whose power is 0 in fp32, and
 * in bf16 the least that there is, which bf16 cannot add to 1. The compiler inlines it with a constant
 * precision. */
static inline void soften(olica_dtype precision, const desk *d, int row, int from, int until, int width,
                          float scale) {
  size_t size = precision == OLICA_FP32 ? sizeof(float) : sizeof(uint16_t);
  float *restrict s = d->scores + (size_t)row * (size_t)width;
  char *restrict weight = d->weight + (size_t)row * (size_t)width * size;
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
  clear(precision, weight, 0, begin);
  for (int j = begin; j < end; j += VECTOR) {
    float power[VECTOR];
#pragma omp simd
    for (int i = 0; i < VECTOR; i++) {
      power[i] = power_of(precision, s[j + i] * scale - top);
      sums[i] += power[i];
    }
    store_vector(precision, power, weight + (size_t)j * size);
  }
  clear(precision, weight, end, width);
  d->shrink[row] = before > -INFINITY ? power_of(precision, before - top) : 0.0f;
  d->sum[row] = d->sum[row] * d->shrink[row] + total(sums);
  d->top[row] = top;
}

/* Multiplies n scores, and caps them. */
static void cap_scores(const olica_forward *f, size_t n, float *s) {
  float cap = (float)f->arch->score_cap, by = olica_arch_score_scale(f->arch) / cap;
  if (f->precision == OLICA_FP32) {
    for (size_t j = 0; j < n; j++) s[j] = cap * tanhf(s[j] * by);
    return;
  }
#pragma omp simd
  for (size_t j = 0; j < n; j++) {
    /* tanh x = 1 - 2 / (exp(2x) + 1); beyond 60 it is 1. */
    float x = s[j] * (2.0f * by);
    x = x > 60.0f ? 60.0f : x < -60.0f ? -60.0f : x;
    s[j] = cap * (1.0f - 2.0f / (olica_product_exp(x) + 1.0f));
  }
}

/* Returns the scores' scale that leads to powers of two: exp(x) = 2^(x / ln 2). */
static float scale_of_powers(const olica_arch *arch) {
  return arch->score_scale > 0 ? 1.44269504f * (float)arch->score_scale
                               : 1.44269504f / sqrtf((float)arch->head);
}

/* The rows of a chunk's scores become weights, as far as they see it. */
static inline void soften_rows(olica_dtype precision, const head_work *w, int at, int rows, int full,
                               int chunk, int width, float scale) {
  int window = olica_pass_layer(w->pass)->window;
  for (int row = 0; row < w->group * full; row++) {
    int position = at + row % full, from = 0, until = row % full < rows ? position + 1 - chunk : 0;
    if (window && position - window + 1 > chunk) from = position - window + 1 - chunk;
    if (until > width) until = width;
    if (until < from) until = from = 0; /* nothing of the chunk */
    soften(precision, &w->desk, row, from, until, width, scale);
  }
}

/* The chunk of `width` keys from position `chunk` on, for queries at positions [at, at + rows). */
static void attend_chunk(const head_work *w, int at, int rows, int full, int chunk, int width, bool begins) {
  const olica_forward *f = w->pass->f;
  const olica_scratch *scratch = &f->scratch;
  const desk *d = &w->desk;
  int g = w->group, r = full / OLICA_ROUND_ROWS - 1, c = width / OLICA_ROUND_ROWS - 1;
  float cap = (float)f->arch->score_cap;
  olica_matmul_run(scratch->scores[r][c], w->thread, d->query, NULL,
                   d->key + (size_t)chunk * (size_t)f->arch->head * f->size, d->scores);
  if (cap > 0) cap_scores(f, (size_t)g * (size_t)full * (size_t)width, d->scores);
  if (f->precision == OLICA_FP32)
    soften_rows(OLICA_FP32, w, at, rows, full, chunk, width,
                cap > 0 ? 1.0f : olica_arch_score_scale(f->arch));
  else
    soften_rows(OLICA_BF16, w, at, rows, full, chunk, width,
                cap > 0 ? 1.44269504f : scale_of_powers(f->arch));
  float *mix = begins ? d->sum_mix : d->mix;
  olica_matmul_run(scratch->mix[r][c], w->thread, d->weight, NULL,
                   d->value + (size_t)chunk * (size_t)w->wide * f->size, mix);
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

static float squares_of(olica_dtype precision, const char *x, int n) {
  const uint16_t *half = (const uint16_t *)(const void *)x;
  const float *whole = (const float *)(const void *)x;
  float sum = 0.0f;
  if (precision == OLICA_FP32)
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++) sum += whole[i] * whole[i];
  else
    for (int i = 0; i < n; i++) sum += olica_number_from_bf16(half[i]) * olica_number_from_bf16(half[i]);
  return sum;
}

/* 1 / the root mean square of this thread's rows of x [rows x n]: they are normed over all heads. */
static void measure_rows(const olica_forward *f, const char *x, int rows, int n, float *scale) {
#pragma omp for schedule(static) nowait
  for (int row = 0; row < rows; row++) {
    float sum = squares_of(f->precision, x + (size_t)row * (size_t)n * f->size, n);
    scale[row] = isfinite(sum) ? 1.0f / sqrtf(sum / (float)n + (float)f->arch->eps) : NAN;
  }
}

void olica_attention(const olica_pass *pass, const olica_blocks *mixed) {
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
  lay_out(f->precision, f->arch, f->tokens, &w.desk,
          f->scratch.attention + (size_t)w.thread * f->scratch.attention_bytes);
  if (f->scratch.query_scale) {
    int h = f->arch->head;
    measure_rows(f, f->scratch.query, pass->pack->rows, w.heads * h, f->scratch.query_scale);
    measure_rows(f, f->scratch.key, pass->pack->rows, w.kv_heads * h, f->scratch.key_scale);
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
  int g = f->scratch.group, r = rows / OLICA_ROUND_ROWS - 1, c = width / OLICA_ROUND_ROWS - 1;
  const olica_matmul_shape scores = {g * rows, f->arch->head, width, OLICA_RIGHT_TRANSPOSED, false};
  const olica_matmul_shape mix = {g * rows, width, filled(f->scratch.values), OLICA_RIGHT_ROWS, false};
  if (!f->scratch.scores[r][c]) OLICA_TRY(olica_matmul_find(f->kernel, scores, &f->scratch.scores[r][c]));
  return f->scratch.mix[r][c] ? OLICA_OK : olica_matmul_find(f->kernel, mix, &f->scratch.mix[r][c]);
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

olica_status olica_attention_prepare(const olica_pass *pass) {
  olica_forward *f = pass->f;
  const olica_layer_shape *shape = olica_pass_shape(pass);
  int group = shape->group;
  if (f->scratch.group != group) memset(f->scratch.scores, 0, sizeof f->scratch.scores);
  if (f->scratch.group != group || f->scratch.values != shape->values)
    memset(f->scratch.mix, 0, sizeof f->scratch.mix);
  f->scratch.group = group;
  f->scratch.values = shape->values;
  for (int i = 0; i < pass->pack->segments; i++) OLICA_TRY(prepare_segment(f, &pass->pack->segment[i]));
  return OLICA_OK;
}
