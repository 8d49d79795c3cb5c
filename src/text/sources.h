/* Parses a list of texts: "alpaca:alpaca.json*3, jsonl:c4.jsonl:text, plain:book.txt, npy:ids.npy". Each
 * entry is KIND:FILE; for jsonl, the field of the text may follow after a last colon; a weight may follow
 * after a last asterisk. File names may not contain a comma, nor end like a field or a weight. Not
 * collective, no I/O. */
#ifndef OLICA_TEXT_SOURCES_H
#define OLICA_TEXT_SOURCES_H

#include <stdint.h>

#include "base/env.h"

typedef enum olica_text_kind {
  OLICA_TEXT_ALPACA, /* a JSON array of objects: instruction, input, output */
  OLICA_TEXT_JSONL,  /* a JSON object a line, its text in one field */
  OLICA_TEXT_PLAIN,  /* a text */
  OLICA_TEXT_NPY     /* token ids */
} olica_text_kind;

typedef struct olica_text_source {
  olica_text_kind kind;
  char *path;     /* relative to the program's working directory */
  char *field;    /* of jsonl; "text" by default */
  int64_t weight; /* at least 1 */
} olica_text_source;

typedef struct olica_text_sources {
  int count;
  olica_text_source *source; /* [count] */
} olica_text_sources;

/* Returns "alpaca", "jsonl", "plain" or "npy". */
const char *olica_sources_kind(olica_text_kind kind);

/* Parses a list; its files are relative to `base` (a file). `where` begins messages. OLICA_ERR_CONFIG for an
 * unknown kind, a weight that is no whole number from 1 to 1,000,000, or a duplicate entry. Free with
 * olica_sources_free. */
olica_status olica_sources_parse(olica_env *env, const char *where, const char *base, const char *list,
                                 olica_text_sources *sources);
void olica_sources_free(olica_env *env, olica_text_sources *sources);

/* Returns the number of `samples` sequences from source i: in proportion to the weights, with the remainder
 * on the earlier sources. The shares add up to `samples`. Pure. */
int64_t olica_sources_share(const olica_text_sources *sources, int64_t samples, int i);

#endif
