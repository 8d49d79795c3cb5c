#include "collect.h"

#include "par/comm.h"

static void keep_input(const olica_collected *work, const olica_view *view) {
  size_t size = olica_number_size(work->precision), row = work->seen + (size_t)view->row;
  for (int t = 0; t < view->rows; t++)
    olica_number_encode(work->precision, view->x + (size_t)t * (size_t)view->stride,
                        work->ffn_input + (row + (size_t)t) * (size_t)view->cols * size, (size_t)view->cols);
}

static void observe(void *self, const olica_view *view) {
  const olica_collected *work = self;
  olica_energies_see(work->energies, view);
  if (view->tap == OLICA_TAP_FFN_INPUT && work->ffn_input) keep_input(work, view);
  if (view->tap == OLICA_TAP_FFN_NEURONS && work->gram) olica_fit_sums_see(work->gram, OLICA_SIDE_A, view);
  if (view->tap == OLICA_TAP_VALUES && work->values) olica_fit_sums_see(work->values, OLICA_SIDE_A, view);
}

static olica_status passed(void *self, int sequences) {
  olica_collected *work = self;
  work->seen += (size_t)sequences * (size_t)work->tokens;
  if (work->values) OLICA_TRY(olica_fit_sums_passed(work->values, sequences));
  return work->gram ? olica_fit_sums_passed(work->gram, sequences) : OLICA_OK;
}

static size_t input_bytes(int64_t sequences, int tokens, int hidden, olica_dtype precision) {
  return (size_t)sequences * (size_t)tokens * (size_t)hidden * olica_number_size(precision);
}

static olica_status allocate(const olica_method_job *job, olica_collect_wish wish, olica_collected *work) {
  olica_env *env = job->context->env;
  const olica_stream *stream = job->stream;
  *work = (olica_collected){.precision = olica_kernel_precision(job->kernel),
                            .gram = wish.gram,
                            .values = wish.values,
                            .tokens = stream->tokens};
  OLICA_TRY(
      olica_energies_create(env, job->model.arch, olica_forward_threads(job->forward), &work->energies));
  if (!wish.ffn_input) return OLICA_OK;
  return OLICA_NEW(env, work->ffn_input,
                   input_bytes(stream->count, stream->tokens, stream->hidden, work->precision));
}

static olica_status pass(const olica_method_job *job, const olica_maps *maps, bool advance,
                         olica_collected *work) {
  const olica_onlooker onlooker = {.observer = {.observe = observe, .self = work, .to_neurons = !advance},
                                   .passed = passed,
                                   .stays = !advance};
  OLICA_TRY(olica_stream_advance(job->stream, job->forward, maps, &onlooker));
  if (work->gram) OLICA_AGREE(job->context, olica_fit_sums_finish(work->gram));
  if (work->values) OLICA_AGREE(job->context, olica_fit_sums_finish(work->values));
  olica_energies_reduce(work->energies, job->context, 1.0 / (double)job->stream->sequences);
  return OLICA_OK;
}

/* All ranks have the same energies; rank 0 warns. */
static void note_silent(const olica_context *context, int index, int silent) {
  if (silent == 0) return;
  olica_log_line(context->env, "layer %d: %d input channels of its linear maps have no energy", index,
                 silent);
  if (context->rank == 0)
    olica_log_warn_times(context->env, silent,
                         "channels have no energy on the calibration data: their weights count as zero");
}

olica_status olica_collect_packed(const olica_method_job *job, const olica_maps *maps,
                                  olica_collect_wish wish, olica_collected *collected, int *silent) {
  OLICA_AGREE(job->context, allocate(job, wish, collected));
  OLICA_TRY(pass(job, maps, wish.advance, collected));
  *silent = olica_energies_silent(collected->energies);
  note_silent(job->context, maps->index, *silent);
  return OLICA_OK;
}

olica_status olica_collect(const olica_method_job *job, int index, const olica_layer *dense,
                           olica_collect_wish wish, olica_collected *collected, int *silent) {
  olica_maps *maps = NULL;
  OLICA_TRY(olica_maps_create(job->context, job->kernel, job->model.arch, dense, index, &maps));
  OLICA_TRY(olica_collect_packed(job, maps, wish, collected, silent));
  olica_maps_destroy(maps);
  return OLICA_OK;
}

void olica_collect_free(const olica_method_job *job, olica_collected *collected) {
  OLICA_FREE(job->context->env, collected->ffn_input);
  olica_energies_destroy(job->context->env, collected->energies);
  collected->energies = NULL;
}

olica_collected_hold olica_collect_replay(olica_ledger *ledger, const olica_method_model *model,
                                          const olica_method_site *site, const olica_layer_shape *dense,
                                          olica_collect_wish wish) {
  const olica_arch *arch = model->arch;
  int64_t count = olica_partition_block(site->sequences, site->ranks, 0).count;
  olica_hold maps = olica_maps_hold(ledger, arch, dense, site->precision);
  olica_collected_hold held = {.energies = olica_energies_hold(ledger, arch, site->threads)};
  if (wish.ffn_input)
    held.ffn_input =
        olica_ledger_hold(ledger, input_bytes(count, site->tokens, arch->hidden, site->precision));
  if (!wish.advance) olica_stream_replay_copy(ledger, arch->hidden, site->pack_rows);
  olica_ledger_release(ledger, maps);
  return held;
}
