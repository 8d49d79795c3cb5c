/* How near the sweeps come to the machine's own product: a layer's pass over sequences (advance), and the
 * pass with the sums of a fit (survey), in GFLOP/s and as a share of a large fp32 product of the same minute,
 * on one thread. Best of many short samples that take turns, so that other load shows least.
 *
 *   pass [fp32|bf16] [SECONDS a shape] */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calib/fit_sums.h"
#include "calib/stream.h"
#include "la/product.h"
#include "model/family.h"
#include "par/context.h"

enum { N = 1024, TOKENS = 128, PACKS = 2, PRODUCTS = 5 /* the first finds its factors in memory */ };

static const struct {
  const char *name;
  int hidden, heads, kv_heads, ffn;
} shapes[] = {{"demo", 192, 6, 2, 512}, {"SmolLM2-135M", 576, 9, 3, 1536}, {"LLaMA-7B", 4096, 32, 32, 11008}};

typedef struct bench {
  olica_context *context;
  olica_kernel *kernel;
  olica_arch arch; /* of one layer: */
  olica_arch_layer first;
  olica_layer *layer;
  olica_maps *maps;
  olica_forward *forward;
  olica_stream *stream;
  olica_fit_sums *sums;
  float *a, *b, *c;                /* [N x N] */
  double product, advance, survey; /* least seconds */
} bench;

#define DO(call)                                                                                             \
  do {                                                                                                       \
    if ((call) != OLICA_OK) {                                                                                \
      fprintf(stderr, "%s\n", #call);                                                                        \
      MPI_Abort(MPI_COMM_WORLD, OLICA_ERR_INTERNAL);                                                         \
    }                                                                                                        \
  } while (0)

static void fill(float *x, size_t count, float scale) {
  uint32_t state = 1;
  for (size_t i = 0; i < count; i++) {
    state = state * 1664525u + 1013904223u;
    x[i] = scale * ((float)(state >> 8) / (float)(1 << 23) - 1.0f);
  }
}

static void observe(void *self, const olica_view *view) {
  if (view->tap == OLICA_TAP_FFN_INPUT) olica_fit_sums_see(self, OLICA_SIDE_A, view);
  if (view->tap == OLICA_TAP_FFN_OUTPUT) olica_fit_sums_see(self, OLICA_SIDE_B, view);
}

static olica_status passed(void *self, int sequences) {
  return olica_fit_sums_passed(self, sequences);
}

static void make(bench *b, int shape, olica_dtype precision) {
  static const bool bias[OLICA_PROJECTIONS];
  int hidden = shapes[shape].hidden, heads = shapes[shape].heads, kv_heads = shapes[shape].kv_heads;
  int pack = olica_stream_pack(precision, 1, TOKENS);
  b->first = (olica_arch_layer){.heads = heads, .kv_heads = kv_heads, .ffn = shapes[shape].ffn};
  b->arch = (olica_arch){.family = olica_family_find("llama"),
                         .layers = 1,
                         .layer = &b->first,
                         .hidden = hidden,
                         .heads = heads,
                         .kv_heads = kv_heads,
                         .group = heads / kv_heads,
                         .head = hidden / heads,
                         .ffn = shapes[shape].ffn,
                         .activation = OLICA_ACTIVATION_SILU,
                         .eps = 1e-5,
                         .ropes = 1};
  b->arch.rope[0].theta = 10000;
  const olica_layer_shape dense = olica_layer_shape_dense(&b->arch, 0, bias);
  DO(olica_layer_create(b->context->env, &b->arch, &dense, NULL, &b->layer));
  fill(b->layer->own, olica_layer_bytes(&b->arch, &dense) / sizeof(float), 0.02f);
  DO(olica_kernel_create(b->context->env, precision, 1, &b->kernel));
  DO(olica_stream_create(b->context, hidden, PACKS * pack, TOKENS, &b->stream));
  DO(olica_forward_create(b->kernel, &b->arch, pack * TOKENS, TOKENS, &b->forward));
  DO(olica_maps_create(b->context, b->kernel, &b->arch, b->layer, 0, &b->maps));
  DO(olica_fit_sums_create(b->context, b->kernel, OLICA_SIDES, hidden, TOKENS, pack, &b->sums));
}

static void discard(bench *b) {
  olica_fit_sums_destroy(b->sums);
  olica_maps_destroy(b->maps);
  olica_forward_destroy(b->forward);
  olica_stream_destroy(b->stream);
  olica_kernel_destroy(b->kernel);
  olica_layer_destroy(b->context->env, b->layer);
}

static void keep_least(double *least, double since) {
  double seconds = olica_timer_now() - since;
  if (*least == 0 || seconds < *least) *least = seconds;
}

static void sample(bench *b) {
  const olica_onlooker onlooker = {.observer = {.observe = observe, .self = b->sums}, .passed = passed};
  size_t numbers = (size_t)b->stream->count * TOKENS * (size_t)b->arch.hidden;
  double since = 0;
  for (int i = 0; i < PRODUCTS; i++) {
    since = olica_timer_now();
    olica_product_general(b->context->env, 0, 1, N, N, N, 1.0f, b->a, N, b->b, N, 0.0f, b->c, N);
    keep_least(&b->product, since);
  }
  fill(b->stream->x, numbers, 1.0f);
  since = olica_timer_now();
  DO(olica_stream_advance(b->stream, b->forward, b->maps, NULL));
  keep_least(&b->advance, since);
  fill(b->stream->x, numbers, 1.0f);
  since = olica_timer_now();
  DO(olica_stream_advance(b->stream, b->forward, b->maps, &onlooker));
  DO(olica_fit_sums_finish(b->sums));
  keep_least(&b->survey, since);
}

static void print(const bench *b, const char *name) {
  double tokens = (double)b->stream->count * TOKENS, d = b->arch.hidden,
         product = 2e-9 * N * N * N / b->product,
         layer = 1e-9 * tokens * olica_layer_shape_work(&b->arch, &b->layer->shape, TOKENS),
         advance = layer / b->advance, survey = (layer + 1e-9 * tokens * (3 * d + 1) * d) / b->survey;
  printf("%s, %s: large fp32 product %.0f GFLOP/s, advance %.0f (%.2f), survey %.0f (%.2f)\n", name,
         olica_kernel_name(b->kernel), product, advance, advance / product, survey, survey / product);
  fflush(stdout);
}

int main(int argc, char **argv) {
  olica_env *env = olica_env_create();
  bench b = {0};
  olica_dtype precision = argc > 1 && strcmp(argv[1], "bf16") == 0 ? OLICA_BF16 : OLICA_FP32;
  double seconds = argc > 2 ? atof(argv[2]) : 10;
  MPI_Init(&argc, &argv);
  DO(olica_context_create(env, MPI_COMM_SELF, 1, &b.context));
  DO(OLICA_NEW(env, b.a, N * N));
  DO(OLICA_NEW(env, b.b, N * N));
  DO(OLICA_NEW(env, b.c, N * N));
  fill(b.a, N * N, 1.0f);
  fill(b.b, N * N, 1.0f);
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    make(&b, (int)i, precision);
    b.product = b.advance = b.survey = 0;
    double since = olica_timer_now();
    do sample(&b);
    while (olica_timer_now() - since < seconds);
    print(&b, shapes[i].name);
    discard(&b);
  }
  olica_context_destroy(b.context);
  olica_env_destroy(env);
  MPI_Finalize();
  return 0;
}
