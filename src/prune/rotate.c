#include "olica/prune/rotate.h"

#include <math.h>
#include <string.h>

#include "olica/la/product.h"
#include "olica/par/comm.h"
#include "olica/par/partition.h"
#include "olica/par/shared.h"

/* The columns of W_o that belong to a group of heads, weighted: element (a, row·g + i) is sqrt(e[row])
 * O_i[row, a], so that the Gram of its rows is the sum we want. */
typedef struct weighted_columns {
  const float *w;
  const double *root;
  int stride, head, share, first; /* first column of the group */
} weighted_columns;

static double weighted_column(const void *data, int a, int k) {
  const weighted_columns *c = data;
  int row = k / c->share, i = k % c->share;
  return c->root[row] * c->w[(size_t)row * c->stride + c->first + i * c->head + a];
}

static olica_placement place_group(const olica_context *context, const olica_arch *arch, int group) {
  return (olica_placement){OLICA_BACKEND_LAPACK, olica_partition_owner(arch->kv_heads, context->size, group),
                           1};
}

/* U [h x h] of a group, on the rank that owns it; the others do nothing. Its solver exists already. */
static olica_status solve_group(olica_pool *pool, olica_context *context, const olica_arch *arch,
                                const double *root, const olica_layer *layer, int group, float *u) {
  olica_env *env = context->env;
  int h = arch->head, g = arch->heads / arch->kv_heads;
  weighted_columns columns = {layer->linear[OLICA_O].weight, root, arch->heads * h, h, g, group * g * h};
  olica_solver *solver;
  olica_matrix *w, *gram, *vectors;
  double *values;
  OLICA_TRY(olica_pool_solver(pool, place_group(context, arch, group), &solver));
  OLICA_TRY(olica_solver_matrix(solver, h, arch->hidden * g, &w));
  OLICA_TRY(olica_solver_matrix(solver, h, h, &gram));
  OLICA_TRY(olica_solver_matrix(solver, h, h, &vectors));
  OLICA_TRY(OLICA_NEW(env, values, (size_t)h));
  olica_status status = OLICA_OK;
  if (olica_solver_member(solver)) {
    olica_matrix_fill(w, weighted_column, &columns);
    status = olica_solver_gram(solver, w, gram);
    if (status == OLICA_OK)
      status = olica_solver_eigen(solver, "rotation of value neurons", gram, h, values, vectors);
  }
  if (status == OLICA_OK)
    for (int i = 0; i < vectors->local_rows; i++)
      for (int j = 0; j < vectors->local_cols; j++)
        u[i * h + j] = (float)vectors->a[(size_t)j * vectors->lld + i];
  olica_matrix_destroy(w);
  olica_matrix_destroy(gram);
  olica_matrix_destroy(vectors);
  olica_memory_free(env, values);
  return status;
}

/* W_v,j <- Uᵀ W_v,j with its bias; O_i <- O_i U for the heads of the group. */
static void rotate_group(olica_env *env, const olica_arch *arch, olica_layer *layer, int group,
                         const float *u, float *scratch) {
  int h = arch->head, d = arch->hidden, g = arch->heads / arch->kv_heads, width = arch->heads * h;
  olica_linear *v = &layer->linear[OLICA_V];
  float *rows = v->weight + (size_t)group * h * d;
  memcpy(scratch, rows, (size_t)h * d * sizeof *rows);
  olica_product_general(env, 1, 0, h, d, h, 1.0f, u, h, scratch, d, 0.0f, rows, d);
  if (v->bias) {
    memcpy(scratch, v->bias + group * h, (size_t)h * sizeof *scratch);
    olica_product_general(env, 1, 0, h, 1, h, 1.0f, u, h, scratch, 1, 0.0f, v->bias + group * h, 1);
  }
  for (int i = group * g; i < (group + 1) * g; i++) {
    float *columns = layer->linear[OLICA_O].weight + i * h;
    for (int row = 0; row < d; row++)
      memcpy(scratch + (size_t)row * h, columns + (size_t)row * width, (size_t)h * sizeof *scratch);
    olica_product_general(env, 0, 0, d, h, h, 1.0f, scratch, h, u, h, 0.0f, columns, width);
  }
}

static olica_status solve_groups(olica_pool *pool, olica_context *context, const olica_arch *arch,
                                 const double *e, const olica_layer *layer, float *u) {
  double *root;
  size_t square = (size_t)arch->head * arch->head;
  olica_solver *solver; /* made here, together: from then on each owner works on its own */
  for (int j = 0; j < arch->kv_heads; j++)
    OLICA_TRY(olica_pool_solver(pool, place_group(context, arch, j), &solver));
  OLICA_AGREE(context, OLICA_NEW(context->env, root, (size_t)arch->hidden));
  for (int i = 0; i < arch->hidden; i++) root[i] = sqrt(e[i]);
  olica_status status = OLICA_OK;
  for (int j = 0; j < arch->kv_heads && status == OLICA_OK; j++)
    status = solve_group(pool, context, arch, root, layer, j, u + j * square);
  OLICA_AGREE(context, status);
  olica_memory_free(context->env, root);
  for (int rank = 0; rank < context->size; rank++) {
    olica_range own = olica_partition_block(arch->kv_heads, context->size, rank);
    if (own.count == 0) break;
    olica_comm_bcast(context, context->comm, u + own.first * square, (size_t)own.count * square * sizeof *u,
                     rank);
  }
  return OLICA_OK;
}

olica_status olica_rotate_values(olica_pool *pool, olica_context *context, const olica_arch *arch,
                                 const double *e, olica_layer *layer) {
  olica_env *env = context->env;
  float *u = NULL, *scratch = NULL;
  olica_status status = OLICA_NEW(env, u, (size_t)arch->kv_heads * arch->head * arch->head);
  if (status == OLICA_OK) status = OLICA_NEW(env, scratch, (size_t)arch->head * arch->hidden);
  OLICA_AGREE(context, status);
  OLICA_TRY(solve_groups(pool, context, arch, e, layer, u));
  olica_range own = olica_shared_part(context, arch->kv_heads);
  for (int j = (int)own.first; j < (int)(own.first + own.count); j++)
    rotate_group(env, arch, layer, j, u + (size_t)j * arch->head * arch->head, scratch);
  olica_shared_fence(context);
  olica_memory_free(env, u);
  olica_memory_free(env, scratch);
  return OLICA_OK;
}
