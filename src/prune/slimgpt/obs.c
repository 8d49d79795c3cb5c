#include "obs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../select.h"
#include "base/arena.h"
#include "par/comm.h"

#define DAMPING 0.01 /* of the mean of C's diagonal */

/* The rank that solves, and so holds the matrices. */
static const olica_placement alone = {.backend = OLICA_BACKEND_LAPACK, .first = 0, .count = 1};

typedef struct obs {
  olica_context *context;
  olica_solver *solver;
  const float *weight;   /* [d x n] of the dense map */
  int d, n, each, units; /* units = n / each */
  int all, left;         /* units to go, and still to go */
  char *gone;            /* [units] */
  double *error;         /* [units] */
  double *block;         /* [each x each] */
  int32_t *order;        /* [units] those that go in a step */
  olica_matrix *gram;    /* H [n x n] */
  olica_matrix *inverse; /* H^-1 [n x n] */
  olica_matrix *both;    /* [(n + d) x n] H^-1 over W */
} obs;

int olica_slimgpt_batch(int all, int left, int step) {
  enum { LEAST = 64, MOST = 1024, SHRINKS = 512 };
  int64_t size = all;
  for (int i = 0; i <= step && size > -SHRINKS; i++) size = (size - SHRINKS) / 2;
  int batch = size < LEAST ? LEAST : size > MOST ? MOST : (int)size;
  return batch < left ? batch : left;
}

/* ---- the error of a unit ---- */

static double *at(const olica_matrix *m, int row, int col) {
  return m->a + (size_t)col * (size_t)m->lld + row;
}

/* pivot[i] := L_ii² of the Cholesky factor L of a unit's block of H^-1, in place of the block. */
static bool factor(double *block, int n) {
  for (int j = 0; j < n; j++)
    for (int i = j; i < n; i++) {
      double sum = block[i * n + j];
      for (int k = 0; k < j; k++) sum -= block[i * n + k] * block[j * n + k];
      if (i == j && !(sum > 0)) return false;
      block[i * n + j] = i == j ? sqrt(sum) : sum / block[j * n + j];
    }
  return true;
}

/* The sum over the unit's columns of ||W_:c||² / L_cc². */
static olica_status rate(const obs *o, int unit, double *error) {
  int first = unit * o->each, each = o->each;
  for (int i = 0; i < each; i++)
    for (int j = 0; j < each; j++) o->block[i * each + j] = *at(o->both, first + i, first + j);
  if (!factor(o->block, each))
    return olica_error_set(
        o->context->env, OLICA_ERR_NUMERIC,
        "slimgpt: the inverse of a Gram is not positive definite: the calibration data has "
        "numbers of too different size");
  *error = 0;
  for (int c = 0; c < each; c++) {
    const double *column = at(o->both, o->n, first + c), pivot = o->block[c * each + c];
    double norm = 0;
    for (int i = 0; i < o->d; i++) norm += column[i] * column[i];
    *error += norm / (pivot * pivot);
  }
  return OLICA_OK;
}

/* order[0 .. count) := the units with the least error, ascending by number. */
static olica_status choose(obs *o, int count) {
  int staying = o->units - count;
  int32_t *kept;
  for (int u = 0; u < o->units; u++) {
    o->error[u] = INFINITY;
    if (!o->gone[u]) OLICA_TRY(rate(o, u, &o->error[u]));
  }
  OLICA_TRY(OLICA_NEW(o->context->env, kept, (size_t)(staying > 0 ? staying : 1)));
  OLICA_TRY(olica_select_kept(o->context->env, o->error, o->units, 0, count, kept));
  for (int u = 0, k = 0, n = 0; u < o->units; u++) {
    if (k < staying && kept[k] == u)
      k++;
    else
      o->order[n++] = u;
  }
  olica_memory_free(o->context->env, kept);
  return OLICA_OK;
}

/* ---- a step ---- */

/* The matrices of a step that takes g columns. */
typedef struct step {
  olica_matrix *square;  /* H^-1_GG */
  olica_matrix *rows;    /* H^-1_G:, then (H^-1_GG)^-1 of it */
  olica_matrix *columns; /* both_:G */
  olica_matrix *change;  /* columns times rows */
} step;

static int column_of(const obs *o, int i) {
  return o->order[i / o->each] * o->each + i % o->each;
}

static void gather(const obs *o, int g, const step *s) {
  for (int i = 0; i < g; i++) {
    int c = column_of(o, i);
    for (int j = 0; j < g; j++) *at(s->square, i, j) = *at(o->both, c, column_of(o, j));
    for (int j = 0; j < o->n; j++) *at(s->rows, i, j) = *at(o->both, c, j);
    memcpy(at(s->columns, 0, i), at(o->both, 0, c), (size_t)(o->n + o->d) * sizeof(double));
  }
}

static olica_status begin_step(const obs *o, int g, step *s) {
  OLICA_TRY(olica_solver_matrix(o->solver, g, g, &s->square));
  OLICA_TRY(olica_solver_matrix(o->solver, g, o->n, &s->rows));
  OLICA_TRY(olica_solver_matrix(o->solver, o->n + o->d, g, &s->columns));
  return olica_solver_matrix(o->solver, o->n + o->d, o->n, &s->change);
}

static void end_step(step *s) {
  olica_matrix_destroy(s->square);
  olica_matrix_destroy(s->rows);
  olica_matrix_destroy(s->columns);
  olica_matrix_destroy(s->change);
}

/* Sets what was removed to zero, without rounding's rest: rows and columns of H^-1, and columns of W. */
static void clear(const obs *o, int g) {
  for (int i = 0; i < g; i++) {
    int c = column_of(o, i);
    memset(at(o->both, 0, c), 0, (size_t)(o->n + o->d) * sizeof(double));
    for (int j = 0; j < o->n; j++) *at(o->both, c, j) = 0;
  }
}

/* Takes `count` units. */
static olica_status take(obs *o, int count) {
  int g = count * o->each;
  double none = 0;
  step s;
  OLICA_TRY(choose(o, count));
  OLICA_TRY(begin_step(o, g, &s));
  gather(o, g, &s);
  OLICA_TRY(olica_solver_ridge(o->solver, "removal of columns", s.square, &none, s.rows));
  OLICA_TRY(olica_solver_multiply(o->solver, 0, s.columns, s.rows, s.change));
  for (int j = 0; j < o->n; j++)
    for (int i = 0; i < o->n + o->d; i++) *at(o->both, i, j) -= *at(s.change, i, j);
  end_step(&s);
  clear(o, g);
  for (int i = 0; i < count; i++) o->gone[o->order[i]] = 1;
  o->left -= count;
  return OLICA_OK;
}

/* ---- the whole ---- */

/* H^-1 over W, from H. */
static olica_status invert(obs *o) {
  double delta = DAMPING * olica_matrix_trace(o->gram) / o->n;
  for (int i = 0; i < o->n; i++) *at(o->inverse, i, i) = 1;
  OLICA_TRY(olica_solver_ridge(o->solver, "inverse of a Gram", o->gram, &delta, o->inverse));
  OLICA_FREE(o->context->env, o->gram->a);
  OLICA_TRY(olica_solver_matrix(o->solver, o->n + o->d, o->n, &o->both));
  for (int j = 0; j < o->n; j++) {
    memcpy(at(o->both, 0, j), at(o->inverse, 0, j), (size_t)o->n * sizeof(double));
    for (int i = 0; i < o->d; i++)
      *at(o->both, o->n + i, j) = o->weight[(size_t)i * (size_t)o->n + (size_t)j];
  }
  OLICA_FREE(o->context->env, o->inverse->a);
  return OLICA_OK;
}

static size_t lay_out(obs *o, void *memory) {
  olica_arena arena = {.block = memory};
  OLICA_TAKE(&arena, o->error, o->units);
  OLICA_TAKE(&arena, o->order, o->units);
  OLICA_TAKE(&arena, o->block, (size_t)o->each * (size_t)o->each);
  return arena.used;
}

static olica_status remove_all(obs *o) {
  olica_env *env = o->context->env;
  void *lists;
  OLICA_TRY(OLICA_LAY_OUT(env, "lists of what goes", lists, lay_out, o));
  OLICA_TRY(invert(o));
  for (int i = 0; o->left > 0; i++)
    OLICA_TRY(take(o, o->each > 1 ? 1 : olica_slimgpt_batch(o->all, o->left, i)));
  olica_memory_free(env, lists);
  return OLICA_OK;
}

static olica_status begin(obs *o, const olica_method_job *job) {
  OLICA_TRY(olica_pool_solver(job->pool, alone, &o->solver));
  OLICA_AGREE(o->context, OLICA_NEW(o->context->env, o->gone, (size_t)o->units));
  OLICA_AGREE(o->context, olica_solver_matrix(o->solver, o->n, o->n, &o->gram));
  olica_shared_fence(o->context); /* the node's other ranks have added their sums */
  return OLICA_OK;
}

/* The new W goes into the memory of every node. */
static olica_status hand_out(obs *o, float *weight) {
  olica_matrix *after = NULL;
  OLICA_AGREE(o->context, olica_solver_matrix(o->solver, o->d, o->n, &after));
  if (olica_solver_member(o->solver)) {
    for (int j = 0; j < o->n; j++)
      memcpy(at(after, 0, j), at(o->both, o->n, j), (size_t)o->d * sizeof(double));
    OLICA_FREE(o->context->env, o->both->a);
  }
  OLICA_TRY(olica_matrix_replicate(after, o->n, olica_shared_leads(o->context) ? weight : NULL));
  olica_matrix_destroy(after);
  olica_shared_fence(o->context);
  return OLICA_OK;
}

olica_status olica_slimgpt_remove(const olica_method_job *job, olica_fit_sums *sums, int each, int gone,
                                  olica_linear *map, int32_t *kept) {
  obs o = {.context = job->context, .weight = map->weight, .d = map->out, .n = map->in, .each = each};
  o.units = o.n / each;
  o.all = o.left = gone;
  if (gone > 0) {
    OLICA_TRY(begin(&o, job));
    OLICA_TRY(olica_matrix_sum(o.gram, sums->gram, 1));
  }
  olica_fit_sums_destroy(sums);
  if (gone > 0) {
    OLICA_AGREE(o.context, olica_solver_matrix(o.solver, o.n, o.n, &o.inverse));
    OLICA_AGREE(o.context, olica_solver_member(o.solver) ? remove_all(&o) : OLICA_OK);
    OLICA_TRY(hand_out(&o, map->weight));
    olica_comm_bcast(o.context, o.context->comm, o.gone, (size_t)o.units, 0);
  }
  for (int u = 0, n = 0; u < o.units; u++)
    if (!o.gone || !o.gone[u]) kept[n++] = u;
  olica_matrix_destroy(o.gram);
  olica_matrix_destroy(o.inverse);
  olica_matrix_destroy(o.both);
  olica_memory_free(o.context->env, o.gone);
  return OLICA_OK;
}

/* Replays a step of `count` units: their choice, and the matrices. */
static void replay_take(olica_ledger *ledger, const olica_site *at, const obs *o, int count) {
  int g = count * o->each;
  olica_hold kept = olica_ledger_hold(ledger, (size_t)(o->units - count) * sizeof(int32_t));
  olica_select_replay_kept(ledger, o->units);
  olica_ledger_release(ledger, kept);
  olica_hold before = olica_ledger_mark(ledger);
  olica_solver_hold_matrix(ledger, at, g, g);
  olica_solver_hold_matrix(ledger, at, g, o->n);
  olica_solver_hold_matrix(ledger, at, o->n + o->d, g);
  olica_solver_hold_matrix(ledger, at, o->n + o->d, o->n);
  olica_ledger_rewind(ledger, before);
}

void olica_slimgpt_replay_remove(olica_ledger *ledger, const olica_method_site *site, int d, int n, int each,
                                 int gone, olica_hold sums) {
  const olica_site at = {.place = alone, .block = site->block, .nodes = site->nodes};
  obs o = {.d = d, .n = n, .each = each, .units = n / each, .all = gone};
  if (gone > 0) {
    olica_hold gone_units = olica_ledger_hold(ledger, (size_t)o.units);
    olica_hold gram = olica_solver_hold_matrix(ledger, &at, n, n);
    olica_solver_replay_sum(ledger, &at, n, n);
    olica_ledger_release(ledger, sums);
    olica_hold inverse = olica_solver_hold_matrix(ledger, &at, n, n);
    olica_hold lists = olica_ledger_hold(ledger, lay_out(&o, NULL));
    olica_solver_replay_ridge(ledger, n);
    olica_ledger_release(ledger, gram);
    olica_hold both = olica_solver_hold_matrix(ledger, &at, n + d, n);
    olica_ledger_release(ledger, inverse);
    replay_take(ledger, &at, &o, each > 1 ? 1 : olica_slimgpt_batch(gone, gone, 0));
    olica_ledger_release(ledger, lists);
    olica_hold after = olica_solver_hold_matrix(ledger, &at, d, n);
    olica_ledger_release(ledger, both);
    olica_solver_replay_replicate(ledger, &at, d, n);
    olica_ledger_release(ledger, after);
    olica_ledger_release(ledger, gone_units);
  } else {
    olica_ledger_release(ledger, sums);
  }
}

double olica_slimgpt_remove_work(int d, int n, int gone) {
  return gone == 0 ? 0 : 4.0 / 3 * n * (double)n * n + 2.0 * gone * (n + (double)d) * n;
}
