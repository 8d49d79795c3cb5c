#include "olica/calib/stream.h"

#include <string.h>

#include "olica/par/comm.h"
#include "olica/par/partition.h"

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
  size_t positions = (size_t)own.count * (size_t)tokens;
  OLICA_TRY(OLICA_NEW(env, stream->ids, positions));
  OLICA_TRY(OLICA_NEW(env, stream->x, positions * (size_t)hidden));
  *out = stream;
  return OLICA_OK;
}

void olica_stream_destroy(olica_stream *stream) {
  if (!stream) return;
  olica_env *env = stream->context->env;
  olica_memory_free(env, stream->ids);
  olica_memory_free(env, stream->x);
  olica_memory_free(env, stream);
}

void olica_stream_embed(olica_stream *stream, int64_t first, int64_t count, const float *rows) {
  if (!stream) return;
  size_t d = (size_t)stream->hidden;
  int64_t positions = stream->count * stream->tokens;
  for (int64_t i = 0; i < positions; i++) {
    int64_t row = stream->ids[i] - first;
    if (row >= 0 && row < count) memcpy(stream->x + (size_t)i * d, rows + (size_t)row * d, d * sizeof *rows);
  }
}

float *olica_stream_sequence(const olica_stream *stream, int64_t s) {
  return stream->x + (size_t)s * (size_t)stream->tokens * (size_t)stream->hidden;
}

olica_status olica_stream_advance(olica_stream *stream, olica_forward *forward, const olica_layer *layer,
                                  int index, const olica_observer *observer) {
  if (!stream) return OLICA_OK;
  OLICA_AGREE(stream->context, olica_forward_begin(forward, layer, index));
  for (int64_t s = 0; s < stream->count; s++) {
    olica_forward_layer(forward, olica_stream_sequence(stream, s), observer);
    olica_context_progress(stream->context);
  }
  olica_forward_end(forward);
  return OLICA_OK;
}
