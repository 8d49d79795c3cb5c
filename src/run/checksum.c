#include "checksum.h"

#include <stdio.h>
#include <zlib.h>

#include "par/comm.h"
#include "par/watch.h"

/* Combines the ranks' checksums in the order of their sequences. */
olica_status olica_checksum_ids(olica_context *context, const char *name, const olica_stream *stream,
                                json_t *group) {
  int64_t bytes = stream->count * stream->tokens * (int64_t)sizeof *stream->ids;
  int64_t own[2] = {(int64_t)crc32_z(0, (const Bytef *)stream->ids, (size_t)bytes), bytes}, (*all)[2];
  OLICA_AGREE(context, OLICA_NEW(context->env, all, (size_t)context->size));
  olica_watch_enter(context, "a gather of checksums");
  MPI_Allgather(own, 2, MPI_INT64_T, all, 2, MPI_INT64_T, context->comm);
  olica_watch_leave(context);
  uLong crc = 0;
  for (int r = 0; r < context->size; r++) crc = crc32_combine(crc, (uLong)all[r][0], (z_off_t)all[r][1]);
  olica_memory_free(context->env, all);
  char text[64];
  snprintf(text, sizeof text, "%lld ids, checksum %08lx", (long long)(stream->sequences * stream->tokens),
           crc);
  json_object_set_new(group, name, json_string(text));
  return OLICA_OK;
}

uint32_t olica_checksum_questions(const olica_questions *questions) {
  uLong crc = 0;
  for (int64_t i = 0; i < questions->count; i++) {
    const olica_question *question = &questions->question[i];
    const int32_t head[3] = {question->task, question->choices, question->gold};
    crc = crc32_z(crc, (const Bytef *)head, sizeof head);
    for (int c = 0; c < question->choices; c++) {
      const olica_choice *choice = &questions->choice[question->first_choice + c];
      const int32_t sizes[3] = {choice->tokens, choice->scored, choice->characters};
      crc = crc32_z(crc, (const Bytef *)sizes, sizeof sizes);
      crc = crc32_z(crc, (const Bytef *)choice->id, (size_t)choice->tokens * sizeof *choice->id);
    }
  }
  return (uint32_t)crc;
}
