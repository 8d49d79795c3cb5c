/* The two sweeps over the layers. Streams ride along: calibration and evaluation pass every layer while it is
 * here, so that a sweep reads every weight once. */
#include <math.h>
#include <stdio.h>

#include "job.h"
#include "olica/par/comm.h"

/* What is written is what is used: in sweep 2 a table's rows are rounded, written, and looked up. */
typedef struct table_use {
  olica_table table;
  bool round, write, embed, score;
} table_use;

static olica_status score_panel(olica_job *job, int64_t first, int64_t count) {
  olica_packed *rows;
  const olica_packed_weights panel = {.out = (int)count, .in = job->source->arch.hidden, .w = job->panel};
  OLICA_AGREE(job->context, olica_packed_create(job->kernel, panel, &rows));
  if (job->perplexity) olica_perplexity_add(job->perplexity, first, count, rows);
  if (job->tasks.choices) olica_choices_add(job->tasks.choices, first, count, rows);
  olica_packed_destroy(rows);
  return OLICA_OK;
}

static olica_status use_panel(olica_job *job, const table_use *use, int64_t first, int64_t count) {
  olica_env *env = job->context->env;
  const char *name = use->table == OLICA_TABLE_EMBED ? "embed_tokens" : "lm_head";
  if (use->round)
    OLICA_TRY(
        olica_weights_round(env, job->dtype, name, job->panel, (size_t)count * job->source->arch.hidden));
  if (use->embed) {
    olica_stream_embed(job->stream, first, count, job->panel);
    if (job->perplexity) olica_stream_embed(job->perplexity->stream, first, count, job->panel);
    if (job->tasks.choices) olica_choices_embed(job->tasks.choices, first, count, job->panel);
  }
  if (use->score) {
    olica_timer_start(&env->timers, "evaluate");
    olica_status status = score_panel(job, first, count);
    olica_timer_stop(&env->timers);
    OLICA_TRY(status);
  }
  if (!use->write) return OLICA_OK;
  olica_timer_start(&env->timers, "write");
  olica_status status = olica_checkpoint_write_rows(job->checkpoint, use->table, first, count, job->panel);
  olica_timer_stop(&env->timers);
  return status;
}

static olica_status pass_table(olica_job *job, const table_use *use) {
  olica_timers *timers = &job->context->env->timers;
  olica_timer_start(timers, "read");
  for (int panel = 0; panel < job->source->panels; panel++) {
    int64_t first, count;
    OLICA_TRY(olica_source_panel(job->source, use->table, panel, job->panel, &first, &count));
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

static olica_status advance(olica_job *job, const char *phase, olica_stream *stream, olica_forward *forward,
                            const olica_maps *maps) {
  olica_timer_start(&job->context->env->timers, phase);
  olica_status status = olica_stream_advance(stream, forward, maps, NULL);
  olica_timer_stop(&job->context->env->timers);
  return status;
}

/* A layer packed, for all streams that pass it. Its time is the phase's. */
static olica_status pack_layer(olica_job *job, const char *phase, const olica_layer *layer, int index,
                               olica_maps **maps) {
  olica_timer_start(&job->context->env->timers, phase);
  OLICA_AGREE(job->context, olica_maps_create(job->kernel, &job->source->arch, layer, index, maps));
  olica_timer_stop(&job->context->env->timers);
  return OLICA_OK;
}

static bool evaluates(const olica_job *job) {
  return job->perplexity || job->tasks.choices;
}

/* What is evaluated passes a layer. */
static olica_status advance_evaluation(olica_job *job, const olica_maps *maps) {
  if (job->perplexity) OLICA_TRY(advance(job, "evaluate", job->perplexity->stream, job->eval_forward, maps));
  if (!job->tasks.choices) return OLICA_OK;
  olica_timer_start(&job->context->env->timers, "evaluate");
  olica_status status = olica_choices_advance(job->tasks.choices, maps);
  olica_timer_stop(&job->context->env->timers);
  return status;
}

/* The scores of one model, once all panels have passed. */
static olica_status finish_scores(olica_job *job, bool pruned) {
  double *perplexity = pruned ? &job->report->perplexity.pruned : &job->report->perplexity.dense;
  if (job->perplexity) {
    OLICA_TRY(olica_perplexity_finish(job->perplexity, perplexity));
    olica_log_line(job->context->env, "%s perplexity %.4f", pruned ? "pruned" : "dense", *perplexity);
  }
  return job->tasks.choices ? olica_job_finish_tasks(job, pruned) : OLICA_OK;
}

/* The final norm, then the output matrix over the evaluation's states (and into the checkpoint). What is
 * neither reading nor writing counts as "evaluate". */
static olica_status finish_stream(olica_job *job, bool pruned) {
  olica_env *env = job->context->env;
  const olica_arch *arch = &job->source->arch;
  bool write = pruned && !arch->tied;
  table_use use = {.table = OLICA_TABLE_HEAD, .round = pruned, .write = write, .score = evaluates(job)};
  olica_timer_start(&env->timers, "evaluate");
  olica_timer_start(&env->timers, "read");
  olica_status status = olica_source_norm(job->source, job->gains);
  olica_timer_stop(&env->timers);
  OLICA_TRY(status);
  if (pruned) OLICA_TRY(olica_weights_round(env, job->dtype, "norm", job->gains, (size_t)arch->hidden));
  if (pruned) OLICA_TRY(olica_checkpoint_write_norm(job->checkpoint, job->gains));
  if (job->perplexity) olica_perplexity_begin(job->perplexity, job->gains);
  if (job->tasks.choices) olica_choices_begin(job->tasks.choices, job->gains);
  if (use.score || write) OLICA_TRY(pass_table(job, &use));
  OLICA_TRY(finish_scores(job, pruned));
  olica_timer_stop(&env->timers);
  return OLICA_OK;
}

/* "5 min 20 s" of what is left, from the layers of this sweep so far. */
static void time_left(double since, int done, int layers, char text[32]) {
  double left = (olica_timer_now() - since) / done * (layers - done);
  if (left < 60)
    snprintf(text, 32, "%.0f s", left);
  else if (left < 3600)
    snprintf(text, 32, "%d min %02d s", (int)left / 60, (int)left % 60);
  else
    snprintf(text, 32, "%d h %02d min", (int)(left / 3600), (int)(left / 60) % 60);
}

/* Reads one layer, surveys it, and lets the streams pass it. */
static olica_status survey_layer(olica_job *job, int index, bool score) {
  olica_layer *layer;
  olica_maps *maps;
  OLICA_TRY(read_layer(job, index, &layer));
  OLICA_TRY(pack_layer(job, job->method->survey ? "survey" : "evaluate", layer, index, &maps));
  if (job->method->survey) OLICA_TRY(job->method->survey(job->state, maps));
  if (score) OLICA_TRY(advance_evaluation(job, maps));
  olica_maps_destroy(maps);
  olica_layer_destroy(job->context->env, layer);
  return OLICA_OK;
}

olica_status olica_sweep_survey(olica_job *job) {
  olica_env *env = job->context->env;
  bool score = evaluates(job) && olica_job_scores(job, false);
  int layers = job->source->arch.layers;
  double since = olica_timer_now();
  OLICA_TRY(pass_table(job, &(table_use){.table = OLICA_TABLE_EMBED, .embed = true}));
  for (int i = 0; i < layers; i++) {
    char left[32];
    OLICA_TRY(survey_layer(job, i, score));
    time_left(since, i + 1, layers, left);
    olica_log_line(env, "%s layer %d of %d, %s left in this sweep",
                   job->method->survey ? "survey" : "evaluate", i + 1, layers, left);
  }
  return score ? finish_stream(job, false) : OLICA_OK;
}

static void record_layer(olica_job *job, int index, const olica_layer *pruned, const olica_cut_record *cut) {
  olica_report_layer(job->report, (olica_report_layer_record){.layer = index,
                                                              .q_rank = pruned->shape.rank[OLICA_Q],
                                                              .k_rank = pruned->shape.rank[OLICA_K],
                                                              .vo_width = pruned->linear[OLICA_V].out,
                                                              .ffn_width = pruned->shape.ffn,
                                                              .branch_rank = pruned->shape.branch,
                                                              .q_error = cut->q_error,
                                                              .k_error = cut->k_error});
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
  record_layer(job, index, pruned, record);
  olica_timer_start(&env->timers, "write");
  olica_status status = olica_checkpoint_write_layer(job->checkpoint, index, pruned);
  olica_timer_stop(&env->timers);
  OLICA_TRY(status);
  olica_maps *maps;
  OLICA_TRY(pack_layer(job, "advance", pruned, index, &maps));
  /* Behind the last layer nothing looks at the calibration stream any more. */
  if (index + 1 < job->source->arch.layers)
    OLICA_TRY(advance(job, "advance", job->stream, job->forward, maps));
  OLICA_TRY(advance_evaluation(job, maps));
  olica_maps_destroy(maps);
  olica_layer_destroy(env, pruned);
  return OLICA_OK;
}

olica_status olica_sweep_prune(olica_job *job) {
  olica_env *env = job->context->env;
  int layers = job->source->arch.layers;
  double since = olica_timer_now();
  OLICA_TRY(
      pass_table(job, &(table_use){.table = OLICA_TABLE_EMBED, .embed = true, .round = true, .write = true}));
  for (int i = 0; i < layers; i++) {
    olica_cut_record record = {0};
    char left[32];
    olica_status status = prune_layer(job, i, &record);
    if (status != OLICA_OK) return olica_error_context(env, "layer %d: ", i);
    time_left(since, i + 1, layers, left);
    olica_log_line(env, "prune layer %d of %d: query error %.4f, key error %.4f%s, %s left", i + 1, layers,
                   record.q_error, record.k_error, job->shapes[i].branch ? ", calibrated" : "", left);
  }
  return finish_stream(job, true);
}
