/* The needs of a run: counted bytes of the rank that needs most, and work; for --check, the memory limit and
 * the report's estimate. Private to run. */
#ifndef OLICA_RUN_PLAN_H
#define OLICA_RUN_PLAN_H

#include "inputs.h"
#include "rider.h"
#include "setup.h"
#include "work.h"

/* The ranks of a run on its nodes. node_ranks: of the smallest node, whose ranks need most. */
typedef struct olica_layout {
  int ranks, nodes, node_ranks;
} olica_layout;

typedef struct olica_plan {
  olica_source_options source; /* how the source will read layers */
  olica_layer_shape largest;   /* of the pruned layers; all 0 if there are none */
  double memory;               /* bytes of a rank */
  olica_rider_plan riders;
  double streams, tasks, layers, weights, solver, tables, texts, other; /* its parts; weights: stored ones, on
                                                                         * their way and kept */
  double removed;                                                       /* parameters that pruning removes */
  double shared;              /* bytes that every node holds once; a rank's share is included in the parts */
  double checkpoint, restart; /* bytes written; of a restart file */
  olica_work work;
  double flops;   /* of all ranks, the solvers' included */
  double solving; /* seconds of the decompositions, as modelled */
} olica_plan;

/* Makes the first plan that fits into [compute] memory: with kept layers and prefetch as asked for, without
 * kept layers, without prefetch; if none fits, the last one. Needs measured inputs and opened riders. Not
 * collective, pure, except for a failure's message, like the functions below. */
olica_status olica_plan_make(const olica_setup *setup, const olica_inputs *inputs, const olica_riders *riders,
                             olica_layout layout, olica_plan *plan);

/* Fills shapes [L] with those of the pruned layers as the method plans them for the ranks of this run. */
olica_status olica_plan_shapes(const olica_setup *setup, olica_layer_shape *shapes);

/* Refuses a plan that needs more than [compute] memory. */
olica_status olica_plan_check(const olica_setup *setup, olica_layout layout, const olica_plan *plan);

/* Refuses a plan that this node lacks the memory for. Nodes differ. */
olica_status olica_plan_check_node(const olica_setup *setup, const olica_plan *plan);

#endif
