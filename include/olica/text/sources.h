/* What a list of texts says: "alpaca:alpaca.json*3, jsonl:c4.jsonl:text, plain:book.txt, npy:ids.npy". Each
 * entry is KIND:FILE, for jsonl with the field that holds the text behind a last colon, and a weight behind a
 * last asterisk. A name with a comma cannot be said, nor one whose end looks like a field or a weight.
 * Not collective, no I/O. */
#ifndef OLICA_TEXT_SOURCES_H
#define OLICA_TEXT_SOURCES_H

#include <stdint.h>

#include "olica/base/env.h"

typedef enum olica_text_kind {
  OLICA_TEXT_ALPACA, /* a JSON array of objects: instruction, input, output */
  OLICA_TEXT_JSONL,  /* a JSON object a line, its text in one field */
  OLICA_TEXT_PLAIN,  /* a text */
  OLICA_TEXT_NPY     /* token ids */
} olica_text_kind;

typedef struct olica_text_source {
  olica_text_kind kind;
  char *path;     /* as seen from where the program was started */
  char *field;    /* of jsonl, "text" if none is given */
  int64_t weight; /* 1 or more */
} olica_text_source;

typedef struct olica_text_sources {
  int count;
  olica_text_source *source; /* [count] */
} olica_text_sources;

/* "alpaca", "jsonl", "plain", "npy". */
const char *olica_sources_kind(olica_text_kind kind);

/* Parses a list; its files are relative to `base` (a file). `where` begins messages. An unknown kind, a
 * weight that is no whole number from 1 to 1,000,000, or an entry that comes twice is OLICA_ERR_CONFIG. Free
 * with olica_sources_free. */
olica_status olica_sources_parse(olica_env *env, const char *where, const char *base, const char *list,
                                 olica_text_sources *sources);
void olica_sources_free(olica_env *env, olica_text_sources *sources);

/* How many of `samples` sequences source i gives: in proportion to the weights, what cannot be divided goes
 * to the earlier ones. The shares add up to `samples`. Pure. */
int64_t olica_sources_share(const olica_text_sources *sources, int64_t samples, int i);

#endif
