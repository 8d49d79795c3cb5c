/* The two sweeps over the layers. Streams ride along: calibration and evaluation pass every layer while it is
 * here, so that a sweep reads every weight once. */
#include <math.h>
#include <string.h>

#include "base/progress.h"
#include "job.h"
#include "par/comm.h"

/* What is written is what is used: in sweep 2 a table's rows are rounded, written, and looked up. */
typedef struct table_use {
  olica_table table;
  bool round, write, embed, score, compare;
} table_use;

/* Packed by the node's ranks together, like a layer's maps; *room is theirs, NULL if none is needed. */
static olica_status pack_panel(olica_job *job, const olica_shared *panel, int64_t count, olica_shared **room,
                               olica_packed **rows) {
  olica_packed_weights weights = {.out = (int)count, .in = job->source->arch.hidden, .w = panel->data};
  size_t bytes = olica_packed_bytes(job->precision, weights.out, weights.in);
  if (bytes > 0) {
    OLICA_TRY(olica_shared_create(job->context, "packed rows of the output matrix", bytes, room));
    weights.room = (*room)->data;
    weights.node = job->context;
  }
  OLICA_AGREE(job->context, olica_packed_create(job->kernel, weights, rows));
  return OLICA_OK;
}

static olica_status score_panel(olica_job *job, int64_t first, int64_t count, bool compare) {
  olica_rider_panel panel = {.first = first, .count = count};
  olica_shared *room[2] = {NULL, NULL};
  OLICA_TRY(pack_panel(job, job->panel, count, &room[0], &panel.rows));
  if (compare) OLICA_TRY(pack_panel(job, job->dense_panel, count, &room[1], &panel.dense));
  olica_shared_fence(job->context);
  olica_riders_add(&job->riders, &panel);
  olica_packed_destroy(panel.rows);
  olica_packed_destroy(panel.dense);
  olica_shared_destroy(room[0]);
  olica_shared_destroy(room[1]);
  return OLICA_OK;
}

/* The node's ranks copy a part of the panel each, before it is rounded. */
static void keep_panel(olica_job *job, int64_t count) {
  olica_range own = olica_shared_part(job->context, count * job->source->arch.hidden);
  memcpy((float *)job->dense_panel->data + own.first, (const float *)job->panel->data + own.first,
         (size_t)own.count * sizeof(float));
}

/* The node's ranks round a part of the panel each. */
static olica_status round_panel(olica_job *job, olica_table table, int64_t count) {
  const char *name = table == OLICA_TABLE_EMBED ? "embed_tokens" : "lm_head";
  olica_range own = olica_shared_part(job->context, count * job->source->arch.hidden);
  OLICA_AGREE(job->context, olica_weights_round(job->context->env, job->dtype, name,
                                                (float *)job->panel->data + own.first, (size_t)own.count));
  return OLICA_OK;
}

static olica_status use_panel(olica_job *job, const table_use *use, int64_t first, int64_t count) {
  olica_env *env = job->context->env;
  const float *rows = job->panel->data;
  if (use->compare) keep_panel(job, count);
  if (use->round) OLICA_TRY(round_panel(job, use->table, count));
  if (use->embed) {
    olica_stream_embed(job->stream, first, count, rows);
    olica_riders_embed(&job->riders, first, count, rows);
  }
  if (use->score) {
    olica_timer_start(&env->timers, "evaluate");
    olica_status status = score_panel(job, first, count, use->compare);
    olica_timer_stop(&env->timers);
    OLICA_TRY(status);
  }
  if (!use->write) return OLICA_OK;
  olica_timer_start(&env->timers, "write");
  olica_status status = olica_checkpoint_write_rows(job->checkpoint, use->table, first, count, rows);
  olica_timer_stop(&env->timers);
  return status;
}

static olica_status pass_table(olica_job *job, const table_use *use) {
  olica_timers *timers = &job->context->env->timers;
  olica_timer_start(timers, "read");
  for (int panel = 0; panel < job->source->panels; panel++) {
    int64_t first, count;
    OLICA_TRY(olica_source_panel(job->source, use->table, panel, job->panel->data, &first, &count));
    OLICA_TRY(use_panel(job, use, first, count));
  }
  olica_timer_stop(timers);
  return OLICA_OK;
}

static olica_status read_layer(olica_job *job, int index, olica_layer **layer) {
  olica_timer_start(&job->context->env->timers, "read");
  olica_status status = olica_source_layer(job->source, index, layer);
  olica_timer_stop(&job->context->env->timers);
  return status;
}

static olica_status advance_calibration(olica_job *job, const olica_maps *maps) {
  olica_timer_start(&job->context->env->timers, "advance");
  olica_status status = olica_stream_advance(job->stream, job->forward, maps, NULL);
  olica_timer_stop(&job->context->env->timers);
  return status;
}

/* A layer packed, for all streams that pass it. Its time is the phase's. */
static olica_status pack_layer(olica_job *job, const char *phase, const olica_layer *layer, int index,
                               olica_maps **maps) {
  olica_timer_start(&job->context->env->timers, phase);
  olica_status status = olica_maps_create(job->context, job->kernel, &job->source->arch, layer, index, maps);
  olica_timer_stop(&job->context->env->timers);
  return status;
}

/* The final norm, then the output matrix over the evaluation's states (and into the checkpoint). What is
 * neither reading nor writing counts as "evaluate". */
static olica_status finish_stream(olica_job *job, bool pruned) {
  olica_env *env = job->context->env;
  const olica_arch *arch = &job->source->arch;
  bool write = pruned && !arch->tied;
  table_use use = {.table = OLICA_TABLE_HEAD,
                   .round = pruned,
                   .write = write,
                   .score = job->riders.count > 0,
                   .compare = pruned && job->riders.compares};
  olica_timer_start(&env->timers, "evaluate");
  olica_timer_start(&env->timers, "read");
  olica_status status = olica_source_norm(job->source, job->gains);
  olica_timer_stop(&env->timers);
  OLICA_TRY(status);
  if (pruned) OLICA_TRY(olica_weights_round(env, job->dtype, "norm", job->gains, (size_t)arch->hidden));
  if (pruned) OLICA_TRY(olica_checkpoint_write_norm(job->checkpoint, job->gains));
  olica_riders_begin(&job->riders, job->gains, pruned);
  if (use.score || write) OLICA_TRY(pass_table(job, &use));
  OLICA_TRY(olica_riders_finish(&job->riders, pruned));
  olica_timer_stop(&env->timers);
  return OLICA_OK;
}

/* A sweep over the dense model: whether the method observes it, and whether it is scored. */
typedef struct dense_sweep {
  int sweep; /* from 1 */
  bool observe, score;
} dense_sweep;

/* Reads one layer and lets the streams pass it. */
static olica_status pass_dense_layer(olica_job *job, const dense_sweep *s, int index) {
  olica_layer *layer;
  olica_maps *maps;
  OLICA_TRY(read_layer(job, index, &layer));
  OLICA_TRY(pack_layer(job, s->observe ? "survey" : "evaluate", layer, index, &maps));
  if (s->observe) OLICA_TRY(olica_method_observe(job->method, job->state, s->sweep - 1, maps));
  if (s->score) OLICA_TRY(olica_riders_advance(&job->riders, maps));
  olica_maps_destroy(maps);
  olica_layer_destroy(job->context->env, layer);
  return OLICA_OK;
}

/* Where no scores are wanted the sweep ends without the norm and the output matrix. Has the output a narrower
 * type, it must not turn out at the end of the last sweep that it cannot hold them. */
static olica_status look_at_rest(olica_job *job) {
  const olica_source *source = job->source;
  if (!olica_job_prunes(job) || job->dtype != OLICA_FP16 || source->dtype == OLICA_FP16) return OLICA_OK;
  olica_timer_start(&job->context->env->timers, "read");
  olica_status status = olica_source_norm(job->source, job->gains);
  olica_timer_stop(&job->context->env->timers);
  OLICA_TRY(status);
  return source->arch.tied ? OLICA_OK : pass_table(job, &(table_use){.table = OLICA_TABLE_HEAD});
}

/* From layer `first` on. */
static olica_status pass_dense(olica_job *job, const dense_sweep *s, int first) {
  olica_env *env = job->context->env;
  int layers = job->source->arch.layers;
  olica_progress progress =
      olica_progress_begin(s->observe ? "survey layer" : "evaluate layer", layers, first);
  if (first == 0) OLICA_TRY(pass_table(job, &(table_use){.table = OLICA_TABLE_EMBED, .embed = true}));
  for (int i = first; i < layers; i++) {
    olica_passages_begin(&job->report->passages);
    OLICA_TRY(pass_dense_layer(job, s, i));
    olica_passages_end(&job->report->passages, s->sweep, i);
    olica_progress_step(env, &progress, i + 1, "");
    /* Where the survey was read there is nothing that a restart could go on with. */
    if (i + 1 < layers && !job->saved.survey)
      OLICA_TRY(olica_resume_boundary(job, (olica_position){s->sweep, i + 1}));
  }
  olica_progress_end(env);
  return s->score ? finish_stream(job, false) : look_at_rest(job);
}

olica_status olica_sweep_dense(olica_job *job) {
  int last = olica_job_last_sweep(job);
  const olica_position from = job->resume.from;
  for (int sweep = from.sweep; sweep < last; sweep++) {
    bool score = sweep == 1 && job->riders.count > 0 && olica_job_scores(job, false) && !job->saved.dense;
    const dense_sweep s = {sweep, sweep <= job->method->passes && !job->saved.survey, score};
    if (s.observe || s.score) OLICA_TRY(pass_dense(job, &s, sweep == from.sweep ? from.layer : 0));
    if (sweep + 1 < last && s.observe) OLICA_TRY(olica_resume_boundary(job, (olica_position){sweep + 1, 0}));
  }
  OLICA_TRY(olica_saved_write(job));
  return from.sweep == last ? OLICA_OK : olica_resume_boundary(job, (olica_position){last, 0});
}

/* Reads, cuts and writes one layer, and lets the streams pass what it has become. */
static olica_status prune_layer(olica_job *job, int index, olica_cut_record *record) {
  olica_env *env = job->context->env;
  olica_layer *dense, *pruned;
  OLICA_TRY(read_layer(job, index, &dense));
  olica_timer_start(&env->timers, "cut"); /* the method's finer phases pause it */
  OLICA_TRY(job->method->cut(job->state, index, dense, &pruned, record));
  olica_layer_destroy(env, dense);
  olica_timer_stop(&env->timers);
  olica_report_cut(job->report, index, record->fact);
  olica_timer_start(&env->timers, "write");
  olica_status status = olica_checkpoint_write_layer(job->checkpoint, index, pruned);
  olica_timer_stop(&env->timers);
  OLICA_TRY(status);
  olica_maps *maps;
  OLICA_TRY(pack_layer(job, "advance", pruned, index, &maps));
  /* Behind the last layer nothing looks at the calibration stream any more. */
  if (index + 1 < job->source->arch.layers && !record->advanced) OLICA_TRY(advance_calibration(job, maps));
  OLICA_TRY(olica_riders_advance(&job->riders, maps));
  olica_maps_destroy(maps);
  olica_layer_destroy(env, pruned);
  return OLICA_OK;
}

static olica_cut_record unknown_facts(void) {
  olica_cut_record record = {0};
  for (int i = 0; i < OLICA_FACTS; i++) record.fact[i] = NAN;
  return record;
}

olica_status olica_sweep_prune(olica_job *job) {
  olica_env *env = job->context->env;
  int layers = job->source->arch.layers, sweep = olica_job_last_sweep(job);
  int first = job->resume.from.sweep == sweep ? job->resume.from.layer : 0;
  olica_progress progress = olica_progress_begin("prune layer", layers, first);
  const table_use embed = {.table = OLICA_TABLE_EMBED, .embed = true, .round = true, .write = true};
  if (first == 0) OLICA_TRY(pass_table(job, &embed));
  for (int i = first; i < layers; i++) {
    olica_cut_record record = unknown_facts();
    olica_passages_begin(&job->report->passages);
    olica_status status = prune_layer(job, i, &record);
    if (status != OLICA_OK) return olica_error_context(env, "layer %d: ", i);
    olica_passages_end(&job->report->passages, sweep, i);
    olica_progress_step(env, &progress, i + 1, record.line);
    OLICA_TRY(olica_resume_boundary(job, (olica_position){sweep, i + 1}));
  }
  olica_progress_end(env);
  return finish_stream(job, true);
}
