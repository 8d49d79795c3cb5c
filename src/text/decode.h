/* Decoders: from tokens back to text. Private to text. */
#ifndef OLICA_TEXT_DECODE_H
#define OLICA_TEXT_DECODE_H

#include "pattern.h"

/* A row of strings: part i is text.data[end[i-1], end[i]). */
typedef struct olica_parts {
  olica_bytes text;
  size_t *end; /* [count] */
  size_t count, room;
} olica_parts;

typedef struct olica_decoder olica_decoder;

/* Appends to `out` what becomes of the parts of `in`. */
typedef olica_status olica_decoder_apply(olica_decoder *decoder, const olica_parts *in, olica_parts *out);

struct olica_decoder {
  olica_decoder_apply *apply;
  olica_env *env;
  olica_pattern pattern; /* Replace; WordPiece's prefix */
  char *content;         /* Replace, BPEDecoder's suffix, WordPiece's prefix */
  size_t bytes;
  uint32_t code;                     /* Strip, Metaspace */
  int64_t start, stop;               /* Strip */
  bool keep_first;                   /* Metaspace: no space was put in front; WordPiece: cleanup */
  struct olica_tokenizer *tokenizer; /* SentencePiece's */
};

typedef struct olica_decoders {
  olica_env *env;
  const char *name; /* the file */
  olica_decoder *part;
  size_t count, room;
  bool given; /* the file has a decoder: else words are joined by spaces */
} olica_decoders;

/* Reads member "decoder" of a tokenizer. */
olica_status olica_decoders_read(const olica_node *node, olica_decoders *decoders);
/* One more at the end; valid until the next. */
olica_status olica_decoders_add(olica_decoders *all, olica_decoder_apply *apply, olica_decoder **part);
void olica_decoders_free(olica_decoders *decoders);

/* Turns tokens into one text, which belongs to the caller. `tokens` is used up. What grows past
 * olica_bytes_bound (of bytes and tokens together) is OLICA_ERR_INPUT. */
olica_status olica_decoders_apply(olica_decoders *decoders, olica_parts *tokens, olica_bytes *text);

olica_status olica_parts_append(olica_env *env, olica_parts *parts, const char *data, size_t bytes);
/* Ends a part with what has been appended to the text since the last one. */
olica_status olica_parts_close(olica_env *env, olica_parts *parts);
void olica_parts_free(olica_env *env, olica_parts *parts);

static inline olica_span olica_parts_at(const olica_parts *parts, size_t i) {
  size_t begin = i ? parts->end[i - 1] : 0;
  return (olica_span){olica_bytes_span(&parts->text).data + begin, parts->end[i] - begin};
}

#endif
