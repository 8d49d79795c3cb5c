/* Times of the solvers' operations as the program calls them, checks and all, on all ranks: what the model in
 * src/la/placement.c is fitted to (tests/bench_solvers.py). And of the two forms of the orthogonal neuron
 * decomposition over the number of heads.
 *
 *     solvers fit LARGEST      lines "back-end operation n w ranks seconds", the best of some runs
 *     solvers subspaces LARGEST [SMALLEST]
 *                              lines "back-end precision n w ranks seconds cpu again": both precisions in
 *                              turn, the best of some turns; again: turns that mixed precision left to
 *                              double. "beside": a problem on each rank by LAPACK at the same time, of
 *                              which the slowest counts
 *     solvers ond HIDDEN       lines "heads fast standard difference", seconds of a layer on rank 0 alone */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../src/prune/rotate.h"
#include "la/solver.h"
#include "par/context.h"

static void must(olica_env *env, olica_status status) {
  if (status == OLICA_OK) return;
  fprintf(stderr, "%s\n", env->error.text);
  MPI_Abort(MPI_COMM_WORLD, (int)status);
}

/* Numbers in (-1, 1) that look random. */
static double number(const void *seed, int row, int col) {
  double x = sin(12.9898 * row + 78.233 * col + *(const double *)seed) * 43758.5453;
  return 2 * (x - floor(x)) - 1;
}

/* Rows of falling weight: a spectrum like that of a trained matrix, with no ties. */
static double falling(const void *seed, int row, int col) {
  return number(seed, row, col) * exp(-2e-3 * row);
}

static double since(olica_context *context, double start) {
  MPI_Barrier(context->comm);
  return olica_timer_now() - start;
}

typedef struct bench {
  olica_context *context;
  olica_solver *solver;
  const char *backend;
} bench;

enum { GRAM, EIGEN, RIDGE };
static const char *const operations[] = {"gram", "eigen", "ridge"};

/* Seconds of one operation on fresh matrices; w: columns, wanted pairs, right-hand sides. */
static double run(const bench *b, int operation, int n, int w) {
  olica_env *env = b->context->env;
  olica_matrix *a, *m, *v;
  double *values, delta = 1, seed = 0;
  must(env, olica_solver_matrix(b->solver, n, n, &a));
  must(env, olica_solver_matrix(b->solver, n, operation == GRAM ? w : n, &m));
  must(env, olica_solver_matrix(b->solver, n, w, &v));
  must(env, OLICA_NEW(env, values, (size_t)w));
  olica_matrix_fill(m, falling, &seed);
  olica_matrix_fill(v, number, &seed);
  if (operation != GRAM) must(env, olica_solver_gram(b->solver, m, a));
  double start = since(b->context, 0), seconds;
  if (operation == GRAM) must(env, olica_solver_gram(b->solver, m, a));
  if (operation == EIGEN) must(env, olica_solver_eigen(b->solver, "bench", a, w, values, v));
  if (operation == RIDGE) must(env, olica_solver_ridge(b->solver, "bench", a, &delta, v));
  seconds = since(b->context, start);
  OLICA_FREE(env, values);
  olica_matrix_destroy(a);
  olica_matrix_destroy(m);
  olica_matrix_destroy(v);
  return seconds;
}

static void report(const bench *b, int operation, int n, int w) {
  int times = n < 1500 ? 3 : 1;
  double best = run(b, operation, n, w);
  for (int i = 1; i < times; i++) best = fmin(best, run(b, operation, n, w));
  if (b->context->rank > 0) return;
  printf("%s %s %d %d %d %.6f\n", b->backend, operations[operation], n, w, b->context->size, best);
  fflush(stdout);
}

static void fit(olica_context *context, olica_pool *pool, int largest) {
  static const int orders[] = {256, 576, 1024, 1536, 2048, 3072, 4096};
  for (int k = OLICA_BACKEND_LAPACK; k < OLICA_BACKENDS; k++) {
    olica_backend backend = (olica_backend)k;
    if ((backend == OLICA_BACKEND_LAPACK) != (context->size == 1)) continue;
    bench b = {context, NULL, olica_backend_name(backend)};
    must(context->env, olica_pool_solver(pool, (olica_placement){backend, 0, context->size}, &b.solver));
    for (size_t i = 0; i < sizeof orders / sizeof *orders && orders[i] <= largest; i++) {
      int n = orders[i], slow = backend == OLICA_BACKEND_SLEPC;
      if (slow && n > 1024) break; /* minutes */
      if (!slow) report(&b, GRAM, n, n);
      report(&b, EIGEN, n, 3 * n / 100);
      report(&b, EIGEN, n, 3 * n / 10);
      if (!slow) report(&b, EIGEN, n, n);
      if (!slow) report(&b, RIDGE, n, n);
    }
  }
}

/* ---- both precisions of a subspace ---- */

/* Lowers best[0] to the seconds of the subspace of a Gram matrix of order n, of the slowest rank, and best[1]
 * to this rank's seconds on its core: where others use the machine, these are steadier. */
static void run_subspace(const bench *b, int n, int w, double best[2]) {
  olica_env *env = b->context->env;
  olica_matrix *a, *m, *v;
  double seed = 0;
  must(env, olica_solver_matrix(b->solver, n, n, &a));
  must(env, olica_solver_matrix(b->solver, n, n, &m));
  must(env, olica_solver_matrix(b->solver, n, w, &v));
  olica_matrix_fill(m, falling, &seed);
  if (olica_solver_member(b->solver)) must(env, olica_solver_gram(b->solver, m, a));
  olica_matrix_destroy(m);
  double start = since(b->context, 0);
  clock_t clocks = clock();
  if (olica_solver_member(b->solver)) must(env, olica_solver_subspace(b->solver, "bench", a, w, v));
  best[1] = fmin(best[1], (double)(clock() - clocks) / CLOCKS_PER_SEC);
  best[0] = fmin(best[0], since(b->context, start));
  olica_matrix_destroy(a);
  olica_matrix_destroy(v);
}

/* The solvers in double and in mixed precision of one placement; with `beside` each rank has its own. */
static void compare(olica_context *context, olica_pool *pool[2], const char *name, olica_placement place,
                    bool beside, int n) {
  static const char *const precisions[] = {"double", "mixed"};
  bench b[2] = {{context, NULL, name}, {context, NULL, name}};
  double best[2][2] = {{INFINITY, INFINITY}, {INFINITY, INFINITY}};
  for (int p = 0; p < 2; p++)
    for (int r = 0; r < (beside ? context->size : 1); r++) {
      olica_solver *one;
      olica_placement there = beside ? (olica_placement){place.backend, r, 1} : place;
      must(context->env, olica_pool_solver(pool[p], there, &one));
      if (!beside || r == context->rank) b[p].solver = one;
    }
  for (int turn = 0; turn < (n < 3000 ? 3 : 2); turn++)
    for (int p = 0; p < 2; p++) run_subspace(&b[p], n, 3 * n / 10, best[p]);
  olica_pool_record record[2];
  for (int p = 0; p < 2; p++) {
    olica_pool_records(pool[p], &record[p], 1);
    if (context->rank == 0)
      printf("%s %s %d %d %d %.6f %.6f %ld\n", name, precisions[p], n, 3 * n / 10, context->size, best[p][0],
             best[p][1], record[p].again);
  }
  fflush(stdout);
}

static void subspaces(olica_context *context, int largest, int smallest) {
  static const int orders[] = {576, 1024, 1536, 2048, 4096, 8192};
  for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
    if (orders[i] < smallest || orders[i] > largest) continue;
    olica_pool *pool[2];
    for (int p = 0; p < 2; p++) {
      olica_pool_options options = olica_pool_defaults();
      options.precision = p ? OLICA_SOLVER_MIXED : OLICA_SOLVER_DOUBLE;
      must(context->env, olica_pool_create(context, options, &pool[p]));
    }
    olica_placement all = {OLICA_BACKEND_SCALAPACK, 0, context->size}, one = {OLICA_BACKEND_LAPACK, 0, 1};
    if (context->size > 1) compare(context, pool, "scalapack", all, false, orders[i]);
    compare(context, pool, context->size > 1 ? "beside" : "lapack", one, context->size > 1, orders[i]);
    for (int p = 0; p < 2; p++) olica_pool_destroy(pool[p]);
  }
}

/* ---- the two forms of the decomposition ---- */

static olica_layer *layer_of(olica_env *env, const olica_arch *arch) {
  static const bool bias[OLICA_PROJECTIONS];
  olica_layer_shape shape = olica_layer_shape_dense(arch, 0, bias);
  olica_layer *layer;
  double seed = 1;
  must(env, olica_layer_create(env, arch, &shape, NULL, &layer));
  for (int p = OLICA_V; p <= OLICA_O; p++) {
    const olica_linear *linear = &layer->linear[p];
    for (int i = 0; i < linear->out; i++)
      for (int j = 0; j < linear->in; j++)
        linear->weight[(size_t)i * linear->in + j] = (float)number(&seed, i, j + p * 10000);
  }
  return layer;
}

/* Row r of O_i W_v,i of head i into `row` [d]. */
static void product_row(const olica_arch *arch, const olica_layer *layer, int head, int r, double *row) {
  int d = arch->hidden, h = arch->head;
  memset(row, 0, (size_t)d * sizeof *row);
  for (int n = 0; n < h; n++)
    for (int j = 0; j < d; j++)
      row[j] += (double)layer->linear[OLICA_O].weight[(size_t)r * d + head * h + n] *
                layer->linear[OLICA_V].weight[(size_t)(head * h + n) * d + j];
}

/* Largest difference of the heads' products in some rows, relative to the largest number in them. */
static double difference(olica_env *env, const olica_arch *arch, const olica_layer *a, const olica_layer *b) {
  double *x, *y, worst = 0, largest = 0;
  must(env, OLICA_NEW(env, x, 2 * (size_t)arch->hidden));
  y = x + arch->hidden;
  for (int head = 0; head < arch->heads; head++)
    for (int r = head; r < arch->hidden; r += 61) {
      product_row(arch, a, head, r, x);
      product_row(arch, b, head, r, y);
      for (int j = 0; j < arch->hidden; j++) {
        worst = fmax(worst, fabs(x[j] - y[j]));
        largest = fmax(largest, fabs(x[j]));
      }
    }
  OLICA_FREE(env, x);
  return worst / largest;
}

static void ond(olica_context *context, olica_pool *pool, int hidden) {
  olica_env *env = context->env;
  double *energy;
  must(env, OLICA_NEW(env, energy, (size_t)hidden));
  for (int i = 0; i < hidden; i++) energy[i] = 1 + 0.5 * sin(i);
  for (int heads = 2; heads <= 32; heads *= 2) {
    olica_arch arch = {.hidden = hidden, .heads = heads, .kv_heads = heads, .head = hidden / heads, .ffn = 1};
    olica_arch_layer alike = olica_arch_plain_layer(&arch);
    olica_layer *layer[2];
    double seconds[2];
    arch.layer = &alike;
    for (int form = OLICA_OND_FAST; form <= OLICA_OND_STANDARD; form++) {
      layer[form] = layer_of(env, &arch);
      double start = since(context, 0);
      must(env, olica_rotate_values(pool, context, &arch, (olica_ond_choice)form, energy, layer[form]));
      seconds[form] = since(context, start);
    }
    double off = difference(env, &arch, layer[0], layer[1]);
    if (context->rank == 0) printf("%d %.6f %.6f %.2e\n", heads, seconds[0], seconds[1], off);
    fflush(stdout);
    for (int form = 0; form < 2; form++) olica_layer_destroy(env, layer[form]);
  }
  OLICA_FREE(env, energy);
}

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  olica_env *env = olica_env_create();
  olica_context *context;
  olica_pool *pool;
  if (!env || argc < 3) MPI_Abort(MPI_COMM_WORLD, OLICA_ERR_CONFIG);
  must(env, olica_context_create(env, MPI_COMM_WORLD, 1, &context));
  must(env, olica_pool_create(context, olica_pool_defaults(), &pool));
  if (strcmp(argv[1], "ond") == 0)
    ond(context, pool, atoi(argv[2]));
  else if (strcmp(argv[1], "subspaces") == 0)
    subspaces(context, atoi(argv[2]), argc > 3 ? atoi(argv[3]) : 0);
  else
    fit(context, pool, atoi(argv[2]));
  olica_pool_destroy(pool);
  olica_context_destroy(context);
  olica_env_destroy(env);
  MPI_Finalize();
  return 0;
}
