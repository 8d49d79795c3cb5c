#include "probe.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "par/comm.h"
#include "par/partition.h"

static size_t sequence_numbers(const olica_refit_probes *p) {
  return (size_t)p->dense->tokens * (size_t)p->dense->hidden;
}

/* The calibration's sequence that probe s is. */
static int64_t source_of(const olica_refit_probes *p, int s) {
  return p->job->stream->sequences * s / p->count;
}

/* Ids of the probes, from the ranks that have them. */
static olica_status share_ids(olica_refit_probes *p) {
  olica_context *context = p->job->context;
  const olica_stream *from = p->job->stream, *to = p->dense;
  size_t bytes = (size_t)to->tokens * sizeof *to->ids;
  int32_t *ids;
  OLICA_AGREE(context, OLICA_NEW(context->env, ids, (size_t)to->tokens));
  for (int s = 0; s < p->count; s++) {
    int64_t source = source_of(p, s);
    int owner = olica_partition_owner(from->sequences, context->size, source);
    if (context->rank == owner) memcpy(ids, from->ids + (source - from->first) * to->tokens, bytes);
    olica_comm_bcast(context, context->comm, ids, bytes, owner);
    if (s >= to->first && s < to->first + to->count)
      memcpy(to->ids + (s - to->first) * to->tokens, ids, bytes);
  }
  olica_memory_free(context->env, ids);
  return OLICA_OK;
}

static olica_status create(olica_refit_probes *p) {
  const olica_stream *like = p->job->stream;
  OLICA_TRY(olica_stream_create(p->job->context, like->hidden, p->count, like->tokens, &p->dense));
  return olica_stream_create(p->job->context, like->hidden, (int64_t)p->count * p->variants, like->tokens,
                             &p->cut);
}

olica_status olica_refit_probes_create(const olica_method_job *job, int count, int kinds,
                                       olica_refit_probes **out) {
  olica_refit_probes *p = NULL;
  OLICA_AGREE(job->context, OLICA_NEW(job->context->env, p, 1));
  *p = (olica_refit_probes){
      .job = job, .kinds = kinds, .variants = kinds * job->model.arch->layers, .count = count};
  *out = p;
  OLICA_AGREE(job->context, create(p));
  return share_ids(p);
}

void olica_refit_probes_destroy(olica_refit_probes *p) {
  if (!p) return;
  olica_env *env = p->job->context->env;
  olica_stream_destroy(p->dense);
  olica_stream_destroy(p->cut);
  olica_memory_free(env, p);
}

/* The dense states of all probes on every rank. */
static olica_status gather(olica_refit_probes *p) {
  olica_context *context = p->job->context;
  size_t numbers = sequence_numbers(p);
  OLICA_AGREE(context, OLICA_NEW(context->env, p->everywhere, (size_t)p->count * numbers));
  memcpy(p->everywhere + (size_t)p->dense->first * numbers, p->dense->x,
         (size_t)p->dense->count * numbers * sizeof *p->everywhere);
  olica_comm_gather(context, context->comm, p->everywhere, numbers * sizeof *p->everywhere, p->count);
  return OLICA_OK;
}

/* The pairs [first, first + count) of probe s. */
static olica_stream pairs_of(const olica_refit_probes *p, int s, int first, int count) {
  return olica_stream_part(p->cut, (int64_t)s * p->variants + first, count);
}

static olica_status pass(olica_refit_probes *p, int s, int first, int count, const olica_maps *maps) {
  olica_stream part = pairs_of(p, s, first, count);
  return olica_stream_advance(&part, p->job->forward, maps, NULL);
}

olica_status olica_refit_probes_join(olica_refit_probes *p, const olica_maps *dense) {
  size_t numbers = sequence_numbers(p);
  int before = dense->index * p->kinds;
  OLICA_TRY(gather(p));
  for (int s = 0; s < p->count; s++) {
    for (int k = 0; k < p->kinds; k++) {
      olica_stream joins = pairs_of(p, s, before + k, 1);
      if (joins.count > 0) memcpy(joins.x, p->everywhere + (size_t)s * numbers, numbers * sizeof *joins.x);
    }
    OLICA_TRY(pass(p, s, 0, before, dense));
  }
  OLICA_FREE(p->job->context->env, p->everywhere);
  return olica_stream_advance(p->dense, p->job->forward, dense, NULL);
}

olica_status olica_refit_probes_pass(olica_refit_probes *p, int kind, const olica_maps *cut) {
  for (int s = 0; s < p->count; s++) OLICA_TRY(pass(p, s, cut->index * p->kinds + kind, 1, cut));
  return OLICA_OK;
}

/* ---- the output ---- */

typedef struct output {
  size_t positions, logits; /* numbers */
  olica_divergence *each;
  float *logit[2];
} output;

static size_t lay_out(output *o, void *block) {
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, o->each, o->positions);
  for (int i = 0; i < 2; i++) OLICA_TAKE(&arena, o->logit[i], o->logits);
  return arena.used;
}

olica_status olica_refit_probes_begin(olica_refit_probes *p, const float *gains) {
  olica_context *context = p->job->context;
  const olica_arch *arch = p->job->model.arch;
  int rows = p->dense->tokens;
  size_t positions = (size_t)p->cut->count * (size_t)rows;
  output o = {.positions = positions, .logits = (size_t)rows * (size_t)p->job->panel_rows};
  OLICA_TRY(gather(p));
  for (int s = 0; s < p->count; s++) {
    float *x = p->everywhere + (size_t)s * sequence_numbers(p);
    olica_forward_norm(arch, rows, x, gains, x);
  }
  for (int64_t i = 0; i < p->cut->count; i++) {
    float *x = olica_stream_sequence(p->cut, i);
    olica_forward_norm(arch, rows, x, gains, x);
  }
  OLICA_AGREE(context, OLICA_LAY_OUT(context->env, "output of the probes", p->output, lay_out, &o));
  p->each = o.each;
  for (int i = 0; i < 2; i++) p->logits[i] = o.logit[i];
  olica_divergence_begin(positions, p->each);
  return OLICA_OK;
}

void olica_refit_probes_add(olica_refit_probes *p, int64_t count, olica_packed *rows) {
  const olica_arch *arch = p->job->model.arch;
  int tokens = p->dense->tokens;
  int64_t last = -1;
  for (int64_t i = 0; i < p->cut->count; i++) {
    int64_t s = (p->cut->first + i) / p->variants;
    if (s != last)
      olica_forward_logits(arch, rows, tokens, p->everywhere + (size_t)s * sequence_numbers(p), count,
                           p->logits[0]);
    last = s;
    olica_forward_logits(arch, rows, tokens, olica_stream_sequence(p->cut, i), count, p->logits[1]);
#pragma omp parallel for schedule(static)
    for (int t = 0; t < tokens; t++) {
      size_t at = (size_t)t * (size_t)count;
      olica_divergence_join(p->logits[0] + at, p->logits[1] + at, count, &p->each[i * tokens + t]);
    }
  }
}

/* The mean over the tokens of every own pair, in its place among those of all ranks. */
static void put_means(const olica_refit_probes *p, double *mean) {
  int tokens = p->dense->tokens;
  for (int64_t i = 0; i < p->cut->count; i++) {
    double sum = 0;
    for (int t = 0; t < tokens; t++) sum += olica_divergence_value(&p->each[i * tokens + t]);
    mean[p->cut->first + i] = sum / tokens;
  }
}

olica_status olica_refit_probes_finish(olica_refit_probes *p, double *kl) {
  olica_context *context = p->job->context;
  olica_env *env = context->env;
  size_t pairs = (size_t)p->count * (size_t)p->variants;
  double *mean;
  OLICA_AGREE(context, OLICA_NEW(env, mean, pairs));
  put_means(p, mean);
  olica_comm_sum(context, context->comm, mean, pairs);
  for (int i = 0; i < p->variants; i++) {
    kl[i] = 0;
    for (int s = 0; s < p->count; s++) kl[i] += mean[(size_t)s * (size_t)p->variants + (size_t)i] / p->count;
    if (!isfinite(kl[i]))
      return olica_error_set(env, OLICA_ERR_NUMERIC,
                             "probe of layer %d: its KL divergence is not finite: the model overflows fp32",
                             i / p->kinds);
    if (kl[i] < 0) kl[i] = 0; /* rounding, where the cut changes nothing */
  }
  olica_memory_free(env, mean);
  OLICA_FREE(env, p->output);
  OLICA_FREE(env, p->everywhere);
  return OLICA_OK;
}

/* ---- the replay ---- */

void olica_refit_probes_hold(olica_ledger *ledger, const olica_method_model *model,
                             const olica_method_site *site, int count, int variants) {
  int hidden = model->arch->hidden;
  olica_stream_hold(ledger, hidden, count, site->tokens, site->ranks);
  olica_stream_hold(ledger, hidden, (int64_t)count * variants, site->tokens, site->ranks);
}

olica_hold olica_refit_probes_replay_gather(olica_ledger *ledger, const olica_method_model *model,
                                            const olica_method_site *site, int count) {
  return olica_ledger_hold(ledger, (size_t)count * (size_t)site->tokens * (size_t)model->arch->hidden *
                                       sizeof(float));
}

void olica_refit_probes_replay_output(olica_ledger *ledger, const olica_method_model *model,
                                      const olica_method_site *site, int count, int variants) {
  int64_t own = olica_partition_block((int64_t)count * variants, site->ranks, 0).count;
  output o = {.positions = (size_t)own * (size_t)site->tokens,
              .logits = (size_t)site->tokens * (size_t)site->panel_rows};
  olica_hold before = olica_ledger_mark(ledger);
  olica_ledger_hold_node(ledger,
                         olica_packed_measure(site->precision, site->panel_rows, model->arch->hidden));
  olica_refit_probes_replay_gather(ledger, model, site, count);
  olica_ledger_hold(ledger, lay_out(&o, NULL));
  olica_ledger_rewind(ledger, before);
}
