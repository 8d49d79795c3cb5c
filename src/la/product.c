#include "olica/la/product.h"

#include <cblas.h>
#include <sys/mman.h>

/* OpenBLAS cuts long inner dimensions into slabs, but elsewhere with one thread than with two: the last bits
 * of a product would depend on the number of threads. Its kernels take so many at once on every processor. */
enum { SLAB = 256 };

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
  for (int first = 0; first < k; first += SLAB) {
    size_t from = (size_t)first;
    cblas_sgemm(CblasRowMajor, a_transposed ? CblasTrans : CblasNoTrans,
                b_transposed ? CblasTrans : CblasNoTrans, m, n, k - first < SLAB ? k - first : SLAB, alpha,
                a + (a_transposed ? from * (size_t)a_stride : from), a_stride,
                b + (b_transposed ? from : from * (size_t)b_stride), b_stride, first ? 1.0f : beta, c,
                c_stride);
  }
  olica_timer_work(&env->timers, 2.0 * m * n * k, 0);
}

void olica_product_piece(int b_transposed, int m, int n, int k, float alpha, const float *a, int a_stride,
                         const float *b, int b_stride, float beta, float *c, int c_stride) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, b_transposed ? CblasTrans : CblasNoTrans, m, n, k, alpha, a,
              a_stride, b, b_stride, beta, c, c_stride);
}

void olica_product_gram(olica_env *env, int rows, int n, const float *x, int x_stride, float *gram,
                        int gram_stride) {
  cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, n, rows, 1.0f, x, x_stride, 0.0f, gram, gram_stride);
  olica_timer_work(&env->timers, (double)rows * n * (n + 1), 0);
}
