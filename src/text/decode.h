/* Decoders: convert tokens to text. Private to text. */
#ifndef OLICA_TEXT_DECODE_H
#define OLICA_TEXT_DECODE_H

#include "pattern.h"

/* A list of strings: part i is text.data[end[i-1], end[i]). */
typedef struct olica_parts {
  olica_bytes text;
  size_t *end; /* [count] */
  size_t count, room;
} olica_parts;

typedef struct olica_decoder olica_decoder;

/* Appends the decoded parts of `in` to `out`. */
typedef olica_status olica_decoder_apply(olica_decoder *decoder, const olica_parts *in, olica_parts *out);

struct olica_decoder {
  olica_decoder_apply *apply;
  olica_env *env;
  olica_pattern pattern; /* Replace; WordPiece's prefix */
  char *content;         /* Replace, BPEDecoder's suffix, WordPiece's prefix */
  size_t bytes;
  uint32_t code;                     /* Strip, Metaspace */
  int64_t start, stop;               /* Strip */
  bool keep_first;                   /* Metaspace: no space was added before the text; WordPiece: cleanup */
  struct olica_tokenizer *tokenizer; /* SentencePiece's */
};

typedef struct olica_decoders {
  olica_env *env;
  const char *name; /* the file */
  olica_decoder *part;
  size_t count, room;
  bool given; /* the file has a decoder; if not, words are joined by spaces */
} olica_decoders;

/* Reads member "decoder" of a tokenizer. */
olica_status olica_decoders_read(const olica_node *node, olica_decoders *decoders);
/* Appends a decoder; the pointer is valid until the next call. */
olica_status olica_decoders_add(olica_decoders *all, olica_decoder_apply *apply, olica_decoder **part);
void olica_decoders_free(olica_decoders *decoders);

/* Decodes tokens into one text, owned by the caller; consumes `tokens`. OLICA_ERR_INPUT if the text grows
 * past olica_bytes_bound (of bytes and tokens together). */
olica_status olica_decoders_apply(olica_decoders *decoders, olica_parts *tokens, olica_bytes *text);

olica_status olica_parts_append(olica_env *env, olica_parts *parts, const char *data, size_t bytes);
/* Ends a part: the text appended since the last one. */
olica_status olica_parts_close(olica_env *env, olica_parts *parts);
void olica_parts_free(olica_env *env, olica_parts *parts);

static inline olica_span olica_parts_at(const olica_parts *parts, size_t i) {
  size_t begin = i ? parts->end[i - 1] : 0;
  return (olica_span){olica_bytes_span(&parts->text).data + begin, parts->end[i] - begin};
}

#endif
