#include "tables.h"

#include <string.h>

#include "par/comm.h"

/* Packs a panel, by the node's ranks together, like a layer's maps; *room: its shared memory, NULL if none is
 * needed. */
static olica_status pack_panel(olica_engine *engine, const olica_shared *panel, int64_t count,
                               olica_shared **room, olica_packed **rows) {
  olica_packed_weights weights = {
      .out = (int)count, .in = engine->setup->source->arch.hidden, .w = panel->data};
  size_t bytes = olica_packed_measure(engine->setup->precision, weights.out, weights.in);
  if (bytes > 0) {
    OLICA_TRY(olica_shared_create(engine->setup->context, "packed rows of the output matrix", bytes, room));
    weights.room = (*room)->data;
    weights.node = engine->setup->context;
  }
  OLICA_AGREE(engine->setup->context, olica_packed_create(engine->kernel, weights, rows));
  return OLICA_OK;
}

static olica_status score_panel(olica_engine *engine, const olica_table_use *use, int64_t first,
                                int64_t count) {
  olica_rider_panel panel = {.first = first, .count = count};
  olica_shared *room[2] = {NULL, NULL};
  OLICA_TRY(pack_panel(engine, engine->panel, count, &room[0], &panel.rows));
  if (use->compare) OLICA_TRY(pack_panel(engine, engine->dense_panel, count, &room[1], &panel.dense));
  olica_shared_fence(engine->setup->context);
  if (use->score) olica_riders_add(engine->riders, &panel);
  if (use->scorer) use->scorer->add(engine->state, first, count, panel.rows);
  olica_packed_destroy(panel.rows);
  olica_packed_destroy(panel.dense);
  olica_shared_destroy(room[0]);
  olica_shared_destroy(room[1]);
  return OLICA_OK;
}

/* Copies the panel before it is rounded; each of the node's ranks copies a part. */
static void keep_panel(olica_engine *engine, int64_t count) {
  olica_range own = olica_shared_part(engine->setup->context, count * engine->setup->source->arch.hidden);
  memcpy((float *)engine->dense_panel->data + own.first, (const float *)engine->panel->data + own.first,
         (size_t)own.count * sizeof(float));
}

/* Rounds the panel; each of the node's ranks rounds a part. */
static olica_status round_panel(olica_engine *engine, olica_table table, int64_t count) {
  const char *name = table == OLICA_TABLE_EMBED ? "embed_tokens" : "lm_head";
  olica_range own = olica_shared_part(engine->setup->context, count * engine->setup->source->arch.hidden);
  OLICA_AGREE(engine->setup->context,
              olica_weights_round(engine->setup->context->env, engine->setup->dtype, name,
                                  (float *)engine->panel->data + own.first, (size_t)own.count));
  return OLICA_OK;
}

/* The calibration's, the method's own and the riders' streams. */
static void embed_panel(const olica_engine *engine, int64_t first, int64_t count, const float *rows) {
  const olica_arch *arch = &engine->setup->source->arch;
  olica_own_stream own[OLICA_OWN_STREAMS];
  int streams = engine->state ? olica_method_streams(engine->setup->method, engine->state, own) : 0;
  olica_stream_embed(engine->stream, arch, first, count, rows);
  for (int i = 0; i < streams; i++) olica_stream_embed(own[i].stream, arch, first, count, rows);
  olica_riders_embed(engine->riders, first, count, rows);
}

static olica_status use_panel(olica_engine *engine, const olica_table_use *use, int64_t first,
                              int64_t count) {
  olica_env *env = engine->setup->context->env;
  const float *rows = engine->panel->data;
  if (use->compare) keep_panel(engine, count);
  if (use->round) OLICA_TRY(round_panel(engine, use->table, count));
  if (use->embed) embed_panel(engine, first, count, rows);
  if (use->score || use->scorer) {
    olica_timer_start(&env->timers, use->score ? "evaluate" : "survey");
    olica_status status = score_panel(engine, use, first, count);
    olica_timer_stop(&env->timers);
    OLICA_TRY(status);
  }
  if (!use->write) return OLICA_OK;
  olica_timer_start(&env->timers, "write");
  olica_status status = olica_checkpoint_write_rows(engine->checkpoint, use->table, first, count, rows);
  olica_timer_stop(&env->timers);
  return status;
}

olica_status olica_tables_pass(olica_engine *engine, const olica_table_use *use) {
  olica_timers *timers = &engine->setup->context->env->timers;
  olica_timer_start(timers, "read");
  for (int panel = 0; panel < engine->setup->source->panels; panel++) {
    int64_t first, count;
    OLICA_TRY(
        olica_source_panel(engine->setup->source, use->table, panel, engine->panel->data, &first, &count));
    OLICA_TRY(use_panel(engine, use, first, count));
  }
  olica_timer_stop(timers);
  return OLICA_OK;
}
