#include "la/product.h"

#include <cblas.h>
#include <omp.h>
#include <sys/mman.h>

#include "la/blas_kernel.h"

/* OpenBLAS divides long inner dimensions into slabs, at other places with one thread than with two, so that
 * the last bits of a product would depend on the number of threads. On every processor its kernels take this
 * many at once. */
enum { SLAB = 256 };

enum { BUFFER_BYTES = (128 << 20) + (1 << 20) }; /* OpenBLAS's buffer, and malloc's overhead */

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

/* op(a) op(b) of row-major factors, as for cblas_sgemm. */
typedef struct product {
  int a_transposed, b_transposed, k;
  float alpha, beta;
  const float *a, *b;
  float *c;
  int a_stride, b_stride, c_stride;
} product;

/* Multiplies rows [row, row + m) and columns [col, col + n) of c, slab after slab. */
static void multiply(const product *p, int row, int col, int m, int n) {
  const float *a = p->a + (p->a_transposed ? (size_t)row : (size_t)row * (size_t)p->a_stride);
  const float *b = p->b + (p->b_transposed ? (size_t)col * (size_t)p->b_stride : (size_t)col);
  float *c = p->c + (size_t)row * (size_t)p->c_stride + col;
  for (int first = 0; first < p->k; first += SLAB) {
    size_t from = (size_t)first;
    cblas_sgemm(CblasRowMajor, p->a_transposed ? CblasTrans : CblasNoTrans,
                p->b_transposed ? CblasTrans : CblasNoTrans, m, n, p->k - first < SLAB ? p->k - first : SLAB,
                p->alpha, a + (p->a_transposed ? from * (size_t)p->a_stride : from), p->a_stride,
                b + (p->b_transposed ? from : from * (size_t)p->b_stride), p->b_stride,
                first ? 1.0f : p->beta, c, p->c_stride);
  }
}

/* Returns true if BLAS may divide a product among its threads without changing its bits. Single rows and
 * columns use other code paths, which divide differently. */
static bool may_share_out(int m, int n) {
  return m > 1 && n > 1 && olica_blas_kernel_steady();
}

/* Sets BLAS to one thread; it does so by itself if several of our threads call it. Returns the argument for
 * `restore_threads`. */
static int take_one_thread(void) {
  int threads = omp_in_parallel() ? 1 : openblas_get_num_threads();
  if (threads > 1) openblas_set_num_threads(1);
  return threads;
}

static void restore_threads(int threads) {
  if (threads > 1) openblas_set_num_threads(threads);
}

/* Blocks of c, each computed by one call on one thread. Their places depend on the shape alone; small
 * products have small blocks, so that several threads have work. Sizes are multiples of the kernels' unit. */
typedef struct blocks {
  int rows, columns;
} blocks;

static blocks blocks_for(int m, int n) {
  enum { SMALL = 1 << 17, LARGE = 1 << 20 };
  int64_t size = (int64_t)m * n;
  if (size < SMALL) return (blocks){96, 96};
  if (size < LARGE) return (blocks){192, 192};
  return (blocks){192, 384};
}

static int count_blocks(int n, int block) {
  return (n + block - 1) / block;
}

static int block_size(int n, int block, int index) {
  int left = n - index * block;
  return left < block ? left : block;
}

static void multiply_blocks(const product *p, int m, int n) {
  const blocks size = blocks_for(m, n);
  int across = count_blocks(n, size.columns), count = count_blocks(m, size.rows) * across;
#pragma omp parallel if (count > 1)
  {
    int threads = take_one_thread();
#pragma omp for schedule(dynamic)
    for (int at = 0; at < count; at++) {
      int i = at / across, j = at % across;
      multiply(p, i * size.rows, j * size.columns, block_size(m, size.rows, i),
               block_size(n, size.columns, j));
    }
    restore_threads(threads);
  }
}

void olica_product_general(olica_env *env, int a_transposed, int b_transposed, int m, int n, int k,
                           float alpha, const float *a, int a_stride, const float *b, int b_stride,
                           float beta, float *c, int c_stride) {
  if (m == 0 || n == 0) return;
  const product p = {a_transposed, b_transposed, k, alpha, beta, a, b, c, a_stride, b_stride, c_stride};
  if (may_share_out(m, n))
    multiply(&p, 0, 0, m, n);
  else
    multiply_blocks(&p, m, n);
  olica_timer_work(&env->timers, 2.0 * m * n * k, 0);
}
