/* A stream: sequences of token ids and their hidden states, as they advance through the model. Every rank
 * owns a contiguous block of the sequences for the whole run. Not collective unless stated.
 *
 *     S = 7 sequences of T tokens on 3 ranks (olica_partition_block):
 *
 *               rank 0                     rank 1              rank 2
 *     ids     | s0 [T]    s1     s2      | s3       s4       | s5       s6      |   count x T
 *     x       | s0 [T x d] s1    s2      | s3       s4       | s5       s6      |   count x T x d
 *               first = 0, count = 3       first = 3, 2        first = 5, 2
 *
 * A layer transforms x in place, one pack of sequences at a time; nothing is exchanged between ranks. */
#ifndef OLICA_CALIB_STREAM_H
#define OLICA_CALIB_STREAM_H

#include <stdint.h>

#include "base/ledger.h"
#include "model/forward.h"
#include "par/context.h"

typedef struct olica_stream {
  olica_context *context;
  int hidden, tokens;   /* d, T */
  int64_t sequences;    /* S, sequences of all ranks */
  int64_t first, count; /* this rank's sequences [first, first + count) */
  int32_t *ids;         /* [count x T] */
  float *x;             /* [count x T x d] hidden states */
  void *block;          /* of both */
} olica_stream;

/* Allocates this rank's block of `sequences` sequences of `tokens` tokens; the caller fills ids. Not
 * collective: OLICA_ERR_MEMORY may occur on one rank alone, and the caller agrees on it. */
olica_status olica_stream_create(olica_context *context, int hidden, int64_t sequences, int tokens,
                                 olica_stream **stream);
void olica_stream_destroy(olica_stream *stream); /* NULL allowed */

/* Holds on a ledger what that allocates on the first of so many ranks, which has most sequences; replays
 * olica_stream_advance of a stream that stays, in packs of `rows` rows. */
olica_hold olica_stream_hold(olica_ledger *ledger, int hidden, int64_t sequences, int tokens, int ranks);
void olica_stream_replay_copy(olica_ledger *ledger, int hidden, int rows);

/* Given rows [first, first + count) of the embedding of `arch`, rows [count x d], sets the hidden states of
 * all tokens with these ids. Does nothing if `stream` is NULL. */
void olica_stream_embed(olica_stream *stream, const olica_arch *arch, int64_t first, int64_t count,
                        const float *rows);

/* Returns a view of the sequences [first, first + count) of all ranks' that this rank has; it may have none
 * of them. The view borrows the stream's states and is not destroyed. */
olica_stream olica_stream_part(const olica_stream *stream, int64_t first, int64_t count);

/* Returns the hidden states of local sequence s, [T x d]. */
float *olica_stream_sequence(const olica_stream *stream, int64_t s);

/* Returns the largest number of sequences in a pack: if a sequence is a whole number of row blocks, enough to
 * give each thread its blocks of rows; else 1. Pure. */
int olica_stream_pack(olica_dtype precision, int threads, int tokens);

/* Observes a stream that passes a layer. */
typedef struct olica_onlooker {
  olica_observer observer;
  olica_status (*passed)(void *self, int sequences); /* called after each pack of sequences; NULL allowed */
  bool stays; /* the stream is not advanced: a copy of its states passes the layer */
} olica_onlooker;

/* Passes every local sequence through a layer, in packs of as many rows as `forward` holds, and advances the
 * stream; `onlooker` NULL: no observer. Collective on the stream's context, which agrees on failures. Does
 * nothing if `stream` is NULL. */
olica_status olica_stream_advance(olica_stream *stream, olica_forward *forward, const olica_maps *maps,
                                  const olica_onlooker *onlooker);

#endif
