/* Places problems on ranks by a model of their time.
 *
 *   auto_placement, in outline:
 *     singly      every problem on one rank, the longest first, each on the least busy rank
 *     in turn     every problem that may be shared on all ranks, one after the other
 *     in groups   for 1, 2, ... of the longest problems: each on a group of ranks, all groups side by side,
 *                 sized by bisection so that all end as early as possible; the rest singly
 *     the placement with the shortest modelled makespan wins; of equal ones the first */
#include <math.h>

#include "la/solver.h"

/* Seconds of an operation on a matrix of order n with w columns (of a Gram product, wanted eigenvectors,
 * right-hand sides) on p ranks:
 *     (cubic n^3 + wanted n^2 w) / p + square n^2 / sqrt(p) + latency n log2(p).
 * Fitted by `make bench-solvers`; doc/methods.md has the measurements. Only the ratios of the numbers matter:
 * a faster machine changes all of them alike. */
typedef struct model {
  double cubic, wanted, square, latency;
} model;

enum { GRAM, EIGEN, RIDGE, OPERATIONS };

static const model models[2][OPERATIONS] = {
    {
        /* LAPACK, one rank */
        [GRAM] = {0, 1.34e-11, 2.51e-09, 0},
        [EIGEN] = {5.54e-11, 1.61e-10, 1.40e-08, 0},
        [RIDGE] = {4.70e-12, 2.82e-11, 2.57e-08, 0},
    },
    {
        /* ScaLAPACK on a grid */
        [GRAM] = {0, 2.26e-11, 4.42e-09, 7.81e-08},
        [EIGEN] = {1.43e-10, 3.68e-10, 0, 1.17e-05},
        [RIDGE] = {1.42e-11, 8.55e-11, 0, 3.63e-06},
    },
};

static double evaluate(const model *m, double n, double w, double p) {
  return (m->cubic * n * n * n + m->wanted * n * n * w) / p + m->square * n * n / sqrt(p) +
         m->latency * n * log2(p);
}

double olica_solver_seconds(const olica_problem *problem, int ranks) {
  const model *m = models[ranks > 1];
  double n = problem->order, sum = 0;
  if (problem->inner > 0) sum += evaluate(&m[GRAM], n, problem->inner, ranks);
  if (problem->wanted > 0) sum += evaluate(&m[EIGEN], n, problem->wanted, ranks);
  if (problem->columns > 0) sum += evaluate(&m[RIDGE], n, problem->columns, ranks);
  return sum;
}

/* Inputs and workspace of a placement. */
typedef struct table {
  int ranks, problems;
  const olica_problem *problem;
  double *alone; /* [problems] seconds on one rank */
  int *order;    /* [problems] longest first; equal ones by index */
  double *busy;  /* [ranks] seconds */
} table;

static int may_share(const table *t, int i) {
  return t->problem[i].order > OLICA_SOLVER_WHOLE;
}

/* Returns the next number of ranks that forms a grid r x r or r x (r + 1); other numbers leave ranks idle. */
static int next_size(int size) {
  int rows, cols;
  olica_grid_shape(size, &rows, &cols);
  return rows == cols ? rows * (rows + 1) : cols * cols;
}

/* Returns the fewest ranks on which the problem takes at most `limit` seconds; 0: none. */
static int ranks_within(const table *t, int i, double limit) {
  if (t->alone[i] <= limit) return 1;
  for (int size = 2; may_share(t, i) && size <= t->ranks; size = next_size(size))
    if (olica_solver_seconds(&t->problem[i], size) <= limit) return size;
  return 0;
}

/* Places the `groups` longest problems on groups side by side such that each ends by `limit`. Returns false
 * if they do not fit. */
static int place_groups(const table *t, int groups, double limit, olica_placement *place) {
  int next = 0;
  for (int g = 0; g < groups; g++) {
    int i = t->order[g], count = ranks_within(t, i, limit);
    if (count == 0 || count > t->ranks - next) return 0;
    place[i] = (olica_placement){count > 1 ? OLICA_BACKEND_SCALAPACK : OLICA_BACKEND_LAPACK, next, count};
    next += count;
  }
  return 1;
}

/* Does the same with the least limit, to within a thousandth. */
static void place_groups_best(const table *t, int groups, olica_placement *place) {
  double low = 0, high = t->alone[t->order[0]];
  while (high - low > 1e-3 * high) {
    double middle = 0.5 * (low + high);
    if (place_groups(t, groups, middle, place))
      high = middle;
    else
      low = middle;
  }
  place_groups(t, groups, high, place);
}

static void occupy(const table *t, int i, const olica_placement *place) {
  double start = 0, seconds = olica_solver_seconds(&t->problem[i], place->count);
  for (int r = place->first; r < place->first + place->count; r++) start = fmax(start, t->busy[r]);
  for (int r = place->first; r < place->first + place->count; r++) t->busy[r] = start + seconds;
}

static void all_idle(const table *t) {
  for (int r = 0; r < t->ranks; r++) t->busy[r] = 0;
}

/* Places the problems after the first `groups` in order on one rank each, the least busy. */
static void place_singly(const table *t, int groups, olica_placement *place) {
  all_idle(t);
  for (int g = 0; g < groups; g++) occupy(t, t->order[g], &place[t->order[g]]);
  for (int g = groups; g < t->problems; g++) {
    int best = 0;
    for (int r = 1; r < t->ranks; r++)
      if (t->busy[r] < t->busy[best]) best = r;
    place[t->order[g]] = (olica_placement){OLICA_BACKEND_LAPACK, best, 1};
    occupy(t, t->order[g], &place[t->order[g]]);
  }
}

/* Returns the time at which all problems are done: each rank takes its problems by ascending index, and a
 * group begins together. */
static double makespan(const table *t, const olica_placement *place) {
  double last = 0;
  all_idle(t);
  for (int i = 0; i < t->problems; i++) occupy(t, i, &place[i]);
  for (int r = 0; r < t->ranks; r++) last = fmax(last, t->busy[r]);
  return last;
}

/* Places the problems that may share ranks on all ranks, in turn, and the others singly. */
static void place_in_turn(const table *t, olica_placement *place) {
  int all = 1;
  for (int size = 1; size <= t->ranks; size = next_size(size)) all = size;
  for (int i = 0; i < t->problems; i++)
    place[i] = may_share(t, i) && all > 1 ? (olica_placement){OLICA_BACKEND_SCALAPACK, 0, all} : place[i];
}

/* Returns how many of the longest problems are worth a group: those that take longer alone than all problems
 * would, evenly shared. */
static int worth_groups(const table *t) {
  double sum = 0;
  int count = 0;
  for (int i = 0; i < t->problems; i++) sum += t->alone[i];
  while (count < t->problems && count < t->ranks && may_share(t, t->order[count]) &&
         t->alone[t->order[count]] > sum / t->ranks)
    count++;
  return count;
}

static void keep_better(const table *t, const olica_placement *tried, double *best, olica_placement *place) {
  double seconds = makespan(t, tried);
  if (seconds >= *best) return;
  *best = seconds;
  for (int i = 0; i < t->problems; i++) place[i] = tried[i];
}

static void place_auto(const table *t, olica_placement *tried, olica_placement *place) {
  double best = INFINITY;
  int most = worth_groups(t);
  for (int groups = 0; groups <= most; groups++) {
    if (groups > 0) place_groups_best(t, groups, tried);
    place_singly(t, groups, tried);
    keep_better(t, tried, &best, place);
    if (groups == 0) {
      place_in_turn(t, tried);
      keep_better(t, tried, &best, place);
    }
  }
}

/* Sorts longest first; insertion keeps equal ones in order. */
static void sort(const table *t) {
  for (int i = 0; i < t->problems; i++) {
    int at = i;
    for (; at > 0 && t->alone[t->order[at - 1]] < t->alone[i]; at--) t->order[at] = t->order[at - 1];
    t->order[at] = i;
  }
}

static olica_status place_modelled(olica_env *env, olica_backend asked, int ranks, int problems,
                                   const olica_problem *problem, olica_placement *place) {
  table t = {.ranks = ranks, .problems = problems, .problem = problem};
  olica_placement *tried;
  OLICA_TRY(OLICA_NEW(env, t.alone, (size_t)problems));
  OLICA_TRY(OLICA_NEW(env, t.order, (size_t)problems));
  OLICA_TRY(OLICA_NEW(env, t.busy, (size_t)ranks));
  OLICA_TRY(OLICA_NEW(env, tried, (size_t)problems));
  for (int i = 0; i < problems; i++) t.alone[i] = olica_solver_seconds(&problem[i], 1);
  sort(&t);
  if (asked == OLICA_BACKEND_LAPACK)
    place_singly(&t, 0, place);
  else
    place_auto(&t, tried, place);
  OLICA_FREE(env, tried);
  OLICA_FREE(env, t.busy);
  OLICA_FREE(env, t.order);
  OLICA_FREE(env, t.alone);
  return OLICA_OK;
}

olica_status olica_solver_place(olica_env *env, olica_backend asked, int ranks, int problems,
                                const olica_problem *problem, olica_placement *place) {
  if (asked == OLICA_BACKEND_AUTO || asked == OLICA_BACKEND_LAPACK)
    return place_modelled(env, asked, ranks, problems, problem, place);
  for (int i = 0; i < problems; i++) place[i] = (olica_placement){asked, 0, ranks};
  return OLICA_OK;
}
