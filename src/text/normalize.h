/* Normalizers: transformations of a text before it is divided. Private to text. */
#ifndef OLICA_TEXT_NORMALIZE_H
#define OLICA_TEXT_NORMALIZE_H

#include "charsmap.h"
#include "pattern.h"
#include "unicode.h"

typedef struct olica_normalizer olica_normalizer;
struct olica_normalizer {
  /* Appends the transformed text; `text` is not empty. */
  olica_status (*apply)(olica_normalizer *normalizer, olica_span text, olica_bytes *out);
  olica_env *env;
  olica_pattern pattern; /* Replace */
  char *content;         /* Replace, Prepend: the inserted text */
  size_t bytes;
  olica_form form;                     /* NFC and so on */
  olica_charsmap charsmap;             /* Precompiled */
  bool left, right;                    /* Strip */
  bool prepends;                       /* Prepend */
  bool clean, chinese, accents, lower; /* BertNormalizer */
  struct olica_tokenizer *tokenizer;   /* SentencePiece's */
  olica_bytes scratch;
};

/* In the order of the file. */
typedef struct olica_normalizers {
  olica_env *env;
  const char *name;       /* the file */
  olica_normalizer *part; /* [count] */
  size_t count, room;
  olica_bytes scratch[2];
} olica_normalizers;

/* Reads member "normalizer" of a tokenizer. */
olica_status olica_normalizers_read(const olica_node *node, olica_normalizers *normalizers);
/* Appends a normalizer, all zero except its env; the pointer is valid until the next call. */
olica_status olica_normalizers_add(olica_normalizers *all, olica_normalizer **part);
void olica_normalizers_free(olica_normalizers *normalizers);

/* Normalizes a text; *out is in `text` or in a buffer of the normalizers, valid until the next call.
 * OLICA_ERR_INPUT if the text grows past olica_bytes_bound. */
olica_status olica_normalizers_apply(olica_normalizers *normalizers, olica_span text, olica_span *out);

#endif
