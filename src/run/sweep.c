#include "sweep.h"

#include <math.h>
#include <stdio.h>

#include "base/progress.h"
#include "boundary.h"
#include "tables.h"

static olica_status read_layer(olica_engine *engine, int index, olica_layer **layer) {
  olica_timer_start(&engine->setup->context->env->timers, "read");
  olica_status status = olica_source_layer(engine->setup->source, index, layer);
  olica_timer_stop(&engine->setup->context->env->timers);
  return status;
}

static olica_status advance_calibration(olica_engine *engine, const olica_maps *maps) {
  olica_timer_start(&engine->setup->context->env->timers, "advance");
  olica_status status = olica_stream_advance(engine->stream, engine->forward, maps, NULL);
  olica_timer_stop(&engine->setup->context->env->timers);
  return status;
}

/* Packs a layer for all streams that pass it, in that phase. */
static olica_status pack_layer(olica_engine *engine, const char *phase, const olica_layer *layer, int index,
                               olica_maps **maps) {
  olica_timer_start(&engine->setup->context->env->timers, phase);
  olica_status status = olica_maps_create(engine->setup->context, engine->kernel,
                                          &engine->setup->source->arch, layer, index, maps);
  olica_timer_stop(&engine->setup->context->env->timers);
  return status;
}

/* The end of a model, after its last layer: it is the pruned one, the riders score it, a scorer of the method
 * reads its output. */
typedef struct ending {
  bool pruned, score;
  const olica_scorer *scorer;
} ending;

static olica_status begin_scores(olica_engine *engine, const ending *e) {
  if (e->score) olica_riders_begin(engine->riders, engine->gains, e->pruned);
  return e->scorer ? e->scorer->begin(engine->state, engine->gains) : OLICA_OK;
}

static olica_status finish_scores(olica_engine *engine, const ending *e) {
  if (e->score) OLICA_TRY(olica_riders_finish(engine->riders, e->pruned));
  return e->scorer ? e->scorer->finish(engine->state) : OLICA_OK;
}

/* Applies the final norm and the output matrix to the evaluation's states, and writes both into the
 * checkpoint. The phase is "evaluate", but for reading and writing. */
static olica_status finish_stream(olica_engine *engine, ending e) {
  bool pruned = e.pruned;
  olica_env *env = engine->setup->context->env;
  const olica_arch *arch = &engine->setup->source->arch;
  bool write = pruned && !arch->tied;
  olica_table_use use = {.table = OLICA_TABLE_HEAD,
                         .round = pruned,
                         .write = write,
                         .score = e.score && engine->riders->count > 0,
                         .scorer = e.scorer,
                         .compare = pruned && engine->riders->compares};
  olica_timer_start(&env->timers, "evaluate");
  olica_timer_start(&env->timers, "read");
  olica_status status = olica_source_norm(engine->setup->source, engine->gains);
  olica_timer_stop(&env->timers);
  OLICA_TRY(status);
  if (pruned)
    OLICA_TRY(
        olica_weights_round(env, engine->setup->dtype, "norm", engine->gains, olica_arch_norm_numbers(arch)));
  if (pruned) OLICA_TRY(olica_checkpoint_write_norm(engine->checkpoint, engine->gains));
  OLICA_TRY(begin_scores(engine, &e));
  if (use.score || use.scorer || write) OLICA_TRY(olica_tables_pass(engine, &use));
  OLICA_TRY(finish_scores(engine, &e));
  olica_timer_stop(&env->timers);
  return OLICA_OK;
}

/* A sweep over the dense model: the method observes the layers, the riders score the model, or both. */
typedef struct dense_sweep {
  int sweep; /* from 1 */
  bool observe, score;
} dense_sweep;

/* Reads one layer and lets the streams pass it. */
static olica_status pass_dense_layer(olica_engine *engine, const dense_sweep *s, int index) {
  olica_layer *layer;
  olica_maps *maps;
  OLICA_TRY(read_layer(engine, index, &layer));
  OLICA_TRY(pack_layer(engine, s->observe ? "survey" : "evaluate", layer, index, &maps));
  if (s->observe) OLICA_TRY(olica_method_observe(engine->setup->method, engine->state, s->sweep - 1, maps));
  if (s->score) OLICA_TRY(olica_riders_advance(engine->riders, maps));
  olica_maps_destroy(maps);
  olica_layer_destroy(engine->setup->context->env, layer);
  return OLICA_OK;
}

/* Reads norm and output matrix in a sweep without scores, if fp16 might not represent them: otherwise the run
 * would find that out only at the end of the last sweep. */
static olica_status look_at_rest(olica_engine *engine) {
  const olica_source *source = engine->setup->source;
  if (!olica_setup_prunes(engine->setup) || engine->setup->dtype != OLICA_FP16 || source->dtype == OLICA_FP16)
    return OLICA_OK;
  olica_timer_start(&engine->setup->context->env->timers, "read");
  olica_status status = olica_source_norm(engine->setup->source, engine->gains);
  olica_timer_stop(&engine->setup->context->env->timers);
  OLICA_TRY(status);
  return source->arch.tied ? OLICA_OK
                           : olica_tables_pass(engine, &(olica_table_use){.table = OLICA_TABLE_HEAD});
}

/* Names the sweep for the log: "survey layer", of several passes "survey 2 of 3, layer". */
static void name_sweep(const dense_sweep *s, int passes, char what[32]) {
  if (s->observe && passes > 1)
    snprintf(what, 32, "survey %d of %d, layer", s->sweep, passes);
  else
    snprintf(what, 32, "%s", s->observe ? "survey layer" : "evaluate layer");
}

/* Passes the dense model's layers from `first` on. */
static olica_status pass_dense(olica_job *job, const dense_sweep *s, int first) {
  olica_env *env = job->setup.context->env;
  int layers = job->setup.source->arch.layers;
  char what[32];
  name_sweep(s, olica_setup_passes(&job->setup), what);
  olica_progress progress = olica_progress_begin(what, layers, first);
  if (first == 0)
    OLICA_TRY(olica_tables_pass(&job->engine, &(olica_table_use){.table = OLICA_TABLE_EMBED, .embed = true}));
  for (int i = first; i < layers; i++) {
    olica_passages_begin(&job->engine.report->passages);
    OLICA_TRY(pass_dense_layer(&job->engine, s, i));
    olica_passages_end(&job->engine.report->passages, s->sweep, i);
    olica_progress_step(env, &progress, i + 1, "");
    /* If the survey was read from a file, a restart would save nothing. */
    if (i + 1 < layers && !job->saved.survey)
      OLICA_TRY(olica_boundary_pass(&job->resume, (olica_position){s->sweep, i + 1}));
  }
  olica_progress_end(env);
  ending e = {.score = s->score};
  if (s->observe) e.scorer = olica_method_scorer(job->setup.method, job->engine.state, s->sweep - 1);
  return e.score || e.scorer ? finish_stream(&job->engine, e) : look_at_rest(&job->engine);
}

olica_status olica_sweep_dense(olica_job *job) {
  int last = olica_setup_last_sweep(&job->setup);
  const olica_position from = job->resume.from;
  for (int sweep = from.sweep; sweep < last; sweep++) {
    bool score =
        sweep == 1 && job->riders.count > 0 && olica_setup_scores(&job->setup, false) && !job->saved.dense;
    const dense_sweep s = {sweep, sweep <= olica_setup_passes(&job->setup) && !job->saved.survey, score};
    if (s.observe || s.score) OLICA_TRY(pass_dense(job, &s, sweep == from.sweep ? from.layer : 0));
    if (sweep + 1 < last && s.observe)
      OLICA_TRY(olica_boundary_pass(&job->resume, (olica_position){sweep + 1, 0}));
  }
  OLICA_TRY(olica_saved_write(&job->saved));
  return from.sweep == last ? OLICA_OK : olica_boundary_pass(&job->resume, (olica_position){last, 0});
}

/* Reads, prunes and writes one layer, and lets the streams pass the pruned one. */
static olica_status prune_layer(olica_engine *engine, int index, olica_cut_record *record) {
  olica_env *env = engine->setup->context->env;
  olica_layer *dense, *pruned;
  OLICA_TRY(read_layer(engine, index, &dense));
  olica_timer_start(&env->timers, "cut"); /* the method's finer phases pause it */
  OLICA_TRY(engine->setup->method->cut(engine->state, index, dense, &pruned, record));
  olica_layer_destroy(env, dense);
  olica_timer_stop(&env->timers);
  olica_report_cut(engine->report, index, record);
  olica_timer_start(&env->timers, "write");
  olica_status status = olica_checkpoint_write_layer(engine->checkpoint, index, pruned);
  olica_timer_stop(&env->timers);
  OLICA_TRY(status);
  olica_maps *maps;
  OLICA_TRY(pack_layer(engine, "advance", pruned, index, &maps));
  /* Nothing reads the calibration stream after the last layer. */
  if (index + 1 < engine->setup->source->arch.layers && !record->advanced)
    OLICA_TRY(advance_calibration(engine, maps));
  OLICA_TRY(olica_riders_advance(engine->riders, maps));
  olica_maps_destroy(maps);
  olica_layer_destroy(env, pruned);
  return OLICA_OK;
}

olica_status olica_sweep_prune(olica_job *job) {
  olica_env *env = job->setup.context->env;
  int layers = job->setup.source->arch.layers, sweep = olica_setup_last_sweep(&job->setup);
  int first = job->resume.from.sweep == sweep ? job->resume.from.layer : 0;
  olica_progress progress = olica_progress_begin("prune layer", layers, first);
  const olica_table_use embed = {.table = OLICA_TABLE_EMBED, .embed = true, .round = true, .write = true};
  if (first == 0) OLICA_TRY(olica_tables_pass(&job->engine, &embed));
  for (int i = first; i < layers; i++) {
    olica_cut_record record = olica_cut_unknown();
    olica_passages_begin(&job->engine.report->passages);
    olica_status status = prune_layer(&job->engine, i, &record);
    if (status != OLICA_OK) return olica_error_context(env, "layer %d: ", i);
    olica_passages_end(&job->engine.report->passages, sweep, i);
    olica_progress_step(env, &progress, i + 1, record.line);
    OLICA_TRY(olica_boundary_pass(&job->resume, (olica_position){sweep, i + 1}));
  }
  olica_progress_end(env);
  return finish_stream(&job->engine, (ending){.pruned = true, .score = true});
}
