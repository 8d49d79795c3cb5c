/* The two sweeps over the layers. Streams ride along: calibration and evaluation pass every layer while it is
 * here, so that a sweep reads every weight once. */
#include <stdio.h>

#include "job.h"
#include "olica/base/progress.h"
#include "olica/par/comm.h"

/* What is written is what is used: in sweep 2 a table's rows are rounded, written, and looked up. */
typedef struct table_use {
  olica_table table;
  bool round, write, embed, score;
} table_use;

/* Packed by the node's ranks together, like a layer's maps. */
static olica_status score_panel(olica_job *job, int64_t first, int64_t count) {
  olica_context *context = job->context;
  olica_packed *rows;
  olica_shared *room = NULL;
  olica_packed_weights panel = {.out = (int)count, .in = job->source->arch.hidden, .w = job->panel->data};
  size_t bytes = olica_packed_bytes(job->precision, panel.out, panel.in);
  if (bytes > 0) {
    OLICA_TRY(olica_shared_create(context, "packed rows of the output matrix", bytes, &room));
    panel.room = room->data;
    panel.node = context;
  }
  OLICA_AGREE(context, olica_packed_create(job->kernel, panel, &rows));
  olica_shared_fence(context);
  if (job->perplexity) olica_perplexity_add(job->perplexity, first, count, rows);
  if (job->tasks.choices) olica_choices_add(job->tasks.choices, first, count, rows);
  olica_packed_destroy(rows);
  olica_shared_destroy(room);
  return OLICA_OK;
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
  if (use->round) OLICA_TRY(round_panel(job, use->table, count));
  if (use->embed) {
    olica_stream_embed(job->stream, first, count, rows);
    if (job->perplexity) olica_stream_embed(job->perplexity->stream, first, count, rows);
    if (job->tasks.choices) olica_choices_embed(job->tasks.choices, first, count, rows);
  }
  if (use->score) {
    olica_timer_start(&env->timers, "evaluate");
    olica_status status = score_panel(job, first, count);
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
  olica_status status = olica_maps_create(job->context, job->kernel, &job->source->arch, layer, index, maps);
  olica_timer_stop(&job->context->env->timers);
  return status;
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
    olica_log_line(job->context->env, "%s perplexity %.4f", olica_report_name(job->report, pruned),
                   *perplexity);
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

/* Reads one layer, surveys it, and lets the streams pass it. */
static olica_status survey_layer(olica_job *job, int index, bool survey, bool score) {
  olica_layer *layer;
  olica_maps *maps;
  OLICA_TRY(read_layer(job, index, &layer));
  OLICA_TRY(pack_layer(job, survey ? "survey" : "evaluate", layer, index, &maps));
  if (survey) OLICA_TRY(job->method->survey(job->state, maps));
  if (score) OLICA_TRY(advance_evaluation(job, maps));
  olica_maps_destroy(maps);
  olica_layer_destroy(job->context->env, layer);
  return OLICA_OK;
}

/* Where no scores are wanted sweep 1 ends without the norm and the output matrix. Has the output a narrower
 * type, it must not turn out at the end of sweep 2 that it cannot hold them. */
static olica_status look_at_rest(olica_job *job) {
  const olica_source *source = job->source;
  if (!olica_job_prunes(job) || job->dtype != OLICA_FP16 || source->dtype == OLICA_FP16) return OLICA_OK;
  olica_timer_start(&job->context->env->timers, "read");
  olica_status status = olica_source_norm(job->source, job->gains);
  olica_timer_stop(&job->context->env->timers);
  OLICA_TRY(status);
  return source->arch.tied ? OLICA_OK : pass_table(job, &(table_use){.table = OLICA_TABLE_HEAD});
}

/* Sweep 1 from layer `first` on: the survey, the dense model's scores, or one of them. */
static olica_status survey_layers(olica_job *job, int first, bool survey, bool score) {
  olica_env *env = job->context->env;
  int layers = job->source->arch.layers;
  olica_progress progress = olica_progress_begin(survey ? "survey layer" : "evaluate layer", layers, first);
  if (first == 0) OLICA_TRY(pass_table(job, &(table_use){.table = OLICA_TABLE_EMBED, .embed = true}));
  for (int i = first; i < layers; i++) {
    olica_passages_begin(&job->report->passages);
    OLICA_TRY(survey_layer(job, i, survey, score));
    olica_passages_end(&job->report->passages, OLICA_SWEEP_SURVEY, i);
    olica_progress_step(env, &progress, i + 1, "");
    /* Where the survey was read, sweep 1 has nothing that a restart could go on with. */
    if (i + 1 < layers && !job->saved.survey)
      OLICA_TRY(olica_resume_boundary(job, (olica_position){1, i + 1}));
  }
  olica_progress_end(env);
  return score ? finish_stream(job, false) : look_at_rest(job);
}

olica_status olica_sweep_survey(olica_job *job) {
  bool survey = job->method->survey && !job->saved.survey;
  bool score = evaluates(job) && olica_job_scores(job, false) && !job->saved.dense;
  if (job->resume.from.sweep == 2) return olica_saved_write(job);
  if (survey || score) OLICA_TRY(survey_layers(job, job->resume.from.layer, survey, score));
  OLICA_TRY(olica_saved_write(job));
  return olica_resume_boundary(job, (olica_position){2, 0});
}

static void record_layer(olica_job *job, int index, const olica_layer *pruned, const olica_cut_record *cut) {
  olica_report_layer(job->report, (olica_report_layer_record){.layer = index,
                                                              .q_rank = pruned->shape.rank[OLICA_Q],
                                                              .k_rank = pruned->shape.rank[OLICA_K],
                                                              .vo_width = pruned->linear[OLICA_V].out,
                                                              .ffn_width = pruned->shape.ffn,
                                                              .branch_rank = pruned->shape.branch,
                                                              .q_error = cut->q_error,
                                                              .k_error = cut->k_error,
                                                              .silent_channels = cut->silent_channels});
  if (cut->silent_channels)
    olica_log_line(job->context->env, "layer %d: %d input channels of its linear maps have no energy", index,
                   cut->silent_channels);
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
  int first = job->resume.from.sweep == 2 ? job->resume.from.layer : 0;
  olica_progress progress = olica_progress_begin("prune layer", layers, first);
  const table_use embed = {.table = OLICA_TABLE_EMBED, .embed = true, .round = true, .write = true};
  if (first == 0) OLICA_TRY(pass_table(job, &embed));
  for (int i = first; i < layers; i++) {
    olica_cut_record record = {0};
    char detail[96];
    olica_passages_begin(&job->report->passages);
    olica_status status = prune_layer(job, i, &record);
    if (status != OLICA_OK) return olica_error_context(env, "layer %d: ", i);
    olica_passages_end(&job->report->passages, OLICA_SWEEP_PRUNE, i);
    snprintf(detail, sizeof detail, "query error %.4f, key error %.4f%s", record.q_error, record.k_error,
             job->shapes[i].branch ? ", calibrated" : "");
    olica_progress_step(env, &progress, i + 1, detail);
    OLICA_TRY(olica_resume_boundary(job, (olica_position){2, i + 1}));
  }
  olica_progress_end(env);
  return finish_stream(job, true);
}
