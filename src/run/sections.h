/* The list of sections of a restart file: names, and pieces in the memory of their owners. Private to run.
 * Not collective: the caller agrees on failures. */
#ifndef OLICA_RUN_SECTIONS_H
#define OLICA_RUN_SECTIONS_H

#include "calib/stream.h"
#include "prune/method.h"
#include "store/restart.h"

/* The method's arrays and streams, the run's own, and at most two of each rider. */
enum { OLICA_SECTIONS_MAX = OLICA_ARRAYS + OLICA_OWN_STREAMS + 72 };

typedef struct olica_sections {
  int count;
  olica_restart_section section[OLICA_SECTIONS_MAX];
  olica_restart_piece shared[OLICA_SECTIONS_MAX]; /* pieces of shared sections */
} olica_sections;

/* Adds a section of which every rank has all bytes. */
void olica_sections_add_shared(olica_sections *sections, const char *name, void *data, size_t bytes);

/* Adds a section of `bytes` bytes of all ranks; this rank has `count` pieces, which the caller fills. */
olica_status olica_sections_add(olica_sections *sections, olica_env *env, const char *name, int64_t bytes,
                                int64_t count, olica_restart_piece **piece);

/* Adds a section with a piece for every sequence of a stream, of the numbers x [count x T x d]. */
olica_status olica_sections_add_stream(olica_sections *sections, const char *name, const olica_stream *stream,
                                       float *x);
void olica_sections_free(olica_env *env, olica_sections *sections);

#endif
