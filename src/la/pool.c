/* The solvers of a run; each is created once. */
#include <assert.h>
#include <stdio.h>

#include "backend.h"
#include "par/comm.h"

typedef struct pool_grid {
  olica_grid *grid;
  struct pool_grid *next;
} pool_grid;

struct olica_pool {
  olica_context *context;
  olica_pool_options options;
  olica_solver *solvers;
  pool_grid *grids;
  int started[OLICA_BACKENDS];
  void *session[OLICA_BACKENDS];
};

olica_pool_options olica_pool_defaults(void) {
  return (olica_pool_options){
      .backend = OLICA_BACKEND_AUTO, .block = 64, .tolerance = 1e-9, .precision = OLICA_SOLVER_AUTO};
}

olica_status olica_pool_create(olica_context *context, olica_pool_options options, olica_pool **out) {
  assert(options.block > 0 && options.tolerance > 0);
  olica_pool *pool;
  OLICA_AGREE(context, OLICA_NEW(context->env, pool, 1));
  pool->context = context;
  pool->options = options;
  *out = pool;
  return OLICA_OK;
}

void olica_pool_destroy(olica_pool *pool) {
  if (!pool) return;
  olica_env *env = pool->context->env;
  for (olica_solver *solver = pool->solvers, *next; solver; solver = next) {
    next = solver->next;
    olica_memory_free(env, solver);
  }
  for (pool_grid *node = pool->grids, *next; node; node = next) {
    next = node->next;
    olica_grid_destroy(node->grid);
    olica_memory_free(env, node);
  }
  for (int i = 0; i < OLICA_BACKENDS; i++) {
    if (!pool->started[i]) continue;
    const olica_backend_ops *ops = olica_backend_ops_of((olica_backend)i);
    if (ops->stop) ops->stop(pool->context, pool->session[i]);
  }
  olica_memory_free(env, pool);
}

static olica_status start(olica_pool *pool, olica_backend backend) {
  const olica_backend_ops *ops = olica_backend_ops_of(backend);
  if (pool->started[backend]) return OLICA_OK;
  if (ops->start) OLICA_TRY(ops->start(pool->context, &pool->session[backend]));
  pool->started[backend] = 1;
  return OLICA_OK;
}

static olica_status grid_for(olica_pool *pool, int first, int rows, int cols, const olica_grid **grid) {
  for (pool_grid *node = pool->grids; node; node = node->next) {
    *grid = node->grid;
    if ((*grid)->first == first && (*grid)->rows == rows && (*grid)->cols == cols) return OLICA_OK;
  }
  pool_grid *node;
  OLICA_AGREE(pool->context, OLICA_NEW(pool->context->env, node, 1));
  OLICA_TRY(olica_grid_create(pool->context, first, rows, cols, &node->grid));
  node->next = pool->grids;
  pool->grids = node;
  *grid = node->grid;
  return OLICA_OK;
}

static olica_status make(olica_pool *pool, olica_placement place, olica_solver **out) {
  olica_context *context = pool->context;
  const olica_backend_ops *ops = olica_backend_ops_of(place.backend);
  int rows, cols;
  olica_solver *solver;
  OLICA_TRY(start(pool, place.backend));
  OLICA_AGREE(context, OLICA_NEW(context->env, solver, 1));
  *solver = (olica_solver){.context = context, .ops = ops, .place = place, .options = pool->options};
  ops->shape(place.count, &rows, &cols);
  OLICA_TRY(grid_for(pool, place.first, rows, cols, &solver->grid));
  solver->next = pool->solvers;
  *out = pool->solvers = solver;
  return OLICA_OK;
}

olica_status olica_pool_solver(olica_pool *pool, olica_placement place, olica_solver **out) {
  if (place.backend <= OLICA_BACKEND_AUTO || place.backend >= OLICA_BACKENDS || place.first < 0 ||
      place.count < 1 || place.count > pool->context->size - place.first)
    return olica_error_set(pool->context->env, OLICA_ERR_INTERNAL,
                           "no solver for back end %d on ranks [%d, +%d) of %d", (int)place.backend,
                           place.first, place.count, pool->context->size);
  for (olica_solver *s = pool->solvers; s; s = s->next) {
    *out = s;
    if (s->place.backend == place.backend && s->place.first == place.first && s->place.count == place.count)
      return OLICA_OK;
  }
  return make(pool, place, out);
}

int olica_pool_records(const olica_pool *pool, olica_pool_record *records, int capacity) {
  int count = 0;
  for (const olica_solver *s = pool->solvers; s && count < capacity; s = s->next) {
    /* A group's first rank reports for it: the others may be outside its grid. */
    double told[4] = {0};
    if (pool->context->rank == s->place.first) {
      told[0] = (double)s->eigenproblems;
      told[1] = s->largest;
      told[2] = (double)s->mixed;
      told[3] = (double)s->again;
    }
    olica_comm_sum(pool->context, pool->context->comm, told, 4);
    records[count++] = (olica_pool_record){.place = s->place,
                                           .grid_rows = s->grid->rows,
                                           .grid_cols = s->grid->cols,
                                           .block = s->options.block,
                                           .problems = (long)told[0],
                                           .largest = (int)told[1],
                                           .mixed = (long)told[2],
                                           .again = (long)told[3]};
  }
  return count;
}

long olica_pool_eigenproblems(const olica_pool *pool) {
  long sum = 0;
  for (const olica_solver *s = pool->solvers; s; s = s->next) sum += s->eigenproblems;
  return sum;
}

olica_pool_options olica_pool_settings(const olica_pool *pool) {
  return pool->options;
}

int olica_solver_member(const olica_solver *solver) {
  return olica_grid_member(solver->grid);
}

void olica_solver_describe(const olica_solver *solver, char text[OLICA_SOLVER_TEXT]) {
  const olica_grid *grid = solver->grid;
  int last = grid->first + grid->count - 1;
  if (grid->count == 1)
    snprintf(text, OLICA_SOLVER_TEXT, "%s on rank %d", solver->ops->name, grid->first);
  else if (grid->cols == 1)
    snprintf(text, OLICA_SOLVER_TEXT, "%s on ranks %d-%d, one block of rows each", solver->ops->name,
             grid->first, last);
  else
    snprintf(text, OLICA_SOLVER_TEXT, "%s on a %d x %d grid of ranks %d-%d, blocks of %d", solver->ops->name,
             grid->rows, grid->cols, grid->first, last, solver->options.block);
}
