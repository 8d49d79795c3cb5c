/* The calibration sample: sequences of token ids drawn from texts, the same at any number of ranks.
 *
 * From each source come its share of the sequences (olica_sources_share), source after source. Its rows are
 * tried in a random order, none twice; a row of fewer ids than a sequence has is passed over. Of an alpaca
 * row come the first ids, of any other a window at a random place. Rows are tokenized as the tokenizer does
 * by default, with the special tokens that it adds.
 *
 * The order is Fisher and Yates's: place i is exchanged with place i + olica_random_below({seed, 2·source},
 * i, rows - i). The window of the row at place i begins at olica_random_below({seed, 2·source + 1}, i, ids -
 * length + 1). So a draw depends on the seed, on the source's place in the list, and on its number only. */
#ifndef OLICA_TEXT_SAMPLE_H
#define OLICA_TEXT_SAMPLE_H

#include "olica/text/encoder.h"
#include "olica/text/sources.h"

typedef struct olica_sample_options {
  const olica_text_sources *sources;
  int64_t samples; /* sequences in all */
  int length;      /* ids of each */
  uint64_t seed;
  int64_t vocabulary;
} olica_sample_options;

/* What one source gave. */
typedef struct olica_sample_record {
  int64_t rows, tried, drawn; /* rows there are, that were tokenized, that became sequences */
} olica_sample_record;

/* Draws the sample: *ids [samples x length], counted, the caller's, the same on every rank; record
 * [sources->count]. The ranks share the tokenizing; each uses an encoder of its own (NULL where all sources
 * are npy). A source with too few rows of `length` ids is OLICA_ERR_INPUT saying how many were found.
 * Collective on the context. */
olica_status olica_sample_draw(olica_context *context, const olica_sample_options *options,
                               olica_encoder *encoder, olica_sample_record *record, int32_t **ids);

#endif
