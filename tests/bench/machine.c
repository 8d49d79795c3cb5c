/* What this machine can do, as a JSON line for jobs/model.py: rates of one rank while all ranks work at once
 * (GFLOP/s of products in fp32, bf16, fp64; GB/s of copying), and of the collectives the program uses:
 * seconds of the smallest, GB/s of a large one; GB/s of all ranks together writing and syncing files in the
 * directory that is the argument. Best of several, however busy the machine is. */
#include <cblas.h>
#include <fcntl.h>
#include <mpi.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "la/packed.h"
#include "la/product.h"
#include "par/context.h"

enum { ROWS = 1024, N = 2048, TIMES = 5, MANY = 200, LARGE = 1 << 20, FILE_PIECES = 8 }; /* LARGE: doubles */

typedef struct machine {
  olica_context *context;
  float *x, *w, *y;   /* [ROWS x N], [N x N], [ROWS x N] */
  double *a, *b;      /* [LARGE] each */
  char path[4096];    /* this rank's file */
  olica_packed *bf16; /* NULL: this processor has none */
} machine;

static void stop(const olica_env *env) {
  fprintf(stderr, "%s\n", env ? env->error.text : "no memory");
  MPI_Abort(MPI_COMM_WORLD, OLICA_ERR_MEMORY);
}

static void fp32(machine *m) {
  olica_product_general(m->context->env, 0, 1, ROWS, N, N, 1.0f, m->x, N, m->w, N, 0.0f, m->y, N);
}

static void bf16(machine *m) {
  olica_packed_multiply(m->bf16, ROWS, m->x, N, m->y);
}

static void fp64(machine *m) {
  enum { M = 1024 }; /* M x M fits a and b */
  cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, M, M, M / 2, 1, m->a, M, m->a + LARGE / 2, M, 0, m->b,
              M);
}

static void copy(machine *m) {
  memcpy(m->b, m->a, LARGE * sizeof *m->a);
  memcpy(m->w, m->x, sizeof(float) * ROWS * N);
}

static void write_file(machine *m) {
  int file = open(m->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  bool good = file >= 0;
  for (int i = 0; i < FILE_PIECES; i++)
    good = good && write(file, m->a, LARGE * sizeof *m->a) == (ssize_t)(LARGE * sizeof *m->a);
  if (!good || fsync(file) != 0 || close(file) != 0) {
    perror(m->path);
    MPI_Abort(MPI_COMM_WORLD, OLICA_ERR_IO);
  }
  unlink(m->path);
}

static void bcast(machine *m, int count) {
  MPI_Bcast(m->a, count, MPI_DOUBLE, 0, m->context->comm);
}

static void reduce(machine *m, int count) {
  MPI_Reduce(m->a, m->b, count, MPI_DOUBLE, MPI_SUM, 0, m->context->comm);
}

static void allreduce(machine *m, int count) {
  MPI_Allreduce(m->a, m->b, count, MPI_DOUBLE, MPI_SUM, m->context->comm);
}

/* Seconds of the slowest rank, best of some. */
static double time_of(machine *m, void (*work)(machine *)) {
  double best = 1e9;
  for (int i = 0; i < TIMES; i++) {
    MPI_Barrier(m->context->comm);
    double seconds = olica_timer_now();
    work(m);
    seconds = olica_timer_now() - seconds;
    MPI_Allreduce(MPI_IN_PLACE, &seconds, 1, MPI_DOUBLE, MPI_MAX, m->context->comm);
    if (seconds < best) best = seconds;
  }
  return best;
}

/* Seconds of one call among `calls`. */
static double call_of(machine *m, void (*call)(machine *, int), int count, int calls) {
  double best = 1e9;
  for (int i = 0; i < TIMES; i++) {
    MPI_Barrier(m->context->comm);
    double seconds = olica_timer_now();
    for (int c = 0; c < calls; c++) call(m, count);
    MPI_Barrier(m->context->comm);
    seconds = (olica_timer_now() - seconds) / calls;
    if (seconds < best) best = seconds;
  }
  return best;
}

static void prepare(machine *m) {
  olica_env *env = m->context->env;
  olica_kernel *kernel;
  if (OLICA_NEW(env, m->x, ROWS * N) != OLICA_OK || OLICA_NEW(env, m->w, N * N) != OLICA_OK ||
      OLICA_NEW(env, m->y, ROWS * N) != OLICA_OK || OLICA_NEW(env, m->a, LARGE) != OLICA_OK ||
      OLICA_NEW(env, m->b, LARGE) != OLICA_OK)
    stop(env);
  for (int i = 0; i < ROWS * N; i++) m->x[i] = (float)(i % 7) - 3;
  for (int i = 0; i < N * N; i++) m->w[i] = (float)(i % 5) - 2;
  for (int i = 0; i < LARGE; i++) m->a[i] = i % 3;
  if (olica_kernel_has_bf16() &&
      (olica_kernel_create(env, OLICA_BF16, m->context->threads, &kernel) != OLICA_OK ||
       olica_packed_create(kernel, (olica_packed_weights){.out = N, .in = N, .w = m->w}, &m->bf16) !=
           OLICA_OK))
    stop(env);
}

static void measure(machine *m) {
  const olica_context *c = m->context;
  const double products = 2e-9 * ROWS * N * N,
               copied = 2e-9 * (LARGE * sizeof(double) + sizeof(float) * ROWS * N);
  static const struct {
    const char *name;
    void (*call)(machine *, int);
  } collectives[] = {{"bcast", bcast}, {"reduce", reduce}, {"allreduce", allreduce}};
  double rates[] = {products / time_of(m, fp32), m->bf16 ? products / time_of(m, bf16) : 0,
                    2e-9 * 1024 * 1024 * 512 / time_of(m, fp64), copied / time_of(m, copy),
                    1e-9 * FILE_PIECES * LARGE * sizeof(double) * c->size / time_of(m, write_file)};
  if (c->rank == 0)
    printf("{\"ranks\": %d, \"threads\": %d, \"fp32\": %.1f, \"bf16\": %.1f, \"fp64\": %.1f, \"copy\": %.2f, "
           "\"file\": %.3f",
           c->size, c->threads, rates[0], rates[1], rates[2], rates[3], rates[4]);
  for (size_t i = 0; i < sizeof collectives / sizeof *collectives && c->size > 1; i++) {
    double small = call_of(m, collectives[i].call, 1, MANY),
           large = call_of(m, collectives[i].call, LARGE, TIMES);
    if (c->rank == 0)
      printf(", \"%s\": {\"seconds\": %.3g, \"GB_s\": %.3f}", collectives[i].name, small,
             1e-9 * LARGE * sizeof(double) / large);
  }
  if (c->rank == 0) printf("}\n");
}

int main(int argc, char **argv) {
  olica_env *env = olica_env_create();
  machine m = {0};
  MPI_Init(&argc, &argv);
  if (!env || olica_context_create(env, MPI_COMM_WORLD, 0, &m.context) != OLICA_OK) stop(env);
  if (argc != 2) MPI_Abort(MPI_COMM_WORLD, OLICA_ERR_CONFIG);
  snprintf(m.path, sizeof m.path, "%s/machine.%d", argv[1], m.context->rank);
  prepare(&m);
  measure(&m);
  olica_env_destroy(env);
  MPI_Finalize();
  return 0;
}
