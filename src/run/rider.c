#include "rider.h"

#include <assert.h>

#include "par/comm.h"

static const olica_rider_kind *const kinds[OLICA_RIDER_KINDS] = {&olica_rider_texts, &olica_rider_tasks};

_Static_assert(OLICA_SECTIONS_MAX >= OLICA_ARRAYS + OLICA_OWN_STREAMS + 3 + 2 * OLICA_RIDERS_MAX,
               "each rider has up to two sections");

void olica_riders_append(olica_riders *riders, const olica_rider_ops *ops, void *self) {
  assert(riders->count < OLICA_RIDERS_MAX);
  riders->rider[riders->count++] = (olica_rider){ops, self};
}

olica_status olica_riders_create(const olica_setup *setup, olica_report *report, olica_riders *riders) {
  *riders = (olica_riders){.setup = setup};
  for (int k = 0; k < OLICA_RIDER_KINDS; k++) OLICA_TRY(kinds[k]->create(setup, report, &riders->all[k]));
  return OLICA_OK;
}

bool olica_riders_tokenize(const olica_riders *riders) {
  for (int k = 0; k < OLICA_RIDER_KINDS; k++)
    if (kinds[k]->tokenizes(riders->all[k])) return true;
  return false;
}

olica_status olica_riders_open(olica_riders *riders, const olica_inputs *inputs) {
  for (int k = 0; k < OLICA_RIDER_KINDS; k++) OLICA_TRY(kinds[k]->open(riders->all[k], inputs));
  return OLICA_OK;
}

olica_status olica_riders_check_ids(const olica_riders *riders) {
  for (int k = 0; k < OLICA_RIDER_KINDS; k++)
    if (kinds[k]->check_ids) OLICA_TRY(kinds[k]->check_ids(riders->all[k]));
  return OLICA_OK;
}

void olica_riders_print(const olica_riders *riders) {
  for (int k = 0; k < OLICA_RIDER_KINDS; k++) kinds[k]->print(riders->all[k]);
}

int64_t olica_riders_items(const olica_riders *riders, int k, const char **what) {
  *what = kinds[k]->item;
  return kinds[k]->items(riders->all[k]);
}

olica_status olica_riders_plan(const olica_riders *riders, int ranks, const olica_method_plan *method,
                               olica_rider_plan *plan) {
  *plan = (olica_rider_plan){0};
  for (int k = 0; k < OLICA_RIDER_KINDS; k++) OLICA_TRY(kinds[k]->plan(riders->all[k], ranks, method, plan));
  return OLICA_OK;
}

olica_status olica_riders_prepare(olica_riders *riders, olica_kernel *kernel, olica_forward *forward) {
  for (int k = 0; k < OLICA_RIDER_KINDS; k++)
    OLICA_TRY(kinds[k]->prepare(riders->all[k], kernel, forward, riders));
  return OLICA_OK;
}

static olica_status write_all(const olica_riders *riders) {
  for (int k = 0; k < OLICA_RIDER_KINDS; k++)
    if (kinds[k]->write) OLICA_TRY(kinds[k]->write(riders->all[k]));
  return OLICA_OK;
}

olica_status olica_riders_write(const olica_riders *riders) {
  olica_context *context = riders->setup->context;
  OLICA_AGREE(context, context->rank == 0 ? write_all(riders) : OLICA_OK);
  return OLICA_OK;
}

void olica_riders_close(olica_riders *riders) {
  for (int k = 0; k < OLICA_RIDER_KINDS; k++) kinds[k]->close(riders->all[k]);
}

void olica_riders_embed(const olica_riders *riders, int64_t first, int64_t count, const float *rows) {
  for (const olica_rider *r = riders->rider; r < riders->rider + riders->count; r++)
    r->ops->embed(r->self, first, count, rows);
}

olica_status olica_riders_advance(const olica_riders *riders, const olica_maps *maps) {
  for (const olica_rider *r = riders->rider; r < riders->rider + riders->count; r++)
    OLICA_TRY(r->ops->advance(r->self, maps));
  return OLICA_OK;
}

void olica_riders_begin(const olica_riders *riders, const float *gains, bool pruned) {
  for (const olica_rider *r = riders->rider; r < riders->rider + riders->count; r++)
    r->ops->begin(r->self, gains, pruned);
}

void olica_riders_add(const olica_riders *riders, const olica_rider_panel *panel) {
  for (const olica_rider *r = riders->rider; r < riders->rider + riders->count; r++)
    r->ops->add(r->self, panel);
}

olica_status olica_riders_finish(const olica_riders *riders, bool pruned) {
  for (const olica_rider *r = riders->rider; r < riders->rider + riders->count; r++)
    OLICA_TRY(r->ops->finish(r->self, pruned));
  return OLICA_OK;
}

olica_status olica_riders_save(const olica_riders *riders, bool rides, bool scored,
                               olica_sections *sections) {
  for (const olica_rider *r = riders->rider; r < riders->rider + riders->count; r++)
    OLICA_TRY(r->ops->save(r->self, rides, scored, sections));
  return OLICA_OK;
}

olica_status olica_riders_describe(const olica_riders *riders, json_t *state) {
  for (const olica_rider *r = riders->rider; r < riders->rider + riders->count; r++)
    OLICA_TRY(r->ops->describe(r->self, state));
  return OLICA_OK;
}

void olica_riders_recall(const olica_riders *riders, bool scored, const json_t *state) {
  for (const olica_rider *r = riders->rider; r < riders->rider + riders->count; r++)
    r->ops->recall(r->self, scored, state);
}

olica_status olica_riders_tokens(const olica_riders *riders, json_t *group) {
  for (const olica_rider *r = riders->rider; r < riders->rider + riders->count; r++)
    OLICA_TRY(r->ops->tokens(r->self, group));
  return OLICA_OK;
}
