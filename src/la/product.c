#include "olica/la/product.h"

#include <cblas.h>
#include <sys/mman.h>

enum { BUFFER_BYTES = (128 << 20) + (1 << 20) }; /* of OpenBLAS, and what malloc adds */

olica_status olica_product_reserve(olica_env *env, int threads) {
  size_t bytes = (size_t)threads * BUFFER_BYTES;
  void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED)
    return olica_error_set(env, OLICA_ERR_MEMORY,
                           "memory: no %zu bytes of address space for the buffers of BLAS on %d threads, "
                           "expected more (ulimit -v)",
                           bytes, threads);
  munmap(room, bytes);
  const float one = 1;
  float square = 0;
  cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, 1, 1, 1.0f, &one, 1, 0.0f, &square, 1);
  return OLICA_OK;
}

void olica_product_general(olica_env *env, int a_transposed, int b_transposed, int m, int n, int k,
                           float alpha, const float *a, int a_stride, const float *b, int b_stride,
                           float beta, float *c, int c_stride) {
  if (m == 0 || n == 0) return;
  cblas_sgemm(CblasRowMajor, a_transposed ? CblasTrans : CblasNoTrans,
              b_transposed ? CblasTrans : CblasNoTrans, m, n, k, alpha, a, a_stride, b, b_stride, beta, c,
              c_stride);
  olica_timer_work(&env->timers, 2.0 * m * n * k, 0);
}

void olica_product_linear(olica_env *env, int rows, int out, int in, const float *x, int x_stride,
                          const float *w, float beta, float *y, int y_stride) {
  olica_product_general(env, 0, 1, rows, out, in, 1.0f, x, x_stride, w, in, beta, y, y_stride);
}

void olica_product_piece(int b_transposed, int m, int n, int k, float alpha, const float *a, int a_stride,
                         const float *b, int b_stride, float beta, float *c, int c_stride) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, b_transposed ? CblasTrans : CblasNoTrans, m, n, k, alpha, a,
              a_stride, b, b_stride, beta, c, c_stride);
}

void olica_product_gram(olica_env *env, int rows, int n, const float *x, float *scratch, double *gram) {
  cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, n, rows, 1.0f, x, n, 0.0f, scratch, n);
  olica_timer_work(&env->timers, (double)rows * n * (n + 1), 0);
#pragma omp parallel for schedule(static, 16) if ((double)n * n >= OLICA_PRODUCT_PARALLEL)
  for (int i = 0; i < n; i++)
    for (int j = i; j < n; j++) gram[(size_t)i * n + j] += scratch[(size_t)i * n + j];
}

void olica_product_cross(olica_env *env, int rows, int n, int m, const float *x, const float *y,
                         float *scratch, double *cross) {
  olica_product_general(env, 1, 0, n, m, rows, 1.0f, x, n, y, m, 0.0f, scratch, m);
#pragma omp parallel for schedule(static) if ((double)n * m >= OLICA_PRODUCT_PARALLEL)
  for (int i = 0; i < n; i++)
    for (int j = 0; j < m; j++) cross[(size_t)i * m + j] += scratch[(size_t)i * m + j];
}
