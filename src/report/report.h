/* The report: report.json, and the table that closes a run. Both show the same numbers; what is not known (a
 * run that failed or stopped early, a number that is not finite) is left out.
 *
 * How the pipeline uses it, on every rank:
 *
 *     double libraries = olica_report_resident();            // once MPI, HDF5, ... have started
 *     olica_report *report;
 *     OLICA_TRY(olica_report_create(env, &report));
 *     report->mine.resident_start = libraries;
 *     report->settings = olica_options_json(&options);       // the report owns it from here
 *     report->sparsity_requested = options.prune.sparsity;
 *     snprintf(report->run.kernel, sizeof report->run.kernel, "%s", ...);
 *     ...
 *     olica_report_model(report, &arch, "huggingface");
 *     OLICA_TRY(olica_report_layers(env, report, &arch, method, sweeps));
 *     OLICA_TRY(olica_report_choice(env, report, shapes, state));   // as the work goes on
 *     olica_report_cut(report, l, &record);
 *     report->text[0].dense = ...;
 *     ...
 *     olica_report_end(env, report, status);                 // whatever the status, agreed on by all ranks
 *     olica_report_gather(context, context->comm, report);
 *     if (context->rank == 0) {
 *       written = olica_report_write(env, report, options.output.report);
 *       olica_report_table(report, stdout);
 *     }
 *     olica_report_destroy(env, report);
 *
 * Where the other ranks can no longer be asked, MPI_COMM_SELF instead of the job's communicator gives a
 * report of rank 0 alone. The numbers of the model and of the layers are taken from rank 0. */
#ifndef OLICA_REPORT_REPORT_H
#define OLICA_REPORT_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "eval/scores.h"
#include "eval/text_files.h"
#include "la/solver.h"
#include "par/context.h"
#include "prune/method.h"
#include "report/passage.h"

/* A pruned layer. */
typedef struct olica_report_layer {
  bool cut;                                /* has been cut */
  olica_layer_shape shape;                 /* once chosen */
  double fact[OLICA_FACTS];                /* the method's facts of its cut; NaN: not known */
  double curve[OLICA_CURVES][OLICA_CURVE]; /* and its curves */
} olica_report_layer;

/* A finding of the method in the whole model. */
typedef struct olica_report_finding {
  const char *name; /* borrowed from the method */
  olica_finding_kind kind;
  int count;
  double *value; /* [count] */
} olica_report_finding;

/* A task: scores of the dense [0] and of the pruned [1] model; [0] is the model's in a run that prunes
 * nothing. */
typedef struct olica_report_task {
  const olica_task *task;
  int64_t n; /* questions */
  olica_truncation truncated;
  bool known[2];
  olica_score score[2];
} olica_report_task;

typedef struct olica_report_tasks {
  int count; /* 0: none were asked for */
  olica_report_task task[OLICA_TASKS_MAX];
  bool known[2];
  double mean[2];       /* of the accuracy that counts for each task */
  double per_second[2]; /* questions */
} olica_report_tasks;

/* A text whose perplexity was measured. */
typedef struct olica_report_text {
  char name[OLICA_TEXT_NAME + 1]; /* "": it is alone */
  double dense, pruned;           /* perplexity; NaN: not known */
  double kl;                      /* mean KL(dense || pruned), nats a token; NaN: not known */
  int64_t tokens, windows;        /* predicted tokens; windows */
} olica_report_text;

typedef struct olica_report_spread {
  double min, mean, max; /* over ranks */
} olica_report_spread;

/* One timer over all ranks. */
typedef struct olica_report_phase {
  char name[OLICA_TIMER_NAME];
  long calls;                  /* most of a rank */
  olica_report_spread seconds; /* a rank without the timer counts as 0 */
  int slowest;                 /* rank */
  double gflops; /* of all ranks together: their operations / the slowest rank's time; GFLOP/s */
  double bytes;  /* of all ranks together */
  double tokens; /* of all ranks together, once for every layer that they have passed */
  struct {
    long calls;       /* of collectives, most of a rank */
    double mean, max; /* over ranks: seconds in them */
    double bytes;     /* of all ranks together, part of `bytes` */
  } comm;
} olica_report_phase;

/* One rank: filled by the pipeline in `mine`, collected in `ranks`. */
typedef struct olica_report_rank {
  char host[64];                    /* set by gather */
  int64_t sequences;                /* calibration sequences */
  double bytes_read, bytes_written; /* of the model's files; of the checkpoint's datasets */
  int64_t eigenproblems;            /* solved with this rank's part */
  double resident_start;            /* bytes: olica_report_resident() once the libraries have started */
  double counted, resident;         /* bytes, high-water marks: set by gather */
  char processor[64];               /* its model's name: set by gather, like the three below */
  char blas_kernel[32];             /* of OpenBLAS: set by gather */
  double cpu_s;                     /* seconds of all its threads on the processor, user and system */
  double wall_s;                    /* seconds since the process has started */
} olica_report_rank;

typedef struct olica_report {
  /* Filled by the pipeline. NaN, 0 or NULL as create leaves them: not known. */
  struct {
    char precision[16], kernel[64];    /* of the products: "fp32", "OpenBLAS SkylakeX" */
    int threads;                       /* of a rank; 0: gather takes the context's */
    const char *command_line, *config; /* borrowed; NULL: not known */
  } run;
  bool evaluates_only;      /* nothing is pruned: figures are of "model", neither dense nor pruned */
  json_t *settings, *model; /* owned by the report */
  int64_t dense, pruned;    /* parameters, 0: not known */
  double sparsity_requested, sparsity_reached;
  const olica_method *method; /* borrowed; NULL: not known */
  int layers, kv_heads;       /* L, K */
  olica_report_layer *layer;  /* [L] */
  int findings;
  olica_report_finding finding[OLICA_FINDINGS];
  olica_passages passages; /* times of the layers on rank 0 */
  int texts;               /* 0: no perplexity was asked for */
  olica_report_text text[OLICA_TEXTS_MAX];
  char survey[512]; /* "made", "read from FILE"; "": none, or an interrupted run's */
  olica_report_tasks tasks;
  int solvers_count;
  olica_pool_record *solvers; /* owned by the environment */
  struct {
    int sweep, layer, runs; /* where this run resumed; interrupted runs before it, 0: it began anew */
    double seconds;         /* seconds of those, up to their last restart files */
  } restart;
  double estimate;         /* expected counted memory of a rank, bytes */
  const char *checkpoint;  /* borrowed: the written file, NULL: none */
  double checkpoint_bytes; /* of the file; 0: not known */
  olica_report_rank mine;

  /* Filled by create, end and gather. */
  olica_status status;
  bool running;                   /* the run has not ended: status of a killed run's report */
  char message[OLICA_ERROR_TEXT]; /* of a failure */
  char started[32];               /* 2026-01-31T12:00:00Z */
  double wall_s;                  /* gather: of the rank that has run longest */
  int job_ranks, nodes;
  int ranks_count;
  olica_report_rank *ranks; /* [ranks_count] on the root */
  int phases_count;
  olica_report_phase *phases; /* a phase is followed by its finer timers */
  olica_report_spread counted, resident;
  int warnings_count;
  olica_warning *warnings;
} olica_report;

/* Creates a report. Not collective, like all but the gathering. OLICA_ERR_MEMORY. */
olica_status olica_report_create(olica_env *env, olica_report **report);
void olica_report_destroy(olica_env *env, olica_report *report); /* NULL allowed */

/* Allocates the layers of a model that the method prunes in so many sweeps. OLICA_ERR_MEMORY. */
olica_status olica_report_layers(olica_env *env, olica_report *report, const olica_arch *arch,
                                 const olica_method *method, int sweeps);

/* Takes the chosen shapes [L], and the method's findings. OLICA_ERR_MEMORY. */
olica_status olica_report_choice(olica_env *env, olica_report *report, const olica_layer_shape *shapes,
                                 void *state);

/* Fills `model` from the architecture; kind: its source, "huggingface" or "checkpoint". */
void olica_report_model(olica_report *report, const olica_arch *arch, const char *kind);

/* Keeps the facts and curves of a layer's cut. */
void olica_report_cut(olica_report *report, int layer, const olica_cut_record *record);

/* Returns the name of the dense (pruned) model's figures: "dense", "pruned", or "model" in a run that prunes
 * nothing. */
const char *olica_report_name(const olica_report *report, bool pruned);

/* Returns the host of a rank, "" if ranks have not been gathered. */
const char *olica_report_host(const olica_report *report, int rank);

/* Returns the process's resident high-water mark (VmHWM) in bytes; 0 if unknown. */
double olica_report_resident(void);

/* Ends the report's run with this status (its message is in env): stops running timers, takes the wall
 * time. */
void olica_report_end(olica_env *env, olica_report *report, olica_status status);

/* Gathers timers, memory, ranks and warnings of all ranks on rank 0 of `comm` (the job's, or MPI_COMM_SELF).
 * Collective on comm. Uses memory that is neither counted nor limited, so that it works after a failure too.
 * Fails (on all ranks alike) only without memory; then everything else is still in the report. */
olica_status olica_report_gather(olica_context *context, MPI_Comm comm, olica_report *report);

/* Writes report.json, whole or not at all. Not collective: rank 0. A path of "" writes nothing. */
olica_status olica_report_write(olica_env *env, const olica_report *report, const char *path);

/* The file under a report's name: none, another one (or an unreadable one), the report of a run that failed,
 * stopped early, was killed or is running, the report of a run that ended well. */
typedef enum olica_report_found {
  OLICA_REPORT_NONE,
  OLICA_REPORT_OTHER,
  OLICA_REPORT_FAILED,
  OLICA_REPORT_GOOD
} olica_report_found;
olica_report_found olica_report_look(olica_env *env, const char *path);

/* Returns the same as a JSON object: a new reference, NULL without memory. */
json_t *olica_report_json(const olica_report *report);

/* Prints the closing table, at most 100 columns wide. Not collective: rank 0. */
void olica_report_table(const olica_report *report, FILE *to);

#endif
