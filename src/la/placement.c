/* Which problem goes to which ranks. A problem's cost is n^3, shared evenly by its ranks. */
#include "olica/la/solver.h"

static double cost(int n) {
  return (double)n * (double)n * (double)n;
}

/* Work that the problems placed so far (count > 0) give to a rank. */
static double load(int rank, int problems, const int *order, const olica_placement *place) {
  double sum = 0;
  for (int i = 0; i < problems; i++)
    if (rank >= place[i].first && rank < place[i].first + place[i].count)
      sum += cost(order[i]) / place[i].count;
  return sum;
}

static int least_loaded(int ranks, int problems, const int *order, const olica_placement *place) {
  int best = 0;
  double least = load(0, problems, order, place);
  for (int rank = 1; rank < ranks; rank++) {
    double l = load(rank, problems, order, place);
    if (l >= least) continue;
    best = rank;
    least = l;
  }
  return best;
}

static int largest_unplaced(int problems, const int *order, const olica_placement *place) {
  int best = -1;
  for (int i = 0; i < problems; i++)
    if (place[i].count == 0 && (best < 0 || order[i] > order[best])) best = i;
  return best;
}

/* Every problem not yet placed: a rank of its own, largest first to the least loaded. */
static void place_singly(int ranks, int problems, const int *order, olica_placement *place) {
  for (int i; (i = largest_unplaced(problems, order, place)) >= 0;)
    place[i] = (olica_placement){OLICA_BACKEND_LAPACK, least_loaded(ranks, problems, order, place), 1};
}

/* Shares all ranks among the `large` problems, at most as many as there are ranks: one each, then one at a
 * time to where a rank has most to do. */
static void place_large(int ranks, int large, int problems, const int *order, olica_placement *place) {
  for (int i = 0; i < problems; i++) place[i].count = order[i] >= OLICA_SOLVER_GRID_N;
  for (int left = ranks - large; left > 0; left--) {
    int most = -1;
    for (int i = 0; i < problems; i++)
      if (place[i].count > 0 &&
          (most < 0 || cost(order[i]) / place[i].count > cost(order[most]) / place[most].count))
        most = i;
    place[most].count++;
  }
  for (int i = 0, next = 0; i < problems; i++) {
    place[i].first = next;
    place[i].backend = place[i].count > 1 ? OLICA_BACKEND_SCALAPACK : OLICA_BACKEND_LAPACK;
    next += place[i].count;
  }
}

void olica_solver_place(olica_backend asked, int ranks, int problems, const int *order,
                        olica_placement *place) {
  int large = 0;
  for (int i = 0; i < problems; i++) {
    place[i] = (olica_placement){.backend = asked, .first = 0, .count = 0};
    large += order[i] >= OLICA_SOLVER_GRID_N;
  }
  if (asked == OLICA_BACKEND_SCALAPACK || asked == OLICA_BACKEND_SLEPC) {
    for (int i = 0; i < problems; i++) place[i].count = ranks;
    return;
  }
  if (asked == OLICA_BACKEND_AUTO && large > 0 && large < ranks)
    place_large(ranks, large, problems, order, place);
  place_singly(ranks, problems, order, place);
}
