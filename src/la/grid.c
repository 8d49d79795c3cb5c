#include "la/grid.h"

#include <assert.h>

#include "fortran.h"
#include "par/comm.h"
#include "par/watch.h"

/* Cblacs_set: combine operations in the same order in every run (TOPSREPEAT, TOPSCOHRNT). */
enum { BLACS_REPEATABLE = 15, BLACS_COHERENT = 16 };

void olica_grid_shape(int ranks, int *rows, int *cols) {
  assert(ranks > 0);
  int side = 1;
  while ((side + 1) <= ranks / (side + 1)) side++;
  *rows = side;
  *cols = ranks / side;
}

int olica_grid_member(const olica_grid *grid) {
  return grid->row >= 0;
}

static void join_blacs(olica_grid *grid) {
  static const int yes = 1;
  grid->blacs_system = Csys2blacs_handle(grid->comm);
  grid->blacs = grid->blacs_system;
  Cblacs_gridinit(&grid->blacs, "Row", grid->rows, grid->cols);
  Cblacs_set(grid->blacs, BLACS_REPEATABLE, &yes);
  Cblacs_set(grid->blacs, BLACS_COHERENT, &yes);
}

olica_status olica_grid_create(olica_context *context, int first, int rows, int cols, olica_grid **out) {
  assert(first >= 0 && rows > 0 && cols > 0 && rows <= (context->size - first) / cols);
  olica_grid *grid;
  OLICA_AGREE(context, OLICA_NEW(context->env, grid, 1));
  int place = context->rank - first, count = rows * cols, member = place >= 0 && place < count;
  *grid = (olica_grid){.context = context,
                       .first = first,
                       .count = count,
                       .rows = rows,
                       .cols = cols,
                       .row = member ? place / cols : -1,
                       .col = member ? place % cols : -1,
                       .blacs = -1,
                       .blacs_system = -1};
  olica_watch_enter(context, "the creation of a process grid");
  MPI_Comm_split(context->comm, member ? 0 : MPI_UNDEFINED, context->rank, &grid->comm);
  if (member) join_blacs(grid);
  olica_watch_leave(context);
  *out = grid;
  return OLICA_OK;
}

void olica_grid_destroy(olica_grid *grid) {
  if (!grid) return;
  if (olica_grid_member(grid)) {
    Cblacs_gridexit(grid->blacs);
    Cfree_blacs_system_handle(grid->blacs_system);
    MPI_Comm_free(&grid->comm);
  }
  olica_memory_free(grid->context->env, grid);
}
