/* The machine's own rates, GFLOP/s of all ranks at once: a large fp32 product, then the products of a layer
 * as the program does them, packed, in fp32 and (where the processor has it) in bf16. */
#include <mpi.h>
#include <stdio.h>

#include "la/packed.h"
#include "la/product.h"
#include "par/context.h"

enum { N = 1024, TIMES = 20, ROWS = 1024 };

/* Out and in: SmolLM2-135M's, one of its factors, a panel of its output matrix, LLaMA-7B's. */
static const int shapes[][2] = {{576, 576}, {1536, 576}, {576, 1536}, {192, 576}, {3640, 576}, {4096, 4096}};

static void stop(olica_env *env) {
  fprintf(stderr, "%s\n", env ? env->error.text : "no memory");
  MPI_Abort(MPI_COMM_WORLD, OLICA_ERR_MEMORY);
}

/* Best of some batches: what the machine can do, however busy it is. */
static double packed_rate(olica_context *context, olica_dtype precision, const int shape[2], const float *x,
                          const float *w, float *y) {
  olica_env *env = context->env;
  olica_kernel *kernel;
  olica_packed *packed;
  double best = 0, flops = 2.0 * ROWS * shape[0] * shape[1] * context->size;
  if (olica_kernel_create(env, precision, context->threads, &kernel) != OLICA_OK ||
      olica_packed_create(kernel, (olica_packed_weights){.out = shape[0], .in = shape[1], .w = w}, &packed) !=
          OLICA_OK)
    stop(env);
  for (int i = 0; i < 6; i++) {
    MPI_Barrier(context->comm);
    double since = olica_timer_now();
    olica_packed_multiply(packed, ROWS, x, shape[1], y);
    MPI_Barrier(context->comm);
    double rate = flops / (olica_timer_now() - since) * 1e-9;
    if (rate > best) best = rate;
  }
  olica_packed_destroy(packed);
  olica_kernel_destroy(kernel);
  return best;
}

static void print_shapes(olica_context *context) {
  enum { MOST = 4096 };
  olica_env *env = context->env;
  float *x = NULL, *w = NULL, *y = NULL;
  if (OLICA_NEW(env, x, ROWS * MOST) != OLICA_OK || OLICA_NEW(env, y, ROWS * MOST) != OLICA_OK ||
      OLICA_NEW(env, w, MOST * MOST) != OLICA_OK)
    stop(env);
  for (int i = 0; i < ROWS * MOST; i++) x[i] = (float)(i % 7) - 3;
  for (int i = 0; i < MOST * MOST; i++) w[i] = (float)(i % 5) - 2;
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    double single = packed_rate(context, OLICA_FP32, shapes[i], x, w, y);
    double half = olica_kernel_has_bf16() ? packed_rate(context, OLICA_BF16, shapes[i], x, w, y) : 0;
    if (context->rank == 0)
      printf("%d x %d x %d: fp32 %.0f, bf16 %.0f GFLOP/s, %.2f times\n", ROWS, shapes[i][0], shapes[i][1],
             single, half, half / single);
  }
}

int main(int argc, char **argv) {
  olica_env *env = olica_env_create();
  olica_context *context;
  float *a = NULL, *b = NULL, *c = NULL;
  MPI_Init(&argc, &argv);
  if (!env || olica_context_create(env, MPI_COMM_WORLD, 0, &context) != OLICA_OK ||
      OLICA_NEW(env, a, N * N) != OLICA_OK || OLICA_NEW(env, b, N * N) != OLICA_OK ||
      OLICA_NEW(env, c, N * N) != OLICA_OK)
    stop(env);
  for (int i = 0; i < N * N; i++) a[i] = (float)(i % 7) - 3, b[i] = (float)(i % 5) - 2;
  olica_product_general(env, 0, 1, N, N, N, 1.0f, a, N, b, N, 0.0f, c, N);
  MPI_Barrier(context->comm);
  double since = olica_timer_now();
  for (int i = 0; i < TIMES; i++) olica_product_general(env, 0, 1, N, N, N, 1.0f, a, N, b, N, 0.0f, c, N);
  MPI_Barrier(context->comm);
  double rate = 2.0 * N * N * N * TIMES * context->size / (olica_timer_now() - since) * 1e-9;
  if (context->rank == 0)
    printf("%.1f GFLOP/s fp32, %d ranks x %d threads\n", rate, context->size, context->threads);
  print_shapes(context);
  olica_context_destroy(context);
  olica_env_destroy(env);
  MPI_Finalize();
  return 0;
}
