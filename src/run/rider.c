#include "rider.h"

#include <assert.h>

static const olica_rider_kind *const kinds[] = {&olica_rider_texts, &olica_rider_tasks};

enum { KINDS = sizeof kinds / sizeof *kinds };

_Static_assert(OLICA_RESUME_SECTIONS >= OLICA_ARRAYS + 3 + 2 * OLICA_RIDERS_MAX,
               "each rider has up to two sections");

void olica_riders_append(olica_riders *riders, const olica_rider_kind *kind, void *self) {
  assert(riders->count < OLICA_RIDERS_MAX);
  riders->rider[riders->count++] = (olica_rider){kind, self};
}

olica_status olica_riders_parse(struct olica_job *job) {
  for (int k = 0; k < KINDS; k++) OLICA_TRY(kinds[k]->parse(job));
  return OLICA_OK;
}

bool olica_riders_tokenize(const struct olica_job *job) {
  for (int k = 0; k < KINDS; k++)
    if (kinds[k]->tokenizes(job)) return true;
  return false;
}

olica_status olica_riders_open(struct olica_job *job) {
  for (int k = 0; k < KINDS; k++) OLICA_TRY(kinds[k]->open(job));
  return OLICA_OK;
}

olica_status olica_riders_check_ids(struct olica_job *job) {
  for (int k = 0; k < KINDS; k++)
    if (kinds[k]->check_ids) OLICA_TRY(kinds[k]->check_ids(job));
  return OLICA_OK;
}

void olica_riders_tell(const struct olica_job *job) {
  for (int k = 0; k < KINDS; k++) kinds[k]->tell(job);
}

olica_status olica_riders_plan(const struct olica_job *job, int ranks, const olica_method_plan *method,
                               olica_rider_plan *plan) {
  *plan = (olica_rider_plan){0};
  for (int k = 0; k < KINDS; k++) OLICA_TRY(kinds[k]->plan(job, ranks, method, plan));
  return OLICA_OK;
}

olica_status olica_riders_prepare(struct olica_job *job) {
  for (int k = 0; k < KINDS; k++) OLICA_TRY(kinds[k]->prepare(job));
  return OLICA_OK;
}

void olica_riders_close(struct olica_job *job) {
  for (int k = 0; k < KINDS; k++) kinds[k]->close(job);
}

void olica_riders_embed(const olica_riders *riders, int64_t first, int64_t count, const float *rows) {
  for (const olica_rider *r = riders->rider; r < riders->rider + riders->count; r++)
    r->kind->embed(r->self, first, count, rows);
}

olica_status olica_riders_advance(const olica_riders *riders, const olica_maps *maps) {
  for (const olica_rider *r = riders->rider; r < riders->rider + riders->count; r++)
    OLICA_TRY(r->kind->advance(r->self, maps));
  return OLICA_OK;
}

void olica_riders_begin(const olica_riders *riders, const float *gains, bool pruned) {
  for (const olica_rider *r = riders->rider; r < riders->rider + riders->count; r++)
    r->kind->begin(r->self, gains, pruned);
}

void olica_riders_add(const olica_riders *riders, const olica_rider_panel *panel) {
  for (const olica_rider *r = riders->rider; r < riders->rider + riders->count; r++)
    r->kind->add(r->self, panel);
}

olica_status olica_riders_finish(const olica_riders *riders, bool pruned) {
  for (const olica_rider *r = riders->rider; r < riders->rider + riders->count; r++)
    OLICA_TRY(r->kind->finish(r->self, pruned));
  return OLICA_OK;
}

olica_status olica_riders_save(const olica_riders *riders, bool rides, bool scored,
                               olica_resume_state *state) {
  for (const olica_rider *r = riders->rider; r < riders->rider + riders->count; r++)
    OLICA_TRY(r->kind->save(r->self, rides, scored, state));
  return OLICA_OK;
}

olica_status olica_riders_describe(const olica_riders *riders, json_t *state) {
  for (const olica_rider *r = riders->rider; r < riders->rider + riders->count; r++)
    OLICA_TRY(r->kind->describe(r->self, state));
  return OLICA_OK;
}

void olica_riders_recall(const olica_riders *riders, bool scored, const json_t *state) {
  for (const olica_rider *r = riders->rider; r < riders->rider + riders->count; r++)
    r->kind->recall(r->self, scored, state);
}

olica_status olica_riders_tokens(const olica_riders *riders, json_t *group) {
  for (const olica_rider *r = riders->rider; r < riders->rider + riders->count; r++)
    OLICA_TRY(r->kind->tokens(r->self, group));
  return OLICA_OK;
}
