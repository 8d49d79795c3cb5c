/* Pre-tokenizers: divide a normalized text before the model. Private to text. */
#ifndef OLICA_TEXT_PRETOKENIZE_H
#define OLICA_TEXT_PRETOKENIZE_H

#include "pattern.h"

/* A part of a text on its way through the pre-tokenizers. */
typedef struct olica_piece {
  olica_span text;
  bool first;  /* it is the beginning of the whole text */
  bool mapped; /* its bytes represent GPT-2's characters */
} olica_piece;

/* Treatment of matches; names as in the file. */
typedef enum olica_behavior {
  OLICA_REMOVED,
  OLICA_ISOLATED,
  OLICA_MERGED_WITH_PREVIOUS,
  OLICA_MERGED_WITH_NEXT,
  OLICA_CONTIGUOUS
} olica_behavior;

typedef enum olica_scheme { OLICA_ALWAYS, OLICA_NEVER, OLICA_FIRST } olica_scheme;

typedef struct olica_pretokenizers olica_pretokenizers;
typedef struct olica_pretokenizer olica_pretokenizer;
struct olica_pretokenizer {
  /* Divides a piece and passes the parts to part i + 1 of `all`, in order. */
  olica_status (*divide)(olica_pretokenizers *all, size_t i, olica_piece piece);
  bool (*is)(const olica_pretokenizer *p, uint32_t code); /* characters that match */
  olica_pattern pattern;                                  /* Split, ByteLevel */
  olica_behavior behavior;
  bool invert;                 /* Split: swaps matches and the text between them */
  bool regex;                  /* ByteLevel: divide; Metaspace: split */
  bool is_bytes, is_metaspace; /* ByteLevel, Metaspace */
  bool prefix_space;           /* ByteLevel */
  uint32_t code;               /* Metaspace's replacement, CharDelimiterSplit's delimiter */
  olica_scheme scheme;
  int64_t length; /* FixedLength */
  olica_bytes scratch;
};

struct olica_pretokenizers {
  olica_env *env;
  const char *name;         /* the file */
  olica_pretokenizer *part; /* [count], in the order of the file */
  size_t count, room;
  /* Receives the final pieces. */
  olica_status (*take)(void *taker, olica_piece piece);
  void *taker;
};

/* Reads member "pre_tokenizer" of a tokenizer. */
olica_status olica_pretokenizers_read(const olica_node *node, olica_pretokenizers *all);
void olica_pretokenizers_free(olica_pretokenizers *all);

/* Passes a piece to part i, or to `take` after the last part; drops empty pieces. */
olica_status olica_pretokenizers_pass(olica_pretokenizers *all, size_t i, olica_piece piece);

/* Divides a piece at matches of a pattern, or of p->is (divide.c). */
olica_status olica_divide_pattern(olica_pretokenizers *all, size_t i, olica_piece piece);
olica_status olica_divide_characters(olica_pretokenizers *all, size_t i, olica_piece piece);

#endif
