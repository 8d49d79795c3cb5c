/* Streams, in outline:
 *
 *   olica_stream_embed     for every panel of the embedding: copy the rows of the tokens in the panel
 *   olica_stream_advance   for every pack of this rank's sequences:
 *                            copy the states if the stream is not to be advanced
 *                            pass the layer in place; its taps call the observer
 *                            tell the observer that the pack is complete
 *                            progress the background reading of the next layer
 *                          agree on failures */
#include "calib/stream.h"

#include <string.h>

#include "base/arena.h"
#include "par/comm.h"
#include "par/partition.h"

static size_t lay_out(olica_stream *stream, void *block) {
  olica_arena arena = {.block = block};
  size_t positions = (size_t)stream->count * (size_t)stream->tokens;
  OLICA_TAKE(&arena, stream->ids, positions);
  OLICA_TAKE(&arena, stream->x, positions * (size_t)stream->hidden);
  return arena.used;
}

olica_hold olica_stream_hold(olica_ledger *ledger, int hidden, int64_t sequences, int tokens, int ranks) {
  olica_stream stream = {.hidden = hidden, .tokens = tokens};
  stream.count = olica_partition_block(sequences, ranks, 0).count;
  return olica_ledger_hold(ledger, lay_out(&stream, NULL));
}

olica_status olica_stream_create(olica_context *context, int hidden, int64_t sequences, int tokens,
                                 olica_stream **out) {
  olica_env *env = context->env;
  olica_range own = olica_partition_block(sequences, context->size, context->rank);
  olica_stream *stream;
  OLICA_TRY(OLICA_NEW(env, stream, 1));
  *stream = (olica_stream){.context = context,
                           .hidden = hidden,
                           .tokens = tokens,
                           .sequences = sequences,
                           .first = own.first,
                           .count = own.count};
  OLICA_TRY(OLICA_LAY_OUT(env, "stream", stream->block, lay_out, stream));
  *out = stream;
  return OLICA_OK;
}

void olica_stream_destroy(olica_stream *stream) {
  if (!stream) return;
  olica_env *env = stream->context->env;
  olica_memory_free(env, stream->block);
  olica_memory_free(env, stream);
}

void olica_stream_embed(olica_stream *stream, const olica_arch *arch, int64_t first, int64_t count,
                        const float *rows) {
  if (!stream) return;
  size_t d = (size_t)stream->hidden;
  int64_t positions = stream->count * stream->tokens;
  for (int64_t i = 0; i < positions; i++) {
    int64_t row = stream->ids[i] - first;
    if (row >= 0 && row < count) olica_forward_embed(arch, rows + (size_t)row * d, stream->x + (size_t)i * d);
  }
}

olica_stream olica_stream_part(const olica_stream *stream, int64_t first, int64_t count) {
  int64_t end = stream->first + stream->count, from = first > stream->first ? first : stream->first;
  int64_t to = first + count < end ? first + count : end, skipped = from - stream->first;
  olica_stream part = *stream;
  part.sequences = count;
  part.first = from - first;
  part.count = to > from ? to - from : 0;
  if (part.count == 0) return part;
  part.ids += skipped * stream->tokens;
  part.x += skipped * stream->tokens * stream->hidden;
  return part;
}

float *olica_stream_sequence(const olica_stream *stream, int64_t s) {
  return stream->x + (size_t)s * (size_t)stream->tokens * (size_t)stream->hidden;
}

int olica_stream_pack(olica_dtype precision, int threads, int tokens) {
  if (tokens % OLICA_BLOCK_ROWS) return 1;
  int rows = threads * olica_packed_group_rows(precision);
  return rows > tokens ? rows / tokens : 1;
}

/* Workspace of olica_stream_advance: the segments of a pack, and the copy of its states if the stream is not
 * advanced. */
typedef struct work {
  int sequences, rows; /* of a pack */
  int hidden;
  bool stays;
  olica_segment *segment;
  float *copy;
  void *block;
} work;

static size_t lay_out_work(work *w, void *block) {
  olica_arena arena = {.block = block};
  OLICA_TAKE(&arena, w->segment, w->sequences);
  if (w->stays) OLICA_TAKE(&arena, w->copy, (size_t)w->rows * (size_t)w->hidden);
  return arena.used;
}

void olica_stream_replay_copy(olica_ledger *ledger, int hidden, int rows) {
  olica_ledger_touch(ledger, lay_out_work(&(work){.rows = rows, .hidden = hidden, .stays = true}, NULL));
}

static olica_status prepare(const olica_stream *stream, const olica_forward *forward, work *w) {
  w->sequences = olica_forward_rows(forward) / stream->tokens;
  w->rows = w->sequences * stream->tokens;
  w->hidden = stream->hidden;
  OLICA_TRY(OLICA_LAY_OUT(stream->context->env, "workspace of a stream", w->block, lay_out_work, w));
  for (int i = 0; i < w->sequences; i++)
    w->segment[i] = (olica_segment){.first = i * stream->tokens, .count = stream->tokens};
  return OLICA_OK;
}

static olica_status pass_all(olica_stream *stream, olica_forward *forward, const olica_maps *maps,
                             const olica_onlooker *onlooker, const work *w) {
  for (int64_t s = 0; s < stream->count; s += w->sequences) {
    int count = stream->count - s < w->sequences ? (int)(stream->count - s) : w->sequences;
    const olica_pack pack = {.rows = count * stream->tokens, .segments = count, .segment = w->segment};
    float *x = olica_stream_sequence(stream, s);
    if (w->copy) x = memcpy(w->copy, x, (size_t)pack.rows * (size_t)stream->hidden * sizeof *x);
    OLICA_TRY(olica_forward_pass(forward, maps, &pack, x, onlooker ? &onlooker->observer : NULL));
    if (onlooker && onlooker->passed) OLICA_TRY(onlooker->passed(onlooker->observer.self, count));
    olica_context_progress(stream->context);
  }
  return OLICA_OK;
}

olica_status olica_stream_advance(olica_stream *stream, olica_forward *forward, const olica_maps *maps,
                                  const olica_onlooker *onlooker) {
  if (!stream) return OLICA_OK;
  olica_env *env = stream->context->env;
  work w = {.stays = onlooker && onlooker->stays};
  olica_status status = prepare(stream, forward, &w);
  if (status == OLICA_OK) status = pass_all(stream, forward, maps, onlooker, &w);
  olica_timer_tokens(&env->timers, (double)stream->count * stream->tokens);
  olica_memory_free(env, w.block);
  return olica_comm_agree(stream->context, stream->context->comm, status);
}
