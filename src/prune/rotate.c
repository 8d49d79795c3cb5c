#include "rotate.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "la/product.h"
#include "par/comm.h"
#include "par/partition.h"
#include "par/shared.h"

/* The transformation of a group's heads. */
typedef struct turn {
  float *t;      /* T [h x h] */
  float *values; /* T⁻¹ W_v [h x d]; NULL: T is orthogonal and T⁻¹ W_v is computed from T, */
  float *bias;   /* T⁻¹ b_v [h]; as above */
} turn;

/* A form: computes a turn, on the one rank of its solver; replays that on the rank's ledger. */
typedef struct form {
  olica_status (*solve)(olica_env *env, olica_solver *solver, const olica_arch *arch, const double *root,
                        const olica_layer *layer, int group, turn *to);
  void (*replay)(olica_ledger *ledger, const olica_arch *arch);
} form;

static const olica_site alone = {.place = {OLICA_BACKEND_LAPACK, 0, 1}, .block = 1, .nodes = 1};

/* Copies the columns of W_o that belong to a group of heads, weighted: column row·g + i of w [h x d·g], which
 * lies on this rank alone, is sqrt(e[row]) O_i[row, :]. */
static void set_weighted_columns(const olica_arch *arch, const double *root, const float *o, int group,
                                 olica_matrix *w) {
  int h = arch->head, share = arch->heads / arch->kv_heads * h, width = arch->heads * h;
  for (int row = 0; row < arch->hidden; row++)
    for (int a = 0; a < share; a++)
      w->a[(size_t)row * share + a] = root[row] * o[(size_t)row * width + group * share + a];
}

/* out [rows x cols], row-major := factor times the local matrix. */
static void take(const olica_matrix *matrix, double factor, float *out) {
  for (int i = 0; i < matrix->rows; i++)
    for (int j = 0; j < matrix->cols; j++)
      out[(size_t)i * matrix->cols + j] = (float)(factor * matrix->a[(size_t)j * matrix->lld + i]);
}

static void release(olica_matrix *const *matrix, int count) {
  for (int i = 0; i < count; i++) olica_matrix_destroy(matrix[i]);
}

static olica_status fast(olica_env *env, olica_solver *solver, const olica_arch *arch, const double *root,
                         const olica_layer *layer, int group, turn *to) {
  int h = arch->head, g = arch->heads / arch->kv_heads;
  olica_matrix *w, *gram, *u;
  double *squares;
  OLICA_TRY(olica_solver_matrix(solver, h, arch->hidden * g, &w));
  OLICA_TRY(olica_solver_matrix(solver, h, h, &gram));
  OLICA_TRY(olica_solver_matrix(solver, h, h, &u));
  OLICA_TRY(OLICA_NEW(env, squares, (size_t)h));
  set_weighted_columns(arch, root, layer->linear[OLICA_O].weight, group, w);
  OLICA_TRY(olica_solver_gram(solver, w, gram));
  OLICA_TRY(olica_solver_eigen(solver, "rotation of value neurons", gram, h, squares, u));
  take(u, 1, to->t);
  release((olica_matrix *[]){w, gram, u}, 3);
  OLICA_FREE(env, squares);
  return OLICA_OK;
}

static void replay_fast(olica_ledger *ledger, const olica_arch *arch) {
  int h = arch->head, g = arch->heads / arch->kv_heads;
  olica_hold before = olica_ledger_mark(ledger);
  olica_solver_hold_matrix(ledger, &alone, h, arch->hidden * g);
  olica_solver_hold_matrix(ledger, &alone, h, h);
  olica_solver_hold_matrix(ledger, &alone, h, h);
  olica_ledger_hold(ledger, (size_t)h * sizeof(double));
  olica_solver_replay_eigen(ledger, &alone, h, h);
  olica_ledger_rewind(ledger, before);
}

/* Computes Z [d x h]: the right singular vectors of M; w holds diag(sqrt e) O_i. */
static olica_status right_vectors(olica_env *env, olica_solver *solver, const olica_matrix *values,
                                  const olica_matrix *w, olica_matrix *z) {
  olica_matrix *m, *gram; /* Mᵀ [d x d·g], MᵀM [d x d] */
  double *squares;
  OLICA_TRY(olica_solver_matrix(solver, z->rows, w->cols, &m));
  OLICA_TRY(olica_solver_matrix(solver, z->rows, z->rows, &gram));
  OLICA_TRY(OLICA_NEW(env, squares, (size_t)z->cols));
  OLICA_TRY(olica_solver_multiply(solver, 1, values, w, m));
  OLICA_TRY(olica_solver_gram(solver, m, gram));
  olica_matrix_destroy(m);
  OLICA_TRY(olica_solver_eigen(solver, "decomposition of value and output", gram, z->cols, squares, z));
  olica_matrix_destroy(gram);
  OLICA_FREE(env, squares);
  return OLICA_OK;
}

static void replay_right_vectors(olica_ledger *ledger, int d, int h, int g) {
  olica_hold m = olica_solver_hold_matrix(ledger, &alone, d, d * g);
  olica_hold gram = olica_solver_hold_matrix(ledger, &alone, d, d);
  olica_hold squares = olica_ledger_hold(ledger, (size_t)h * sizeof(double));
  olica_ledger_release(ledger, m);
  olica_solver_replay_eigen(ledger, &alone, d, h);
  olica_ledger_release(ledger, gram);
  olica_ledger_release(ledger, squares);
}

/* out [h] := T⁻¹ bias, by (TᵀT)⁻¹ Tᵀ bias. */
static olica_status turn_bias(olica_solver *solver, const olica_matrix *t, const float *bias, double factor,
                              float *out) {
  int h = t->rows;
  olica_matrix *b, *square, *x;
  double delta = 0;
  OLICA_TRY(olica_solver_matrix(solver, h, 1, &b));
  OLICA_TRY(olica_solver_matrix(solver, h, h, &square));
  OLICA_TRY(olica_solver_matrix(solver, h, 1, &x));
  olica_matrix_set(b, bias, 1, NULL);
  OLICA_TRY(olica_solver_multiply(solver, 1, t, t, square));
  OLICA_TRY(olica_solver_multiply(solver, 1, t, b, x));
  OLICA_TRY(olica_solver_ridge(solver, "bias of value neurons", square, &delta, x));
  take(x, factor, out);
  release((olica_matrix *[]){b, square, x}, 3);
  return OLICA_OK;
}

/* Returns in *singular whether T is too close to singular to solve with TᵀT. */
static olica_status is_singular(olica_env *env, olica_solver *solver, const olica_matrix *t, bool *singular) {
  const double least = 1e-10; /* of the largest eigenvalue: a condition of 1e5, squared */
  int h = t->rows;
  olica_matrix *square, *u;
  double *values;
  OLICA_TRY(olica_solver_matrix(solver, h, h, &square));
  OLICA_TRY(olica_solver_matrix(solver, h, h, &u));
  OLICA_TRY(OLICA_NEW(env, values, (size_t)h));
  OLICA_TRY(olica_solver_multiply(solver, 1, t, t, square));
  OLICA_TRY(olica_solver_eigen(solver, "condition of value neurons", square, h, values, u));
  *singular = !(values[h - 1] > least * values[0]);
  release((olica_matrix *[]){square, u}, 2);
  OLICA_FREE(env, values);
  return OLICA_OK;
}

/* It needs more than turn_bias, with a matrix fewer. */
static void replay_singular(olica_ledger *ledger, int h) {
  olica_hold before = olica_ledger_mark(ledger);
  olica_solver_hold_matrix(ledger, &alone, h, h);
  olica_solver_hold_matrix(ledger, &alone, h, h);
  olica_ledger_hold(ledger, (size_t)h * sizeof(double));
  olica_solver_replay_eigen(ledger, &alone, h, h);
  olica_ledger_rewind(ledger, before);
}

/* Takes the fast form in place of the standard one, for which values and bias are allocated. */
static olica_status fast_instead(olica_env *env, olica_solver *solver, const olica_arch *arch,
                                 const double *root, const olica_layer *layer, int group, turn *to) {
  int h = arch->head, d = arch->hidden;
  const olica_linear *v = &layer->linear[OLICA_V];
  olica_log_warn(env, "orthogonal value neurons, standard form: the value rows of a head are linearly "
                      "dependent, and there is a "
                      "bias: such heads take the fast form");
  OLICA_TRY(fast(env, solver, arch, root, layer, group, to));
  olica_product_general(env, 1, 0, h, d, h, 1.0f, to->t, h, v->weight + (size_t)group * h * d, d, 0.0f,
                        to->values, d);
  olica_product_general(env, 1, 0, h, 1, h, 1.0f, to->t, h, v->bias + group * h, 1, 0.0f, to->bias, 1);
  return OLICA_OK;
}

/* T / c, c Zᵀ and the bias that goes with them. */
static olica_status take_standard(olica_solver *solver, const olica_linear *v, int group,
                                  const olica_matrix *t, const olica_matrix *z, double c, turn *to) {
  int h = t->rows, d = z->rows;
  take(t, 1 / c, to->t);
  for (int i = 0; i < h; i++)
    for (int j = 0; j < d; j++) to->values[(size_t)i * d + j] = (float)(c * z->a[(size_t)i * z->lld + j]);
  return v->bias ? turn_bias(solver, t, v->bias + group * h, c, to->bias) : OLICA_OK;
}

/* The standard form. T spans only the range of the value rows: a bias outside it would be lost. */
static olica_status standard(olica_env *env, olica_solver *solver, const olica_arch *arch, const double *root,
                             const olica_layer *layer, int group, turn *to) {
  int h = arch->head, d = arch->hidden, g = arch->heads / arch->kv_heads;
  const olica_linear *v = &layer->linear[OLICA_V];
  bool singular = false;
  olica_matrix *w, *values, *z, *t;
  OLICA_TRY(olica_solver_matrix(solver, h, d * g, &w));
  OLICA_TRY(olica_solver_matrix(solver, h, d, &values));
  OLICA_TRY(olica_solver_matrix(solver, d, h, &z));
  OLICA_TRY(olica_solver_matrix(solver, h, h, &t));
  set_weighted_columns(arch, root, layer->linear[OLICA_O].weight, group, w);
  olica_matrix_set(values, v->weight + (size_t)group * h * d, (size_t)d, NULL);
  OLICA_TRY(right_vectors(env, solver, values, w, z));
  OLICA_TRY(olica_solver_multiply(solver, 0, values, z, t));
  double norm = olica_matrix_norm(values), c = norm > 0 ? norm / sqrt(h) : 1;
  if (v->bias) OLICA_TRY(is_singular(env, solver, t, &singular));
  if (!singular) OLICA_TRY(take_standard(solver, v, group, t, z, c, to));
  release((olica_matrix *[]){w, values, z, t}, 4);
  return singular ? fast_instead(env, solver, arch, root, layer, group, to) : OLICA_OK;
}

/* The fast form, which may take its place, needs less. */
static void replay_standard(olica_ledger *ledger, const olica_arch *arch) {
  int h = arch->head, d = arch->hidden, g = arch->heads / arch->kv_heads;
  olica_hold before = olica_ledger_mark(ledger);
  olica_solver_hold_matrix(ledger, &alone, h, d * g);
  olica_solver_hold_matrix(ledger, &alone, h, d);
  olica_solver_hold_matrix(ledger, &alone, d, h);
  olica_solver_hold_matrix(ledger, &alone, h, h);
  replay_right_vectors(ledger, d, h, g);
  replay_singular(ledger, h);
  olica_ledger_rewind(ledger, before);
}

static const form forms[] = {
    [OLICA_OND_FAST] = {fast, replay_fast}, [OLICA_OND_STANDARD] = {standard, replay_standard}};

static olica_placement place_group(const olica_context *context, const olica_arch *arch, int group) {
  return (olica_placement){OLICA_BACKEND_LAPACK, olica_partition_owner(arch->kv_heads, context->size, group),
                           1};
}

/* Solves the groups of this rank. Solvers are created collectively; after that each owner works alone. */
static olica_status solve_groups(olica_pool *pool, olica_context *context, const olica_arch *arch,
                                 olica_ond_choice which, const double *e, const olica_layer *layer,
                                 turn *turns) {
  double *root;
  olica_solver *solver;
  for (int j = 0; j < arch->kv_heads; j++)
    OLICA_TRY(olica_pool_solver(pool, place_group(context, arch, j), &solver));
  OLICA_AGREE(context, OLICA_NEW(context->env, root, (size_t)arch->hidden));
  for (int i = 0; i < arch->hidden; i++) root[i] = sqrt(e[i]);
  olica_status status = OLICA_OK;
  for (int j = 0; j < arch->kv_heads && status == OLICA_OK; j++) {
    status = olica_pool_solver(pool, place_group(context, arch, j), &solver);
    if (status == OLICA_OK && olica_solver_member(solver))
      status = forms[which].solve(context->env, solver, arch, root, layer, j, &turns[j]);
  }
  OLICA_AGREE(context, status);
  olica_memory_free(context->env, root);
  return OLICA_OK;
}

/* Shares `all`: every owner's groups lie one after the other, `size` numbers each. */
static void share(olica_context *context, const olica_arch *arch, float *all, size_t size) {
  for (int rank = 0; all && rank < context->size; rank++) {
    olica_range own = olica_partition_block(arch->kv_heads, context->size, rank);
    if (own.count == 0) break;
    olica_comm_bcast(context, context->comm, all + (size_t)own.first * size,
                     (size_t)own.count * size * sizeof *all, rank);
  }
}

/* rows [h x cols] <- Tᵀ rows. */
static void turn_rows(olica_env *env, int h, int cols, const float *t, float *rows, float *scratch) {
  memcpy(scratch, rows, (size_t)h * cols * sizeof *rows);
  olica_product_general(env, 1, 0, h, cols, h, 1.0f, t, h, scratch, cols, 0.0f, rows, cols);
}

/* Applies a group's turn to its heads in the layer. */
static void turn_group(olica_env *env, const olica_arch *arch, olica_layer *layer, int group, const turn *to,
                       float *scratch) {
  int h = arch->head, d = arch->hidden, g = arch->heads / arch->kv_heads, width = arch->heads * h;
  olica_linear *v = &layer->linear[OLICA_V];
  float *rows = v->weight + (size_t)group * h * d, *bias = v->bias ? v->bias + group * h : NULL;
  if (to->values) {
    memcpy(rows, to->values, (size_t)h * d * sizeof *rows);
    if (bias) memcpy(bias, to->bias, (size_t)h * sizeof *bias);
  } else {
    turn_rows(env, h, d, to->t, rows, scratch);
    if (bias) turn_rows(env, h, 1, to->t, bias, scratch);
  }
  for (int i = group * g; i < (group + 1) * g; i++) {
    float *columns = layer->linear[OLICA_O].weight + i * h;
    for (int row = 0; row < d; row++)
      memcpy(scratch + (size_t)row * h, columns + (size_t)row * width, (size_t)h * sizeof *scratch);
    olica_product_general(env, 0, 0, d, h, h, 1.0f, scratch, h, to->t, h, 0.0f, columns, width);
  }
}

/* The turns of all groups, and the copy of a head's columns. */
typedef struct turns {
  bool inverts; /* the standard form: with values and biases */
  turn *turn;   /* [K] */
  turn all;     /* of all groups, one after the other */
  float *scratch;
  void *block;
} turns;

static size_t lay_out(const olica_arch *arch, turns *t, void *block) {
  olica_arena arena = {.block = block};
  size_t h = (size_t)arch->head, d = (size_t)arch->hidden, groups = (size_t)arch->kv_heads;
  OLICA_TAKE(&arena, t->turn, groups);
  OLICA_TAKE(&arena, t->all.t, groups * h * h);
  if (t->inverts) {
    OLICA_TAKE(&arena, t->all.values, groups * h * d);
    OLICA_TAKE(&arena, t->all.bias, groups * h);
  }
  OLICA_TAKE(&arena, t->scratch, h * d);
  return arena.used;
}

static olica_status allocate(olica_env *env, const olica_arch *arch, turns *t) {
  size_t h = (size_t)arch->head, d = (size_t)arch->hidden, groups = (size_t)arch->kv_heads;
  t->block = olica_memory_get(env, "turns of the heads", lay_out(arch, t, NULL), 1);
  if (!t->block) return env->error.code;
  lay_out(arch, t, t->block);
  for (size_t j = 0; j < groups; j++)
    t->turn[j] = (turn){t->all.t + j * h * h, t->inverts ? t->all.values + j * h * d : NULL,
                        t->inverts ? t->all.bias + j * h : NULL};
  return OLICA_OK;
}

void olica_rotate_replay(olica_ledger *ledger, const olica_arch *arch, olica_ond_choice which) {
  turns t = {.inverts = which == OLICA_OND_STANDARD};
  olica_hold before = olica_ledger_mark(ledger);
  olica_ledger_hold(ledger, lay_out(arch, &t, NULL));
  olica_ledger_hold(ledger, (size_t)arch->hidden * sizeof(double)); /* root, of solve_groups */
  forms[which].replay(ledger, arch);
  olica_ledger_rewind(ledger, before);
}

olica_status olica_rotate_values(olica_pool *pool, olica_context *context, const olica_arch *arch,
                                 olica_ond_choice which, const double *e, olica_layer *layer) {
  olica_env *env = context->env;
  size_t h = (size_t)arch->head, d = (size_t)arch->hidden;
  turns t = {.inverts = which == OLICA_OND_STANDARD};
  assert(which != OLICA_OND_STANDARD || arch->head <= arch->hidden); /* the budget refuses other shapes */
  OLICA_AGREE(context, allocate(env, arch, &t));
  OLICA_TRY(solve_groups(pool, context, arch, which, e, layer, t.turn));
  share(context, arch, t.all.t, h * h);
  share(context, arch, t.all.values, h * d);
  share(context, arch, t.all.bias, h);
  olica_range own = olica_shared_part(context, arch->kv_heads);
  for (int j = (int)own.first; j < (int)(own.first + own.count); j++)
    turn_group(env, arch, layer, j, &t.turn[j], t.scratch);
  olica_shared_fence(context);
  olica_memory_free(env, t.block);
  return OLICA_OK;
}
