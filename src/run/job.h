/* Everything a run has open. Private to run. */
#ifndef OLICA_RUN_JOB_H
#define OLICA_RUN_JOB_H

#include "config/options.h"
#include "eval/choices.h"
#include "eval/perplexity.h"
#include "eval/scores.h"
#include "eval/text_files.h"
#include "model/source.h"
#include "prune/method.h"
#include "report/report.h"
#include "resume.h"
#include "rider.h"
#include "saved.h"
#include "store/checkpoint.h"
#include "text/sample.h"
#include "work.h"

/* The zero-shot tasks. */
typedef struct olica_job_tasks {
  olica_task_files files;     /* count 0: there are none */
  olica_questions *questions; /* NULL: as above */
  olica_packs *packs;         /* until the choices have taken their own */
  olica_choices *choices;     /* from when the streams are made */
  double *likelihood[2];      /* [choices] by the dense and by the pruned model; NULL: not asked for */
  uint32_t checksum;          /* of the questions' tokens */
} olica_job_tasks;

/* A text (or ids) whose perplexity is measured. */
typedef struct olica_job_text {
  struct olica_job *job;
  int number;                       /* among the report's */
  const char *name;                 /* "": it is alone */
  char score[OLICA_TEXT_NAME + 16]; /* "perplexity.NAME": of its score in saved statistics */
  olica_ids *ids;                   /* until its windows have been taken */
  olica_windows windows;
  olica_perplexity *perplexity; /* from when the streams are made */
} olica_job_text;

typedef struct olica_job_texts {
  olica_text_files files; /* of [evaluate] text */
  int count;              /* 0: no perplexity is measured */
  olica_job_text text[OLICA_TEXTS_MAX];
  olica_forward *forward; /* of all of them; the calibration's if the lengths are equal */
} olica_job_texts;

typedef struct olica_job {
  olica_context *context;
  const olica_options *options;
  olica_report *report;
  olica_source *source;
  const olica_method *method; /* never NULL; its operations are NULL for "none" */
  olica_dtype dtype;          /* of the checkpoint */
  olica_dtype precision;      /* of the products: OLICA_FP32 or OLICA_BF16 */
  olica_kernel *kernel;       /* theirs, from when the streams are made */
  olica_bundle *bundle;   /* the tokenizer's files, carried into the checkpoint; NULL: nobody wants them */
  olica_encoder *encoder; /* the tokenizer, while texts are read; NULL: there are none */
  olica_text_sources sources; /* of the calibration's text, if there is any: */
  olica_sample_record *drawn; /* [sources.count] what they gave */
  struct {
    double peak, open, kept, before; /* counted bytes of a rank, without a tied table: while texts were read;
                                      * of what that left until the streams have it; of the tokenizer's files;
                                      * of what was there before, catalog and options */
  } text;
  olica_pool *pool;
  olica_forward *forward; /* for sequences of the calibration's length */
  olica_stream *stream;   /* calibration, NULL: none */
  olica_job_texts texts;
  olica_job_tasks tasks;
  olica_riders riders;       /* what the two kinds have made, from when the streams are made */
  void *state;               /* the method's */
  olica_layer_shape *shapes; /* [L] after pruning */
  olica_shared *pruned;      /* the node's memory for the layer that is being pruned; NULL: none is */
  int lock;                  /* on the checkpoint's name, rank 0's; -1: none */
  olica_checkpoint *checkpoint;
  olica_shared *panel;       /* [panel_rows x d] of a table */
  olica_shared *dense_panel; /* the same rows before they were rounded; NULL: nobody compares */
  float *gains;              /* [d] of the final norm */
  olica_resume resume;
  olica_saved saved;
} olica_job;

static inline bool olica_job_prunes(const olica_job *job) {
  return olica_method_prunes(job->method);
}

/* The model as the method is to see it; the settings of its own are the options'. */
static inline olica_method_model olica_job_model(const olica_job *job) {
  return (olica_method_model){.arch = &job->source->arch,
                              .dense = job->source->shape,
                              .parameters = job->source->parameters,
                              .sparsity = job->options->prune.sparsity,
                              .settings = job->options->prune.own[job->options->prune.method]};
}

/* Sweeps over the layers are counted from 1: one over the dense model for each pass of the method, at least
 * one, in which the dense model is also scored; and the last one, which cuts. */
static inline int olica_job_last_sweep(const olica_job *job) {
  return (job->method->passes > 1 ? job->method->passes : 1) + 1;
}

/* Bytes as people read them. */
static inline double olica_job_mib(double bytes) {
  return bytes / 1048576.0;
}

/* Is the dense (the pruned) model evaluated? */
static inline bool olica_job_scores(const olica_job *job, bool pruned) {
  return pruned ? olica_job_prunes(job) : job->options->evaluate.dense || !olica_job_prunes(job);
}

/* Opens the model, the calibration's ids and what is evaluated, checks them against each other, and fills the
 * sizes; makes no streams. */
typedef struct olica_inputs {
  olica_ids *calibration; /* NULL: none */
} olica_inputs;
olica_status olica_job_open(olica_job *job, olica_inputs *inputs);

/* Parses the list of texts, loads the tokenizer's files if the checkpoint or a text wants them, and opens the
 * tokenizer for texts. After the source and the method. */
olica_status olica_job_open_tokenizer(olica_job *job);

/* The calibration's sample of the texts, and a text's ids, both whole on every rank. */
olica_status olica_job_sample(olica_job *job, olica_ids **ids);
olica_status olica_job_tokenize(olica_job *job, const char *path, olica_ids **ids);

/* Writes --predictions. */
olica_status olica_job_write_predictions(olica_job *job);

/* Windows of the text that has most. Pure. */
int64_t olica_job_windows(const olica_job *job);

/* Refuses a length of sequences beyond the model's context. */
olica_status olica_job_check_length(olica_job *job, const char *section, int64_t length);

/* Reads `count` ids from there on, a piece at a time, and keeps none. Not collective. */
olica_status olica_job_look_at(olica_job *job, const olica_ids *ids, int64_t row, int64_t col, int64_t count);

/* Writes the calibration's ids as --dump-tokens asks. */
olica_status olica_job_dump(olica_job *job, const olica_ids *ids);

/* Rows of sequences of so many tokens that pass a layer together, the same on all ranks. */
int olica_job_pack_rows(const olica_job *job, int tokens);

/* Makes streams, scratch and the method's state, and reads the ids; layers will be brought as planned. */
struct olica_plan;
olica_status olica_job_prepare(olica_job *job, const olica_inputs *inputs, const struct olica_plan *plan);
void olica_job_close(olica_job *job);

/* Reads all the ids that a run would use, spread over the ranks, and keeps none. */
olica_status olica_job_check_ids(olica_job *job, const olica_inputs *inputs);

/* The outputs can be written, as far as can be told before hours of work. `bytes` of the checkpoint; `touch`:
 * their files are made for a moment, to be sure; else nothing is written. */
olica_status olica_job_probe_outputs(olica_job *job, double bytes, bool touch);

/* The sweeps over the dense model: the method's passes, and its scores; and the one that prunes, which ends
 * with the pruned model's. */
olica_status olica_sweep_dense(olica_job *job);
olica_status olica_sweep_prune(olica_job *job);

/* Creates the checkpoint with its metadata, once the shapes are known; or reopens it where the run goes on in
 * the middle of sweep 2. If it cannot be gone on with, sweep 2 begins anew, with a warning. */
olica_status olica_job_create_checkpoint(olica_job *job);

/* How ranks lie on nodes: as many as there are on the smallest, which have most to hold each. */
typedef struct olica_layout {
  int ranks, nodes, node_ranks;
} olica_layout;

/* What a run of this job needs: counted bytes of the rank that needs most, and work. */
typedef struct olica_plan {
  olica_source_options source; /* how it will bring layers */
  olica_layer_shape largest;   /* of the pruned layers; all 0 if there are none */
  double memory;               /* bytes of a rank */
  olica_rider_plan riders;
  double streams, tasks, layers, weights, solver, tables, texts, other; /* its parts; weights: stored ones, on
                                                                         * their way and kept */
  double removed;                                                       /* numbers of the model that go */
  double method_room;         /* of the kernel's own, a thread's, for the method */
  double shared;              /* bytes that every node has once; a rank's share is among its parts */
  double checkpoint, restart; /* bytes written; of a restart file */
  olica_work work;
  double flops;   /* of all ranks, the solver's among them */
  double solving; /* seconds of the decompositions, as modelled */
} olica_plan;

/* The plan that does most of what is wanted within [compute] memory: layers that are kept and the prefetch
 * give way. If nothing does, the one that needs least. Pure. */
olica_status olica_plan_make(const olica_job *job, olica_layout layout, olica_plan *plan);

/* Fills shapes [L] with those of the pruned layers as the method plans them for the ranks of the job. Pure,
 * except for the failure's message. */
olica_status olica_plan_shapes(const olica_job *job, olica_layer_shape *shapes);

/* Refuses a plan that passes [compute] memory. */
olica_status olica_plan_check(const olica_job *job, olica_layout layout, const olica_plan *plan);

/* Refuses a plan that this node has no memory for. Not collective: nodes differ. */
olica_status olica_plan_check_node(const olica_job *job, const olica_plan *plan);

#endif
