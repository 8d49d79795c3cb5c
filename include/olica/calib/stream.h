/* A stream: sequences of token ids and their hidden states, as they advance through the model. Every rank
 * owns a contiguous block of the sequences for the whole run. Not collective unless said. */
#ifndef OLICA_CALIB_STREAM_H
#define OLICA_CALIB_STREAM_H

#include <stdint.h>

#include "olica/model/forward.h"
#include "olica/par/context.h"

typedef struct olica_stream {
  olica_context *context;
  int hidden, tokens;   /* d, T */
  int64_t sequences;    /* S, of all ranks */
  int64_t first, count; /* this rank's block */
  int32_t *ids;         /* [count x T] */
  float *x;             /* [count x T x d] hidden states */
} olica_stream;

/* Room for this rank's block of `sequences` sequences of `tokens` tokens; ids are for the caller to fill.
 * OLICA_ERR_MEMORY: the failure of one rank is the caller's to agree on. */
olica_status olica_stream_create(olica_context *context, int hidden, int64_t sequences, int tokens,
                                 olica_stream **stream);
void olica_stream_destroy(olica_stream *stream); /* NULL allowed */

/* Rows [first, first + count) of the embedding, rows [count x d]: states of the tokens that are among them.
 */
void olica_stream_embed(olica_stream *stream, int64_t first, int64_t count, const float *rows);

/* The states of local sequence s, [T x d]. */
float *olica_stream_sequence(const olica_stream *stream, int64_t s);

/* Sequences of so many tokens that pass a layer together, at most: in bf16 so many that each thread has its
 * blocks of rows, if a sequence is made of whole blocks; else one. Pure. */
int olica_stream_pack(olica_dtype precision, int threads, int tokens);

/* Who looks on while a stream passes a layer. */
typedef struct olica_onlooker {
  olica_observer observer;
  olica_status (*passed)(void *self, int sequences); /* a pack of them has passed; NULL allowed */
  bool stays; /* the stream's states stay as they are: a copy of them passes */
} olica_onlooker;

/* Every local sequence passes a layer, in packs of what the forward has rows for; onlooker NULL: nobody
 * looks. Collective on the stream's context, which agrees on failures; stream NULL: nothing. */
olica_status olica_stream_advance(olica_stream *stream, olica_forward *forward, const olica_maps *maps,
                                  const olica_onlooker *onlooker);

#endif
