#include "olica/prune/lowrank.h"

#include <math.h>
#include <string.h>

#include "olica/la/product.h"
#include "olica/par/comm.h"
#include "olica/par/partition.h"
#include "olica/par/shared.h"

/* W diag(root); root NULL: W. */
typedef struct weighted_rows {
  const olica_linear *linear;
  const double *root;
} weighted_rows;

static double weighted_row(const void *data, int row, int col) {
  const weighted_rows *w = data;
  double x = w->linear->weight[(size_t)row * w->linear->in + col];
  return w->root ? x * w->root[col] : x;
}

/* One projection's problem, on the ranks of its solver. */
typedef struct problem {
  olica_projection projection;
  olica_solver *solver;
  olica_matrix *weight, *gram, *basis,
      *factor; /* W [out x d], G [out x out], U_r [out x r], U_rᵀ W [r x d] */
  double *values;
} problem;

static olica_status prepare(olica_env *env, const olica_linear *linear, int rank, problem *p) {
  OLICA_TRY(olica_solver_matrix(p->solver, linear->out, linear->in, &p->weight));
  OLICA_TRY(olica_solver_matrix(p->solver, linear->out, linear->out, &p->gram));
  OLICA_TRY(olica_solver_matrix(p->solver, linear->out, rank, &p->basis));
  OLICA_TRY(olica_solver_matrix(p->solver, rank, linear->in, &p->factor));
  return OLICA_NEW(env, p->values, (size_t)rank);
}

static olica_status solve(const olica_linear *linear, const double *root, int rank, problem *p) {
  const char *name = p->projection == OLICA_Q ? "query decomposition" : "key decomposition";
  olica_matrix_fill(p->weight, weighted_row, &(weighted_rows){linear, root});
  OLICA_TRY(olica_solver_gram(p->solver, p->weight, p->gram));
  OLICA_TRY(olica_solver_eigen(p->solver, name, p->gram, rank, p->values, p->basis));
  olica_matrix_fill(p->weight, weighted_row, &(weighted_rows){linear, NULL});
  return olica_solver_multiply(p->solver, 1, p->basis, p->weight, p->factor);
}

static void release(olica_env *env, problem *p) {
  olica_matrix_destroy(p->weight);
  olica_matrix_destroy(p->gram);
  olica_matrix_destroy(p->basis);
  olica_matrix_destroy(p->factor);
  olica_memory_free(env, p->values);
}

static void copy_whole(const olica_linear *from, olica_linear *to) {
  if (to->weight) memcpy(to->weight, from->weight, (size_t)to->out * to->in * sizeof *to->weight);
  if (to->bias) memcpy(to->bias, from->bias, (size_t)to->out * sizeof *to->bias);
}

/* Places the problems and makes their solvers; returns their number. */
static olica_status place(olica_pool *pool, olica_context *context, const olica_layer *dense,
                          const olica_layer *pruned, problem problems[2], int *count) {
  int order[2];
  olica_placement places[2];
  *count = 0;
  for (int p = OLICA_Q; p <= OLICA_K; p++) {
    if (pruned->linear[p].rank == 0) continue;
    order[*count] = dense->linear[p].out;
    problems[(*count)++] = (problem){.projection = (olica_projection)p};
  }
  olica_solver_place(olica_pool_settings(pool).backend, context->size, *count, order, places);
  for (int i = 0; i < *count; i++) OLICA_TRY(olica_pool_solver(pool, places[i], &problems[i].solver));
  return OLICA_OK;
}

static olica_status solve_all(olica_context *context, const olica_layer *dense, const double *root,
                              olica_layer *pruned, problem *problems, int count) {
  olica_env *env = context->env;
  olica_status status = OLICA_OK;
  for (int i = 0; i < count && status == OLICA_OK; i++) {
    int p = problems[i].projection;
    status = prepare(env, &dense->linear[p], pruned->linear[p].rank, &problems[i]);
  }
  OLICA_AGREE(context, status);
  /* Also after a failure the next problem is entered: its group's other ranks may be in it already. */
  for (int i = 0; i < count; i++) {
    int p = problems[i].projection;
    if (!olica_solver_member(problems[i].solver)) continue;
    olica_timer_start(&env->timers, p == OLICA_Q ? "solve.query" : "solve.key");
    olica_status one = solve(&dense->linear[p], root, pruned->linear[p].rank, &problems[i]);
    olica_timer_stop(&env->timers);
    if (status == OLICA_OK) status = one;
  }
  OLICA_AGREE(context, status);
  for (int i = 0; i < count; i++) {
    olica_linear *to = &pruned->linear[problems[i].projection];
    bool leads = olica_shared_leads(context);
    OLICA_TRY(olica_matrix_replicate(problems[i].basis, to->rank, leads ? to->b : NULL));
    OLICA_TRY(olica_matrix_replicate(problems[i].factor, to->in, leads ? to->a : NULL));
    release(env, &problems[i]);
  }
  return OLICA_OK;
}

olica_status olica_lowrank_cut(olica_pool *pool, olica_context *context, const olica_arch *arch,
                               const double *s, const olica_layer *dense, olica_layer *pruned) {
  problem problems[2];
  int count;
  double *root;
  OLICA_AGREE(context, OLICA_NEW(context->env, root, (size_t)arch->hidden));
  for (int i = 0; i < arch->hidden; i++) root[i] = sqrt(s[i]);
  for (int p = OLICA_Q; p <= OLICA_K && olica_shared_leads(context); p++)
    copy_whole(&dense->linear[p], &pruned->linear[p]);
  OLICA_TRY(place(pool, context, dense, pruned, problems, &count));
  OLICA_TRY(solve_all(context, dense, root, pruned, problems, count));
  olica_memory_free(context->env, root);
  return OLICA_OK;
}

olica_status olica_lowrank_error(olica_context *context, const olica_linear *dense,
                                 const olica_linear *pruned, double *error) {
  enum { ROWS = 64 };
  *error = 0.0;
  if (pruned->rank == 0) return OLICA_OK;
  int in = dense->in, rank = pruned->rank;
  float *product;
  OLICA_AGREE(context, OLICA_NEW(context->env, product, (size_t)ROWS * in));
  olica_range own = olica_partition_block(dense->out, context->size, context->rank);
  double squares[2] = {0.0, 0.0}; /* of b·a - W, of W */
  for (int64_t first = own.first; first < own.first + own.count; first += ROWS) {
    int rows = own.first + own.count - first < ROWS ? (int)(own.first + own.count - first) : ROWS;
    const float *w = dense->weight + first * in;
    olica_product_general(context->env, 0, 0, rows, in, rank, 1.0f, pruned->b + first * rank, rank, pruned->a,
                          in, 0.0f, product, in);
    for (int i = 0; i < rows * in; i++) {
      squares[0] += ((double)product[i] - w[i]) * ((double)product[i] - w[i]);
      squares[1] += (double)w[i] * w[i];
    }
  }
  olica_comm_sum(context, context->comm, squares, 2);
  olica_memory_free(context->env, product);
  *error = squares[1] > 0.0 ? sqrt(squares[0] / squares[1]) : 0.0;
  return OLICA_OK;
}
