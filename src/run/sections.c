#include "sections.h"

#include <assert.h>
#include <stdio.h>

static olica_restart_section *add_section(olica_sections *sections, const char *name, int64_t bytes) {
  assert(sections->count < OLICA_SECTIONS_MAX);
  olica_restart_section *section = &sections->section[sections->count++];
  *section = (olica_restart_section){.bytes = bytes};
  snprintf(section->name, sizeof section->name, "%s", name);
  return section;
}

void olica_sections_add_shared(olica_sections *sections, const char *name, void *data, size_t bytes) {
  olica_restart_piece *piece = &sections->shared[sections->count];
  olica_restart_section *section = add_section(sections, name, (int64_t)bytes);
  *piece = (olica_restart_piece){.data = data, .bytes = (int64_t)bytes};
  section->shared = true;
  section->count = 1;
  section->piece = piece;
}

olica_status olica_sections_add(olica_sections *sections, olica_env *env, const char *name, int64_t bytes,
                                int64_t count, olica_restart_piece **piece) {
  olica_restart_section *section = add_section(sections, name, bytes);
  OLICA_TRY(OLICA_NEW(env, section->piece, (size_t)count));
  section->count = count;
  *piece = section->piece;
  return OLICA_OK;
}

olica_status olica_sections_add_stream(olica_sections *sections, const char *name, const olica_stream *stream,
                                       float *x) {
  int64_t numbers = (int64_t)stream->tokens * stream->hidden, bytes = numbers * (int64_t)sizeof *x;
  olica_restart_piece *piece;
  OLICA_TRY(olica_sections_add(sections, stream->context->env, name, stream->sequences * bytes, stream->count,
                               &piece));
  for (int64_t s = 0; s < stream->count; s++)
    piece[s] =
        (olica_restart_piece){.data = x + s * numbers, .offset = (stream->first + s) * bytes, .bytes = bytes};
  return OLICA_OK;
}

void olica_sections_free(olica_env *env, olica_sections *sections) {
  for (int i = 0; i < sections->count; i++)
    if (!sections->section[i].shared) olica_memory_free(env, sections->section[i].piece);
}
