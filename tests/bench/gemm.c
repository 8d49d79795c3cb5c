/* The machine's own rate: a large fp32 product on every rank at once, GFLOP/s of all together. */
#include <mpi.h>
#include <stdio.h>

#include "olica/la/product.h"
#include "olica/par/context.h"

int main(int argc, char **argv) {
  enum { N = 1024, TIMES = 20 };
  olica_env *env = olica_env_create();
  olica_context *context;
  float *a = NULL, *b = NULL, *c = NULL;
  MPI_Init(&argc, &argv);
  if (!env || olica_context_create(env, MPI_COMM_WORLD, 0, &context) != OLICA_OK ||
      OLICA_NEW(env, a, N * N) != OLICA_OK || OLICA_NEW(env, b, N * N) != OLICA_OK ||
      OLICA_NEW(env, c, N * N) != OLICA_OK)
    MPI_Abort(MPI_COMM_WORLD, OLICA_ERR_MEMORY);
  for (int i = 0; i < N * N; i++) a[i] = (float)(i % 7) - 3, b[i] = (float)(i % 5) - 2;
  olica_product_linear(env, N, N, N, a, N, b, 0.0f, c, N);
  MPI_Barrier(context->comm);
  double since = olica_timer_now();
  for (int i = 0; i < TIMES; i++) olica_product_linear(env, N, N, N, a, N, b, 0.0f, c, N);
  MPI_Barrier(context->comm);
  double rate = 2.0 * N * N * N * TIMES * context->size / (olica_timer_now() - since) * 1e-9;
  if (context->rank == 0)
    printf("%.1f GFLOP/s fp32, %d ranks x %d threads\n", rate, context->size, context->threads);
  olica_context_destroy(context);
  olica_env_destroy(env);
  MPI_Finalize();
  return 0;
}
