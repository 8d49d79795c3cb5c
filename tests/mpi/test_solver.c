/* Every operation of the solvers' facade, on every back end and several groups of ranks, against one golden.
 * Blocks of 8, so that small problems already lie on several process rows and columns. */
#include <string.h>

#include "../../src/la/backend.h"
#include "la/removal.h"
#include "la_check.h"

enum { BLOCK = 8 };

/* ---- spectra ---- */

enum { RANDOM, DECAYING, TIES, DEFICIENT, INDEFINITE, LARGE, ZERO, SPECTRA };
static const char *const spectra[SPECTRA] = {"random",     "decaying", "ties", "deficient",
                                             "indefinite", "large",    "zero"};

static double eigenvalue(int spectrum, int n, int i) {
  double fraction = (i + 0.5) / n;
  switch (spectrum) {
  case RANDOM:
    return 1 - fraction + 0.1 * sin(37.0 * i) / n;
  case DECAYING:
    return pow(0.8, i);
  case TIES:
    return 3 * i < n ? 1 : 2 * i < n ? 0.75 : 0.5;
  case DEFICIENT:
    return 3 * i < n ? 1 - fraction : 0;
  case INDEFINITE:
    return 0.5 - fraction;
  case LARGE:
    return 1e12 * (1 - fraction);
  default:
    return 0;
  }
}

static golden golden_of(int spectrum, int n, uint64_t seed) {
  golden g = {.n = n, .lambda = numbers(n)};
  for (int i = 0; i < n; i++) g.lambda[i] = eigenvalue(spectrum, n, i);
  golden_make(&g, seed);
  return g;
}

/* ---- eigenproblems ---- */

/* Largest component of every column positive. */
static int signs_fixed(int n, int k, const double *v) {
  for (int j = 0; j < k; j++) {
    double largest = 0;
    for (int i = 0; i < n; i++)
      if (fabs(v[i * k + j]) > fabs(largest)) largest = v[i * k + j];
    if (!(largest > 0)) return 0;
  }
  return 1;
}

/* Values, residuals, orthogonality, without any help of the facade. */
static void check_pairs(tally *t, const char *name, const golden *g, int k, const double *values,
                        const double *v) {
  int n = g->n;
  double *r = product(n, k, n, 0, g->a, 0, v), *e = product(k, k, n, 1, v, 0, v);
  for (int i = 0; i < n * k; i++) r[i] -= values[i % k] * v[i];
  for (int j = 0; j < k; j++) e[j * k + j] -= 1;
  double *zero = numbers(n * k + k * k);
  double off = distance(k, values, g->lambda), residual = distance(n * k, r, zero),
         angle = distance(k * k, e, zero);
  expect(t, off <= 1e-10 * g->norm, "%s: eigenvalues off by %.2e of %.2e", name, off, g->norm);
  expect(t, residual <= 1e-9 * g->norm, "%s: residual %.2e of %.2e", name, residual, g->norm);
  expect(t, angle <= 1e-9, "%s: orthogonal to %.2e", name, angle);
  free(zero);
  free(e);
  free(r);
}

static long warned(const olica_env *env) {
  long sum = 0;
  for (int i = 0; i < env->log.warning_count; i++) sum += env->log.warnings[i].count;
  return sum;
}

static olica_site site_of(const olica_context *context, const olica_solver *solver) {
  return (olica_site){solver->place, solver->options.block, solver->options.precision, context->nodes,
                      context->rank};
}

/* What an eigenproblem took beside A and V is what is said of it beforehand, but for a few objects; other
 * ranks than a grid's first may take less, and a zero matrix takes nothing. */
static void check_bytes(tally *t, const olica_solver *solver, const char *name, int n, int k, size_t before) {
  enum { OBJECTS = 512 };
  const olica_context *context = t->context;
  const olica_site at = site_of(context, solver);
  olica_ledger ledger = {0};
  olica_solver_replay_eigen(&ledger, &at, n, k);
  double taken = (double)(context->env->memory.peak - before), said = (double)ledger.peak;
  expect(t, taken <= said + OBJECTS, "%s: took %.0f bytes, said to take %.0f", name, taken, said);
  expect(t, taken == 0 || context->rank != solver->grid->first || said <= 1.02 * taken + OBJECTS,
         "%s: took only %.0f bytes, said to take %.0f", name, taken, said);
}

/* The same of a subspace: what is said covers both precisions. */
static void check_subspace_bytes(tally *t, const olica_solver *solver, const char *name, int n, int k,
                                 size_t before) {
  enum { OBJECTS = 1024 };
  const olica_context *context = t->context;
  const olica_site at = site_of(context, solver);
  olica_ledger ledger = {0};
  olica_solver_replay_subspace(&ledger, &at, n, k);
  double taken = (double)(context->env->memory.peak - before), said = (double)ledger.peak;
  expect(t, taken <= said + OBJECTS, "%s: took %.0f bytes, said to take %.0f", name, taken, said);
}

static void check_eigen(tally *t, olica_solver *solver, const char *where, int spectrum, int n, int k) {
  olica_matrix *a, *v;
  golden g = golden_of(spectrum, n, (uint64_t)n);
  if (olica_solver_matrix(solver, n, n, &a) || olica_solver_matrix(solver, n, k, &v)) abort();
  if (olica_solver_member(solver)) {
    char name[256];
    snprintf(name, sizeof name, "%s: eigen %s n %d wanted %d", where, spectra[spectrum], n, k);
    double *values = numbers(k);
    long before = warned(t->context->env);
    spread(a, g.a);
    size_t bytes = t->context->env->memory.peak = t->context->env->memory.now;
    olica_status status = olica_solver_eigen(solver, name, a, k, values, v);
    expect(t, status == OLICA_OK, "%s: %s", name, t->context->env->error.text);
    int may_retry = solver->place.backend != OLICA_BACKEND_LAPACK && spectrum == TIES;
    expect(t, may_retry || warned(t->context->env) == before, "%s: the first algorithm failed", name);
    if (!may_retry) check_bytes(t, solver, name, n, k, bytes);
    double *got = collect(v);
    check_pairs(t, name, &g, k, values, got);
    expect(t, signs_fixed(n, k, got), "%s: signs", name);
    free(got);
    free(values);
  }
  olica_matrix_destroy(v);
  olica_matrix_destroy(a);
  golden_free(&g);
}

/* Each algorithm alone, also those that are only a second choice. Krylov-Schur may miss copies of a multiple
 * eigenvalue, but has to say so. */
static void check_algorithms(tally *t, olica_solver *solver, const char *where, int spectrum, int n, int k) {
  golden g = golden_of(spectrum, n, 5);
  for (int l = 0; solver->ops->eigen[l].solve; l++) {
    olica_matrix *a, *v;
    if (olica_solver_matrix(solver, n, n, &a) || olica_solver_matrix(solver, n, k, &v)) abort();
    if (olica_solver_member(solver)) {
      char name[256];
      snprintf(name, sizeof name, "%s: %s %s n %d wanted %d", where, solver->ops->eigen[l].name,
               spectra[spectrum], n, k);
      double *values = numbers(k), *negative = numbers(n * n);
      for (int i = 0; i < n * n; i++) negative[i] = -g.a[i];
      spread(a, negative);
      olica_status status = solver->ops->eigen[l].solve(solver, a, k, values, v);
      int may_fail = spectrum == TIES && strstr(name, "Krylov");
      expect(t, status == OLICA_OK || may_fail, "%s: %s", name, t->context->env->error.text);
      for (int j = 0; j < k; j++) values[j] = -values[j];
      double *got = collect(v), *kept = collect(a);
      if (status == OLICA_OK) check_pairs(t, name, &g, k, values, got);
      int same = 1;
      for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++) same &= kept[i * n + j] == negative[i * n + j];
      expect(t, same, "%s: upper triangle left alone", name);
      free(kept);
      free(got);
      free(negative);
      free(values);
    }
    olica_matrix_destroy(v);
    olica_matrix_destroy(a);
  }
  golden_free(&g);
}

/* ---- subspaces ---- */

/* Spectra of Gram matrices. From NEAR on there is no gap at the cut, n/3, that fp32 can see, or none at all,
 * and mixed precision may leave it to double. */
enum {
  FALLING,
  CLUSTERS,
  HUGE_NUMBERS,
  TINY_NUMBERS,
  NEAR,
  MASSIVE,
  STEEP,
  TIED,
  PLATEAU,
  LOW_RANK,
  SUBSPACES
};
static const char *const subspaces[SUBSPACES] = {"falling", "clusters",   "times 1e30", "times 1e-30",
                                                 "near",    "massive",    "steep",      "tied",
                                                 "plateau", "of low rank"};

static double eigenvalue_of(int spectrum, int n, int i) {
  double falling = exp(-6.0 * i / n);
  switch (spectrum) {
  case CLUSTERS: /* of 4, on either side of the cut */
    return exp(-6.0 * ((i - n / 3 + 4 * n) / 4 * 4 - 4 * n) / n);
  case MASSIVE:
    return i == 0 ? 300 : falling;
  case STEEP: /* eigenvalues at the cut are as near to each other as fp32's errors: weights have such */
    return i == 0 ? 1e4 : falling;
  case HUGE_NUMBERS:
    return 1e30 * falling;
  case TINY_NUMBERS:
    return 1e-30 * falling;
  case NEAR:
    return i == n / 3 ? exp(-6.0 * (i - 1) / n) - 1e-10 : falling;
  case TIED:
    return i >= n / 3 - 2 && i < n / 3 + 2 ? exp(-2.0) : falling;
  case PLATEAU:
    return i >= n / 6 && i < n / 6 * 5 ? 0.2 : i < n / 6 ? 1 - 0.01 * i : 1e-3 / (i + 1);
  case LOW_RANK:
    return i < n / 4 ? falling : 0;
  default:
    return falling;
  }
}

/* An orthonormal basis that A maps into its span, and no other eigenvalues than the k largest: their sum is
 * the trace there. */
static void check_span(tally *t, const char *name, const golden *g, int k, const double *v) {
  int n = g->n;
  double *av = product(n, k, n, 0, g->a, 0, v), *h = product(k, k, n, 1, v, 0, av),
         *r = product(n, k, k, 0, v, 0, h);
  double *one = product(k, k, n, 1, v, 0, v), *zero = numbers(k * k), kept = 0, want = 0;
  for (int j = 0; j < k; j++) one[j * k + j] -= 1;
  expect(t, distance(n * k, r, av) <= 1e-9 * g->norm, "%s: residual %.2e", name,
         distance(n * k, r, av) / g->norm);
  expect(t, distance(k * k, one, zero) <= 1e-9, "%s: orthogonal to %.2e", name, distance(k * k, one, zero));
  for (int j = 0; j < k; j++) kept += h[j * k + j], want += g->lambda[j];
  expect(t, fabs(kept - want) <= 1e-10 * g->norm, "%s: keeps %.12g of %.12g", name, kept, want);
  double *freed[] = {av, h, r, one, zero};
  for (int i = 0; i < 5; i++) free(freed[i]);
}

static void check_subspace(tally *t, olica_solver *solver, const char *where, int spectrum, int n, int k) {
  olica_matrix *a, *v;
  golden g = {.n = n, .lambda = numbers(n)};
  for (int i = 0; i < n; i++) g.lambda[i] = eigenvalue_of(spectrum, n, i);
  golden_make(&g, (uint64_t)(n + spectrum));
  if (olica_solver_matrix(solver, n, n, &a) || olica_solver_matrix(solver, n, k, &v)) abort();
  if (olica_solver_member(solver)) {
    char name[256];
    snprintf(name, sizeof name, "%s: subspace %s n %d wanted %d", where, subspaces[spectrum], n, k);
    long mixed = solver->mixed, again = solver->again, all = solver->eigenproblems;
    spread(a, g.a);
    size_t bytes = t->context->env->memory.peak = t->context->env->memory.now;
    olica_status status = olica_solver_subspace(solver, name, a, k, v);
    expect(t, status == OLICA_OK, "%s: %s", name, t->context->env->error.text);
    bool tried = solver->ops->single_eigen && k < n;
    expect(t, solver->eigenproblems == all + 1, "%s: counted %ld times", name, solver->eigenproblems - all);
    expect(t, solver->mixed - mixed + solver->again - again == tried, "%s: tried once", name);
    expect(t, spectrum >= NEAR || solver->again == again, "%s: mixed precision failed", name);
    check_subspace_bytes(t, solver, name, n, k, bytes);
    double *got = collect(v);
    check_span(t, name, &g, k, got);
    expect(t, signs_fixed(n, k, got), "%s: signs", name);
    free(got);
  }
  olica_matrix_destroy(v);
  olica_matrix_destroy(a);
  golden_free(&g);
}

/* In mixed precision at any order; a pool of its own. */
static void check_mixed(tally *t, olica_placement place) {
  static const int sizes[] = {1, 2, 7, 60, 150};
  char where[OLICA_SOLVER_TEXT];
  olica_pool *pool;
  olica_solver *solver;
  olica_pool_options options = {place.backend, BLOCK, 1e-9, OLICA_SOLVER_MIXED};
  if (olica_pool_create(t->context, options, &pool) || olica_pool_solver(pool, place, &solver)) abort();
  olica_solver_describe(solver, where);
  for (int s = 0; s < 5; s++)
    for (int spectrum = 0; spectrum < SUBSPACES; spectrum++) {
      int n = sizes[s];
      if (n > 7) check_subspace(t, solver, where, spectrum, n, n / 3);
      if (spectrum < NEAR || n < 7) check_subspace(t, solver, where, spectrum, n, n);
    }
  olica_pool_record record;
  expect(t,
         olica_pool_records(pool, &record, 1) == 1 &&
             (place.first != t->context->rank || record.mixed == solver->mixed),
         "%s: %ld in mixed precision", where, record.mixed);
  olica_pool_destroy(pool);
}

/* ---- products and ridge ---- */

static void check_products(tally *t, olica_solver *solver, const char *where, int n, int m) {
  olica_matrix *x, *y, *g, *c, *d;
  if (olica_solver_matrix(solver, n, m, &x) || olica_solver_matrix(solver, m, n + 1, &y) ||
      olica_solver_matrix(solver, n, n, &g) || olica_solver_matrix(solver, n, n + 1, &c) ||
      olica_solver_matrix(solver, m, n, &d))
    abort();
  if (olica_solver_member(solver)) {
    double *wx = random_matrix(n, m, 1), *wy = random_matrix(m, n + 1, 2), tolerance = 1e-13 * (n + m);
    spread(x, wx);
    spread(y, wy);
    expect(t, olica_solver_gram(solver, x, g) == OLICA_OK, "%s: gram", where);
    expect(t, olica_solver_multiply(solver, 0, x, y, c) == OLICA_OK, "%s: multiply", where);
    expect(t, olica_solver_multiply(solver, 1, x, g, d) == OLICA_OK, "%s: multiply transposed", where);
    double *wg = product(n, n, m, 0, wx, 1, wx), *wc = product(n, n + 1, m, 0, wx, 0, wy);
    double *wd = product(m, n, n, 1, wx, 0, wg), *gg = collect(g), *gc = collect(c), *gd = collect(d);
    expect(t, distance(n * n, gg, wg) <= tolerance, "%s: gram %d x %d", where, n, m);
    expect(t, distance(n * (n + 1), gc, wc) <= tolerance, "%s: product %d x %d", where, n, m);
    expect(t, distance(m * n, gd, wd) <= tolerance * m, "%s: transposed product %d x %d", where, n, m);
    double *all[] = {wx, wy, wg, wc, wd, gg, gc, gd};
    for (int i = 0; i < 8; i++) free(all[i]);
  }
  olica_matrix *matrices[] = {x, y, g, c, d};
  for (int i = 0; i < 5; i++) olica_matrix_destroy(matrices[i]);
}

/* delta: as asked; least: what is at least needed. */
static void check_ridge(tally *t, olica_solver *solver, const char *where, int spectrum, int n, int m,
                        double delta, double least) {
  olica_matrix *a, *b;
  golden g = golden_of(spectrum, n, 9);
  if (olica_solver_matrix(solver, n, n, &a) || olica_solver_matrix(solver, n, m, &b)) abort();
  if (olica_solver_member(solver)) {
    long before = warned(t->context->env);
    double used = delta, *w = random_matrix(n, m, 4);
    spread(a, g.a);
    spread(b, w);
    olica_status status = olica_solver_ridge(solver, where, a, &used, b);
    bool speaks = t->context->rank == a->grid->first; /* one of those who solve together warns */
    expect(t, (warned(t->context->env) > before) == (least > 0 && speaks), "%s: warnings", where);
    expect(t, status == OLICA_OK, "%s: ridge n %d: %s", where, n, t->context->env->error.text);
    expect(t, least == 0 ? used == delta : used > least && used <= fmax(10 * least, 1),
           "%s: delta %g from %g", where, used, delta);
    double *x = collect(b);
    for (int i = 0; i < n; i++) g.a[i * n + i] += used;
    double *r = product(n, m, n, 0, g.a, 0, x), largest = 0;
    for (int i = 0; i < n * m; i++) largest = fmax(largest, fabs(x[i]));
    expect(t, distance(n * m, r, w) <= 1e-13 * n * (1 + largest * (g.norm + used)), "%s: ridge %s n %d m %d",
           where, spectra[spectrum], n, m);
    free(r);
    free(x);
    free(w);
  }
  olica_matrix_destroy(b);
  olica_matrix_destroy(a);
  golden_free(&g);
}

/* After two removals, of `first` and of 1 variable, P is the inverse of what is left of A, and W solves for
 * the coefficients there. Row-major, of the variables left [m]. */
static void check_left(tally *t, const char *where, const golden *g, int m, const int *left, const double *p,
                       int d, const double *w, const double *before) {
  int n = g->n;
  double *a = numbers(m * m), *inverse = numbers(m * m), *now = numbers(d * m), *one = numbers(m * m);
  for (int i = 0; i < m; i++)
    for (int j = 0; j < m; j++) {
      int row = left[i > j ? i : j], col = left[i > j ? j : i]; /* P's lower triangle */
      a[i * m + j] = g->a[left[i] * n + left[j]];
      inverse[i * m + j] = p[row * n + col];
      one[i * m + j] = i == j;
    }
  for (int i = 0; i < d; i++)
    for (int j = 0; j < m; j++) now[i * m + j] = w[i * n + left[j]];
  double *product_one = product(m, m, m, 0, a, 0, inverse), *got = product(d, m, m, 0, now, 0, a);
  double *all = product(d, n, n, 0, before, 0, g->a), *want = numbers(d * m);
  for (int i = 0; i < d; i++)
    for (int j = 0; j < m; j++) want[i * m + j] = all[i * n + left[j]];
  expect(t, distance(m * m, product_one, one) <= 1e-11 * n, "%s: inverse of %d of %d", where, m, n);
  expect(t, distance(d * m, got, want) <= 1e-11 * n, "%s: coefficients of %d of %d", where, m, n);
  double *freed[] = {a, inverse, now, one, product_one, got, all, want};
  for (int i = 0; i < 8; i++) free(freed[i]);
}

static void check_removal(tally *t, olica_solver *solver, const char *where, int n, int d, int first) {
  olica_matrix *a, *p, *w;
  olica_removal removal;
  golden g = golden_of(RANDOM, n, 3);
  for (int i = 0; i < n; i++) g.a[i * n + i] += 0.1;
  if (olica_solver_matrix(solver, n, n, &a) || olica_solver_matrix(solver, n, n, &p) ||
      olica_solver_matrix(solver, d, n, &w))
    abort();
  if (olica_solver_member(solver)) {
    double zero = 0, *one = numbers(n * n), *before = random_matrix(d, n, 6);
    int left[256], gone[256], m = 0;
    for (int i = 0; i < n; i++) one[i * n + i] = 1;
    for (int i = 0; i < first; i++) gone[i] = (i * 7 + 3) % n; /* 7 and n have no common factor */
    int last = (first * 7 + 3) % n;
    for (int i = 0; i < n; i++) {
      int stays = i != last;
      for (int k = 0; k < first; k++) stays &= gone[k] != i;
      if (stays) left[m++] = i;
    }
    spread(a, g.a);
    spread(p, one);
    spread(w, before);
    if (olica_solver_ridge(solver, where, a, &zero, p) || olica_removal_begin(p, w, first, &removal)) abort();
    expect(t, olica_removal_take(&removal, first, gone) == OLICA_OK, "%s: removal", where);
    expect(t, olica_removal_take(&removal, 1, &last) == OLICA_OK, "%s: removal of one more", where);
    double *got_p = collect(p), *got_w = collect(w);
    check_left(t, where, &g, m, left, got_p, d, got_w, before);
    olica_removal_end(&removal);
    double *freed[] = {one, before, got_p, got_w};
    for (int i = 0; i < 4; i++) free(freed[i]);
  }
  olica_matrix *matrices[] = {a, p, w};
  for (int i = 0; i < 3; i++) olica_matrix_destroy(matrices[i]);
  golden_free(&g);
}

/* ---- failures: nobody hangs, all members say the same ---- */

static void check_not_finite(tally *t, olica_solver *solver, const char *where) {
  enum { N = 20 };
  olica_matrix *a, *v;
  if (olica_solver_matrix(solver, N, N, &a) || olica_solver_matrix(solver, N, 2, &v)) abort();
  if (olica_solver_member(solver)) {
    double x[N * N] = {0}, values[2], delta = 1;
    x[13 * N + 13] = NAN;
    spread(a, x);
    expect(t, olica_solver_eigen(solver, "it", a, 2, values, v) == OLICA_ERR_NUMERIC, "%s: eigen of NaN",
           where);
    expect(t, olica_solver_ridge(solver, "it", a, &delta, v) == OLICA_ERR_NUMERIC, "%s: ridge of NaN", where);
    expect(t, olica_solver_subspace(solver, "it", a, 2, v) == OLICA_ERR_NUMERIC, "%s: subspace of NaN",
           where);
    olica_error_clear(t->context->env);
  }
  olica_matrix_destroy(v);
  olica_matrix_destroy(a);
}

/* One member has no memory for its work space. Leaves allocated blocks behind. */
static void check_no_memory(tally *t, olica_solver *solver, const char *where) {
  enum { N = 64 };
  olica_env *env = t->context->env;
  const olica_grid *grid = solver->grid;
  olica_matrix *a, *v;
  golden g = golden_of(RANDOM, N, 1);
  if (olica_solver_matrix(solver, N, N, &a) || olica_solver_matrix(solver, N, N, &v)) abort();
  if (olica_solver_member(solver)) {
    double values[N];
    spread(a, g.a);
    if (t->context->rank == grid->first + grid->count - 1) env->memory.limit = env->memory.now + 1000;
    olica_status status = olica_solver_eigen(solver, "it", a, N, values, v);
    env->memory.limit = 0;
    expect(t, status == OLICA_ERR_MEMORY, "%s: status %d where a member has no memory", where, status);
    olica_error_clear(env);
  }
  golden_free(&g);
}

/* A tolerance that nothing meets: all algorithms are tried, then the error names the problem. */
static void check_impossible(tally *t, olica_backend backend) {
  enum { N = 30 };
  olica_pool *pool;
  olica_solver *solver;
  olica_matrix *a, *v;
  olica_placement place = {backend, 0, backend == OLICA_BACKEND_LAPACK ? 1 : t->context->size};
  if (olica_pool_create(t->context, (olica_pool_options){backend, BLOCK, 1e-30, OLICA_SOLVER_MIXED}, &pool))
    abort();
  if (olica_pool_solver(pool, place, &solver)) abort();
  if (olica_solver_matrix(solver, N, N, &a) || olica_solver_matrix(solver, N, 5, &v)) abort();
  if (olica_solver_member(solver)) {
    golden g = golden_of(RANDOM, N, 1);
    double values[5];
    spread(a, g.a);
    olica_status status = olica_solver_eigen(solver, "the impossible", a, 5, values, v);
    expect(t, status == OLICA_ERR_NUMERIC, "%s: status %d for an impossible tolerance",
           olica_backend_name(backend), status);
    expect(t, strstr(t->context->env->error.text, "the impossible") != NULL,
           "the error names the problem: %s", t->context->env->error.text);
    olica_error_clear(t->context->env);
    spread(a, g.a);
    expect(t, olica_solver_subspace(solver, "the impossible", a, 5, v) == OLICA_ERR_NUMERIC,
           "%s: subspace for an impossible tolerance", olica_backend_name(backend));
    expect(t, solver->again == (solver->ops->single_eigen != NULL) && solver->mixed == 0,
           "%s: %ld again in double", olica_backend_name(backend), solver->again);
    olica_error_clear(t->context->env);
    golden_free(&g);
  }
  olica_matrix_destroy(v);
  olica_matrix_destroy(a);
  olica_pool_destroy(pool);
}

/* ---- which groups ---- */

static void check_spread(tally *t, olica_solver *solver, const char *where) {
  const olica_grid *grid = solver->grid;
  olica_matrix *a;
  if (olica_solver_matrix(solver, 64, 64, &a)) abort();
  int size = t->context->size, here = a->local_rows > 0 && a->local_cols > 0, mine[2], most[2];
  mine[0] = here ? grid->row : -1;
  mine[1] = here ? grid->col : -1;
  MPI_Allreduce(mine, most, 2, MPI_INT, MPI_MAX, t->context->comm);
  if (solver->place.backend == OLICA_BACKEND_SCALAPACK && solver->place.count >= 4)
    expect(t, most[0] >= 1 && most[1] >= 1, "%s: several process rows and columns hold data", where);
  if (solver->place.backend == OLICA_BACKEND_SLEPC)
    expect(t, most[0] == solver->place.count - 1, "%s: all of %d ranks hold rows", where, size);
  olica_matrix_destroy(a);
}

static void check_solver(tally *t, olica_pool *pool, olica_placement place) {
  static const int sizes[] = {1, 2, 7, 32, 85}; /* whole blocks, and a ragged last one */
  char where[OLICA_SOLVER_TEXT];
  olica_solver *solver, *again;
  if (olica_pool_solver(pool, place, &solver) != OLICA_OK) abort();
  expect(t, olica_pool_solver(pool, place, &again) == OLICA_OK && again == solver, "a solver is made once");
  olica_solver_describe(solver, where);
  if (t->context->rank == 0) fprintf(stderr, "%s\n", where);
  check_spread(t, solver, where);
  for (int s = 0; s < 5; s++) {
    int n = sizes[s], wanted[] = {1, 3, n / 3, n - 1, n}, last = 0;
    for (int w = 0; w < 5; w++) {
      if (wanted[w] <= last || wanted[w] > n) continue;
      last = wanted[w];
      for (int spectrum = 0; spectrum < SPECTRA; spectrum++) check_eigen(t, solver, where, spectrum, n, last);
    }
    check_products(t, solver, where, n, 1);
    check_products(t, solver, where, n, 2 * n + 3);
    check_ridge(t, solver, where, RANDOM, n, n, 1e-3, 0);
    check_ridge(t, solver, where, DEFICIENT, n, 3, 1e-2, 0);
    if (n > 2) check_ridge(t, solver, where, INDEFINITE, n, n / 2, 1e-3, 0.5 - 0.5 / n);
    check_ridge(t, solver, where, ZERO, n, 2, 0, 0.99);
  }
  for (int spectrum = 0; spectrum < ZERO; spectrum++) check_algorithms(t, solver, where, spectrum, 40, 13);
  check_algorithms(t, solver, where, RANDOM, 5, 3); /* less than a block: some ranks hold nothing */
  check_removal(t, solver, where, 10, 3, 4);
  check_removal(t, solver, where, 150, 40, 64);
  check_not_finite(t, solver, where);
}

/* Two groups with different problems at the same time. */
static void check_disjoint(tally *t, olica_pool *pool, olica_backend backend) {
  int half = t->context->size / 2, second = t->context->rank >= half;
  olica_solver *solver[2];
  olica_placement place[2] = {{backend, 0, half}, {backend, half, t->context->size - half}};
  for (int i = 0; i < 2; i++)
    if (olica_pool_solver(pool, place[i], &solver[i]) != OLICA_OK) abort();
  for (int n = 10; n < 60; n += 10) {
    if (second) {
      check_eigen(t, solver[1], "second half", RANDOM, n, n / 2);
      check_ridge(t, solver[1], "second half", RANDOM, n, 3, 0.1, 0);
    } else {
      check_eigen(t, solver[0], "first half", DECAYING, 2 * n, n);
      check_products(t, solver[0], "first half", n, 30);
    }
  }
}

/* Eigenproblems placed by `auto`: the members of each know of it. */
static void check_count(tally *t, const olica_pool *pool) {
  long solved = olica_pool_eigenproblems(pool);
  expect(t, solved > 0, "this rank took part in %ld eigenproblems", solved);
}

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  olica_env *env = olica_env_create();
  tally t = {0};
  if (!env || olica_context_create(env, MPI_COMM_WORLD, 1, &t.context) != OLICA_OK) return 1;
  env->log.speaks = 0;
  int size = t.context->size;
  size_t before = env->memory.now;
  olica_pool *pool;
  if (olica_pool_create(t.context, (olica_pool_options){OLICA_BACKEND_AUTO, BLOCK, 1e-9, OLICA_SOLVER_AUTO},
                        &pool))
    return 1;
  for (int b = OLICA_BACKEND_LAPACK; b < OLICA_BACKENDS; b++) {
    olica_backend backend = (olica_backend)b;
    int ranks = backend == OLICA_BACKEND_LAPACK ? 1 : size;
    check_solver(&t, pool, (olica_placement){backend, size - ranks, ranks});
    if (size > 1 && ranks > 1) check_solver(&t, pool, (olica_placement){backend, 1, size - 1});
    check_mixed(&t, (olica_placement){backend, size - ranks, ranks});
    if (size > 1 && ranks > 1) check_disjoint(&t, pool, backend);
  }
  check_count(&t, pool);
  olica_pool_destroy(pool);
  for (int b = OLICA_BACKEND_LAPACK; b < OLICA_BACKENDS; b++) check_impossible(&t, (olica_backend)b);
  expect(&t, env->memory.now == before, "nothing stays allocated: %zu bytes", env->memory.now - before);
  if (olica_pool_create(t.context, (olica_pool_options){OLICA_BACKEND_AUTO, BLOCK, 1e-9, OLICA_SOLVER_AUTO},
                        &pool))
    return 1;
  for (int b = OLICA_BACKEND_LAPACK; b < OLICA_BACKENDS; b++) {
    olica_backend backend = (olica_backend)b;
    olica_solver *solver;
    olica_placement place = {backend, 0, backend == OLICA_BACKEND_LAPACK ? 1 : size};
    if (olica_pool_solver(pool, place, &solver) != OLICA_OK) return 1;
    check_no_memory(&t, solver, olica_backend_name(backend));
  }
  olica_pool_destroy(pool);
  int code = closing(&t);
  olica_context_destroy(t.context);
  olica_env_destroy(env);
  MPI_Finalize();
  return code;
}
