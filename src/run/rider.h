/* Riders of a sweep: what is evaluated while the layers pass. The sweeps treat all riders alike; the plan,
 * restart files and saved statistics ask each for its part. A kind (texts, tasks) is one file, texts.c or
 * tasks.c, and one line in rider.c; it has a state of its own, which nobody else sees. Private to run.
 *
 *     create, open ........ settings and files
 *     plan ................ what its riders will take
 *     prepare ............. makes them: one for each text, one for all tasks
 *     embed, advance, begin, add, finish .... one model passes, panel by panel, layer by layer
 *     save, describe, recall ................ restart files
 *     tokens, score, scored ................. fingerprint and saved statistics
 *     write ............... files of its own, at the end
 *
 * An operation that is absent is NULL. Collective on the setup's context, unless stated otherwise. */
#ifndef OLICA_RUN_RIDER_H
#define OLICA_RUN_RIDER_H

#include <jansson.h>

#include "inputs.h"
#include "la/packed.h"
#include "model/maps.h"
#include "report/report.h"
#include "sections.h"
#include "setup.h"

/* The needs of all riders: sums over the kinds. Bytes are of the rank that needs most. */
typedef struct olica_rider_plan {
  olica_ledger streams, tasks; /* what `prepare` allocates for the streams; for the tasks */
  double pieces;               /* pieces of a restart file's sections, on that rank */
  double restart;              /* bytes of a restart file */
  bool compares;               /* a rider needs the dense model's output matrix beside the pruned one's */
  double work, busiest;        /* floating-point operations of all ranks; of the rank that has most */
} olica_rider_plan;

/* A panel of the output matrix: rows [first, first + count), packed. */
typedef struct olica_rider_panel {
  int64_t first, count;
  olica_packed *rows;
  olica_packed *dense; /* the dense model's, beside the pruned one's; NULL: no rider compares */
} olica_rider_panel;

/* The operations of a rider, `self`, which gets each row of a table once. */
typedef struct olica_rider_ops {
  void (*embed)(void *self, int64_t first, int64_t count, const float *rows); /* not collective */
  olica_status (*advance)(void *self, const olica_maps *maps);
  void (*begin)(void *self, const float *gains,
                bool pruned); /* starts scoring: the final norm. Not collective */
  void (*add)(void *self, const olica_rider_panel *panel); /* not collective */
  olica_status (*finish)(void *self, bool pruned);         /* puts the scores into report and log */
  /* Adds sections of a restart file: its hidden states if it `rides` at that place, its results of the dense
   * model if that has been `scored`. Not collective. */
  olica_status (*save)(void *self, bool rides, bool scored, olica_sections *sections);
  olica_status (*describe)(
      void *self, json_t *state); /* adds the rest of its state; state NULL: not wanted on this rank */
  /* Restores the rest of its state, and the dense scores if the dense model was `scored` before. Not
   * collective. */
  void (*recall)(void *self, bool scored, const json_t *state);
  /* Adds the ids that it scores to a group of the fingerprint. */
  olica_status (*tokens)(void *self, json_t *group);
  /* Fills the array of the dense model's scores for saved statistics (its name is the dataset's); returns
   * their identity, named *key, from the tokens of the run's fingerprint: a new reference on rank 0. Not
   * collective. */
  json_t *(*score)(void *self, const json_t *tokens, const char **key, olica_array *array);
  /* Returns whether it needs more of the dense model than the array has, so that this must pass again.
   * Pure. */
  bool (*keeps)(void *self);
  void (*scored)(void *self); /* called after the array has been read from a file. Not collective */
} olica_rider_ops;

struct olica_riders;

/* The operations of a kind, whose state is `all`. */
typedef struct olica_rider_kind {
  /* Makes the state from what the settings ask for. The report is filled later; NULL: there is none. */
  olica_status (*create)(const olica_setup *setup, olica_report *report, void **all);
  bool (*tokenizes)(const void *all); /* returns whether it needs the tokenizer. Pure */
  olica_status (*open)(void *all, const olica_inputs *inputs); /* reads and tokenizes */
  olica_status (*check_ids)(const void *all); /* checks all ids, spread over the ranks. Not collective */
  void (*print)(const void *all);             /* describes itself, for --check. Not collective */
  const char *item;                           /* name of an item that the kind distributes to the ranks, */
  int64_t (*items)(const void *all);          /* and their number. Pure */
  /* Adds to the plan for so many ranks; `method` is read only where the run prunes. Not collective. */
  olica_status (*plan)(const void *all, int ranks, const olica_method_plan *method, olica_rider_plan *plan);
  /* Makes its riders: olica_riders_append. `forward`: the calibration's, NULL if there is none; both stay the
   * caller's, and outlive the riders. */
  olica_status (*prepare)(void *all, olica_kernel *kernel, olica_forward *forward,
                          struct olica_riders *riders);
  olica_status (*write)(const void *all); /* writes its own files. Not collective: rank 0 */
  void (*close)(void *all);               /* not collective */
} olica_rider_kind;

typedef struct olica_rider {
  const olica_rider_ops *ops;
  void *self;
} olica_rider;

enum { OLICA_RIDER_KINDS = 2, OLICA_RIDERS_MAX = 33 };

typedef struct olica_riders {
  const olica_setup *setup;
  void *all[OLICA_RIDER_KINDS]; /* the kinds' states */
  int count;                    /* 0 until they are prepared */
  bool compares;                /* a rider reads olica_rider_panel.dense */
  olica_rider rider[OLICA_RIDERS_MAX];
} olica_riders;

extern const olica_rider_kind olica_rider_texts, olica_rider_tasks;

/* Appends a rider. Not collective, like add. */
void olica_riders_append(olica_riders *riders, const olica_rider_ops *ops, void *self);

/* The operations of all kinds. riders_write is collective. */
olica_status olica_riders_create(const olica_setup *setup, olica_report *report, olica_riders *riders);
bool olica_riders_tokenize(const olica_riders *riders);
olica_status olica_riders_open(olica_riders *riders, const olica_inputs *inputs);
olica_status olica_riders_check_ids(const olica_riders *riders);
void olica_riders_print(const olica_riders *riders);

/* Returns how many items the kind with this number distributes to the ranks; *what: the name of an item.
 * Pure. */
int64_t olica_riders_items(const olica_riders *riders, int kind, const char **what);
olica_status olica_riders_plan(const olica_riders *riders, int ranks, const olica_method_plan *method,
                               olica_rider_plan *plan);
olica_status olica_riders_prepare(olica_riders *riders, olica_kernel *kernel, olica_forward *forward);
olica_status olica_riders_write(const olica_riders *riders);
void olica_riders_close(olica_riders *riders);

/* The operations of all riders. */
void olica_riders_embed(const olica_riders *riders, int64_t first, int64_t count, const float *rows);
olica_status olica_riders_advance(const olica_riders *riders, const olica_maps *maps);
void olica_riders_begin(const olica_riders *riders, const float *gains, bool pruned);
void olica_riders_add(const olica_riders *riders, const olica_rider_panel *panel);
olica_status olica_riders_finish(const olica_riders *riders, bool pruned);
olica_status olica_riders_save(const olica_riders *riders, bool rides, bool scored, olica_sections *sections);
olica_status olica_riders_describe(const olica_riders *riders, json_t *state);
void olica_riders_recall(const olica_riders *riders, bool scored, const json_t *state);
olica_status olica_riders_tokens(const olica_riders *riders, json_t *group);

#endif
