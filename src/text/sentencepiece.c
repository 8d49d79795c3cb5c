/* SentencePiece's processing of a text before and after its model. */
#include "tokenizer_parts.h"
#include "unicode.h"

static const olica_span SPACE = {"\xe2\x96\x81", 3}; /* U+2581 stands for a space */

static bool begins_with(olica_span text, olica_span with) {
  return text.bytes >= with.bytes && memcmp(text.data, with.data, with.bytes) == 0;
}

/* ---- normalizing ---- */

/* Returns the replacement of the longest prefix of a text, and the length of that prefix. A user's piece
 * stays unchanged. */
static size_t normalize_prefix(const olica_normalizer *n, olica_span text, olica_span *part) {
  const olica_trie *user = &n->tokenizer->normalized;
  size_t end = 0;
  if (user->count && olica_trie_find(user, text, 0, &end) >= 0) {
    *part = (olica_span){text.data, end};
    return end;
  }
  end = olica_charsmap_find(&n->charsmap, text, true, part);
  if (end > 0) return end;
  end = olica_unicode_valid(text);
  *part = end ? (olica_span){text.data, end} : (olica_span){"\xef\xbf\xbd", 3};
  return end ? end : 1;
}

static olica_span behind(olica_span text, size_t bytes) {
  return (olica_span){text.data + bytes, text.bytes - bytes};
}

static olica_status put_space(olica_normalizer *n, olica_bytes *out) {
  return n->tokenizer->escape ? olica_bytes_append(n->env, out, SPACE.data, SPACE.bytes)
                              : olica_bytes_append(n->env, out, " ", 1);
}

static olica_status put_part(olica_normalizer *n, olica_span part, olica_bytes *out) {
  for (size_t i = 0; i < part.bytes; i++)
    OLICA_TRY(part.data[i] == ' ' ? put_space(n, out) : olica_bytes_append(n->env, out, part.data + i, 1));
  return OLICA_OK;
}

/* `strip`: if spaces are squeezed, also drops leading spaces. */
static olica_status put_text(olica_normalizer *n, olica_span text, bool strip, olica_bytes *out) {
  bool squeeze = n->tokenizer->squeeze, after_space = squeeze && strip;
  while (text.bytes) {
    olica_span part;
    text = behind(text, normalize_prefix(n, text, &part));
    while (after_space && part.bytes && part.data[0] == ' ') part = behind(part, 1);
    OLICA_TRY(put_part(n, part, out));
    if (part.bytes) after_space = squeeze && part.data[part.bytes - 1] == ' ';
  }
  return OLICA_OK;
}

static void drop_spaces_behind(const olica_normalizer *n, olica_bytes *out) {
  olica_span space = n->tokenizer->escape ? SPACE : (olica_span){" ", 1};
  while (out->count >= space.bytes &&
         memcmp(out->data + out->count - space.bytes, space.data, space.bytes) == 0)
    out->count -= space.bytes;
}

/* Replaces U+2581 by a space; returns `text` itself if it has none. */
static olica_status unescape(olica_normalizer *n, olica_span text, olica_span *out) {
  *out = text;
  if (!memmem(text.data, text.bytes, SPACE.data, SPACE.bytes)) return OLICA_OK;
  n->scratch.count = 0;
  for (bool is; text.bytes; text = behind(text, is ? SPACE.bytes : 1)) {
    is = begins_with(text, SPACE);
    OLICA_TRY(olica_bytes_append(n->env, &n->scratch, is ? " " : text.data, 1));
  }
  *out = olica_bytes_span(&n->scratch);
  return OLICA_OK;
}

/* Normalizes like LlamaTokenizer with legacy = false, which prepends U+2581 to the text itself and keeps a
 * part's first space. */
static olica_status normalize_modern(olica_normalizer *n, olica_span text, olica_bytes *out) {
  const olica_tokenizer *t = n->tokenizer;
  bool prefix = t->dummy_prefix && t->at_start;
  OLICA_TRY(unescape(n, text, &text));
  if (prefix) OLICA_TRY(put_space(n, out));
  OLICA_TRY(put_text(n, text, !prefix && text.data[0] != ' ', out));
  if (t->squeeze) drop_spaces_behind(n, out);
  return OLICA_OK;
}

static olica_status normalize(olica_normalizer *n, olica_span text, olica_bytes *out) {
  const olica_tokenizer *t = n->tokenizer;
  if (t->modern) return normalize_modern(n, text, out);
  while (t->squeeze && text.bytes) {
    olica_span part;
    size_t bytes = normalize_prefix(n, text, &part);
    if (!olica_span_is(part, " ", 1)) break;
    text = behind(text, bytes);
  }
  if (text.bytes == 0) return OLICA_OK;
  if (t->dummy_prefix && !t->suffix) OLICA_TRY(put_space(n, out));
  OLICA_TRY(put_text(n, text, true, out));
  if (t->squeeze) drop_spaces_behind(n, out);
  return t->dummy_prefix && t->suffix ? put_space(n, out) : OLICA_OK;
}

/* ---- decoding ---- */

static int hexadecimal(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Returns the byte of a piece "<0x41>", -1 for any other piece. */
static int byte_of(olica_span piece) {
  if (piece.bytes != 6 || memcmp(piece.data, "<0x", 3) != 0 || piece.data[5] != '>') return -1;
  int high = hexadecimal(piece.data[3]), low = hexadecimal(piece.data[4]);
  return high < 0 || low < 0 ? -1 : 16 * high + low;
}

static olica_status flush_bytes(olica_env *env, olica_bytes *run, olica_parts *out) {
  olica_bytes scratch = {0};
  olica_span text;
  olica_status status = olica_unicode_repair(env, olica_bytes_span(run), true, &scratch, &text);
  if (status == OLICA_OK) status = olica_bytes_append(env, &out->text, text.data, text.bytes);
  olica_memory_free(env, scratch.data);
  run->count = 0;
  return status;
}

/* Appends a piece that is no byte; the first visible one loses the leading spaces. */
static olica_status put_piece(olica_decoder *d, olica_span piece, bool first, olica_bytes *out) {
  if (first && begins_with(piece, SPACE)) piece = behind(piece, SPACE.bytes);
  while (piece.bytes) {
    bool space = begins_with(piece, SPACE);
    size_t bytes = space ? SPACE.bytes : 1;
    OLICA_TRY(olica_bytes_append(d->env, out, space ? " " : piece.data, 1));
    piece = behind(piece, bytes);
  }
  return OLICA_OK;
}

static olica_status decode_pieces(olica_decoder *d, const olica_parts *in, olica_parts *out,
                                  olica_bytes *run) {
  bool prefix = d->tokenizer->dummy_prefix || d->tokenizer->squeeze, seen = false;
  for (size_t i = 0; i < in->count; i++) {
    olica_span piece = olica_parts_at(in, i);
    int byte = byte_of(piece);
    if (byte >= 0) {
      OLICA_TRY(olica_bytes_append(d->env, run, (char[]){(char)byte}, 1));
      continue;
    }
    OLICA_TRY(flush_bytes(d->env, run, out));
    bool first = prefix && !seen && out->text.count == 0;
    OLICA_TRY(put_piece(d, piece, first, &out->text));
    /* If spaces are squeezed, all leading ones go, not only the first. */
    if (first && !d->tokenizer->squeeze) seen = begins_with(piece, SPACE);
  }
  return flush_bytes(d->env, run, out);
}

static olica_status decode(olica_decoder *d, const olica_parts *in, olica_parts *out) {
  olica_bytes run = {0};
  olica_status status = decode_pieces(d, in, out, &run);
  olica_memory_free(d->env, run.data);
  return status == OLICA_OK ? olica_parts_close(d->env, out) : status;
}

olica_status olica_sentencepiece_add(olica_tokenizer *t, olica_normalizer **normalizer) {
  olica_decoder *decoder;
  OLICA_TRY(olica_normalizers_add(&t->normalizers, normalizer));
  (*normalizer)->apply = normalize;
  (*normalizer)->tokenizer = t;
  OLICA_TRY(olica_decoders_add(&t->decoders, decode, &decoder));
  decoder->tokenizer = t;
  t->decoders.given = true;
  return OLICA_OK;
}
