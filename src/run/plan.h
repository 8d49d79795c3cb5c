/* What a run needs: counted bytes of the rank that needs most, and work. The same arithmetic serves --check,
 * the memory limit and the report's estimate. Private to run. */
#ifndef OLICA_RUN_PLAN_H
#define OLICA_RUN_PLAN_H

#include "inputs.h"
#include "rider.h"
#include "setup.h"
#include "work.h"

/* How ranks lie on nodes: as many as there are on the smallest, which have most to hold each. */
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
  double removed;                                                       /* numbers of the model that go */
  double method_room;         /* workspace of the kernel, a thread's, for the method */
  double shared;              /* bytes that every node has once; a rank's share is among its parts */
  double checkpoint, restart; /* bytes written; of a restart file */
  olica_work work;
  double flops;   /* of all ranks, the solver's among them */
  double solving; /* seconds of the decompositions, as modelled */
} olica_plan;

/* Makes the plan that does most of what is wanted within [compute] memory: layers that are kept and the
 * prefetch give way. If nothing fits, the one that needs least. Once the inputs have been measured and the
 * riders opened. Not collective, pure, except for a failure's message, like the rest. */
olica_status olica_plan_make(const olica_setup *setup, const olica_inputs *inputs, const olica_riders *riders,
                             olica_layout layout, olica_plan *plan);

/* Fills shapes [L] with those of the pruned layers as the method plans them for the ranks of this run. */
olica_status olica_plan_shapes(const olica_setup *setup, olica_layer_shape *shapes);

/* Refuses a plan that passes [compute] memory. */
olica_status olica_plan_check(const olica_setup *setup, olica_layout layout, const olica_plan *plan);

/* Refuses a plan that this node has no memory for. Nodes differ. */
olica_status olica_plan_check_node(const olica_setup *setup, const olica_plan *plan);

#endif
