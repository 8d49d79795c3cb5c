#include "influence.h"

#include <math.h>
#include <string.h>

#include "calib/statistics.h"
#include "par/comm.h"

/* The pack that passes: its states before, kept until it has passed. */
typedef struct passing {
  const olica_stream *stream;
  int64_t at; /* the pack's first sequence */
  int pack;   /* sequences of a full one */
  float *before;
  double sum;
} passing;

static size_t pack_numbers(int rows, int hidden) {
  return (size_t)rows * (size_t)hidden;
}

static void keep(passing *p) {
  int64_t left = p->stream->count - p->at, count = left < p->pack ? left : p->pack;
  size_t numbers = (size_t)p->stream->tokens * (size_t)p->stream->hidden;
  if (count > 0)
    memcpy(p->before, olica_stream_sequence(p->stream, p->at), (size_t)count * numbers * sizeof *p->before);
}

static double distance(const float *x, const float *y, int d) {
  double xx = 0, yy = 0, xy = 0;
  for (int i = 0; i < d; i++) {
    xx += (double)x[i] * x[i];
    yy += (double)y[i] * y[i];
    xy += (double)x[i] * y[i];
  }
  return xx > 0 && yy > 0 ? 1 - xy / sqrt(xx * yy) : 0;
}

static olica_status passed(void *self, int sequences) {
  passing *p = self;
  int tokens = p->stream->tokens, d = p->stream->hidden;
  for (int s = 0; s < sequences; s++) {
    const float *before = p->before + (size_t)s * (size_t)tokens * (size_t)d,
                *behind = olica_stream_sequence(p->stream, p->at + s);
    double sum = 0;
    for (int t = 0; t < tokens; t++)
      sum += distance(before + (size_t)t * (size_t)d, behind + (size_t)t * (size_t)d, d);
    /* at most 2 a token: rounded so that the sequences' sums add up to the same bits in any order */
    p->sum += olica_statistics_on_grid(sum, olica_statistics_power_of_two(2.0 * tokens));
  }
  p->at += sequences;
  keep(p);
  return OLICA_OK;
}

static void nobody(void *self, const olica_view *view) {
  (void)self, (void)view;
}

olica_status olica_refit_influence(const olica_method_job *job, const olica_maps *maps, double *influence) {
  olica_context *context = job->context;
  passing p = {.stream = job->stream, .pack = olica_forward_rows(job->forward) / job->stream->tokens};
  size_t numbers = pack_numbers(olica_forward_rows(job->forward), job->stream->hidden);
  const olica_onlooker onlooker = {.observer = {.observe = nobody, .self = &p}, .passed = passed};
  OLICA_AGREE(context, OLICA_NEW(context->env, p.before, numbers));
  keep(&p);
  OLICA_TRY(olica_stream_advance(job->stream, job->forward, maps, &onlooker));
  olica_memory_free(context->env, p.before);
  olica_comm_sum(context, context->comm, &p.sum, 1);
  *influence = p.sum / ((double)job->stream->sequences * job->stream->tokens);
  return isfinite(*influence) ? OLICA_OK
                              : olica_error_set(context->env, OLICA_ERR_NUMERIC,
                                                "block influence of layer %d is not finite: the model "
                                                "overflows fp32",
                                                maps->index);
}

void olica_refit_replay_influence(olica_ledger *ledger, const olica_method_model *model,
                                  const olica_method_site *site) {
  olica_hold maps = olica_maps_hold(ledger, model->arch, &model->dense[0], site->precision);
  olica_ledger_touch(ledger, pack_numbers(site->pack_rows, model->arch->hidden) * sizeof(float));
  olica_ledger_release(ledger, maps);
}
