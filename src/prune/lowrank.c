#include "lowrank.h"

#include <math.h>

#include "la/product.h"
#include "par/comm.h"
#include "par/partition.h"

int olica_lowrank_rank(double rho, int d, int rows) {
  double r = ceil((1.0 - rho) * d * rows / ((double)d + rows));
  return r < 1 || r * ((double)d + rows) >= (double)d * rows ? 0 : (int)r;
}

olica_problem olica_lowrank_problem(const olica_linear *linear, int rank) {
  return (olica_problem){.order = linear->out, .inner = linear->in, .wanted = rank};
}

olica_status olica_lowrank_begin(olica_solver *solver, const olica_linear *linear, int rank, const char *name,
                                 olica_lowrank *lowrank) {
  *lowrank = (olica_lowrank){.solver = solver, .linear = linear, .name = name};
  OLICA_TRY(olica_solver_matrix(solver, linear->out, rank, &lowrank->basis));
  return olica_solver_matrix(solver, rank, linear->in, &lowrank->factor);
}

void olica_lowrank_replay_begin(olica_ledger *ledger, const olica_site *at, const olica_problem *p) {
  olica_solver_hold_matrix(ledger, at, p->order, p->wanted);
  olica_solver_hold_matrix(ledger, at, p->wanted, p->inner);
}

static olica_status allocate(const olica_lowrank *lowrank, olica_matrix **weight, olica_matrix **gram) {
  const olica_linear *linear = lowrank->linear;
  OLICA_TRY(olica_solver_matrix(lowrank->solver, linear->out, linear->in, weight));
  return olica_solver_matrix(lowrank->solver, linear->out, linear->out, gram);
}

olica_status olica_lowrank_solve(olica_lowrank *lowrank, const double *root) {
  olica_solver *solver = lowrank->solver;
  const olica_linear *linear = lowrank->linear;
  olica_context *context = lowrank->basis->grid->context;
  olica_matrix *weight = NULL, *gram = NULL; /* W diag(root), then W; G */
  OLICA_TRY(olica_comm_agree(context, lowrank->basis->grid->comm, allocate(lowrank, &weight, &gram)));
  olica_matrix_set(weight, linear->weight, (size_t)linear->in, root);
  OLICA_TRY(olica_solver_gram(solver, weight, gram));
  OLICA_TRY(olica_solver_subspace(solver, lowrank->name, gram, lowrank->basis->cols, lowrank->basis));
  olica_matrix_set(weight, linear->weight, (size_t)linear->in, NULL);
  OLICA_TRY(olica_solver_multiply(solver, 1, lowrank->basis, weight, lowrank->factor));
  olica_matrix_destroy(weight);
  olica_matrix_destroy(gram);
  return OLICA_OK;
}

void olica_lowrank_replay_solve(olica_ledger *ledger, const olica_site *at, const olica_problem *p) {
  olica_hold before = olica_ledger_mark(ledger);
  olica_solver_hold_matrix(ledger, at, p->order, p->inner);
  olica_solver_hold_matrix(ledger, at, p->order, p->order);
  olica_solver_replay_subspace(ledger, at, p->order, p->wanted);
  olica_ledger_rewind(ledger, before);
}

olica_status olica_lowrank_end(olica_lowrank *lowrank, float *b, float *a) {
  OLICA_TRY(olica_matrix_replicate(lowrank->basis, lowrank->basis->cols, b));
  OLICA_TRY(olica_matrix_replicate(lowrank->factor, lowrank->factor->cols, a));
  olica_matrix_destroy(lowrank->basis);
  olica_matrix_destroy(lowrank->factor);
  return OLICA_OK;
}

void olica_lowrank_replay_end(olica_ledger *ledger, const olica_site *at, const olica_problem *p) {
  olica_solver_replay_replicate(ledger, at, p->order, p->wanted);
  olica_solver_replay_replicate(ledger, at, p->wanted, p->inner);
}

/* Returns sum_c (w[c]² s[c]). */
static double energy_of(const float *w, const double *s, int n) {
  double sum = 0.0;
#pragma omp simd reduction(+ : sum)
  for (int c = 0; c < n; c++) sum += (double)w[c] * w[c] * s[c];
  return sum;
}

void olica_lowrank_spectrum(const double *s, const olica_linear *dense, const olica_linear *pruned,
                            double *curve, double *energy) {
  int in = dense->in, rank = pruned->rank;
  double kept = 0, all = 0;
  if (rank == 0) return;
  for (int i = 0; i < rank; i++) kept += energy_of(pruned->a + (size_t)i * (size_t)in, s, in);
  for (int i = 0; i < dense->out; i++) all += energy_of(dense->weight + (size_t)i * (size_t)in, s, in);
  for (int i = 0; i < OLICA_CURVE; i++)
    curve[i] = energy_of(pruned->a + (size_t)olica_curve_place(i, rank) * (size_t)in, s, in);
  *energy = all > 0 ? kept / all : 1;
}

olica_status olica_lowrank_error(olica_context *context, const olica_linear *dense,
                                 const olica_linear *pruned, double *error) {
  enum { ROWS = 64 };
  *error = 0.0;
  if (pruned->rank == 0) return OLICA_OK;
  int in = dense->in, rank = pruned->rank;
  float *product;
  OLICA_AGREE(context, OLICA_NEW(context->env, product, (size_t)ROWS * in));
  /* Blocks of rows lie where the shape puts them: with some kernels a row's last bits depend on its block. */
  olica_range own = olica_partition_block((dense->out + ROWS - 1) / ROWS, context->size, context->rank);
  double squares[2] = {0.0, 0.0}; /* of b·a - W, of W */
  for (int64_t block = own.first; block < own.first + own.count; block++) {
    int64_t first = block * ROWS;
    int rows = dense->out - first < ROWS ? (int)(dense->out - first) : ROWS;
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
