/* The interface of a pruning method: what the pipeline asks of it in the two sweeps. A method is one file and
 * one line in method.c's table; operations it does not have are NULL. */
#ifndef OLICA_PRUNE_METHOD_H
#define OLICA_PRUNE_METHOD_H

#include "olica/calib/stream.h"
#include "olica/la/solver.h"
#include "olica/prune/budget.h"

/* What a method works with; all borrowed. */
typedef struct olica_method_job {
  olica_context *context;
  olica_pool *pool;
  const olica_arch *arch;
  const olica_layer_shape *dense; /* of every layer */
  int64_t parameters;             /* of the whole model */
  olica_prune_options options;
  olica_dtype dtype;      /* what is written, and so what is used */
  olica_stream *stream;   /* the calibration sequences */
  olica_kernel *kernel;   /* of the products */
  olica_forward *forward; /* for packs of sequences of their length */
} olica_method_job;

/* What was done to a layer, for the report. */
typedef struct olica_cut_record {
  double q_error, k_error; /* ||b·a - W||_F / ||W||_F */
  int silent_channels;     /* inputs of its maps without energy on the calibration data */
} olica_cut_record;

/* An array of what a method has found out, the same on every rank. */
typedef struct olica_method_memory {
  const char *name;
  void *data; /* the method's own; may be written to before `survey` and `choose` are called */
  size_t bytes;
} olica_method_memory;
enum { OLICA_METHOD_MEMORIES = 4 };

typedef struct olica_method olica_method;
struct olica_method {
  const char *name, *about; /* about: one line for --list */

  /* Checks the budget and makes the method's state. Collective. Free with destroy. */
  olica_status (*create)(const olica_method_job *job, void **state);
  void (*destroy)(void *state);

  /* Sweep 1: looks at a dense layer, packed, on the calibration stream and advances the stream by it. Called
   * for every layer in ascending order. Collective. */
  olica_status (*survey)(void *state, const olica_maps *maps);

  /* Ends what sweep 1 has under way, so that memory holds all that the layers so far have told; then lists it
   * (returns how many), for a restart: another state of the same job, with this in its memory, goes on at the
   * next layer, or to `choose`. settle is collective, memory is not. */
  olica_status (*settle)(void *state);
  int (*memory)(void *state, olica_method_memory memory[OLICA_METHOD_MEMORIES]);

  /* After sweep 1: decides what every layer will look like: shapes [L], scores [L], calibrated [L] (0 or 1).
   * Collective. */
  olica_status (*choose)(void *state, olica_layer_shape *shapes, double *scores, int *calibrated);

  /* Sweep 2: makes the pruned layer, rounded to the job's dtype, from the dense one (which it may change) and
   * the pruned stream, which it does not advance. Collective. */
  olica_status (*cut)(void *state, int index, olica_layer *dense, olica_layer **pruned,
                      olica_cut_record *record);
};

/* Method number i of the table, or NULL past its end. "none" only evaluates: all of its operations are NULL.
 */
enum { OLICA_METHOD_NONE };
const olica_method *olica_method_at(int i);

#endif
