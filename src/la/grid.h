/* Process grids over contiguous groups of ranks. Every rank of the context holds the grid object; only
 * members take part in its collectives. */
#ifndef OLICA_LA_GRID_H
#define OLICA_LA_GRID_H

#include "par/context.h"

typedef struct olica_grid {
  olica_context *context;
  int first, count; /* its members: ranks [first, first + count) of the context */
  int rows, cols;   /* process rows and columns, rows * cols = count, row-major over the members */
  int row, col;     /* this rank's place, -1 outside the grid */
  MPI_Comm comm;    /* of the rows * cols ranks of the grid; MPI_COMM_NULL outside it */
  int blacs;        /* BLACS context, -1 outside the grid */
  int blacs_system; /* system handle of the BLACS context, freed with it */
} olica_grid;

/* Returns the near-square shape of a grid of `ranks` ranks: rows = floor(sqrt(ranks)), cols = floor(ranks /
 * rows); the other ranks stay idle (5 ranks: 2 x 2). Pure. */
void olica_grid_shape(int ranks, int *rows, int *cols);

/* Creates a grid of rows x cols over the ranks [first, first + rows * cols). Collective on context; ranks
 * agree on a failure (OLICA_ERR_MEMORY, OLICA_ERR_INTERNAL). Free with olica_grid_destroy (collective; NULL
 * allowed). */
olica_status olica_grid_create(olica_context *context, int first, int rows, int cols, olica_grid **grid);
void olica_grid_destroy(olica_grid *grid);

/* Returns 1 if this rank is in the grid, else 0. */
int olica_grid_member(const olica_grid *grid);

#endif
