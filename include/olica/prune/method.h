/* The interface of a pruning method: what it has, what it wants to see, what it leaves of every layer.
 *
 * A run makes `passes` passes over the dense model, during which the method observes its statistics, and then
 * one more, in which it cuts layer after layer while the calibration stream advances through what is left:
 *
 *     plan                              before anything large: shapes, memory, work   (also --check)
 *     create
 *       observe(pass, layer) ...        for every pass, for every layer in ascending order
 *       settle                          before a restart file, and behind the last layer of a pass
 *       shapes                          what every pruned layer will look like
 *       cut(layer) ...                  for every layer in ascending order
 *     destroy
 *
 * A method is a folder (or a file) of src/prune and one line of the table in src/prune/method.c. An operation
 * that it does not have is NULL; the functions below, which the run calls, have the one default for each. */
#ifndef OLICA_PRUNE_METHOD_H
#define OLICA_PRUNE_METHOD_H

#include <stdio.h>

#include "olica/base/setting.h"
#include "olica/calib/stream.h"
#include "olica/la/solver.h"
#include "olica/par/shared.h"

/* What is to be pruned, and how; all borrowed. */
typedef struct olica_method_model {
  const olica_arch *arch;
  const olica_layer_shape *dense; /* [L] */
  int64_t parameters;             /* of the whole model */
  double sparsity;                /* share of the parameters to remove */
  const void *settings;           /* the method's own: see olica_method.settings */
} olica_method_model;

/* Where a plan is to run, and on how many tokens. */
typedef struct olica_method_site {
  int ranks, nodes, node_ranks; /* of all nodes; of the smallest one */
  int threads;                  /* of a rank */
  olica_backend backend;        /* [solver] eigen */
  int block;                    /* of distributed matrices */
  olica_dtype precision, dtype; /* of the products; of what is written */
  int64_t sequences;            /* S, calibration sequences of all ranks */
  int tokens, pack_rows;        /* T of a sequence; rows that pass a layer together, at most */
} olica_method_site;

/* What a method needs there: counted bytes of the rank that needs most, unless said. */
typedef struct olica_method_plan {
  olica_layer_shape *shapes; /* [L], the caller's: pruned layers as the sparsity leads to them; which layer
                              * has which shape may still change, their sum does not */
  olica_layer_shape largest; /* no pruned layer has more of anything */
  double arrays;             /* bytes of the arrays, in a file */
  double stays;              /* from create to destroy */
  double observe, cut; /* largest moment of a pass over the dense model, and of a cut, beside what stays */
  double node;         /* what the node has once, beside the layers, in the largest moment; its share of
                        * a rank is part of the three above */
  double room;         /* of the kernel's own memory, that a thread works in: olica_kernel_reserve */
  double sequence;     /* operations of a calibration sequence, beside its passage through the pruned layers, */
  double solver_work;  /* and of the decompositions; */
  double solver_seconds; /* their time, by the model that places them (olica_solver_seconds) */
} olica_method_plan;

/* What a method works with; all borrowed. */
typedef struct olica_method_job {
  olica_context *context;
  olica_pool *pool;
  olica_method_model model;
  olica_dtype dtype;      /* what is written, and so what is used */
  olica_stream *stream;   /* the calibration sequences */
  olica_kernel *kernel;   /* of the products */
  olica_forward *forward; /* for packs of sequences of their length */
  olica_shared *pruned;   /* the node's memory for one pruned layer of plan.largest */
} olica_method_job;

/* An array that the passes over the dense model fill, the same on every rank: state for restart files and for
 * saved statistics. Row-major numbers in fp64; the method's own memory, which may be written to before
 * `observe` and `shapes` are called. */
typedef struct olica_array {
  const char *name; /* [a-z_], at most 31 characters: the name of a section and of a dataset */
  int dims;         /* 1 or 2 */
  int64_t shape[2];
  double least; /* no number of it is below; -INFINITY: any finite one */
  double *data;
} olica_array;
enum { OLICA_ARRAYS = 4 };

/* A number that a method tells of every layer it has cut, for log, report and restart. */
typedef struct olica_fact {
  const char *name, *about; /* the member of report.json; its meaning and unit */
  bool whole;               /* an integer, left out where it is 0 */
} olica_fact;
enum { OLICA_FACTS = 8 };

/* What was done to a layer. */
typedef struct olica_cut_record {
  double fact[OLICA_FACTS]; /* in the order of the method's facts; NaN: not known */
  char line[96];            /* for the log: "query error 0.0712, key error 0.0534" */
} olica_cut_record;

/* What a method has found in the whole model, for report and table. */
typedef enum olica_finding_kind { OLICA_FINDING_NUMBERS, OLICA_FINDING_LAYERS } olica_finding_kind;
typedef struct olica_finding {
  const char *name; /* the member of report.json; the table has it with spaces */
  olica_finding_kind kind;
  int count;           /* L numbers, one of each layer; or so many layers, */
  const double *value; /* [count] whose numbers these are, ascending. The method's own memory */
} olica_finding;
enum { OLICA_FINDINGS = 4 };

typedef struct olica_method olica_method;
struct olica_method {
  const char *name, *about; /* about: one line for --list */

  /* Its settings in [prune], ended by OLICA_SETTINGS_END, stored in a struct of so many bytes. */
  const olica_setting *settings;
  size_t settings_bytes;

  bool calibrates; /* on a calibration stream; else the job has none, and the user need not give any */
  int passes;      /* over the dense model, on that stream */
  const olica_fact *facts; /* [fact_count] of a cut */
  int fact_count;

  /* Checks settings against the model, and plans. Pure, but for the message of a failure: OLICA_ERR_CONFIG
   * names the setting, OLICA_ERR_MEMORY. */
  olica_status (*plan)(olica_env *env, const olica_method_model *model, const olica_method_site *site,
                       olica_method_plan *plan);
  /* Prints what the sparsity is divided into, for --check: lines of "name         text". */
  void (*explain)(olica_env *env, const olica_method_model *model, FILE *to);
  /* Warns of settings that lead to nothing, or leave hardly anything. */
  void (*advise)(olica_env *env, const olica_method_model *model);

  /* Makes the method's state of a job that has been planned. Collective. Free with destroy. */
  olica_status (*create)(const olica_method_job *job, void **state);
  void (*destroy)(void *state);

  /* Looks at a dense layer, packed, on the calibration stream, and advances the stream by it. Pass 0 is the
   * first. Collective. */
  olica_status (*observe)(void *state, int pass, const olica_maps *maps);

  /* Ends what the pass has under way, so that the arrays hold all that the layers so far have told.
   * Collective.
   */
  olica_status (*settle)(void *state);

  /* Lists the arrays; returns how many. Another state of the same job with these numbers in its arrays goes
   * on at the next layer, the next pass, or with `shapes`. Not collective. */
  int (*arrays)(void *state, olica_array array[OLICA_ARRAYS]);

  /* Decides, behind the last pass, what every layer will look like: shapes [L]. Collective. */
  olica_status (*shapes)(void *state, olica_layer_shape *shapes);

  /* Lists what has been found, once the shapes are chosen; returns how much. Not collective. */
  int (*findings)(void *state, olica_finding finding[OLICA_FINDINGS]);

  /* Makes the pruned layer (olica_pruned_create), rounded to the job's dtype, from the dense one, which it
   * may change, and the pruned stream, which it does not advance. Collective. */
  olica_status (*cut)(void *state, int index, olica_layer *dense, olica_layer **pruned,
                      olica_cut_record *record);
};

/* Method number i of the table, or NULL past its end. "none" only evaluates: all of its operations are NULL.
 */
enum { OLICA_METHOD_NONE, OLICA_METHODS_MAX = 16 };
const olica_method *olica_method_at(int i);

/* Does it prune? */
static inline bool olica_method_prunes(const olica_method *method) {
  return method->cut != NULL;
}

/* The operations with their defaults: what is absent does nothing, lists nothing, and takes the plan's
 * shapes. Contracts as above. */
void olica_method_explain(const olica_method *method, olica_env *env, const olica_method_model *model,
                          FILE *to);
/* A method without a word of its own warns where nothing is removed; `removed`: numbers, as planned. */
void olica_method_advise(const olica_method *method, olica_env *env, const olica_method_model *model,
                         double removed);
olica_status olica_method_create(const olica_method *method, const olica_method_job *job, void **state);
void olica_method_destroy(const olica_method *method, void *state);
olica_status olica_method_observe(const olica_method *method, void *state, int pass, const olica_maps *maps);
olica_status olica_method_settle(const olica_method *method, void *state);
int olica_method_arrays(const olica_method *method, void *state, olica_array array[OLICA_ARRAYS]);
olica_status olica_method_shapes(const olica_method *method, void *state, olica_layer_shape *shapes);
int olica_method_findings(const olica_method *method, void *state, olica_finding finding[OLICA_FINDINGS]);

/* Numbers of an array. Pure. */
int64_t olica_array_numbers(const olica_array *array);

#endif
