/* Helpers of the tests of la: counted checks, matrices with known answers, whole copies of a distributed
 * matrix. Tests hold whole matrices on every rank: they are small. */
#ifndef TESTS_MPI_LA_CHECK_H
#define TESTS_MPI_LA_CHECK_H

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "la/solver.h"
#include "par/comm.h"

typedef struct tally {
  olica_context *context;
  long passed, failed; /* on this rank */
} tally;

__attribute__((format(printf, 3, 4))) static inline void expect(tally *t, int holds, const char *format,
                                                                ...) {
  if (holds) {
    t->passed++;
    return;
  }
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  t->failed++;
  printf("FAIL on rank %d of %d: %s\n", t->context->rank, t->context->size, text);
}

/* Prints the sums over all ranks; returns the exit code. */
static inline int closing(tally *t) {
  long sum[2] = {t->passed, t->failed};
  MPI_Allreduce(MPI_IN_PLACE, sum, 2, MPI_LONG, MPI_SUM, t->context->comm);
  fflush(stdout);
  if (t->context->rank == 0) printf("%ld passed, %ld failed\n", sum[0], sum[1]);
  return sum[1] == 0 && sum[0] > 0 ? 0 : 1;
}

/* Returns zeroed numbers; aborts if memory is exhausted. */
static inline double *numbers(int count) {
  double *x = calloc((size_t)count + 1, sizeof *x);
  if (!x) abort();
  return x;
}

/* Returns a number uniform in [-1, 1), the same on every rank for a seed. */
static inline double drawn(uint64_t *seed) {
  *seed = *seed * 6364136223846793005u + 1442695040888963407u;
  return (double)(*seed >> 11) * 0x1p-52 - 1;
}

/* A row-major matrix [rows x cols] and a distributed one. */
typedef struct whole {
  const double *x;
  int cols;
} whole;

static inline double element(const void *data, int row, int col) {
  const whole *w = data;
  return w->x[row * w->cols + col];
}

static inline void spread(olica_matrix *matrix, const double *x) {
  olica_matrix_fill(matrix, element, &(whole){x, matrix->cols});
}

/* Returns the whole matrix on the members of its grid, which call this. Freed by the caller. */
static inline double *collect(const olica_matrix *matrix) {
  double *x = numbers(matrix->rows * matrix->cols);
  for (int j = 0; j < matrix->local_cols; j++)
    for (int i = 0; i < matrix->local_rows; i++)
      x[olica_matrix_global_row(matrix, i) * matrix->cols + olica_matrix_global_col(matrix, j)] =
          matrix->a[(size_t)j * (size_t)matrix->lld + (size_t)i];
  MPI_Allreduce(MPI_IN_PLACE, x, matrix->rows * matrix->cols, MPI_DOUBLE, MPI_SUM, matrix->grid->comm);
  return x;
}

/* Returns the largest |a - b|; infinity if there is a NaN. */
static inline double distance(int count, const double *a, const double *b) {
  double worst = 0;
  for (int i = 0; i < count; i++) {
    double d = fabs(a[i] - b[i]);
    if (!(d <= worst)) worst = isnan(d) ? HUGE_VAL : d;
  }
  return worst;
}

/* C [m x n] := op(A) op(B), computed directly; k is the length of the sums. */
static inline double *product(int m, int n, int k, int ta, const double *a, int tb, const double *b) {
  double *c = numbers(m * n);
  for (int i = 0; i < m; i++)
    for (int l = 0; l < k; l++) {
      double factor = a[ta ? l * m + i : i * k + l];
      const double *restrict from = b + (tb ? l : l * n);
      for (int j = 0; j < n; j++) c[i * n + j] += factor * from[tb ? j * k : j];
    }
  return c;
}

static inline double *random_matrix(int rows, int cols, uint64_t seed) {
  double *x = numbers(rows * cols);
  for (int i = 0; i < rows * cols; i++) x[i] = drawn(&seed);
  return x;
}

/* A symmetric matrix with a known spectrum, A = Q diag(lambda) Q', Q a product of reflections. */
typedef struct golden {
  int n;
  double norm, *lambda, *a; /* descending; row-major */
} golden;

/* A := H A, then A := A H, H = I - 2 u u' / u'u. */
static inline void reflect(int n, double *a, const double *u) {
  double length = 0;
  for (int i = 0; i < n; i++) length += u[i] * u[i];
  if (length == 0) return;
  for (int side = 0; side < 2; side++)
    for (int j = 0; j < n; j++) {
      double dot = 0;
      for (int i = 0; i < n; i++) dot += u[i] * a[side ? j * n + i : i * n + j];
      for (int i = 0; i < n; i++) a[side ? j * n + i : i * n + j] -= 2 * dot / length * u[i];
    }
}

static inline void golden_make(golden *g, uint64_t seed) {
  int n = g->n;
  g->a = numbers(n * n);
  g->norm = 0;
  for (int i = 0; i < n; i++) {
    g->a[i * n + i] = g->lambda[i];
    g->norm += g->lambda[i] * g->lambda[i];
  }
  g->norm = sqrt(g->norm);
  for (int k = 0; k < 3; k++) {
    double *u = random_matrix(1, n, seed + (uint64_t)k);
    reflect(n, g->a, u);
    free(u);
  }
  for (int i = 0; i < n; i++)
    for (int j = 0; j < i; j++) g->a[i * n + j] = g->a[j * n + i] = 0.5 * (g->a[i * n + j] + g->a[j * n + i]);
}

static inline void golden_free(golden *g) {
  free(g->lambda);
  free(g->a);
}

#endif
