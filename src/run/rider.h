/* Riders of a sweep: what is evaluated while the layers pass, whatever it is. The sweeps treat all of them
 * alike; the plan, restart files and saved statistics ask each for its part. A kind (texts, tasks) is one
 * file, texts.c or tasks.c, and one line in rider.c. Private to run.
 *
 *     parse, open ......... settings and files
 *     plan ................ what its riders will take
 *     prepare ............. makes them: one for each text, one for all tasks
 *     embed, advance, begin, add, finish .... one model passes, panel by panel, layer by layer
 *     save, describe, recall ................ restart files
 *     tokens, score, scored ................. fingerprint and saved statistics
 *
 * An operation that is absent is NULL. Collective on the job's context, but where it says otherwise. */
#ifndef OLICA_RUN_RIDER_H
#define OLICA_RUN_RIDER_H

#include <jansson.h>

#include "la/packed.h"
#include "model/maps.h"
#include "prune/method.h"
#include "resume.h"

struct olica_job;

/* What the riders of a job take: sums over the kinds. Bytes are of the rank that needs most. */
typedef struct olica_rider_plan {
  double streams, tasks; /* counted bytes */
  double pieces;         /* of sections of a restart file, on that rank */
  double restart;        /* bytes of a restart file */
  bool compares;         /* panels of the dense model's output matrix are wanted beside the pruned one's */
  double work, busiest;  /* floating-point operations of all ranks; of the rank that has most */
} olica_rider_plan;

/* A panel of the output matrix: rows [first, first + count), packed. */
typedef struct olica_rider_panel {
  int64_t first, count;
  olica_packed *rows;
  olica_packed *dense; /* the dense model's, beside the pruned one's; NULL: nobody compares */
} olica_rider_panel;

typedef struct olica_rider_kind {
  /* ---- of a job ---- */
  olica_status (*parse)(struct olica_job *job);   /* what the settings ask for */
  bool (*tokenizes)(const struct olica_job *job); /* is the tokenizer wanted? Pure */
  olica_status (*open)(struct olica_job *job);    /* reads and tokenizes; the tokenizer is open */
  olica_status (*check_ids)(
      struct olica_job *job);                /* looks at all ids, spread over the ranks. Not collective */
  void (*tell)(const struct olica_job *job); /* --check prints what there is. Not collective */
  /* Adds to the plan for so many ranks; `method` is read only where the job prunes. Not collective. */
  olica_status (*plan)(const struct olica_job *job, int ranks, const olica_method_plan *method,
                       olica_rider_plan *plan);
  olica_status (*prepare)(struct olica_job *job); /* makes its riders: olica_riders_add */
  void (*close)(struct olica_job *job);           /* not collective */

  /* ---- of a rider, `self`; of the rows of tables each is given once ---- */
  void (*embed)(void *self, int64_t first, int64_t count, const float *rows); /* not collective */
  olica_status (*advance)(void *self, const olica_maps *maps);
  void (*begin)(void *self, const float *gains, bool pruned); /* final norm. Not collective */
  void (*add)(void *self, const olica_rider_panel *panel);    /* not collective */
  olica_status (*finish)(void *self, bool pruned);            /* scores: into report and log */
  /* Adds sections of a restart file: hidden states if it `rides` at that place; what it knows of the dense
   * model if that has been `scored`. Not collective. */
  olica_status (*save)(void *self, bool rides, bool scored, olica_resume_state *state);
  olica_status (*describe)(void *self,
                           json_t *state); /* what else it has to remember; state NULL: nobody listens */
  /* The same, taken up again; the dense model may have been `scored` before. Not collective. */
  void (*recall)(void *self, bool scored, const json_t *state);
  /* Adds the ids that it scores to a group of the fingerprint. */
  olica_status (*tokens)(void *self, json_t *group);
  /* The dense model's scores as an array of saved statistics (its name is that of the dataset), and what they
   * are of: a new reference on rank 0, by the tokens of the run's fingerprint, under the name *key. Not
   * collective. */
  json_t *(*score)(void *self, const json_t *tokens, const char **key, olica_array *array);
  /* Does it keep more of the dense model than the array has, so that this must pass again? Pure. */
  bool (*keeps)(void *self);
  void (*scored)(void *self); /* the array has been read from a file. Not collective */
} olica_rider_kind;

typedef struct olica_rider {
  const olica_rider_kind *kind;
  void *self; /* the kind's own */
} olica_rider;

enum { OLICA_RIDERS_MAX = 33 };

typedef struct olica_riders {
  int count;
  bool compares; /* somebody takes olica_rider_panel.dense */
  olica_rider rider[OLICA_RIDERS_MAX];
} olica_riders;

extern const olica_rider_kind olica_rider_texts, olica_rider_tasks;

/* Appends one; there is room for all that the kinds make. Not collective, like add. */
void olica_riders_append(olica_riders *riders, const olica_rider_kind *kind, void *self);

/* The operations of all kinds. */
olica_status olica_riders_parse(struct olica_job *job);
bool olica_riders_tokenize(const struct olica_job *job);
olica_status olica_riders_open(struct olica_job *job);
olica_status olica_riders_check_ids(struct olica_job *job);
void olica_riders_tell(const struct olica_job *job);
olica_status olica_riders_plan(const struct olica_job *job, int ranks, const olica_method_plan *method,
                               olica_rider_plan *plan);
olica_status olica_riders_prepare(struct olica_job *job);
void olica_riders_close(struct olica_job *job);

/* The operations of all riders. */
void olica_riders_embed(const olica_riders *riders, int64_t first, int64_t count, const float *rows);
olica_status olica_riders_advance(const olica_riders *riders, const olica_maps *maps);
void olica_riders_begin(const olica_riders *riders, const float *gains, bool pruned);
void olica_riders_add(const olica_riders *riders, const olica_rider_panel *panel);
olica_status olica_riders_finish(const olica_riders *riders, bool pruned);
olica_status olica_riders_save(const olica_riders *riders, bool rides, bool scored,
                               olica_resume_state *state);
olica_status olica_riders_describe(const olica_riders *riders, json_t *state);
void olica_riders_recall(const olica_riders *riders, bool scored, const json_t *state);
olica_status olica_riders_tokens(const olica_riders *riders, json_t *group);

#endif
