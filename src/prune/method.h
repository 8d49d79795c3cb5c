/* The interface of a pruning method: its settings, its passes over the dense model, its state, and the pruned
 * layers that it makes.
 *
 * A run makes `passes` passes over the dense model, in which the method observes statistics, and then one
 * more, in which it cuts layer after layer while the calibration stream advances through the pruned layers:
 *
 *     plan                              before anything large: shapes, memory, work   (also for --check)
 *     create
 *       observe(pass, layer) ...        for every pass, for every layer in ascending order
 *       scorer(pass)                    behind the last layer: who looks at the output matrix
 *       settle                          before a restart file, and after the last layer of a pass
 *       shapes                          the shape of every pruned layer
 *       cut(layer) ...                  for every layer in ascending order
 *     destroy
 *
 * A method is a folder (or a file) of src/prune and one line of the table in src/prune/method.c. All but
 * `name`, `about`, `plan` and `cut` may be NULL or 0; the functions below, which the run calls, define the
 * defaults. */
#ifndef OLICA_PRUNE_METHOD_H
#define OLICA_PRUNE_METHOD_H

#include <stdio.h>

#include "base/ledger.h"
#include "base/setting.h"
#include "calib/stream.h"
#include "la/solver.h"
#include "par/shared.h"

/* The model and the sparsity asked for; all pointers are borrowed. */
typedef struct olica_method_model {
  const olica_arch *arch;
  const olica_layer_shape *dense; /* [L] */
  int64_t parameters;             /* of the whole model */
  double sparsity;                /* share of the parameters to remove */
  const void *settings;           /* the method's own settings: see olica_method.settings */
} olica_method_model;

/* The job that a plan is for: ranks, back end, formats and numbers of tokens. */
typedef struct olica_method_site {
  int ranks, nodes, node_ranks;   /* ranks of all nodes; nodes; ranks of the smallest node */
  int threads;                    /* threads of a rank */
  olica_backend backend;          /* [solver] eigen */
  olica_solver_precision solving; /* [solver] precision */
  int block;                      /* block size of distributed matrices */
  olica_dtype precision, dtype;   /* formats of the products and of the output */
  int64_t sequences;              /* S, calibration sequences of all ranks */
  int tokens, pack_rows;          /* T of a sequence; most rows of a pack */
  int panel_rows;                 /* most rows of a panel of the output matrix */
} olica_method_site;

/* The needs of a method for that job. Its memory is replayed on three ledgers (base/ledger.h), moment by
 * moment, as the operations allocate and free: sizes come from the functions beside the allocations
 * (olica_energies_hold, olica_select_replay, ...). The run counts the layers, the stream and the forward; the
 * method counts packed layers (olica_maps_hold): in a pass the dense one, in a cut the dense one if it packs
 * that, and at its end the pruned one. */
typedef struct olica_method_plan {
  olica_layer_shape *shapes; /* [L], owned by the caller: shapes of the pruned layers at this sparsity. The
                                method may still change those of single layers (widths that the statistics
                                decide are here alike); their sum of parameters is fixed */
  olica_layer_shape largest; /* at least as large as every pruned layer, in each dimension: a bound, where the
                                statistics decide */
  double arrays;             /* bytes of the arrays, and of the method's own streams, in a file */
  olica_ledger create, observe, cut; /* empty at first. create: what is held until destroy, arrays and own
                                        streams included; observe: a pass over the dense model, to its end,
                                        the scorer included, with a packed panel; cut: of a layer. The last
                                        two hold nothing at their end */
  double sequence;       /* operations per calibration sequence, beside its passage through the pruned layers;
                            ignored if the method does not calibrate; */
  double solver_work;    /* operations of the decompositions; */
  double solver_seconds; /* their time by the model of their placement (olica_solver_seconds) */
} olica_method_plan;

/* Objects that a method works with; all borrowed. */
typedef struct olica_method_job {
  olica_context *context;
  olica_pool *pool;
  olica_method_model model;
  olica_dtype dtype;               /* output format; the streams advance with weights rounded to it */
  olica_stream *stream;            /* the calibration sequences */
  olica_kernel *kernel;            /* kernel of the products */
  olica_forward *forward;          /* for packs of calibration sequences */
  int panel_rows;                  /* most rows of a panel of the output matrix */
  olica_shared *pruned;            /* shared memory of the node for one pruned layer of plan.largest */
  const olica_layer_shape *shapes; /* [L] shapes of the pruned layers: the plan's, from `shapes` on the
                                      decided ones */
} olica_method_job;

/* An array that the passes over the dense model fill, the same on every rank: state for restart files and
 * saved statistics. Row-major fp64 numbers, owned by the method; the run may overwrite them before it calls
 * `observe` or `shapes`. */
typedef struct olica_array {
  const char *name; /* [a-z_], at most 31 characters: name of a section of restart files and of a dataset. Not
                       place, calibration, evaluation, tasks, likelihood, progress: the run's own sections */
  int dims;         /* 1 or 2 */
  int64_t shape[2];
  double least; /* lower bound of its numbers; -INFINITY: any finite number */
  double *data;
} olica_array;
enum { OLICA_ARRAYS = 4 };

/* A stream of the method's own, beside the calibration's: the run embeds it at the beginning of each pass,
 * and restart files hold its states within a pass. The method advances it in `observe`. */
typedef struct olica_own_stream {
  const char *name; /* as an array's */
  olica_stream *stream;
} olica_own_stream;
enum { OLICA_OWN_STREAMS = 2 };

/* A look at the dense model's output, behind the last layer of a pass: the final norm, and every panel of the
 * output matrix once. */
typedef struct olica_scorer {
  olica_status (*begin)(void *state, const float *gains); /* of the final norm [d]. Collective */
  /* Rows [first, first + count), packed [count x d]. Not collective. */
  void (*add)(void *state, int64_t first, int64_t count, olica_packed *rows);
  olica_status (*finish)(void *state); /* the arrays hold what came of it. Collective */
} olica_scorer;

/* A number that a method reports of every layer it has cut, for log, report and restart. */
typedef struct olica_fact {
  const char *name, *about; /* the member of a layer in report.json (doc/report.md); its meaning and unit */
  bool whole;               /* an integer, omitted if 0 */
} olica_fact;
enum { OLICA_FACTS = 8 };

/* A sorted quantity of a layer that a method reports in the same way, at OLICA_CURVE places: the first, the
 * last, and those evenly between (doc/report.md). Known on rank 0. */
typedef struct olica_curve {
  const char *name, *about;
} olica_curve;
enum { OLICA_CURVES = 3, OLICA_CURVE = 17 };

/* Returns the place of point i among `count` sorted numbers. Pure. */
static inline int olica_curve_place(int i, int count) {
  return (int)(((int64_t)i * (count - 1) + (OLICA_CURVE - 1) / 2) / (OLICA_CURVE - 1));
}

/* The record of a layer's cut. */
typedef struct olica_cut_record {
  double fact[OLICA_FACTS];                /* in the order of the method's facts; NaN: unknown */
  double curve[OLICA_CURVES][OLICA_CURVE]; /* in the order of the method's curves; first NaN: unknown */
  bool advanced; /* the cut has advanced the calibration stream itself, through the dense layer */
  char line[96]; /* for the log: "query error 0.0712, key error 0.0534" */
} olica_cut_record;

/* Returns a record of which nothing is known. Pure. */
olica_cut_record olica_cut_unknown(void);

/* A result of the passes for the whole model, for report and table. */
typedef enum olica_finding_kind { OLICA_FINDING_NUMBERS, OLICA_FINDING_LAYERS } olica_finding_kind;
typedef struct olica_finding {
  const char *name; /* the member of report.json (doc/report.md); the table lists layers alone, under the name
                       with spaces for underscores */
  olica_finding_kind kind;
  int count;           /* L numbers, one per layer; or `count` layers, */
  const double *value; /* [count] whose numbers these are, ascending. Owned by the method */
} olica_finding;
enum { OLICA_FINDINGS = 4 };

typedef struct olica_method olica_method;
struct olica_method {
  const char *name, *about; /* about: one line for --list */

  /* Its settings, each of .section = "prune", ended by OLICA_SETTINGS_END, stored in a struct of
   * settings_bytes bytes. Another method may have a setting of the same key. */
  const olica_setting *settings;
  size_t settings_bytes;

  bool drops_heads; /* whole key/value heads may go */
  bool calibrates; /* needs a calibration stream; if false, the job has none and the user need not give one */
  int passes;      /* over the dense model, on the calibration stream, at most */
  /* How many of them these settings need: 0 to `passes`; NULL: all. Pure. */
  int (*passes_of)(const void *settings);
  const olica_fact *facts; /* [fact_count] facts of a cut */
  int fact_count;
  const olica_curve *curves; /* [curve_count] curves of a cut */
  int curve_count;

  /* Checks the settings against the model, and fills the plan. Pure, except for the failure's message:
   * OLICA_ERR_CONFIG names the setting; OLICA_ERR_MEMORY. */
  olica_status (*plan)(olica_env *env, const olica_method_model *model, const olica_method_site *site,
                       olica_method_plan *plan);
  /* Prints how the sparsity is divided, for --check: lines of "name         text", among them "budget", with
   * shares, and "a layer". */
  void (*explain)(olica_env *env, const olica_method_model *model, FILE *to);
  /* Warns of settings that have no effect, or remove nearly everything. */
  void (*advise)(olica_env *env, const olica_method_model *model);

  /* Creates the method's state for a planned job. Collective. Free with destroy. */
  olica_status (*create)(const olica_method_job *job, void **state);
  void (*destroy)(void *state);

  /* Observes a packed dense layer on the calibration stream, and advances the stream through it. Pass 0 is
   * the first. Collective. */
  olica_status (*observe)(void *state, int pass, const olica_maps *maps);

  /* Lists the method's own streams and returns their number. Not collective. */
  int (*streams)(void *state, olica_own_stream stream[OLICA_OWN_STREAMS]);

  /* Returns who looks at the output behind the last layer of that pass, the same on every rank; NULL: nobody.
   * Not collective. */
  const olica_scorer *(*scorer)(void *state, int pass);

  /* Completes pending work of the pass, so that the arrays hold the results of all layers so far.
   * Collective. */
  olica_status (*settle)(void *state);

  /* Returns true if `settle` would now do, on some ranks, what all of them soon do together: a restart file
   * may wait for that. NULL: false. The same on every rank; not collective. */
  bool (*gathers)(const void *state);

  /* Lists the arrays and returns their number. Another state of the same job, with these numbers in its
   * arrays, resumes at the next layer, at the next pass, or with `shapes`. Not collective. */
  int (*arrays)(void *state, olica_array array[OLICA_ARRAYS]);

  /* Decides, after the last pass, the shape of every layer: shapes [L], filled with the plan's. A restarted
   * run, and one that reads saved statistics, calls it too: it depends on arrays and settings alone, and is
   * the same on every rank. Collective. */
  olica_status (*shapes)(void *state, olica_layer_shape *shapes);

  /* Lists the results, after the shapes are chosen, and returns their number. Not collective. */
  int (*findings)(void *state, olica_finding finding[OLICA_FINDINGS]);

  /* Makes the pruned layer of its decided shape (olica_pruned_create), with its lists of kept neurons,
   * rounded to the job's dtype, from the dense layer, which it may change, and the pruned stream, which
   * the run then advances through the pruned layer, unless the cut says that it has advanced it. Collective.
   */
  olica_status (*cut)(void *state, int index, olica_layer *dense, olica_layer **pruned,
                      olica_cut_record *record);
};

/* Returns method number i of the table, or NULL past its end. "none" only evaluates: all its operations are
 * NULL. */
enum { OLICA_METHOD_NONE, OLICA_METHODS_MAX = 16 };
const olica_method *olica_method_at(int i);

/* Returns true if the method prunes. */
static inline bool olica_method_prunes(const olica_method *method) {
  return method->cut != NULL;
}

/* Returns the number of passes over the dense model with these settings of the method. Pure. */
int olica_method_passes(const olica_method *method, const void *settings);

/* The operations with their defaults: an absent operation does nothing, lists nothing, or keeps the plan's
 * shapes. Contracts as above. The default of `explain` prints the plan: `removed`, planned number of removed
 * parameters; the largest pruned layer. */
void olica_method_explain(const olica_method *method, olica_env *env, const olica_method_model *model,
                          double removed, const olica_layer_shape *largest, FILE *to);
/* The default for a method without `advise` warns if nothing is removed; `removed`: planned number of removed
 * parameters. */
void olica_method_advise(const olica_method *method, olica_env *env, const olica_method_model *model,
                         double removed);
/* The state of a method without `create` is an olica_method_job, a copy of the job. */
olica_status olica_method_create(const olica_method *method, const olica_method_job *job, void **state);
void olica_method_destroy(const olica_method *method, void *state);
olica_status olica_method_observe(const olica_method *method, void *state, int pass, const olica_maps *maps);
int olica_method_streams(const olica_method *method, void *state, olica_own_stream stream[OLICA_OWN_STREAMS]);
const olica_scorer *olica_method_scorer(const olica_method *method, void *state, int pass);
olica_status olica_method_settle(const olica_method *method, void *state);
bool olica_method_gathers(const olica_method *method, const void *state);
int olica_method_arrays(const olica_method *method, void *state, olica_array array[OLICA_ARRAYS]);
/* shapes [L] are filled with the plan's. A layer of more than `room` bytes, those of the plan's largest, is
 * OLICA_ERR_INTERNAL. */
olica_status olica_method_shapes(const olica_method *method, olica_env *env, const olica_arch *arch,
                                 size_t room, void *state, olica_layer_shape *shapes);
int olica_method_findings(const olica_method *method, void *state, olica_finding finding[OLICA_FINDINGS]);

/* Returns the number of elements of an array. Pure. */
int64_t olica_array_numbers(const olica_array *array);

#endif
