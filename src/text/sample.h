/* The calibration sample: sequences of token ids drawn from texts, the same at any number of ranks.
 *
 * Each source gives its share of the sequences (olica_sources_share), one source after the other. Its rows
 * are tried in random order without repetition; rows with fewer ids than a sequence are skipped. An alpaca
 * row gives its first ids, any other row a window at a random position. Rows are tokenized with the
 * tokenizer's defaults, including the special tokens that it adds.
 *
 * The order is a Fisher-Yates shuffle: place i is exchanged with place i + olica_random_below({seed,
 * 2·source}, i, rows - i). The window of the row at place i begins at olica_random_below({seed, 2·source +
 * 1}, i, ids - length + 1). So a draw depends only on the seed, on the source's place in the list, and on its
 * index. */
#ifndef OLICA_TEXT_SAMPLE_H
#define OLICA_TEXT_SAMPLE_H

#include "text/encoder.h"
#include "text/sources.h"

typedef struct olica_sample_options {
  const olica_text_sources *sources;
  int64_t samples; /* total number of sequences */
  int length;      /* ids of a sequence */
  uint64_t seed;
  int64_t vocabulary;
} olica_sample_options;

/* Statistics of one source. */
typedef struct olica_sample_record {
  int64_t rows, tried, drawn; /* rows of the source; rows tokenized; rows that became sequences */
} olica_sample_record;

/* Draws the sample: *ids [samples x length], counted, owned by the caller, the same on every rank; fills
 * record [sources->count]. The ranks share the tokenizing; each uses its own encoder (NULL if all sources are
 * npy). OLICA_ERR_INPUT for a source with too few rows of `length` ids, with the number found. Collective on
 * the context. */
olica_status olica_sample_draw(olica_context *context, const olica_sample_options *options,
                               olica_encoder *encoder, olica_sample_record *record, int32_t **ids);

#endif
