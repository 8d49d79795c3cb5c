/* The objects that a run computes with: kernel and solvers, calibration stream, the method's state, panels of
 * the tables, and the checkpoint that it writes. Private to run. Collective on the setup's context, unless
 * stated otherwise. */
#ifndef OLICA_RUN_ENGINE_H
#define OLICA_RUN_ENGINE_H

#include "inputs.h"
#include "plan.h"
#include "report/report.h"
#include "rider.h"
#include "setup.h"
#include "store/checkpoint.h"

typedef struct olica_engine {
  const olica_setup *setup; /* these four are borrowed */
  olica_inputs *inputs;
  olica_riders *riders;
  olica_report *report; /* NULL: there is none */

  /* from prepare on */
  olica_kernel *kernel; /* of the products */
  olica_pool *pool;
  olica_forward *forward;    /* for sequences of the calibration's length */
  olica_stream *stream;      /* of the calibration; NULL: none */
  void *state;               /* the method's */
  olica_layer_shape *shapes; /* [L] after pruning */
  olica_shared *pruned;      /* the node's memory for the pruned layer; NULL: nothing is pruned */
  olica_shared *panel;       /* [panel_rows x d] of a table */
  olica_shared *dense_panel; /* the same rows before rounding; NULL: no rider compares */
  float *gains;              /* of the final norm [olica_arch_norm_numbers] */

  olica_checkpoint *checkpoint; /* while the last sweep writes it */
} olica_engine;

/* Makes streams, scratch and the method's state, reads the ids, prepares the riders, releases the inputs; the
 * source will read layers as planned. */
olica_status olica_engine_prepare(olica_engine *engine, const olica_plan *plan);

/* Frees what prepare has made, and closes riders and source. Not collective. */
void olica_engine_close(olica_engine *engine);

#endif
